"""`stoqctl identity`: a sidecar's SVID and whom it trusts."""

import time
from typing import Any, Final

from stoqctl.admin import Sidecar
from stoqctl.options import DEFAULT_ADMIN, Admin, Json, Netns
from stoqctl.output import console, print_json, table, until

EXAMPLES: Final = "Examples:\n\nstoqctl identity\n\nsudo stoqctl identity --netns web-0 --json"


def run(netns: Netns = "", admin: Admin = DEFAULT_ADMIN, as_json: Json = False) -> None:
    """Show a sidecar's SPIFFE id, the life of its certificate and its trust."""
    found = summary(Sidecar(admin, netns).get("/config"))
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
        ("revoked", str(len(found["revoked"]))),
    ]
    console().print(table(("", ""), rows))


def summary(config: dict[str, Any]) -> dict[str, Any]:
    """The part of `/config` that is about identity and trust."""
    trust = (config["registry"] or {}).get("trust") or {}
    settings = config["settings"]["identity"]
    return {
        **config["identity"],
        "profile": settings["profile"],
        "trust_domain": settings["trust_domain"],
        "roots": trust.get("roots", 0),
        "revoked": trust.get("revoked", []),
    }
