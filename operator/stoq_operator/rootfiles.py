"""How roots are laid out, in a directory and in a Secret alike. Pure.

`roots.json` names the roots and their phases; `<name>.key` and `<name>.crt` are beside it. So a
state directory's `ca` folder becomes a Secret by `kubectl create secret generic stoq-ca
--from-file=ca`, and the other way round.
"""

from collections.abc import Mapping
from typing import Final

import msgspec

from stoq import pem
from stoq.engine import parse_certificate
from stoq_operator.kept import KeptRoot, StateError
from stoq_operator.rootcheck import shortcoming
from stoq_operator.rotation import Phase, Root

LIST: Final = "roots.json"


def pack(roots: tuple[KeptRoot, ...]) -> dict[str, bytes]:
    """Contents by file name."""
    files = {LIST: msgspec.json.encode([item.root for item in roots])}
    for item in roots:
        files[f"{item.root.name}.key"] = item.key
        files[f"{item.root.name}.crt"] = pem.encode(item.certificate)
    return files


def unpack(files: Mapping[str, bytes], place: str) -> tuple[KeptRoot, ...]:
    """The roots in `files`; none when there is no file.

    One key with its certificate and no list is a root that somebody brought: it signs from now on.
    Files without a key are somebody's too, and nothing may be written in their place. Raises
    `StateError` that names `place`.
    """
    if LIST not in files:
        return _brought(files, place)
    try:
        roots = msgspec.json.decode(files[LIST], type=tuple[Root, ...])
    except msgspec.DecodeError as error:
        raise StateError(f"{place}/{LIST}: {error}; restore it from a backup") from error
    if not roots:
        raise StateError(f"{place}/{LIST} names no root; restore it from a backup")
    return tuple(
        KeptRoot(
            root=root,
            key=_file(files, f"{root.name}.key", place),
            certificate=_certificate(files, root.name, place),
        )
        for root in roots
    )


def _brought(files: Mapping[str, bytes], place: str) -> tuple[KeptRoot, ...]:
    names = [name.removesuffix(".key") for name in files if name.endswith(".key")]
    if not files:
        return ()
    if not names:
        raise StateError(
            f"{place} has {', '.join(sorted(files))} and no key: name a root's key NAME.key and "
            "its certificate NAME.crt, or delete what is there to have a root made"
        )
    if len(names) > 1:
        raise StateError(
            f"{place} has {len(names)} keys and no {LIST} that says which of them signs; add it, "
            "or leave one key and its certificate"
        )
    certificate = _certificate(files, names[0], place)
    try:
        found = parse_certificate(certificate)
    except ValueError as error:
        why = shortcoming(certificate) or error
        raise StateError(f"{place}/{names[0]}.crt: {why}; bring a hybrid root") from error
    root = Root(name=names[0], phase=Phase.SIGNING, since=found.not_before, expires=found.not_after)
    return (KeptRoot(root=root, key=files[f"{names[0]}.key"], certificate=certificate),)


def _certificate(files: Mapping[str, bytes], name: str, place: str) -> bytes:
    text = _file(files, f"{name}.crt", place)
    try:
        return pem.certificates(text.decode("ascii"))[0]
    except ValueError as error:
        raise StateError(f"{place}/{name}.crt: {error}; restore it from a backup") from error


def _file(files: Mapping[str, bytes], name: str, place: str) -> bytes:
    if name not in files:
        raise StateError(
            f"{place}/{name} is missing, and {LIST} names its root; restore it from a backup, or "
            "begin anew and have every workload join again"
        )
    return files[name]
