"""Every setting of the sidecar, in groups; nothing else in the program reads configuration.

Sources, later ones win: the defaults here, the TOML file named by `--config` or
`STOQ_CONFIG_FILE`, `STOQ_<GROUP>_<OPTION>` variables. `stoq-init` reads the same settings, so that
both containers of a pod share one source of truth.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from stoq import constants
from stoq.capture.plan import Address, Network, Plan, PortRange
from stoq.settings.kinds import (
    addresses,
    choice,
    flag,
    host_and_port,
    integer,
    networks,
    number,
    ports,
    text,
)
from stoq.settings.options import FILE_VARIABLE, SettingsError, load, option
from stoq_sidecar.frame_settings import Frames, Gateway

REFUSAL: Final = 2
"""Exit status for settings that cannot be used."""

TIERS: Final = ("slow", "home", "standard", "performance", "enterprise", "datacenter")
CONTROLLERS: Final = ("cubic", "newreno", "bbr3", "bbr2")

LEVELS: Final = ("trace", "debug", "info", "warn", "error")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pod:
    """Who this pod is. In Kubernetes the downward API fills these in."""

    name: str = option("", text(), "names the pod in metrics, logs and the registry")
    namespace: str = option("", text(), "second part of the SPIFFE id, with the service account")
    service_account: str = option("default", text(), "Kubernetes' own default")
    node: str = option("", text(), "lets the registry tell what is near; empty: unknown")
    host_addresses: tuple[Address, ...] = option(
        (), addresses(), "of the node (hostIPs): a kubelet probes from there or from the gateway"
    )
    addresses: tuple[Address, ...] = option(
        (), addresses(), "empty: those of the interfaces, read at start"
    )
    inbound: str = option(
        "", choice(("", "permissive", "strict")), "the pod's own word; empty: the registry's holds"
    )
    outbound: str = option(
        "", choice(("", "allow", "meshOnly")), "the pod's own word; empty: the registry's holds"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """Where registry and certificate authority are."""

    address: str = option(
        "", host_and_port(), "one UDP endpoint serves both; a name is resolved again at each dial"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """How the sidecar gets and keeps its SVID."""

    trust_domain: str = option("cluster.local", text(), "Kubernetes' default cluster domain")
    bundle_file: str = option(
        "/var/run/stoq/bundle.pem", text(), "root certificates to trust, PEM, at the first dial"
    )
    token_file: str = option(
        "/var/run/stoq/token", text(), "bearer token; read at each signing, since it is rotated"
    )
    profile: str = option(
        "hybrid-1024",
        choice(("hybrid-1024", "hybrid-512", "classical")),
        "Ed25519 and FALCON-1024 together, NIST level 5; until the registry says another",
    )
    allow_classical: bool = option(
        default=False, kind=flag(), why="classical signatures alone are for interoperability tests"
    )
    renew_at: float = option(
        0.5, number(0.1, 0.9, "of the life"), "half-life leaves 12 h of a day to repair a CA"
    )
    renew_jitter: float = option(
        0.1, number(0.0, 0.5, "of the life"), "spreads the renewals of pods started together"
    )
    retry_min_seconds: float = option(
        1.0, number(0.05, 60, "seconds"), "first wait after a failed signing"
    )
    retry_max_seconds: float = option(
        60.0, number(0.1, 3600, "seconds"), "longest wait; doubling stops here"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Discovery:
    """How the sidecar follows the registry."""

    retry_min_seconds: float = option(
        0.2, number(0.05, 60, "seconds"), "a restarted registry is back within a second"
    )
    retry_max_seconds: float = option(
        15.0,
        number(0.1, 600, "seconds"),
        "keeps 7,500 waiting sidecars, who know how many they are, at 500 dials a second",
    )
    signed: str = option(
        "prefer",
        choice(("prefer", "require")),
        "prefer: what the registry signs is verified, and an older one signs nothing; require: "
        "nothing else is used",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Capture:
    """How the pod's traffic reaches the sidecar."""

    mode: str = option(
        "init",
        choice(("init", "node", "none")),
        "init: stoq-init programs nftables; node: the broker does and passes sockets; none: the "
        "sidecar is a plain proxy (tests)",
    )
    sidecar_uid: int = option(
        constants.SIDECAR_UID, integer(1, 2**32 - 2), "user whose traffic is not captured"
    )
    broker_uid: int = option(
        0, integer(0, 2**32 - 2), "user that the broker of node mode must run as"
    )
    broker_seconds: float = option(
        60.0, number(1, 600, "seconds"), "how long to wait for the broker of node mode at start"
    )
    verify_seconds: float = option(
        30.0, number(1, 600, "seconds"), "how long capture may take to be in force before a warning"
    )
    exclude_outbound_ports: tuple[PortRange, ...] = option(
        (), ports(), "connections to these ports leave as they are"
    )
    exclude_outbound_networks: tuple[Network, ...] = option(
        (), networks(), "connections to these networks leave as they are"
    )
    exclude_inbound_ports: tuple[PortRange, ...] = option(
        (), ports(), "connections to these ports reach the application as they are"
    )
    udp: str = option(
        "auto",
        choice(("auto", "on", "off")),
        "captured UDP, in mode node alone. on: waits for a broker that captures it; auto: where it "
        "does; off: is not asked for",
    )
    exclude_outbound_udp_ports: tuple[PortRange, ...] = option(
        (), ports(), "UDP to these ports leaves as it is, as to those that are excluded for both"
    )
    exclude_inbound_udp_ports: tuple[PortRange, ...] = option(
        (), ports(), "UDP to these ports reaches the application as it is"
    )
    af_xdp: str = option(
        "auto",
        choice(("auto", "off")),
        "STOQ past the kernel's stack, in mode node alone. auto: where the node agent lends the "
        "pod's interface; off: is not asked for",
    )
    probe_ports: tuple[PortRange, ...] = option(
        (), ports(), "declared probe ports: the node reaches them in plaintext in any mode"
    )
    client_address: str = option(
        "auto",
        choice(("auto", "on", "off")),
        "whether the application sees the address of a meshed client (on) or of its own pod (off); "
        "auto: the client's where this pod can do so",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Dns:
    """The pod's resolver of service records."""

    enabled: bool = option(
        default=True, kind=flag(), why="false leaves the pod's DNS alone, and records without names"
    )
    resolv_conf: str = option(
        "/etc/resolv.conf", text(), "the name servers captured and asked, and the search list"
    )
    nameservers: tuple[Address, ...] = option(
        (), addresses(), "empty: those of the file; here for a pod whose file names others"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """Address families and the link."""

    ipv6_only: bool = option(
        default=False, kind=flag(), why="true refuses IPv4 everywhere, with an error to the caller"
    )
    mtu: int = option(
        0, integer(0, 65535, "bytes"), "of the pod's interface; 0: read from the interface"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Data:
    """Bounds of the data plane that an operator may want to move."""

    workers: int = option(0, integer(0, 64), "threads; 0: one per CPU of the cgroup, at most 4")
    stream_window: int = option(
        1_000_000, integer(16_384, 64_000_000, "bytes"), "what a stalled application can hold back"
    )
    connection_window: int = option(
        8_000_000,
        integer(65_536, 256_000_000, "bytes"),
        "what a hostile peer can make us hold; adaptation may double it",
    )
    idle_seconds: float = option(
        15.0, number(1, 3600, "seconds"), "silence after which a connection is given up"
    )
    pool_idle_seconds: float = option(
        300.0, number(1, 86400, "seconds"), "unused connections to a peer are closed after this"
    )
    udp_idle_seconds: float = option(
        60.0, number(1, 3600, "seconds"), "silence after which a flow of captured UDP ends"
    )
    udp_flows: int = option(
        16_384,
        integer(8, 1_000_000),
        "flows of captured UDP per worker; an eighth with one address",
    )
    qlog_dir: str = option("", text(), "folder for qlog files of each connection; empty: none")


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapt:
    """Adaptation of live connections to their paths."""

    mode: str = option(
        "on",
        choice(("on", "dry-run", "off")),
        "dry-run decides and counts, and changes nothing; off measures nothing either",
    )
    tier: str = option("", choice(("", *TIERS)), "pins the tier; empty: as measured")
    min_tier: str = option("", choice(("", *TIERS)), "the worst that may be chosen")
    max_tier: str = option("", choice(("", *TIERS)), "the best that may be chosen")
    congestion: str = option(
        "", choice(("", *CONTROLLERS)), "pins the congestion controller; empty: the tier's"
    )
    max_rate: int = option(
        0,
        integer(0, 10**12, "bits per second"),
        "of one connection, 1,000,000 at least; 0: no limit",
    )
    receive_window_most: int = option(
        0,
        integer(0, 64_000_000, "bytes"),
        "what a hostile peer can make us hold once adapted; 0: twice data.connection_window",
    )
    send_window_most: int = option(
        0, integer(0, 64_000_000, "bytes"), "not yet acknowledged; 0: what the widest tier asks for"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """What is written to standard error."""

    level: str = option("info", choice(LEVELS), "changed at run time by POST /log-level")
    format: str = option("text", choice(("text", "json")), "json for log collectors")
    access: str = option("text", choice(("text", "json", "off")), "one line per relayed connection")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shutdown:
    """How the sidecar ends."""

    drain_seconds: float = option(
        2.0,
        number(0, 300, "seconds"),
        "a native sidecar is told to stop after the application has ended",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All settings of the sidecar."""

    pod: Pod
    control: Control
    identity: Identity
    discovery: Discovery
    capture: Capture
    dns: Dns
    link: Link
    data: Data
    frames: Frames
    gateway: Gateway
    adapt: Adapt
    log: Log
    shutdown: Shutdown

    def plan(
        self, nameservers: tuple[Address, ...] = (), gateways: tuple[Address, ...] = ()
    ) -> Plan:
        """Capture as these settings want it; DNS to `nameservers` is captured if it is at all, and
        the node probes from `gateways` too.
        """
        return Plan(
            sidecar_uids=(self.capture.sidecar_uid,),
            exclude_outbound_ports=self.capture.exclude_outbound_ports,
            exclude_outbound_networks=self.capture.exclude_outbound_networks,
            exclude_inbound_ports=self.capture.exclude_inbound_ports,
            exclude_outbound_udp_ports=self.capture.exclude_outbound_udp_ports,
            exclude_inbound_udp_ports=self.capture.exclude_inbound_udp_ports,
            nameservers=nameservers if self.dns.enabled else (),
            probe_sources=(*self.pod.host_addresses, *gateways),
            probe_ports=self.capture.probe_ports,
            ipv6_only=self.link.ipv6_only,
            client_address=self.capture.client_address != "off",
        )

    @property
    def spiffe_id(self) -> str:
        """The identity that this pod asks for."""
        return (
            f"spiffe://{self.identity.trust_domain}/ns/{self.pod.namespace}"
            f"/sa/{self.pod.service_account}"
        )


def read(config: str, environment: Mapping[str, str]) -> Settings:
    """Settings from the file `config` (empty: the one that STOQ_CONFIG_FILE names, if any) and
    from `environment`.

    Raises SettingsError.
    """
    name = config or environment.get(FILE_VARIABLE, "")
    try:
        toml = Path(name).read_text(encoding="utf-8") if name else ""
    except (OSError, UnicodeDecodeError) as error:
        source = "--config" if config else FILE_VARIABLE
        raise SettingsError(f"{source} is {name!r}: cannot be read: {error}") from error
    return load(Settings, toml, environment, name)


def not_a_gateway(settings: Settings) -> list[str]:
    """What keeps a gateway from being one."""
    if not settings.gateway.enabled:
        return []
    problems = []
    if settings.capture.mode != "none":
        problems.append(
            f"STOQ_CAPTURE_MODE is {settings.capture.mode!r}, and a gateway captures nothing; "
            "start the command stoq-gateway instead of setting STOQ_GATEWAY_ENABLED"
        )
    if not settings.frames.hops:
        problems.append(
            "STOQ_FRAMES_HOPS is false, and a gateway forwards what comes by that extension alone; "
            "leave it out, or start stoq-sidecar"
        )
    return problems


def required(settings: Settings) -> list[str]:
    """What a sidecar cannot do without and the defaults cannot know, one sentence each."""
    needed = {
        "STOQ_POD_NAME": settings.pod.name,
        "STOQ_POD_NAMESPACE": settings.pod.namespace,
        "STOQ_CONTROL_ADDRESS": settings.control.address,
    }
    problems = [f"{name} is empty and has no default" for name in needed if not needed[name]]
    if settings.identity.profile == "classical" and not settings.identity.allow_classical:
        problems.append(
            "STOQ_IDENTITY_PROFILE is 'classical', which an attacker with a quantum computer can "
            "forge; set STOQ_IDENTITY_ALLOW_CLASSICAL=true if this is an interoperability test"
        )
    problems += not_a_gateway(settings)
    if settings.data.connection_window < settings.data.stream_window:
        problems.append(
            f"STOQ_DATA_CONNECTION_WINDOW is {settings.data.connection_window}, less than "
            f"STOQ_DATA_STREAM_WINDOW ({settings.data.stream_window}): one stream could never use "
            "its window; raise the one or lower the other"
        )
    return problems
