"""`stoqctl connections`: who is connected, and what was negotiated with each."""

from typing import Any, Final

from stoqctl.options import DEFAULT_ADMIN, Admin, Context, Json, Kubeconfig, Namespace, Netns, Pod
from stoqctl.output import console, duration, print_json, size, table
from stoqctl.sidecars import sidecar

EXAMPLES: Final = (
    "Examples:\n\nstoqctl connections shop/web-0\n\nsudo stoqctl connections --netns web-0 --json"
)

COLUMNS: Final = (
    "peer", "remote", "key exchange", "peer signature", "cipher", "age", "sent", "received",
)  # fmt: skip


def run(
    pod: Pod = "",
    namespace: Namespace = "",
    kubeconfig: Kubeconfig = "",
    context: Context = "",
    netns: Netns = "",
    admin: Admin = DEFAULT_ADMIN,
    as_json: Json = False,
) -> None:
    """List the STOQ connections of a pod with the evidence of each handshake.

    Without a pod of a cluster: those of a sidecar of this machine.
    """
    found = sidecar(
        pod, namespace=namespace, kubeconfig=kubeconfig, context=context, netns=netns, admin=admin
    ).get("/connections")
    if as_json:
        print_json({"connections": found})
        return
    if not found:
        console().print("no STOQ connections; one is made when a pod first talks to another")
        return
    console().print(table(COLUMNS, map(_row, found)))


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
