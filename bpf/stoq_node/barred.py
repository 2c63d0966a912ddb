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


def refuse(
    shutter: Shutter,
    pods: Iterable[Pod],
    why: str,
    pinned: frozenset[int],
    in_force: Mapping[int, Pod],
) -> dict[str, str]:
    """Shuts strict pods but those on whose links strict mode is `pinned` or `in_force`. Why, by pod
    that it is not in force for.
    """
    there, failed = links.names(), {}
    for pod in pods:
        index = there.get(pod.interface)
        if index is None or not pod.strict:
            continue
        before = in_force.get(index)
        if index in pinned if before is None else _covers(before, pod):
            continue
        try:
            shut(shutter, index, pod, why)
            failed[pod.key] = f"{why}; its link is shut"
        except Ajar as error:
            failed[pod.key] = str(error)
    return failed


def _covers(before: Pod, pod: Pod) -> bool:
    """Whether what is in force for `before` is as strict as `pod` is to be."""
    return (
        (before.key, before.uid) == (pod.key, pod.uid)
        and before.inbound in {"strict", pod.inbound}
        and before.outbound in {"meshOnly", pod.outbound}
    )


class Barred:
    """The pods of a node whose kernel refuses the programs, although it is new enough for them."""

    def __init__(self, pins: Pins, why: str, shutter: Shutter | None = None) -> None:
        self._pins = pins
        self._why = why
        self._shutter = shutter or Shutter()
        self._before: dict[int, Pod] = {}
        """What was wanted of pods that a predecessor enforces when they were first seen, by link:
        that is what it enforces, as far as anybody knows.
        """
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
        pinned = held(self._pins)
        found = {index: pod for pod in pods if (index := there.get(pod.interface)) in pinned}
        self._before = {index: self._before.get(index, pod) for index, pod in found.items()}
        failed = refuse(self._shutter, pods, self._why, pinned, self._before)
        self.failed = failed
        shut = {there.get(pod.interface) for pod in pods if pod.key in failed}
        stuck: Ajar | None = None
        # While the link of any pod is not known, it may be one that is shut.
        idle = self._shutter.find() - shut if all(pod.interface for pod in pods) else ()
        for index in idle:
            try:
                self._shutter.open(index)
            except Ajar as error:
                stuck = stuck or error
        if stuck is not None:
            raise stuck
