"""`stoqctl connections`: who is connected, and what was negotiated with each."""

from typing import Any, Final

from stoqctl.admin import Sidecar
from stoqctl.options import DEFAULT_ADMIN, Admin, Json, Netns
from stoqctl.output import console, duration, print_json, size, table

EXAMPLES: Final = (
    "Examples:\n\nstoqctl connections\n\nsudo stoqctl connections --netns web-0 --json"
)

COLUMNS: Final = (
    "peer", "remote", "key exchange", "peer signature", "cipher", "age", "sent", "received",
)  # fmt: skip


def run(netns: Netns = "", admin: Admin = DEFAULT_ADMIN, as_json: Json = False) -> None:
    """List a sidecar's STOQ connections with the evidence of each handshake."""
    found = Sidecar(admin, netns).get("/connections")
    if as_json:
        print_json({"connections": found})
        return
    if not found:
        console().print("no STOQ connections; one is made when a pod first talks to another")
        return
    columns = (
        "peer",
        "remote",
        "key exchange",
        "peer signature",
        "cipher",
        "age",
        "sent",
        "received",
    )
    console().print(table(columns, map(_row, found)))


def _row(item: dict[str, Any]) -> tuple[str, ...]:
    resumed = " (resumed)" if item.get("resumed") else ""
    return (
        item["spiffe_id"] or "no certificate",
        item["remote"],
        item["key_exchange"] or item["state"],
        (item["signature"] or "unknown") + resumed,
        item["cipher"] or "unknown",
        duration(item["age_seconds"]),
        size(item["bytes_sent"]),
        size(item["bytes_received"]),
    )
