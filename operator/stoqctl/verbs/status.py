"""`stoqctl status`: is this sidecar well, and what does it know?"""

import time
from typing import Any, Final

from stoqctl.admin import Sidecar
from stoqctl.options import DEFAULT_ADMIN, Admin, Json, Netns
from stoqctl.output import console, print_json, table, until

EXAMPLES: Final = "Examples:\n\nstoqctl status\n\nsudo stoqctl status --netns web-0 --json"


def run(netns: Netns = "", admin: Admin = DEFAULT_ADMIN, as_json: Json = False) -> None:
    """Show a sidecar's readiness, identity, registry and modes."""
    sidecar = Sidecar(admin, netns)
    found = summary(sidecar.get("/config"), sidecar.get("/connections"))
    if as_json:
        print_json(found)
        return
    now = time.time()
    rows = [
        ("pod", f"{found['namespace']}/{found['name']}"),
        ("addresses", ", ".join(found["addresses"])),
        ("ready", "yes" if found["ready"] else "no"),
        *((f"  waits for {latch}", why) for latch, why in found["blocking"].items()),
        ("identity", found["spiffe_id"] or "none yet"),
        ("  expires", until(found["expires"], now)),
        ("registry", f"version {found['version']}{', stale' if found['stale'] else ''}"),
        ("  heard", until(found["updated"], now)),
        ("mesh", found["trust_domain"]),
        ("  inbound", found["inbound"]),
        ("  outbound", found["outbound"]),
        ("workloads", str(found["workloads"])),
        ("services", str(found["services"])),
        ("connections", str(found["connections"])),
    ]
    console().print(table(("", ""), rows))


def summary(config: dict[str, Any], connections: list[dict[str, Any]]) -> dict[str, Any]:
    """What `/config` and `/connections` say, in one flat object."""
    pod = config["settings"]["pod"]
    registry = config["registry"] or {}
    mesh = registry.get("mesh") or {}
    return {
        "name": pod["name"],
        "namespace": pod["namespace"],
        "addresses": config["addresses"],
        "ready": not config["blocking"],
        "blocking": config["blocking"],
        "spiffe_id": config["identity"]["spiffe_id"],
        "expires": config["identity"]["expires"],
        "version": config["discovery"]["version"],
        "updated": config["discovery"]["updated"],
        "stale": config["discovery"]["stale"],
        "trust_domain": mesh.get("trust_domain", "unknown"),
        "inbound": mesh.get("inbound", "unknown"),
        "outbound": mesh.get("outbound", "unknown"),
        "workloads": len(registry.get("workloads", ())),
        "services": len(registry.get("services", ())),
        "connections": sum(item["state"] == "established" for item in connections),
    }
