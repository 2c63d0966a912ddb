"""What the demonstration found out, as an object and as a table. Pure."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that had to hold."""

    name: str
    ok: bool
    detail: str


@dataclass(frozen=True, slots=True)
class PodReport:
    """One pod and how to reach it."""

    name: str
    netns: str
    address: str
    spiffe_id: str
    metrics_url: str
    """Empty: there is no sidecar in it."""


@dataclass(frozen=True, slots=True)
class ConnectionReport:
    """One STOQ connection, as the sidecar that dialled it tells and as the wire shows."""

    source: str
    """SPIFFE id of the pod that dialled."""
    destination: str
    """SPIFFE id that the other side proved."""
    key_exchange: str
    signature: str
    cipher: str
    resumed: bool
    bytes: int
    """UDP payload, both directions."""
    round_trips: int | None
    """Before the dialler could send application data, counted in the capture."""


@dataclass(frozen=True, slots=True)
class Table:
    """What a scenario has to show beside its checks."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True)
class Report:
    """All of it."""

    run: str
    mtu: int
    seconds: float
    pods: Sequence[PodReport] = ()
    connections: Sequence[ConnectionReport] = ()
    plaintext_packets: int = 0
    exempt_packets: dict[str, int] = field(default_factory=dict)
    """What the count let pass because it keeps the network going."""
    throughput_bits_per_second: float | None = None
    """None: it was not measured."""
    checks: Sequence[Check] = ()
    tables: Sequence[Table] = ()
    scenario: str = ""
    """Which one was asked for; empty: the demonstration as it is without."""

    @property
    def ok(self) -> bool:
        """Whether every check held, and there was one."""
        return bool(self.checks) and all(check.ok for check in self.checks)

    def as_object(self) -> dict[str, Any]:
        """The form that `--json` prints."""
        return {"ok": self.ok, **asdict(self)}


def table(rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as their widest cell; the first row is the heading."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(f"{cell:<{w}}" for cell, w in zip(row, widths, strict=True)) for row in rows]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(line.rstrip() for line in lines)


def size(count: float) -> str:
    """A number of bytes for a reader: `1.1 GB`, decimal units."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.1f} GB"


def render(report: Report) -> str:
    """The report for a terminal."""
    checks = [["check", "", "detail"]]
    checks += [[c.name, "ok" if c.ok else "FAILED", c.detail] for c in report.checks]
    parts = [table(checks)]
    if report.connections:
        rows = [["from", "to", "key exchange", "signature", "cipher", "bytes", "round trips"]]
        rows += [
            [
                c.source,
                c.destination,
                c.key_exchange,
                c.signature,
                c.cipher,
                size(c.bytes),
                "not seen" if c.round_trips is None else str(c.round_trips),
            ]
            for c in report.connections
        ]
        parts.append(table(rows))
    parts += [f"{told.title}\n\n{table([told.columns, *told.rows])}" for told in report.tables]
    listed = ", ".join(f"{label} {count}" for label, count in sorted(report.exempt_packets.items()))
    lines = [
        f"exempt packets on the wire: {listed or 'none'}",
        f"plaintext packets seen on the wire: {report.plaintext_packets}",
    ]
    if report.throughput_bits_per_second is not None:
        rate = report.throughput_bits_per_second / 1e9
        lines.insert(0, f"iperf3, one stream, MTU {report.mtu}: {rate:.2f} Gbit/s")
    parts.append("\n".join(lines))
    return "\n\n".join(parts)
