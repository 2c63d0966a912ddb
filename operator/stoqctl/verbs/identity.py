"""`stoqctl identity`: a sidecar's SVID and whom it trusts, or all certificates that are out."""

import json
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from stoqctl.errors import StoqctlError
from stoqctl.options import (
    DEFAULT_ADMIN,
    Admin,
    Context,
    Json,
    Kubeconfig,
    Namespace,
    Netns,
    Pod,
    State,
)
from stoqctl.output import console, print_json, table, until
from stoqctl.sidecars import sidecar

EXAMPLES: Final = (
    "Examples:\n\nstoqctl identity shop/web-0\n\nsudo stoqctl identity --netns web-0 --json\n\n"
    "sudo stoqctl identity --state ./state"
)


def run(
    pod: Pod = "",
    namespace: Namespace = "",
    kubeconfig: Kubeconfig = "",
    context: Context = "",
    netns: Netns = "",
    admin: Admin = DEFAULT_ADMIN,
    state: State = None,
    as_json: Json = False,
) -> None:
    """Show a pod's SPIFFE id, the life of its certificate and its trust.

    Without a pod of a cluster: those of a sidecar of this machine. With --state: every certificate
    that the control process has given out and that is valid, with its serial number.
    """
    if state is not None:
        _issued(state, as_json)
        return
    pages = sidecar(
        pod, namespace=namespace, kubeconfig=kubeconfig, context=context, netns=netns, admin=admin
    )
    found = summary(pages.get("/config"))
    if as_json:
        print_json(found)
        return
    now = time.time()
    rows = [
        ("spiffe id", found["spiffe_id"] or "none yet"),
        ("obtained", until(found["obtained"], now)),
        ("expires", until(found["expires"], now)),
        ("signings", f"{found['renewals']} done, {found['failures']} failed"),
        ("last error", found["last_error"] or "none"),
        ("profile", found["profile"]),
        ("trust domain", found["trust_domain"]),
        ("roots", str(found["roots"])),
        ("revoked", _revoked(found)),
    ]
    console().print(table(("", ""), rows))


def _revoked(found: dict[str, Any]) -> str:
    identities = found["revoked_identities"]
    return ", ".join([f"{len(found['revoked'])} by serial number", *identities])


def _issued(state: Path, as_json: bool) -> None:
    now = time.time()
    valid = [entry for entry in read_ledger(state) if entry["expires"] > now]
    if as_json:
        print_json({"certificates": valid})
        return
    rows = (
        (entry["serial"], entry["uid"], entry["spiffe_id"], until(entry["expires"], now))
        for entry in valid
    )
    console().print(table(("serial", "workload", "spiffe id", "expires"), rows))


def read_ledger(state: Path) -> list[dict[str, Any]]:
    """The control process's ledger, oldest first. Raises `StoqctlError`."""
    path = state / "issued.jsonl"
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise StoqctlError(f"{path}: {error.strerror}; name the state with --state") from error
    entries = []
    for line in lines:
        # A crash can leave the last line unfinished; the control process skips it too.
        with suppress(ValueError):
            entries.append(json.loads(line))
    return entries


def summary(config: dict[str, Any]) -> dict[str, Any]:
    """The part of `/config` that is about identity and trust."""
    trust = (config["registry"] or {}).get("trust") or {}
    settings = config["settings"]["identity"]
    return {
        **config["identity"],
        # A release before says nothing of it, and has what it was set to.
        "profile": config.get("crypto", {}).get("profile") or settings["profile"],
        "trust_domain": settings["trust_domain"],
        "roots": trust.get("roots", 0),
        "revoked": trust.get("revoked", []),
        "revoked_identities": [item["spiffe_id"] for item in trust.get("revoked_identities", ())],
    }
