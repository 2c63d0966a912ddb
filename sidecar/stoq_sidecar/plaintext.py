"""What this sidecar sends in plaintext, from what is counted anyway (`stoq.plaintext`)."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from stoq.engine import Snapshot
from stoq.plaintext import Figures, encode

SNMP: Final = Path("/proc/net/snmp")
"""The kernel's counters of this network namespace."""


@dataclass(frozen=True, slots=True)
class Resolved:
    """Bytes sent to name servers."""

    tcp: int
    udp: int


class Page:
    """Made once for each start of the sidecar."""

    def __init__(
        self, snapshot: Callable[[], Snapshot], resolved: Callable[[], Resolved], mtu: int
    ) -> None:
        """`resolved` gives what was sent to name servers, `mtu` is that of the pod's link."""
        self._snapshot = snapshot
        self._resolved = resolved
        self._mtu = mtu
        self._instance = secrets.token_hex(8)

    def render(self) -> bytes:
        """The page. Raises OSError or ValueError when the kernel does not tell its counters."""
        segments = retransmitted(SNMP.read_text(encoding="ascii"))
        found = figures(self._snapshot(), self._instance, self._resolved(), segments * self._mtu)
        return encode(found)


def figures(
    snapshot: Snapshot, instance: str, resolved: Resolved, retransmitted_bytes: int
) -> Figures:
    """The figures of a snapshot. Pure."""
    plain = [flow for flow in snapshot.flows if flow.connection_security_policy == "unknown"]
    return Figures(
        instance=instance,
        sent_bytes=resolved.tcp + sum(flow.sent_bytes for flow in plain),
        connections=sum(flow.opened - flow.closed for flow in plain),
        retransmitted_bytes=retransmitted_bytes,
        datagram_bytes=resolved.udp + snapshot.counters.captured_udp_plain_bytes,
    )


def retransmitted(snmp: str) -> int:
    """Segments that TCP has sent again, of the text of /proc/net/snmp. Raises ValueError. Pure."""
    lines = [line.split() for line in snmp.splitlines() if line.startswith("Tcp:")]
    if len(lines) == 2 and "RetransSegs" in lines[0]:
        return int(dict(zip(*lines, strict=True))["RetransSegs"])
    raise ValueError("/proc/net/snmp does not say how often TCP has sent again (RetransSegs)")
