"""What a captured packet is: pure. Addresses, transport, and whether it may cross in the clear."""

import struct
from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

ETHERTYPE_IPV4: Final = 0x0800
ETHERTYPE_ARP: Final = 0x0806
ETHERTYPE_IPV6: Final = 0x86DD

TCP: Final = 6
UDP: Final = 17
ICMPV4: Final = 1
IGMP: Final = 2
ICMPV6: Final = 58

STOQ_PORTS: Final = (14008, 14012)
"""UDP: between workloads, and to the control process."""

# IPv6 extension headers that may stand before the transport (RFC 8200 section 4.1).
_HOP_BY_HOP, _ROUTING, _FRAGMENT, _DESTINATION = 0, 43, 44, 60

_ICMPV6_NAMES: Final = {
    1: "destination unreachable",
    2: "packet too big",
    3: "time exceeded",
    4: "parameter problem",
    128: "echo request",
    129: "echo reply",
    130: "MLD query",
    131: "MLD report",
    132: "MLD done",
    133: "router solicitation",
    134: "router advertisement",
    135: "neighbour solicitation",
    136: "neighbour advertisement",
    137: "redirect",
    143: "MLDv2 report",
}


class Kind(Enum):
    """How the count treats a packet."""

    STOQ = "stoq"
    EXEMPT = "exempt"
    """What keeps the network itself going: ICMP, neighbour discovery, MLD, ARP. It is listed."""
    PLAINTEXT = "plaintext"
    """Everything else."""


@dataclass(frozen=True, slots=True)
class Packet:
    """A packet with what the count and the search need of it."""

    source: IPv6Address | IPv4Address | None
    destination: IPv6Address | IPv4Address | None
    protocol: int
    source_port: int | None
    destination_port: int | None
    payload: bytes
    """What follows the transport header (UDP) or the network headers (everything else)."""
    label: str
    """What to call it in a list: `TCP 8080`, `ICMPv6 neighbour solicitation`."""

    @property
    def kind(self) -> Kind:
        """STOQ, exempt, or plaintext."""
        ports = (self.source_port, self.destination_port)
        if self.protocol == UDP and any(port in STOQ_PORTS for port in ports):
            return Kind.STOQ
        if self.label.startswith(("ICMP", "IGMP", "ARP")):
            return Kind.EXEMPT
        return Kind.PLAINTEXT


def parse(ethertype: int, data: bytes) -> Packet:
    """Reads a packet from its network header on. What cannot be read is plaintext, never exempt."""
    if ethertype == ETHERTYPE_ARP:
        return Packet(None, None, 0, None, None, data, "ARP")
    if ethertype == ETHERTYPE_IPV6 and len(data) >= 40:
        return _ipv6(data)
    if ethertype == ETHERTYPE_IPV4 and len(data) >= 20:
        return _ipv4(data)
    return Packet(None, None, -1, None, None, data, f"EtherType {ethertype:#06x}")


def _ipv6(data: bytes) -> Packet:
    source, destination = ip_address(data[8:24]), ip_address(data[24:40])
    protocol, rest = data[6], data[40:]
    while protocol in (_HOP_BY_HOP, _ROUTING, _FRAGMENT, _DESTINATION) and len(rest) >= 8:
        if protocol == _FRAGMENT:
            offset = struct.unpack_from(">H", rest, 2)[0] >> 3
            protocol, rest = rest[0], rest[8:]
            if offset:
                # Not the first fragment: there is no transport header to look at.
                return Packet(source, destination, -1, None, None, rest, "IPv6 fragment")
        else:
            protocol, rest = rest[0], rest[8 + 8 * rest[1] :]
    return _transport(source, destination, protocol, rest)


def _ipv4(data: bytes) -> Packet:
    source, destination = ip_address(data[12:16]), ip_address(data[16:20])
    header = 4 * (data[0] & 0x0F)
    if struct.unpack_from(">H", data, 6)[0] & 0x1FFF:
        return Packet(source, destination, -1, None, None, data[header:], "IPv4 fragment")
    return _transport(source, destination, data[9], data[header:])


def _transport(
    source: IPv6Address | IPv4Address,
    destination: IPv6Address | IPv4Address,
    protocol: int,
    rest: bytes,
) -> Packet:
    if protocol in (TCP, UDP) and len(rest) >= 8:
        source_port, destination_port = struct.unpack_from(">HH", rest)
        name = "UDP" if protocol == UDP else "TCP"
        payload = rest[8:] if protocol == UDP else rest
        label = f"{name} {source_port} > {destination_port}"
        return Packet(source, destination, protocol, source_port, destination_port, payload, label)
    if protocol == ICMPV6 and rest:
        label = f"ICMPv6 {_ICMPV6_NAMES.get(rest[0], f'type {rest[0]}')}"
    elif protocol == ICMPV4 and rest:
        label = f"ICMP type {rest[0]}"
    elif protocol == IGMP:
        label = "IGMP"
    else:
        label = f"protocol {protocol}"
    return Packet(source, destination, protocol, None, None, rest, label)
