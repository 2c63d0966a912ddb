"""Every setting of the node agent, in groups; nothing else in it reads configuration.

`STOQ_<GROUP>_<OPTION>` variables win over the TOML file that STOQ_CONFIG_FILE names.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from stoq import constants
from stoq.capture.plan import Address, Network
from stoq.program import Log
from stoq.settings.kinds import addresses, choice, host_and_port, integer, networks, number, text
from stoq.settings.options import FILE_VARIABLE, SettingsError, load, option

MOST: Final = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Kernel:
    """Where what is in force stays when the agent is gone."""

    pins: str = option(
        "/sys/fs/bpf/stoq", text(), "a folder of a bpffs, the agent's alone; made if missing"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Pods:
    """Where the pods of this node are known from."""

    file: str = option(
        "/etc/stoq/pods.toml", text(), "followed while the agent runs; not read in Kubernetes"
    )
    verify_seconds: float = option(
        1.0,
        number(0.1, 60, "seconds"),
        "how often the kernel is compared with what should be; links are noticed at once",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Kubernetes:
    """Where the agent is in a cluster."""

    node: str = option(
        "", text(), "this node's name: its pods come from the API server; empty: from the file"
    )
    nameservers: tuple[Address, ...] = option(
        (),
        addresses(),
        "the node's own, of pods with dnsPolicy Default; others may ask those that the agent asks",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Capture:
    """Capture in pods whose sidecars have it from this agent (capture mode `node`)."""

    namespaces: str = option(
        "",
        text(),
        "where the runtime keeps the network namespaces of pods: containerd and CRI-O in "
        "/run/netns; empty: no pod is captured by this agent",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class AfXdp:
    """STOQ past the kernel's stack, for sidecars that have their sockets from this agent."""

    mode: str = option(
        "off",
        choice(("auto", "off", "copy", "zero-copy")),
        "what is lent of a pod's interface; off: a veth carries many datagrams of a "
        "socket as one packet, and single frames here; auto: copy, on veths, if the agent measures "
        "at its start that it is faster; zero-copy: where the driver can, and not at all elsewhere",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """The guard against floods of handshakes, on the node's uplink."""

    mode: str = option(
        "auto",
        choice(("auto", "native", "tc", "generic", "off")),
        "auto: in the driver of a network card, tc on other links; generic: XDP without the driver",
    )
    interface: str = option("", text(), "empty: the one of the default route")
    source_per_second: int = option(
        2_000, integer(0, MOST), "Initials of a source (an IPv4 address, a /64); 0: no limit"
    )
    source_burst: int = option(
        20_000, integer(1, MOST), "5,000 sidecars of one node that come back, 4 Initials each"
    )
    ceiling_per_second: int = option(
        10_000, integer(0, MOST), "of all sources; a handshake takes a CPU about a millisecond"
    )
    ceiling_burst: int = option(40_000, integer(1, MOST), "two nodes that come back at once")
    allow: tuple[Network, ...] = option((), networks(), "sources without a limit")
    deny: tuple[Network, ...] = option((), networks(), "sources that reach no STOQ port")

    @property
    def source(self) -> tuple[int, int] | None:
        """A source's limit."""
        return (self.source_per_second, self.source_burst) if self.source_per_second else None

    @property
    def ceiling(self) -> tuple[int, int] | None:
        """The limit of all sources together."""
        return (self.ceiling_per_second, self.ceiling_burst) if self.ceiling_per_second else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Bypass:
    """The alarm about plaintext that goes past sidecars."""

    seconds: float = option(
        10.0,
        number(0, 3600, "seconds"),
        "how often what the kernel counts is held against what sidecars say; 0: never",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Listen:
    """Where the agent is looked at."""

    metrics: str = option(
        f"[::]:{constants.NODE_METRICS_PORT}", host_and_port(), "TCP, HTTP: /metrics and /healthz"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All settings."""

    kernel: Kernel
    pods: Pods
    kubernetes: Kubernetes
    capture: Capture
    af_xdp: AfXdp
    guard: Guard
    bypass: Bypass
    listen: Listen
    log: Log


def read(environment: Mapping[str, str]) -> Settings:
    """Settings from `environment` and the file it names. Raises SettingsError."""
    name = environment.get(FILE_VARIABLE, "")
    try:
        toml = Path(name).read_text(encoding="utf-8") if name else ""
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{FILE_VARIABLE} is {name!r}: cannot be read: {error}") from error
    return load(Settings, toml, environment, name)
