"""Join tokens: made here, given to a pod, and remembered as a hash in its manifest."""

import re
import secrets
from pathlib import Path
from typing import Final

import yaml

from stoq.records.documents import DocumentError, parse
from stoq.records.errors import RecordError
from stoq.records.manifest import decode, encode
from stoq.records.meta import API_VERSION, Key
from stoq.signing import token_hash
from stoq_operator.state import PUBLIC_MODE, SECRET_MODE, write_file

TOKEN_BYTES: Final = 32
"""Random bytes of a token: as strong as the SHA-256 that stands for it."""

_HASH_LINE: Final = re.compile(r"^(?P<head>[ \t]*joinTokenHash:[ \t]*)\S+[ \t]*$", re.MULTILINE)


class JoinError(Exception):
    """No token was made; the text says why and what to do."""


def new_token() -> str:
    """A fresh token, safe in files, variables and URLs."""
    return secrets.token_urlsafe(TOKEN_BYTES)


def manifest(
    namespace: str, name: str, *, addresses: list[str], service_account: str, netns: str, token: str
) -> str:
    """The manifest of a new workload that `token` attests. Raises `JoinError`."""
    raw = {
        "apiVersion": API_VERSION,
        "kind": "Workload",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "addresses": addresses,
            "serviceAccount": service_account,
            "joinTokenHash": token_hash(token),
            "netns": netns,
        },
    }
    try:
        return yaml.safe_dump(encode(decode(raw)), sort_keys=False)
    except RecordError as error:
        raise JoinError(str(error)) from error


def with_token(text: str, key: Key, token: str) -> str:
    """A manifest file with the hash of `token` in place of the one it has; everything else,
    comments included, stays as its author wrote it. Raises `JoinError`.
    """
    found = _HASH_LINE.findall(text)
    if len(found) != 1:
        raise JoinError(
            f"the file of {key} has {len(found)} lines `joinTokenHash: …` where one belongs; "
            f"set it by hand to {token_hash(token)}"
        )
    return _HASH_LINE.sub(lambda match: match["head"] + token_hash(token), text)


def file_of(store: Path, key: Key) -> Path | None:
    """The file of the store that has this record, if any. Raises `JoinError`."""
    for path in sorted([*store.glob("*.yaml"), *store.glob("*.yml")]):
        try:
            records = parse(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, DocumentError) as error:
            raise JoinError(f"{path}: {error}; mend it first") from error
        if any(item.record.key == key for item in records):
            return path
    return None


def issue(
    store: Path,
    namespace: str,
    name: str,
    *,
    addresses: list[str],
    service_account: str,
    netns: str,
    output: Path | None,
) -> str:
    """Makes a token for a workload and writes its hash to the store, its text to `output`.

    A workload that the store does not have is added; one that it has gets a new token, and the old
    one is worth nothing from then on. Returns the token. Raises `JoinError`, `StateError`.
    """
    if not store.is_dir():
        raise JoinError(f"{store} is no directory; name the store with --store")
    token = new_token()
    key = Key("Workload", namespace, name)
    path = file_of(store, key)
    if path is not None:
        text = with_token(path.read_text(encoding="utf-8"), key, token)
    elif not addresses:
        raise JoinError(f"{key} is not in {store}; give its --address to add it")
    else:
        path = store / f"workload-{namespace}-{name}.yaml"
        text = manifest(
            namespace,
            name,
            addresses=addresses,
            service_account=service_account,
            netns=netns,
            token=token,
        )
    if output is not None:
        write_file(output, f"{token}\n".encode(), SECRET_MODE)
    write_file(path, text.encode(), PUBLIC_MODE)
    return token
