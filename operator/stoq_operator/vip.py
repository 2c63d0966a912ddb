"""Virtual addresses for service records. Pure.

An address is the hash of the record's name in the range, so the same name gets the same address in
every mesh and after any loss of state; collisions go to the next free one, and a given address is
kept for as long as the record lives.
"""

import functools
import hashlib
from collections.abc import Iterable, Mapping
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Final

RESERVED: Final = 16
"""Addresses at the start of the range that are never given: network, routers, our own later use."""


class RangeFull(Exception):
    """The VIP range has no address left; `given` are those that have one."""

    def __init__(self, text: str, given: dict[str, str]) -> None:
        super().__init__(text)
        self.given = given


def kept(vip_range: str, given: Mapping[str, str], wanted: Iterable[str]) -> dict[str, str]:
    """Of the addresses `given` earlier those that hold: still wanted, inside `vip_range` (CIDR),
    and each one's alone, which is the first's by key.
    """
    taken: set[str] = set()
    found: dict[str, str] = {}
    for key in sorted(set(wanted)):
        address = given.get(key, "")
        if address and address not in taken and _inside(address, vip_range):
            taken.add(address)
            found[key] = address
    return found


def allocate(vip_range: str, given: Mapping[str, str], wanted: Iterable[str]) -> dict[str, str]:
    """Addresses for the services `wanted` (keys `<namespace>/<name>`).

    `given` holds earlier answers; those that hold (see `kept`) stay. Raises `RangeFull`.
    """
    keys = sorted(set(wanted))
    found = kept(vip_range, given, keys)
    if len(found) == len(keys):
        return found
    network = ip_network(vip_range)
    size = network.num_addresses - RESERVED - 1  # the last one is the broadcast address in IPv4
    first = int(network.network_address) + RESERVED
    taken = set(found.values())
    for key in keys:
        if key in found:
            continue
        if len(taken) >= size:
            raise RangeFull(
                f"spec.vipRange {vip_range} has no address left for {key}; widen it", found
            )
        offset = int.from_bytes(hashlib.sha256(key.encode()).digest(), "big") % size
        while (vip := str(type(network.network_address)(first + offset))) in taken:
            offset = (offset + 1) % size
        found[key] = vip
        taken.add(vip)
    return found


@functools.lru_cache(maxsize=65_536)
def _inside(address: str, vip_range: str) -> bool:
    # By text: thousands are asked for with each change, and networks are slow to compare.
    network = _network(vip_range)
    try:
        return ip_address(address) in network
    except ValueError:
        return False


@functools.lru_cache(maxsize=4)
def _network(vip_range: str) -> IPv4Network | IPv6Network:
    return ip_network(vip_range)
