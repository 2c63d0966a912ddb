"""Who is in a cluster, under which names and addresses. Pure: the same request, the same plan."""

import re
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_network,
)

Address = IPv6Address | IPv4Address
Network = IPv6Network | IPv4Network

API_PORT = 6443
DOMAIN = "cluster.local"
CONTROL = "control"
"""The machine that runs the control plane and routes between the nodes."""

MAX_NODES = 32
"""What the address plan below has room for."""
MAX_CLUSTERS = 16
"""Clusters beside each other on one machine; each has its own number."""

_NAME = re.compile(r"[a-z][a-z0-9-]{0,19}")


class Family(StrEnum):
    """Which IP versions nodes, pods and Services have. In `dual` IPv6 comes first."""

    IPV6 = "ipv6"
    IPV4 = "ipv4"
    DUAL = "dual"

    @property
    def versions(self) -> tuple[int, ...]:
        """IP versions, the first one being the cluster's primary."""
        return {Family.IPV6: (6,), Family.IPV4: (4,), Family.DUAL: (6, 4)}[self]


@dataclass(frozen=True, slots=True)
class Node:
    """One node; its addresses and pod ranges are in the order of the cluster's IP versions."""

    name: str
    addresses: tuple[Address, ...]
    pod_ranges: tuple[Network, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything about a cluster that can be known before it is made."""

    name: str
    family: Family
    index: int
    """This cluster's number on this machine, 0 … MAX_CLUSTERS - 1: clusters share no address."""
    nodes: tuple[Node, ...]
    ranges: tuple[Network, ...]
    """What holds every address of the cluster."""
    control: tuple[Address, ...]
    """Where the API server is reached, by nodes, pods and this machine."""
    host: tuple[Address, ...]
    """This machine's own addresses on its link to the cluster."""
    pod_ranges: tuple[Network, ...]
    service_ranges: tuple[Network, ...]

    @property
    def machines(self) -> tuple[str, ...]:
        """The control plane's machine, then the nodes."""
        return (CONTROL, *(node.name for node in self.nodes))

    @property
    def title(self) -> str:
        """What everything this cluster leaves on the machine begins with."""
        return f"stoq-{self.name}"

    @property
    def host_link(self) -> str:
        """The interface in this machine's own namespace that leads to the cluster."""
        return f"stoqc{self.index}"

    @property
    def dns(self) -> tuple[Address, ...]:
        """The cluster's DNS Service."""
        return tuple(range_[10] for range_ in self.service_ranges)

    @property
    def api_service(self) -> tuple[Address, ...]:
        """The Service `kubernetes`: the API server takes the first address of each range."""
        return tuple(range_[1] for range_ in self.service_ranges)

    @property
    def server(self) -> str:
        """The API server's URL, for every kubeconfig."""
        address = self.control[0]
        return f"https://{f'[{address}]' if address.version == 6 else address}:{API_PORT}"

    def netns(self, machine: str) -> str:
        """The name of a machine's network namespace."""
        return f"{self.title}-{machine}"


def make(name: str, nodes: int, family: Family, index: int) -> Plan:
    """Lays a cluster out. Raises ValueError when the name or a number is out of bounds."""
    if not _NAME.fullmatch(name):
        raise ValueError(f"name {name!r}: at most 20 of a-z, 0-9 and -, and a letter first")
    if not 1 <= nodes <= MAX_NODES:
        raise ValueError(f"nodes {nodes}: between 1 and {MAX_NODES}")
    if not 0 <= index < MAX_CLUSTERS:
        raise ValueError(f"{MAX_CLUSTERS} clusters run on this machine already: end one")
    grids = [_grid(version, index) for version in family.versions]
    return Plan(
        name=name,
        family=family,
        index=index,
        nodes=tuple(
            Node(
                name=f"node{number}",
                addresses=tuple(grid.machines[16 + number] for grid in grids),
                pod_ranges=tuple(grid.node_pods(number) for grid in grids),
            )
            for number in range(nodes)
        ),
        ranges=tuple(grid.all for grid in grids),
        control=tuple(grid.machines[1] for grid in grids),
        host=tuple(grid.machines[2] for grid in grids),
        pod_ranges=tuple(grid.pods for grid in grids),
        service_ranges=tuple(grid.services for grid in grids),
    )


@dataclass(frozen=True, slots=True)
class _Grid:
    """The addresses of one IP version."""

    all: Network
    machines: Network
    pods: Network
    node_prefix: int
    services: Network

    def node_pods(self, number: int) -> Network:
        bits = self.pods.max_prefixlen - self.node_prefix
        first = int(self.pods.network_address) + (number << bits)
        return ip_network((first, self.node_prefix))


def _grid(version: int, index: int) -> _Grid:
    if version == 6:
        # RFC 4193, with "stoq" in ASCII where the random part goes: easy to tell in a capture.
        base = f"fd73:746f:71{index:02x}"
        return _Grid(
            all=IPv6Network(f"{base}::/48"),
            machines=IPv6Network(f"{base}::/64"),
            pods=IPv6Network(f"{base}:100::/56"),
            node_prefix=64,
            services=IPv6Network(f"{base}:ff00::/112"),
        )
    base = f"10.{200 + index}"
    return _Grid(
        all=IPv4Network(f"{base}.0.0/16"),
        machines=IPv4Network(f"{base}.0.0/24"),
        pods=IPv4Network(f"{base}.128.0/17"),
        node_prefix=24,
        services=IPv4Network(f"{base}.64.0/20"),
    )
