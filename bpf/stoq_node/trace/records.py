"""What `trace.bcc.c` writes, as Python sees it. Pure."""

import struct
from dataclasses import dataclass
from ipaddress import IPv6Address
from typing import Final

from stoq.capture.plan import Address

TCP: Final = 6
UDP: Final = 17
PROTOCOLS: Final = {TCP: "tcp", UDP: "udp"}

SLOTS: Final = 24
"""Of a histogram: slot 0 is below 1 µs, slot n from 2^(n-1) to 2^n µs, the last one has no end."""

_FLOW: Final = struct.Struct("=16s16sHHIB3x")
_OWNER: Final = struct.Struct("=II16sBBBx")
_LATENCY: Final = struct.Struct(f"=QQII16s{SLOTS}I")
_DROP: Final = struct.Struct("=III")


@dataclass(frozen=True, slots=True)
class Flow:
    """Packets between two ports, from the side of the pod."""

    place: int
    """Number of the watched place."""
    protocol: int
    local: Address
    local_port: int
    remote: Address
    remote_port: int


@dataclass(frozen=True, slots=True)
class Owner:
    """The program at the pod's end; what is not known is None."""

    uid: int | None = None
    pid: int | None = None
    comm: str = ""


@dataclass(frozen=True, slots=True)
class Event:
    """The first packet of a flow that was seen on a device other than loopback."""

    flow: Flow
    owner: Owner
    opened_here: bool
    """The pod's side opened it."""


@dataclass(frozen=True, slots=True)
class Latency:
    """How long answers took."""

    owner: Owner
    connect_us: int | None
    slots: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Drop:
    """What was dropped; place 0 is the rest of the node."""

    place: int
    reason: int
    ethertype: int


def event(data: bytes) -> Event:
    """The event of one record of the ring."""
    found = flow(data)
    uid, pid, comm, outgoing, opener, owned = _owner(data)
    if opener:
        opened_here = opener == 1
    elif found.protocol == TCP:
        # It began before the trace. The lower port is the service's.
        opened_here = found.local_port > found.remote_port
    else:
        opened_here = bool(outgoing)
    return Event(found, Owner(uid if owned else None, pid or None, comm), opened_here)


def flow(data: bytes) -> Flow:
    """The flow that `data` begin with."""
    local, remote, local_port, remote_port, place, protocol = _FLOW.unpack_from(data)
    return Flow(place, protocol, _address(local), local_port, _address(remote), remote_port)


def latency(data: bytes) -> Latency:
    """The value of an entry of `latencies`."""
    _, connecting, pid, uid, comm, *slots = _LATENCY.unpack_from(data)
    owner = Owner(uid, pid, _text(comm)) if pid else Owner()
    return Latency(owner, connecting // 1000 if connecting else None, tuple(slots))


def drop(data: bytes) -> Drop:
    """The key of an entry of `drops`."""
    return Drop(*_DROP.unpack_from(data))


def _owner(data: bytes) -> tuple[int, int, str, int, int, int]:
    pid, uid, comm, outgoing, opener, owned = _OWNER.unpack_from(data, _FLOW.size)
    return uid, pid, _text(comm), outgoing, opener, owned


def _address(packed: bytes) -> Address:
    address = IPv6Address(packed)
    return address.ipv4_mapped or address


def _text(packed: bytes) -> str:
    return packed.split(b"\0")[0].decode(errors="replace")
