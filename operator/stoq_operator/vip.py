"""Virtual addresses for service records. Pure.

An address is the hash of the record's name in the range, so the same name gets the same address in
every mesh and after any loss of state; collisions go to the next free one, and a given address is
kept for as long as the record lives.
"""

import hashlib
from collections.abc import Iterable, Mapping
from ipaddress import ip_address, ip_network
from typing import Final

RESERVED: Final = 16
"""Addresses at the start of the range that are never given: network, routers, our own later use."""


class RangeFull(Exception):
    """The VIP range has no address left."""


def allocate(vip_range: str, given: Mapping[str, str], wanted: Iterable[str]) -> dict[str, str]:
    """Addresses for the services `wanted` (keys `<namespace>/<name>`).

    `given` holds earlier answers; those still wanted and still inside `vip_range` (CIDR) are kept.
    Raises `RangeFull`.
    """
    network = ip_network(vip_range)
    size = network.num_addresses - RESERVED - 1  # the last one is the broadcast address in IPv4
    first = int(network.network_address) + RESERVED
    keys = sorted(set(wanted))
    kept = {key: given[key] for key in keys if key in given and _inside(given[key], vip_range)}
    taken = set(kept.values())
    for key in keys:
        if key in kept:
            continue
        if len(taken) >= size:
            raise RangeFull(f"spec.vipRange {vip_range} has no address left for {key}; widen it")
        offset = int.from_bytes(hashlib.sha256(key.encode()).digest(), "big") % size
        while (vip := str(type(network.network_address)(first + offset))) in taken:
            offset = (offset + 1) % size
        kept[key] = vip
        taken.add(vip)
    return kept


def _inside(address: str, vip_range: str) -> bool:
    try:
        return ip_address(address) in ip_network(vip_range)
    except ValueError:
        return False
