"""What capture shall do in one pod: the `Plan`, and how the texts of annotations become one.

Pure. The texts are those that users write: `443,8000-8010` for ports, `10.0.0.0/8,fd00::/64` for
networks, `[fd00::9]:14012` for endpoints.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)

from stoq import constants

DNS_PORT = 53

Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address


@dataclass(frozen=True, slots=True)
class PortRange:
    """Ports `first` to `last`, both included."""

    first: int
    last: int

    def __post_init__(self) -> None:
        if not 1 <= self.first <= self.last <= 65535:
            raise ValueError(
                f"port range {self.first}-{self.last}: ports are 1-65535 and the first "
                "must not exceed the last"
            )

    def numbers(self) -> range:
        """The ports themselves."""
        return range(self.first, self.last + 1)

    def __str__(self) -> str:
        return str(self.first) if self.first == self.last else f"{self.first}-{self.last}"


@dataclass(frozen=True, slots=True)
class Plan:
    """What capture shall do in one pod.

    `sidecar_uids` own traffic that is never captured. The exclusions come from the pod's
    annotations; `direct_endpoints` are addresses with their TCP ports that must stay reachable
    without the sidecar, such as the control plane's. DNS towards `nameservers` goes to the
    sidecar's resolver unless an exclusion covers it; other name servers are left alone. Connections
    from `probe_sources` to `probe_ports` reach the application itself, so that a probe sees whether
    it listens.
    With `client_address` the sidecar may dial the application from the client's address: what the
    application answers comes back to it. With `udp` the applications' UDP is captured, which takes
    sockets of the broker; exclusions are of both protocols, but for ports of UDP alone. With
    `splice` there are sets by which the pod may be joined with others of its node.
    """

    sidecar_uids: tuple[int, ...] = (constants.SIDECAR_UID,)
    exclude_outbound_ports: tuple[PortRange, ...] = ()
    exclude_outbound_networks: tuple[Network, ...] = ()
    exclude_inbound_ports: tuple[PortRange, ...] = ()
    exclude_outbound_udp_ports: tuple[PortRange, ...] = ()
    exclude_inbound_udp_ports: tuple[PortRange, ...] = ()
    direct_endpoints: tuple[tuple[Address, int], ...] = ()
    nameservers: tuple[Address, ...] = ()
    probe_sources: tuple[Address, ...] = ()
    probe_ports: tuple[PortRange, ...] = ()
    ipv6_only: bool = False
    client_address: bool = False
    udp: bool = False
    splice: bool = False

    def __post_init__(self) -> None:
        if not self.sidecar_uids:
            raise ValueError(
                "sidecar_uids is empty: the sidecar's own connections would be captured again; "
                f"name its uid (default {constants.SIDECAR_UID})"
            )
        if 0 in self.sidecar_uids:
            raise ValueError(
                "sidecar_uids contains 0: every application that runs as root would bypass the "
                f"mesh; run the sidecar as another user (default {constants.SIDECAR_UID})"
            )

    @property
    def captured_nameservers(self) -> tuple[Address, ...]:
        """Name servers whose DNS is captured. Those with a zone index (`fe80::1%eth0`) are not:
        nft has no word for one.
        """
        if any(ports.first <= DNS_PORT <= ports.last for ports in self.exclude_outbound_ports):
            return ()
        return tuple(
            address
            for address in self.nameservers
            if "%" not in str(address)
            and not any(address in network for network in self.exclude_outbound_networks)
        )


def parse_ports(text: str) -> tuple[PortRange, ...]:
    """Ports of `443,8000-8010`; empty text gives none. Raises ValueError naming the part."""
    ranges = []
    for part in _parts(text):
        first, dash, last = part.partition("-")
        if not first.isascii() or not first.isdigit() or (dash and not last.isdigit()):
            raise ValueError(f"{part!r} is neither a port nor a range such as 8000-8010")
        ranges.append(PortRange(int(first), int(last) if dash else int(first)))
    return tuple(ranges)


def parse_networks(text: str) -> tuple[Network, ...]:
    """Networks of `10.0.0.0/8,fd00::/64`; a bare address is a network of one. Host bits must be
    zero. Raises ValueError naming the part.
    """
    return tuple(ip_network(part) for part in _parts(text))


def parse_addresses(text: str) -> tuple[Address, ...]:
    """Addresses of `fd00::a,10.96.0.10`. Raises ValueError naming the part."""
    return tuple(ip_address(part) for part in _parts(text))


def parse_endpoint(text: str) -> tuple[Address, int]:
    """Address and port of `[fd00::9]:14012` or `10.0.0.9:14012`. Raises ValueError."""
    host, colon, port = text.strip().rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ValueError(f"{text!r}: put an IPv6 address in brackets, as in [fd00::9]:14012")
    if not colon or not port.isascii() or not port.isdigit() or not 1 <= int(port) <= 65535:
        raise ValueError(f"{text!r} has no port 1-65535 after a colon, as in [fd00::9]:14012")
    return ip_address(host), int(port)


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def merged_ports(ranges: Iterable[PortRange]) -> list[PortRange]:
    """In order, with overlapping and adjacent ones joined; nft refuses overlaps in one set."""
    merged: list[PortRange] = []
    for item in sorted(ranges, key=lambda r: (r.first, r.last)):
        if merged and item.first <= merged[-1].last + 1:
            merged[-1] = PortRange(merged[-1].first, max(merged[-1].last, item.last))
        else:
            merged.append(item)
    return merged


def merged_networks(networks: Iterable[Network]) -> list[Network]:
    """Without those that lie in another; nft refuses overlapping elements in one set."""
    kept: list[Network] = []
    for network in sorted(set(networks), key=lambda n: (n.prefixlen, str(n))):
        if not any(_contains(wider, network) for wider in kept):
            kept.append(network)
    return kept


def _contains(wider: Network, network: Network) -> bool:
    if isinstance(wider, IPv6Network) and isinstance(network, IPv6Network):
        return network.subnet_of(wider)
    if isinstance(wider, IPv4Network) and isinstance(network, IPv4Network):
        return network.subnet_of(wider)
    return False
