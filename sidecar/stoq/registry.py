"""What the registry says to a sidecar, and how a sidecar follows it. Pure.

A watcher receives one snapshot and then deltas. `apply` turns each message into the next state;
a delta that does not fit raises `Gap`, and the watcher asks again from nothing.
"""

from collections.abc import Mapping
from typing import Final, Literal

import msgspec

from stoq import constants
from stoq.api.method import ServerStream
from stoq.digests import Digests, bucket
from stoq.packing import unpack
from stoq.rules import AdaptationRule, CryptoRule, PortModes


class WorkloadEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One meshed pod."""

    uid: str
    name: str
    namespace: str
    spiffe_id: str
    addresses: tuple[str, ...]
    port: int = constants.STOQ_PORT
    """UDP port of its sidecar."""
    node: str = ""
    """The machine it runs on; empty where none is known, as in the embedded mode."""
    zone: str = ""
    """The failure domain of that machine (`topology.kubernetes.io/zone`)."""
    via: tuple[tuple[str, ...], ...] = ()
    """Ways over gateways, lists of SPIFFE ids; all but whom `GatewayEntry` says dial over one of
    them. Empty: it is dialled directly. It may be of another mesh."""
    lanes: int = 0
    """STOQ connections of a TCP connection to it, 2 to 8; 0: one."""
    crypto: str = ""
    """The crypto profile that it requires of whoever connects, and proves itself with; empty: it
    takes every one of the mesh's."""


class ServicePort(msgspec.Struct, frozen=True):
    """A port of a service and the port of its endpoints that it leads to."""

    port: int
    target: int
    name: str = ""
    """Unique in the service; SRV records are asked for by it."""
    protocol: Literal["TCP", "UDP"] = "TCP"


class Endpoint(msgspec.Struct, frozen=True):
    """One address behind a service."""

    address: str
    weight: int = 1
    """New connections are spread by it; 0 takes none."""
    node: str = ""
    zone: str = ""
    terminating: bool = False
    """Its pod is on its way out: used only while no other endpoint is left."""
    targets: tuple[int, ...] = ()
    """Its own port for each of the service's ports, 0: none; empty: `ServicePort.target`."""


class ServiceEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A service record or a Kubernetes Service, resolved."""

    name: str
    namespace: str
    kind: Literal["record", "service"] = "record"
    vips: tuple[str, ...]
    """Its virtual addresses; empty: headless, its name stands for the endpoints themselves."""
    ports: tuple[ServicePort, ...]
    endpoints: tuple[Endpoint, ...]
    spiffe_ids: tuple[str, ...] = ()
    """Identities that its endpoints may have; empty: those the registry binds to the addresses."""
    ttl_seconds: int = 5
    """How long a name server's client may remember its addresses."""
    affinity: bool = False
    """All connections from one pod go to one endpoint (sessionAffinity ClientIP)."""
    local_only: bool = False
    """Only endpoints on the client's own node are used (internalTrafficPolicy Local)."""
    prefer: Literal["", "zone", "node"] = ""
    """Endpoints to prefer while there are any (trafficDistribution)."""

    @property
    def key(self) -> str:
        """Unique among services; a record and a Kubernetes Service may share a name."""
        return service_key(self.kind, self.namespace, self.name)


def service_key(kind: Literal["record", "service"], namespace: str, name: str) -> str:
    """`ServiceEntry.key` of the entry with that name."""
    return f"{namespace}/{name}" if kind == "record" else f"service/{namespace}/{name}"


class AccessRule(msgspec.Struct, frozen=True, kw_only=True):
    """One rule of an AccessPolicy that holds for the watching workload.

    A peer matches when any of the three peer lists names it; with all three empty everyone does.
    Deny wins. Once any allow rule that is no dry run exists, what no allow rule admits is refused.
    """

    policy: str
    """`<namespace>/<name>` of the policy, for logs and counters."""
    action: Literal["allow", "deny"]
    dry_run: bool = False
    """It only counts."""
    spiffe_ids: tuple[str, ...] = ()
    namespaces: tuple[str, ...] = ()
    service_accounts: tuple[str, ...] = ()
    """`<namespace>/<service account>`."""
    ports: tuple[tuple[int, int], ...] = ()
    """Ranges of destination ports, both ends included; empty: all ports."""


class MirrorRule(msgspec.Struct, frozen=True):
    """What the watching workload says to one service, it says to a shadow too."""

    of: str
    """`ServiceEntry.key` of the service that is dialled."""
    to: str
    """`ServiceEntry.key` of the one that gets the copies."""
    share: int
    """Of ten thousand connections, at least 1."""


class GatewayReplica(msgspec.Struct, frozen=True):
    """Where a gateway takes STOQ."""

    address: str
    port: int = constants.STOQ_PORT


class GatewayEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A gateway that ways lead over."""

    spiffe_id: str
    """What every replica of it proves."""
    replicas: tuple[GatewayReplica, ...] = ()
    """Empty: nobody is there now."""
    networks: tuple[str, ...] = ()
    """What is behind it, CIDR. Who has an address in them dials directly what a way leads to of
    which it is the last gateway, and so does the gateway itself."""


class ForwardRule(msgspec.Struct, frozen=True, omit_defaults=True):
    """Routes that the watching gateway lets pass. Each name is `*`, `spiffe://<trust domain>` or a
    SPIFFE id.
    """

    source: str = msgspec.field(name="from")
    """Who asks."""
    to: str
    """Who is at the end."""
    next: str = ""
    """The gateway that comes next; empty: the watcher is the last."""
    origin: str = ""
    """Who began the route, proven by its signature; empty: anybody, signed or not."""


class MeshEntry(msgspec.Struct, frozen=True, kw_only=True):
    """What holds for the watching workload, policies of its namespace included."""

    trust_domain: str
    profile: str = "hybrid-1024"
    inbound: Literal["permissive", "strict"] = "permissive"
    outbound: Literal["allow", "meshOnly"] = "allow"
    ports: tuple[PortModes, ...] = ()
    """Where something else holds; a release before knows nothing of them."""
    exempt_sources: tuple[str, ...] = ()
    """Networks whose plaintext is let in in any mode, CIDR."""
    probe_ports: tuple[int, ...] = ()
    """TCP ports on which plaintext is let in in any mode."""
    access: tuple[AccessRule, ...] = ()
    """Who may connect to it; empty: every meshed workload."""
    ipv6_only: bool = False
    """IPv4 is refused."""
    adaptation: AdaptationRule | None = None
    """How its connections adapt; None: as its own settings say."""
    mirrors: tuple[MirrorRule, ...] = ()
    """Copies that it sends."""
    mirrors_from: tuple[str, ...] | None = None
    """Whose copies it takes, SPIFFE ids; empty: everyone's; None: it is no shadow."""
    gateways: tuple[GatewayEntry, ...] = ()
    """Those of the mesh, each identity once."""
    forwards: tuple[ForwardRule, ...] = ()
    """What the watcher lets pass as a gateway; empty: nothing."""
    node_local: Literal["encrypted", "splice"] = "encrypted"
    """`splice`: with pods of its node that want the same it is joined by the node, in the clear."""
    crypto: CryptoRule | None = None
    """None, from a release before: as its own settings say."""
    own: WorkloadEntry | None = None
    """The watcher itself; `None` for a watcher that named no workload."""


class RevokedIdentity(msgspec.Struct, frozen=True):
    """Revokes the certificates of an identity that begin before a moment."""

    spiffe_id: str
    before: int
    """Unix time, seconds: certificates whose notBefore is earlier are revoked."""


class FederatedTrust(msgspec.Struct, frozen=True):
    """Another mesh, whose workloads can prove themselves."""

    trust_domain: str
    roots: tuple[bytes, ...]
    """Root certificates, DER."""


class TrustEntry(msgspec.Struct, frozen=True, kw_only=True):
    """Whom to trust."""

    roots: tuple[bytes, ...]
    """Root certificates, DER."""
    revoked: tuple[str, ...] = ()
    """Serial numbers, lower-case hexadecimal."""
    revoked_identities: tuple[RevokedIdentity, ...] = ()
    federated: tuple[FederatedTrust, ...] = ()
    """Each trust domain once, and never our own."""


class Removed(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is gone since the message before."""

    workloads: tuple[str, ...] = ()
    """By `uid`."""
    services: tuple[str, ...] = ()
    """By `ServiceEntry.key`."""


class WatchRequest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Asks for the state and its changes."""

    node: str = ""
    """`<namespace>/<name>` of the watching workload; it must have the caller's SPIFFE id."""
    resume_epoch: str = ""
    """`epoch` of the last message received, if any."""
    resume_version: int = 0
    """`version` of the last message received."""
    digests: tuple[bytes, ...] = ()
    """`digests` of the state; whoever resumes gives them for a registry that is another process."""
    packed: bool = False
    """Entries may come in `WatchMessage.packed`; a release before does not know it."""
    signed: bool = False
    """Messages may come in `WatchMessage.sealed`; a release before does not know it."""


class WatchMessage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A snapshot, or what changed since `base`, or what differs from a state of another epoch."""

    type: Literal["snapshot", "delta", "resync"]
    """`resync` only answers a request with digests."""
    epoch: str
    """One life of one registry process; versions of different epochs say nothing of each other."""
    version: int
    """Grows with every change, also over a restart of the registry (unless its clock went back)."""
    base: int = 0
    """The version a delta or resync builds on; for a resync one of another epoch."""
    buckets: tuple[int, ...] = ()
    """Of a resync: what the watcher has in these buckets is replaced by what the message has."""
    mesh: MeshEntry | None = None
    """`None` in a delta: unchanged."""
    trust: TrustEntry | None = None
    """`None` in a delta: unchanged."""
    workloads: tuple[WorkloadEntry, ...] = ()
    services: tuple[ServiceEntry, ...] = ()
    removed: Removed = Removed()
    packed: tuple[bytes, ...] = ()
    """More workloads and services: `Entries`, each packed by `stoq.packing`. Only if asked for."""
    sealed: bytes = b""
    """The message itself, msgpack, as it was signed: beside it only type, epoch and version are
    there. Only for a watcher that asked for it (`stoq.sealing`)."""
    certificate: bytes = b""
    """Of who signed it, DER; empty: the one that came last on this stream."""
    signature: bytes = b""
    """FALCON_SIGNATURE over SHA-256 of `sealed`, subject 3 (wire format, section 16)."""


class Entries(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one item of `WatchMessage.packed` holds."""

    workloads: tuple[WorkloadEntry, ...] = ()
    services: tuple[ServiceEntry, ...] = ()


WATCH: Final = ServerStream("stoq.registry.v1/Watch", WatchRequest, WatchMessage)
"""The registry's only method: a snapshot at once (or a delta from the resumed version), then
deltas for as long as the caller stays."""


class Gap(Exception):
    """The message does not continue the state; watch again without resuming."""


class RegistryState(msgspec.Struct, frozen=True, kw_only=True):
    """All that a watcher knows."""

    epoch: str
    version: int
    mesh: MeshEntry
    trust: TrustEntry
    workloads: Mapping[str, WorkloadEntry]
    """By `uid`."""
    services: Mapping[str, ServiceEntry]
    """By `key`."""


def workload_name(uid: str) -> str:
    """What a workload is called in the digests."""
    return f"w/{uid}"


def service_name(key: str) -> str:
    """What a service is called in the digests."""
    return f"s/{key}"


def digests(state: RegistryState) -> tuple[bytes, ...]:
    """The digest of each bucket of what the state has."""
    found = Digests((workload_name(uid), entry) for uid, entry in state.workloads.items())
    for key, entry in state.services.items():
        found.put(service_name(key), entry)
    return found.values


def apply(state: RegistryState | None, message: WatchMessage) -> RegistryState:
    """The state after `message`. Raises `Gap` when the message does not build on `state`."""
    if message.type == "snapshot":
        if message.mesh is None or message.trust is None:
            raise Gap(f"snapshot {message.version} lacks mesh or trust")
        mesh, trust = message.mesh, message.trust
        workloads: dict[str, WorkloadEntry] = {}
        services: dict[str, ServiceEntry] = {}
    elif message.type == "resync":
        if state is None or state.version != message.base:
            raise Gap(f"resync {message.version} builds on version {message.base}, not on ours")
        mesh = message.mesh or state.mesh
        trust = message.trust or state.trust
        old = frozenset(message.buckets)
        workloads = {
            uid: entry
            for uid, entry in state.workloads.items()
            if bucket(workload_name(uid)) not in old
        }
        services = {
            key: entry
            for key, entry in state.services.items()
            if bucket(service_name(key)) not in old
        }
    else:
        if state is None:
            raise Gap(f"delta {message.version} came before any snapshot")
        if (state.epoch, state.version) != (message.epoch, message.base):
            raise Gap(
                f"delta {message.epoch}:{message.version} builds on version {message.base}, "
                f"the state is {state.epoch}:{state.version}"
            )
        mesh = message.mesh or state.mesh
        trust = message.trust or state.trust
        workloads, services = dict(state.workloads), dict(state.services)
    for uid in message.removed.workloads:
        workloads.pop(uid, None)
    for key in message.removed.services:
        services.pop(key, None)
    workloads.update((entry.uid, entry) for entry in message.workloads)
    services.update((entry.key, entry) for entry in message.services)
    # One at a time: all of them unpacked would be megabytes.
    for packed in message.packed:
        try:
            entries = unpack(packed, Entries)
        except ValueError as error:
            raise Gap(f"{message.type} {message.version} cannot be read: {error}") from None
        workloads.update((entry.uid, entry) for entry in entries.workloads)
        services.update((entry.key, entry) for entry in entries.services)
    return RegistryState(
        epoch=message.epoch,
        version=message.version,
        mesh=mesh,
        trust=trust,
        workloads=workloads,
        services=services,
    )
