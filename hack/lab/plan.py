"""Names and addresses of a laboratory: pure, the same answer for the same run id.

One fabric namespace plays the node: it holds the bridge and the pods' gateway address. Every pod
is a namespace of its own with one interface, `eth0`, whose other end is a port of the bridge.
"""

import hashlib
import re
import secrets
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Final

RUN_ID: Final = re.compile(r"[a-z0-9]{1,12}")
"""What a run id looks like: it becomes part of names of namespaces and folders."""

MTU_RANGE: Final = range(1280, 65536)
"""IPv6 needs 1280 (RFC 8200 section 5); a veth takes no more than 65535."""

MAX_PODS: Final = 200
"""Host numbers 10 to 209 of the pod network; 1 is the gateway."""

BRIDGE: Final = "br0"


@dataclass(frozen=True, slots=True)
class Pod:
    """One pod: where it stands and how it is reached."""

    name: str
    netns: str
    port: str
    """The bridge's end of the pod's interface, in the fabric namespace."""
    ipv6: IPv6Address
    ipv4: IPv4Address | None

    @property
    def addresses(self) -> tuple[IPv6Address | IPv4Address, ...]:
        """Every address of the pod, IPv6 first."""
        return (self.ipv6,) if self.ipv4 is None else (self.ipv6, self.ipv4)


@dataclass(frozen=True, slots=True)
class Plan:
    """A whole laboratory before any of it exists."""

    run: str
    fabric: str
    mtu: int
    network6: IPv6Network
    network4: IPv4Network | None
    pods: tuple[Pod, ...]

    @property
    def gateway6(self) -> IPv6Address:
        """The node's address on the pod network."""
        return self.network6[1]

    @property
    def gateway4(self) -> IPv4Address | None:
        """The node's IPv4 address on the pod network, where there is one."""
        return None if self.network4 is None else self.network4[1]

    def pod(self, name: str) -> Pod:
        """The pod of that name. Raises KeyError naming the pods there are."""
        for pod in self.pods:
            if pod.name == name:
                return pod
        raise KeyError(f"no pod {name!r}; there are {', '.join(p.name for p in self.pods)}")


def new_run_id(prefix: str = "") -> str:
    """A run id that no other laboratory on this machine has."""
    return f"{prefix}{secrets.token_hex(3)}"


def make(run: str, names: list[str], *, mtu: int = 1500, ipv4: bool = False) -> Plan:
    """Lays out a laboratory with one pod for each of `names`.

    Raises ValueError naming what is out of range and what is allowed.
    """
    if not RUN_ID.fullmatch(run):
        raise ValueError(f"run id {run!r}: 1 to 12 lower-case letters and digits")
    if mtu not in MTU_RANGE:
        raise ValueError(f"mtu {mtu}: {MTU_RANGE.start} to {MTU_RANGE.stop - 1} bytes")
    if not 1 <= len(names) <= MAX_PODS:
        raise ValueError(f"{len(names)} pods: 1 to {MAX_PODS}")
    if len(set(names)) != len(names):
        raise ValueError(f"pod names must differ: {', '.join(names)}")
    # RFC 4193: 40 pseudo-random bits after fd make a locally unique prefix.
    bits = int.from_bytes(hashlib.sha256(run.encode()).digest()[:5])
    network6 = IPv6Network(((0xFD << 120) | (bits << 80), 64))
    network4 = IPv4Network((0x0A00_0000 | (bits & 0xFFFF) << 8, 24)) if ipv4 else None
    pods = tuple(
        Pod(
            name=name,
            netns=f"stoq-{run}-{name}",
            port=f"p{number}",
            ipv6=network6[10 + number],
            ipv4=None if network4 is None else network4[10 + number],
        )
        for number, name in enumerate(names)
    )
    return Plan(run, f"stoq-{run}-fabric", mtu, network6, network4, pods)
