"""From a Pod of the API server to what is enforced for it. Pure.

The modes are those that the pod's sidecar has: what policies say of the pod, and over it the pod's
own word. That word, and what passes in the clear, is read where the sidecar reads it, in the
environment of its container, which nobody can change while the pod lives. Annotations can be.
"""

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, Final, TypeVar

from stoq.capture.plan import (
    Address,
    PortRange,
    parse_addresses,
    parse_networks,
    parse_ports,
)
from stoq.injection.names import SIDECAR
from stoq.records.mesh import MeshConfigSpec
from stoq.records.policy import TransportPolicy, effective
from stoq_kube.meta import Raw, metadata
from stoq_node.pods import Pod

T = TypeVar("T")

ENDED: Final = frozenset({"Succeeded", "Failed"})

ON_HOST: Final = (
    "it uses the node's network (hostNetwork: true), where nothing of it is captured or "
    "enforced: take hostNetwork or its sidecar out"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Meshed:
    """A pod with a sidecar, as far as it matters here."""

    uid: str
    namespace: str
    name: str
    labels: Mapping[str, str]
    addresses: tuple[Address, ...]
    host_addresses: tuple[Address, ...]
    """Of its node."""
    leaving: bool
    """It is being deleted."""
    since: str
    """When it was made, RFC 3339."""
    environment: Mapping[str, str]
    """Of its sidecar."""
    dns_policy: str
    nameservers: tuple[Address, ...]
    """That it names itself."""
    service_account: str
    on_host: bool = False
    """It uses its node's network (hostNetwork): it has no link and no address of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surround:
    """What all pods of the node have in common."""

    mesh: MeshConfigSpec
    policies: tuple[TransportPolicy, ...] = ()
    cluster_nameservers: tuple[Address, ...] = ()
    """Of pods that resolve the cluster's names."""
    node_nameservers: tuple[Address, ...] = ()
    """Of pods that resolve as their node does (dnsPolicy Default)."""
    api_servers: tuple[tuple[Address, int], ...] = ()


def meshed(raw: Raw) -> Meshed | None:
    """The pod, if it has a sidecar and has not ended. The webhook gives none to a pod on its node's
    network: who has written it in is to hear that it is of no use there.
    """
    spec, status = raw["spec"], raw.get("status") or {}
    if status.get("phase") in ENDED:
        return None
    containers = (*(spec.get("initContainers") or ()), *(spec.get("containers") or ()))
    sidecar = next((one for one in containers if one.get("name") == SIDECAR), None)
    if sidecar is None:
        return None
    found = metadata(raw)
    listed, hosts = (
        [item["ip"] for item in status.get(field) or () if item.get("ip")]
        for field in ("podIPs", "hostIPs")
    )
    variables = sidecar.get("env") or ()
    on_host = bool(spec.get("hostNetwork"))
    own = ",".join((spec.get("dnsConfig") or {}).get("nameservers") or ())
    return Meshed(
        uid=found.uid,
        namespace=found.namespace,
        name=found.name,
        labels=found.labels,
        addresses=() if on_host else parse_addresses(",".join(listed)),
        host_addresses=parse_addresses(",".join(hosts)),
        leaving="deletionTimestamp" in raw["metadata"],
        since=found.creation_timestamp or "",
        environment={item["name"]: item["value"] for item in variables if item.get("value")},
        dns_policy=spec.get("dnsPolicy") or "ClusterFirst",
        nameservers=parse_addresses(own),
        service_account=spec.get("serviceAccountName") or "default",
        on_host=on_host,
    )


def enrolled(pod: Meshed, around: Surround, interface: str, obstacle: str = "") -> Pod:
    """What is enforced for `pod`, at `interface`.

    What its sidecar could not read either gives nothing away: no exemption, and strict modes.
    """
    held = effective(around.mesh, around.policies, pod.namespace, pod.labels)
    read = _Reader(pod.environment)
    return Pod(
        namespace=pod.namespace,
        name=pod.name,
        interface=interface,
        uid=pod.uid,
        addresses=pod.addresses,
        obstacle=ON_HOST if pod.on_host else obstacle,
        linkless=pod.on_host,
        inbound=read.one_of("STOQ_POD_INBOUND", held.inbound, "permissive", "strict"),
        outbound=read.one_of("STOQ_POD_OUTBOUND", held.outbound, "allow", "meshOnly"),
        # The pod's own word holds at every port. A port that is stricter than its pod is for the
        # sidecar alone to refuse: the kernel has a mode for a direction, and what passes anyway.
        open_inbound_ports=_open(
            one.port
            for one in held.ports
            if one.inbound == "permissive" and not read.says("INBOUND")
        ),
        open_outbound_ports=_open(
            one.port for one in held.ports if one.outbound == "allow" and not read.says("OUTBOUND")
        ),
        # What the sidecar does not capture passes as it is.
        udp=read.one_of("STOQ_CAPTURE_UDP", "off", "off", "on") == "off",
        exclude_outbound_ports=read("STOQ_CAPTURE_EXCLUDE_OUTBOUND_PORTS", parse_ports),
        exclude_outbound_networks=read("STOQ_CAPTURE_EXCLUDE_OUTBOUND_NETWORKS", parse_networks),
        exclude_inbound_ports=read("STOQ_CAPTURE_EXCLUDE_INBOUND_PORTS", parse_ports),
        exclude_outbound_udp_ports=read("STOQ_CAPTURE_EXCLUDE_OUTBOUND_UDP_PORTS", parse_ports),
        exclude_inbound_udp_ports=read("STOQ_CAPTURE_EXCLUDE_INBOUND_UDP_PORTS", parse_ports),
        # On all ports, also where the policy names some: the sidecar tells them apart.
        exclude_inbound_networks=parse_networks(",".join(held.exempt_sources)),
        probe_ports=(
            *(PortRange(port, port) for port in held.probe_ports),
            *read("STOQ_CAPTURE_PROBE_PORTS", parse_ports),
        ),
        nameservers=nameservers_of(pod, around),
        api_servers=around.api_servers,
    )


def nameservers(resolv_conf: str) -> tuple[Address, ...]:
    """The name servers of a resolv.conf (resolv.conf(5)); what is no address is left out."""
    lines = [line.split() for line in resolv_conf.splitlines()]
    named = [words[1] for words in lines if len(words) > 1 and words[0] == "nameserver"]
    found = []
    for name in named:
        with suppress(ValueError):
            found.append(ip_address(name.partition("%")[0]))
    return tuple(found)


def claimed(pods: Iterable[tuple[Meshed, str]]) -> dict[str, str]:
    """Of pods that are behind one link, the one whose it is: interface to uid.

    An address is given to a new pod while the API server still shows the old one, which is on its
    way out, or is older.
    """
    found: dict[str, Meshed] = {}
    for pod, interface in pods:
        other = found.get(interface)
        if other is None or _rank(pod) > _rank(other):
            found[interface] = pod
    return {interface: pod.uid for interface, pod in found.items()}


def _rank(pod: Meshed) -> tuple[bool, str, str]:
    return not pod.leaving, pod.since, pod.uid


def nameservers_of(pod: Meshed, around: Surround) -> tuple[Address, ...]:
    """As the kubelet writes them into the pod's resolv.conf."""
    found: tuple[Address, ...] = ()
    if pod.dns_policy == "Default":
        found = around.node_nameservers
    elif pod.dns_policy != "None":
        found = around.cluster_nameservers
    return tuple(dict.fromkeys((*found, *pod.nameservers)))


def _open(ports: Iterable[int]) -> tuple[PortRange, ...]:
    return tuple(PortRange(port, port) for port in ports)


class _Reader:
    """Reads the settings of a sidecar."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment

    def __call__(self, name: str, parse: Callable[[str], tuple[T, ...]]) -> tuple[T, ...]:
        try:
            return parse(self._environment.get(name, ""))
        except ValueError:
            return ()

    def says(self, way: str) -> bool:
        """Whether the pod has a word of its own on plaintext that way."""
        return bool(self._environment.get(f"STOQ_POD_{way}"))

    def one_of(self, name: str, otherwise: Any, *words: str) -> Any:
        """One of `words`, the last of which gives nothing away."""
        word = self._environment.get(name, "")
        if not word:
            return otherwise
        return word if word in words else words[-1]
