"""Which endpoints of a service this pod may use. Pure.

The engine spreads connections over what it is given; who is given is decided here, as a node's
service proxy would: own node only where the service says so (internalTrafficPolicy), pods that
are on their way out only while no other is left, the near ones first (trafficDistribution), and
one for good where the service wants that (sessionAffinity).
"""

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from stoq.registry import Endpoint, ServiceEntry


@dataclass(frozen=True, slots=True)
class Place:
    """Where this pod is: `address` tells it from other pods, an empty `node` or `zone` is unknown.
    An unknown place is near to nothing.
    """

    address: str
    node: str = ""
    zone: str = ""


def usable(
    entry: ServiceEntry, here: Place, admitted: Callable[[Endpoint], bool] = lambda _: True
) -> tuple[Endpoint, ...]:
    """The endpoints of `entry` for connections from `here`, in their order.

    `admitted` says whether an endpoint may serve at all; with affinity the one that is chosen must.
    """
    found: Sequence[Endpoint] = entry.endpoints
    if entry.local_only:
        found = [end for end in found if _same(end.node, here.node)]
    open_ones = [end for end in found if end.weight > 0]
    found = [end for end in open_ones if not end.terminating] or open_ones
    if entry.prefer:
        found = _nearest(found, here, by_node=entry.prefer == "node")
    if entry.affinity:
        found = _one(entry, [end for end in found if admitted(end)] or found, here)
    return tuple(found)


def _nearest(found: Sequence[Endpoint], here: Place, *, by_node: bool) -> Sequence[Endpoint]:
    if by_node:
        on_node = [end for end in found if _same(end.node, here.node)]
        if on_node:
            return on_node
    return [end for end in found if _same(end.zone, here.zone)] or found


def _same(theirs: str, ours: str) -> bool:
    return bool(ours) and theirs == ours


def _one(entry: ServiceEntry, found: Sequence[Endpoint], here: Place) -> Sequence[Endpoint]:
    """The endpoint that weighted rendezvous hashing gives this pod: it stays when others come and
    go, and pods are spread over the endpoints by weight.
    """

    def rank(end: Endpoint) -> tuple[float, str]:
        text = f"{entry.key} {here.address} {end.address}"
        drawn = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")
        # -ln of a number drawn from (0, 1), divided by the weight: the smallest one wins.
        return -math.log((drawn + 1) / (2**64 + 1)) / end.weight, end.address

    return [min(found, key=rank)] if found else ()
