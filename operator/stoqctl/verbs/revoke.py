"""`stoqctl revoke`: takes the trust from a certificate or an identity."""

import hashlib
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
import yaml

from stoq.records.errors import RecordError
from stoq.records.manifest import decode, encode
from stoq.records.meta import API_VERSION
from stoqctl.connect import cluster
from stoqctl.errors import Refused, StoqctlError
from stoqctl.options import Context, Json, Kubeconfig, Store
from stoqctl.output import print_json

if TYPE_CHECKING:
    from stoqctl.kube import Cluster

EXAMPLES: Final = (
    "Examples:\n\nstoqctl revoke 4402cd64cdc8\n\n"
    "stoqctl revoke spiffe://cluster.local/ns/shop/sa/web --reason 'key lost'\n\n"
    "stoqctl revoke spiffe://stoq.test/ns/shop/sa/web --store ./store --reason 'key lost'\n\n"
    "stoqctl revoke spiffe://stoq.test/ns/shop/sa/web --store ./store --undo"
)

REVOCATIONS: Final = "/apis/stoq.dev/v1alpha1/revocations"

Target = Annotated[
    str, typer.Argument(help="A serial number in hexadecimal, or a SPIFFE id.", show_default=False)
]


def run(
    target: Target,
    store: Store = None,
    kubeconfig: Kubeconfig = "",
    context: Context = "",
    reason: Annotated[str, typer.Option("--reason", help="Why; kept in the record.")] = "",
    undo: Annotated[bool, typer.Option("--undo", help="Trust it again.")] = False,
    as_json: Json = False,
) -> None:
    """Revoke a certificate by its serial number, or an identity with all its certificates.

    Live connections of the revoked are closed within a second. In a cluster the pods that live may
    get new certificates: delete the ones that shall not. With --store the record is written there
    instead of the cluster, and an identity that it names gets no new certificate until --undo.
    """
    manifest = revocation(target, reason)
    if store is not None:
        where, done = _in_store(store, manifest, undo=undo)
    else:
        where, done = _in_cluster(cluster(kubeconfig, context), manifest, undo=undo)
    if as_json:
        print_json({"target": target, "file": where, "revoked": not undo, "changed": done})
    elif undo:
        print(f"{target} is no longer revoked" if done else f"{target} was not revoked here")
    else:
        print(f"{target} is revoked by {where}")


def _in_store(store: Path, manifest: dict[str, Any], *, undo: bool) -> tuple[str, bool]:
    path = store / f"revocation-{manifest['metadata']['name']}.yaml"
    if not store.is_dir():
        raise StoqctlError(f"--store {store} is no directory")
    try:
        return str(path), _remove(path) if undo else _write(path, manifest)
    except OSError as error:
        raise StoqctlError(f"{path}: {error.strerror}") from error


def _in_cluster(there: "Cluster", manifest: dict[str, Any], *, undo: bool) -> tuple[str, bool]:
    name = manifest["metadata"]["name"]
    where = f"Revocation {name}"
    if undo:
        return where, there.delete(f"{REVOCATIONS}/{name}")
    try:
        there.create(REVOCATIONS, manifest)
    except Refused as error:
        if error.code != HTTPStatus.CONFLICT:
            raise
        return where, False
    return where, True


def revocation(target: str, reason: str) -> dict[str, Any]:
    """The manifest that revokes `target`. Raises `StoqctlError` for what is neither of the two."""
    field = "spiffeId" if target.startswith("spiffe://") else "serial"
    canonical = target.lower().replace(":", "") if field == "serial" else target
    name = f"{field.lower()}-{hashlib.sha256(canonical.encode()).hexdigest()[:16]}"
    spec = {field: canonical, **({"reason": reason} if reason else {})}
    try:
        record = decode(
            {
                "apiVersion": API_VERSION,
                "kind": "Revocation",
                "metadata": {"name": name},
                "spec": spec,
            }
        )
    except RecordError as error:
        raise StoqctlError(
            f"{target!r} is neither a serial number nor a SPIFFE id: {error.hint}; "
            "`stoqctl connections` and the control process's log show both"
        ) from error
    return encode(record)


def _write(path: Path, manifest: dict[str, Any]) -> bool:
    text = yaml.safe_dump(manifest, sort_keys=False)
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return False
    fresh = path.with_name(f".{path.name}.new")
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(path)
    return True


def _remove(path: Path) -> bool:
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    return True
