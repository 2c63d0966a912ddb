"""Strict pods that nothing can be put in force for are shut."""

import logging
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final

from stoq_node import links
from stoq_node._kernel import KernelError, Pins
from stoq_node.pods import Pod
from stoq_node.shutter import Ajar, How, Shutter

log: Final = logging.getLogger("stoq.node")

STRICT: Final = ("strict_to_pod", "strict_from_pod")
"""The programs of strict mode."""


def held(pins: Pins) -> frozenset[int]:
    """The links on which strict mode is pinned, maybe by a predecessor; none if nobody can tell."""
    try:
        return frozenset.intersection(*(frozenset(pins.attached(one)) for one in STRICT))
    except KernelError:
        return frozenset()


def shut(shutter: Shutter, index: int, pod: Pod, why: str) -> None:
    """Shuts the link of one pod. Raises `Ajar`, which says `why` too."""
    known = index in shutter.links
    try:
        how = shutter.shut(index, pod.interface)
    except Ajar as error:
        raise Ajar(f"{why}; THE POD IS OPEN, since it cannot be shut either: {error}") from None
    if not known:
        log.error("%s: nothing passes %s any more (%s): %s", pod.key, pod.interface, how, why)


class Inherited:
    """What strict mode that is pinned enforces, as far as anybody knows: what was wanted of each
    pod when it was first seen on a link on which it is pinned.
    """

    def __init__(self) -> None:
        self._pods: dict[int, Pod] = {}

    def seen(self, pods: Iterable[Pod], pinned: frozenset[int]) -> Mapping[int, Pod]:
        """By link. `pods` are those that there are now."""
        there = links.names()
        found = {index: pod for pod in pods if (index := there.get(pod.interface)) in pinned}
        self._pods = {index: self._pods.get(index, pod) for index, pod in found.items()}
        return self._pods


def refuse(
    shutter: Shutter, pods: Iterable[Pod], why: str, in_force: Mapping[int, Pod]
) -> dict[str, str]:
    """Shuts strict pods but those for which what is `in_force` on their links is strict enough.
    Why, by pod that it is not in force for.
    """
    there, failed = links.names(), {}
    for pod in pods:
        index = there.get(pod.interface)
        if index is None or not pod.strict:
            continue
        before = in_force.get(index)
        if before is not None and _covers(before, pod):
            continue
        try:
            shut(shutter, index, pod, why)
            failed[pod.key] = f"{why}; its link is shut"
        except Ajar as error:
            failed[pod.key] = str(error)
    return failed


def _found(pods: Iterable[Pod]) -> bool:
    """Whether the link of each is known that has one."""
    return all(pod.interface or pod.linkless for pod in pods)


def _covers(before: Pod, pod: Pod) -> bool:
    """Whether what is in force for `before` is as strict as `pod` is to be."""
    inbound = before.inbound == "strict" and set(before.open_inbound_ports).issubset(
        pod.open_inbound_ports
    )
    outbound = before.outbound == "meshOnly" and set(before.open_outbound_ports).issubset(
        pod.open_outbound_ports
    )
    return (
        (before.key, before.uid) == (pod.key, pod.uid)
        and (inbound or pod.inbound == "permissive")
        and (outbound or pod.outbound == "allow")
    )


class Barred:
    """The pods of a node whose kernel refuses the programs, although it is new enough for them."""

    def __init__(self, pins: Pins, why: str, shutter: Shutter | None = None) -> None:
        self._pins = pins
        self._why = why
        self._shutter = shutter or Shutter()
        self._inherited = Inherited()
        self.failed: dict[str, str] = {}
        """Why, by pod that is not enforced."""

    @property
    def shut(self) -> Counter[How]:
        """How many links of pods are shut, by how."""
        return Counter(self._shutter.links.values())

    def apply(self, pods: Iterable[Pod]) -> None:
        """Shuts the strict ones of `pods`, all there are, on whose links nothing of a predecessor
        is, or what is wanted no more, and opens the others. Raises `OSError` for a link that stays
        shut.
        """
        pods, there = tuple(pods), links.names()
        self._shutter.keep(there.values())
        before = self._inherited.seen(pods, held(self._pins))
        failed = refuse(self._shutter, pods, self._why, before)
        self.failed = failed
        shut = {there.get(pod.interface) for pod in pods if pod.key in failed}
        stuck: Ajar | None = None
        # While the link of any pod is not known, it may be one that is shut.
        idle = self._shutter.find() - shut if _found(pods) else ()
        for index in idle:
            try:
                self._shutter.open(index)
            except Ajar as error:
                stuck = stuck or error
        if stuck is not None:
            raise stuck
