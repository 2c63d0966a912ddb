"""What this node's kernel can do, and the reason for each no. Pure."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

NET_ADMIN: Final = 12
SYS_ADMIN: Final = 21
PERFMON: Final = 38
BPF: Final = 39
"""Numbers of linux/capability.h. No kernel that has what the programs need lacks the last two."""

STRICT: Final = "tc_strict"
ACCOUNT: Final = "tc_account"
SPLICE: Final = "tc_splice"
GUARD: Final = "xdp_guard"
GUARD_TC: Final = "tc_guard"
"""The programs, as `bpf/programs` calls them."""

CAPTURES: Final = ("capture", "client-address", "captured-udp")
"""Parts of capture in pods: TCP, that applications see the addresses of IPv4 clients, and UDP."""

AF_XDP: Final = "af-xdp"
"""Lending the interfaces of pods to their sidecars."""

BPFFS: Final = "bpf"
"""The type of file system that holds pins."""

_TCX: Final = ((6, 6), "links of tc programs, which outlive the agent (tcx)")

_NEEDS: Final = {
    STRICT: _TCX,
    ACCOUNT: _TCX,
    SPLICE: _TCX,
    GUARD: ((5, 18), "XDP on frames of several buffers"),
    GUARD_TC: _TCX,
}


@dataclass(frozen=True, slots=True)
class Uplink:
    """The interface by which other nodes are reached."""

    name: str
    driver: str
    """What ethtool calls it; empty if it says nothing."""
    bus: str
    """Where the device is plugged in; empty for what is made of software."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What was found on the node."""

    release: str
    """Of the kernel."""
    capabilities: int
    """Effective ones of this process, a bit each."""
    pins: str
    """The folder of the pins."""
    filesystem: str
    """What is mounted there."""
    refused: Mapping[str, str]
    """Program -> why the kernel did not load it. What was loaded is not in it."""
    uplink: Uplink | None
    capture: Mapping[str, str] | None = None
    """Part of capture in pods -> why it cannot be; None where this agent captures in none."""
    af_xdp: str | None = None
    """Why no pod's interface can be lent to its sidecar; None where none is to be."""
    measured: str = ""
    """The figures, where the agent has chosen by them that interfaces are lent."""


@dataclass(frozen=True, slots=True)
class Capability:
    """One thing that a node may be able to do; `reason` says why not, or why it was chosen."""

    name: str
    supported: bool
    reason: str

    @property
    def said(self) -> str:
        """In a word, with the reason."""
        return ": ".join(filter(None, ("yes" if self.supported else "no", self.reason)))


def decide(facts: Facts) -> tuple[Capability, ...]:
    """Every capability, in the order in which they build on each other."""
    pins = _pins(facts)
    strict, account, splice, xdp, tc = (
        _program(facts, name) for name in (STRICT, ACCOUNT, SPLICE, GUARD, GUARD_TC)
    )
    placed = pins or _uplink(facts)
    parts = facts.capture
    capture: tuple[tuple[str, str], ...] = ()
    if parts is not None:
        # Pods are joined by who captures them.
        joined = splice or strict or account or pins or parts.get(CAPTURES[0], "")
        capture = (*((part, parts.get(part, "")) for part in CAPTURES), ("splice", joined))
    lent = () if facts.af_xdp is None else ((AF_XDP, facts.af_xdp),)
    chosen = {AF_XDP: facts.measured}
    return tuple(
        Capability(name, not reason, reason or chosen.get(name, ""))
        for name, reason in (
            ("pins", pins),
            ("strict", strict or pins),
            ("account", account or pins),
            ("guard", (tc and xdp) or placed),
            ("guard-tc", tc or placed),
            ("guard-native", xdp or placed or _native(facts)),
            *capture,
            *lent,
        )
    )


def lacking(found: Iterable[Capability]) -> tuple[Capability, ...]:
    """What the node cannot do."""
    return tuple(one for one in found if not one.supported)


def supported(found: Iterable[Capability], name: str) -> bool:
    """Whether `name` is among what the node can do."""
    return any(one.name == name and one.supported for one in found)


def version(release: str) -> tuple[int, int]:
    """Major and minor of a kernel's release; (0, 0) if it has none."""
    numbers = re.match(r"(\d+)\.(\d+)", release)
    return (int(numbers[1]), int(numbers[2])) if numbers else (0, 0)


def _pins(facts: Facts) -> str:
    if facts.filesystem == BPFFS:
        return ""
    return (
        f"{facts.pins} is on {facts.filesystem or 'no file system that is known'}, not on a bpffs: "
        "nothing would stay in force without the agent. mount -t bpf bpf /sys/fs/bpf, or name a "
        "folder of one in STOQ_KERNEL_PINS"
    )


def barred(facts: Facts) -> str:
    """Why strict pods of this node are shut: its kernel is new enough for strict mode, and refuses
    it all the same. Empty if it does not, or is too old: there the sidecars are all there is.
    """
    refused = (_program(facts, name) for name in (STRICT, ACCOUNT) if not _old(facts, name))
    return next(filter(None, refused), "")


def _old(facts: Facts, name: str) -> bool:
    return version(facts.release) < _NEEDS[name][0]


def _program(facts: Facts, name: str) -> str:
    (major, minor), why = _NEEDS[name]
    if _old(facts, name):
        return f"kernel {facts.release} is older than Linux {major}.{minor}, which has {why}"
    if name not in facts.refused:
        return ""
    if missing := _missing(facts.capabilities):
        return f"this process lacks {missing}"
    refused = facts.refused[name]
    # Without it some programs load, so it is not the reason before the kernel has said no.
    lacks = not _has(facts.capabilities, PERFMON) and not _has(facts.capabilities, SYS_ADMIN)
    return f"this process lacks CAP_PERFMON; {refused}" if lacks else refused


def _missing(capabilities: int) -> str:
    either = _has(capabilities, BPF) or _has(capabilities, SYS_ADMIN)
    lacks = [] if either else ["CAP_BPF"]
    lacks += [] if _has(capabilities, NET_ADMIN) else ["CAP_NET_ADMIN"]
    return " and ".join(lacks)


def _has(capabilities: int, number: int) -> bool:
    return bool(capabilities >> number & 1)


def _uplink(facts: Facts) -> str:
    if facts.uplink is not None:
        return ""
    return "no interface has a default route: name the uplink in STOQ_GUARD_INTERFACE"


def _native(facts: Facts) -> str:
    uplink = facts.uplink
    if uplink is None or uplink.bus:
        return ""
    return (
        f"{uplink.name} is no network card but made of software ({uplink.driver or 'no driver'}): "
        "native XDP would end segmentation offload there"
    )
