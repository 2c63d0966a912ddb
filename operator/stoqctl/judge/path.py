"""What a sidecar found on the way to another pod, and what mends it. Pure."""

from typing import Any, Final

from stoqctl.finding import Finding

SMALLEST_MTU: Final = 1200
"""UDP payload bytes that QUIC must be able to send (RFC 9000, section 14)."""

ETHERNET: Final = 1500 - 40 - 8
"""UDP payload bytes of a full Ethernet frame over IPv6."""


def finding(target: str, report: dict[str, Any]) -> Finding:
    """`report` is the sidecar's PathReport, `target` the pod as the user named it."""
    where = f"UDP {report['port']} of {report['address']}"
    name = f"path to {target}"
    if not report["reached"]:
        return Finding(
            name,
            False,
            f"{report['error']} ({where})",
            f"let UDP {report['port']} through both ways: NetworkPolicies (`stoqctl check` names "
            "them), node firewalls, cloud security groups; and see whether the sidecar there runs: "
            f"stoqctl check {target}",
        )
    suite = f"{report['key_exchange']}, {report['signature']}, {report['cipher']}"
    rtt = report["rtt_seconds"] or 0.0
    detail = f"{report['spiffe_id']}, {suite}, {rtt * 1000:.1f} ms, {report['mtu']} byte datagrams"
    if (report["mtu"] or 0) <= SMALLEST_MTU:
        return Finding(
            name,
            False,
            f"{detail}: only the smallest ones get through",
            f"raise the MTU between the nodes: pods' interfaces promise more than {where} can be "
            f"sent; on plain Ethernet {ETHERNET} byte datagrams fit",
        )
    return Finding(name, True, detail)
