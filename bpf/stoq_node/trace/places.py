"""Which network namespaces are watched, and for whom. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from stoq_node.pods import Pod


@dataclass(frozen=True, slots=True)
class Place:
    """A network namespace."""

    pod: Pod
    """Whose it is; one without a namespace of Kubernetes stands for no pod of the list."""
    namespace: int
    link: int = 0
    """Index of the node's end of its link, where its drops are counted too; 0 if there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """What of it all is asked for; nothing: all pods, and what else the node drops."""

    pods: frozenset[str] = frozenset()
    """As namespace/name."""
    namespaces: Mapping[int, str] = field(default_factory=dict)
    """Number -> what the user called it."""

    @property
    def everything(self) -> bool:
        """Whether nothing is left out."""
        return not self.pods and not self.namespaces


def choose(
    pods: Iterable[Pod], links: Mapping[str, int], behind: Mapping[int, int], wanted: Filter
) -> tuple[tuple[Place, ...], dict[str, str]]:
    """The places, and why a pod has none. `links` are interfaces by name, `behind` the namespaces
    by index of an interface.
    """
    found: list[Place] = []
    without = {}
    for pod in pods:
        named = pod.key in wanted.pods
        if not named and not wanted.everything and not wanted.namespaces:
            continue
        index = links.get(pod.interface, 0)
        namespace = behind.get(index, 0)
        if namespace and (named or wanted.everything or namespace in wanted.namespaces):
            found.append(Place(pod, namespace, index))
        elif named or wanted.everything:
            without[pod.key] = _why(pod, index)
    taken = {place.namespace for place in found}
    for namespace, name in wanted.namespaces.items():
        if namespace not in taken:
            nobody = Pod(namespace="", name=name, interface="", udp=False)
            found.append(Place(nobody, namespace))
    for key in sorted(wanted.pods - {place.pod.key for place in found} - without.keys()):
        without[key] = "no pod of this node is called that"
    return tuple(found), without


def _why(pod: Pod, index: int) -> str:
    if index:
        return f"its link {pod.interface} does not lead to a network namespace that is known"
    if pod.interface:
        return f"its link {pod.interface} is not there"
    return f"its link is not known{': ' + pod.obstacle if pod.obstacle else ''}"


class Numbers:
    """Numbers of places: they stay while a place does, and mean the same a little longer, for what
    was on its way when it went.
    """

    def __init__(self) -> None:
        self._next = 1
        self._now: dict[int, Place] = {}
        self._before: dict[int, Place] = {}

    def set(self, places: Iterable[Place], node: int) -> dict[tuple[int, int], int]:
        """What the program in the kernel is to know of `places`; `node` is the node's namespace."""
        numbers = {place: number for number, place in self._now.items()}
        now: dict[int, Place] = {}
        for place in places:
            number = numbers.get(place)
            if number is None:
                number, self._next = self._next, self._next + 1
            now[number] = place
        if now != self._now:
            self._before, self._now = self._now, now
        keys = {}
        for number, place in now.items():
            keys[place.namespace, 0] = number
            if place.link:
                keys[node, place.link] = number
        return keys

    def get(self, number: int) -> Place | None:
        """The place, if it is known."""
        return self._now.get(number) or self._before.get(number)
