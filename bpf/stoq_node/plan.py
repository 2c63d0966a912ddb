"""What has to change so that the kernel enforces what it should. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from stoq_node.pods import Pod


@dataclass(frozen=True, slots=True)
class Changes:
    """By the index of the host's end of a pod's link."""

    enforce: dict[int, Pod]
    """Not in force yet, or otherwise."""
    release: frozenset[int]
    """Enforced for a pod that is no more, or no more of the mesh. While the link of any pod is not
    known, no link that is there: it may be that pod's, enforced by a predecessor.
    """
    waiting: tuple[Pod, ...]
    """Their links are not there."""


def changes(
    pods: Iterable[Pod],
    links: Mapping[str, int],
    in_force: Mapping[int, Pod],
    known: Iterable[int],
    attached: frozenset[int],
) -> Changes:
    """`links` are the interfaces by name; `in_force` is what this agent has put there, `known`
    every index that the kernel's maps or pinned links speak of, and `attached` those whose links
    are all there.

    An agent that has just started puts everything in force once, and so takes over what its
    predecessor left.
    """
    wanted: dict[int, Pod] = {}
    waiting = []
    for pod in pods:
        index = links.get(pod.interface)
        if index is None:
            waiting.append(pod)
        else:
            wanted[index] = pod
    idle = {*known, *in_force} - wanted.keys()
    if any(not pod.interface for pod in waiting):
        idle -= set(links.values())
    return Changes(
        {
            index: pod
            for index, pod in wanted.items()
            if in_force.get(index) != pod or index not in attached
        },
        frozenset(idle),
        tuple(waiting),
    )
