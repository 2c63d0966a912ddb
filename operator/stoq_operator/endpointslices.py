"""Services, their EndpointSlices and the meshed pods, which come from three watches, put together.

What a slice says of a meshed pod holds as far as the pod says so too. A slice may be ahead of the
pod, which has just got its address, or behind it, when its node was started anew or it is gone. An
address that leads to no workload is one outside the mesh, and would be dialled in plaintext. Pure.
"""

from collections.abc import Iterable
from collections.abc import Set as AbstractSet

from stoq.records.cluster import ClusterService
from stoq.records.meta import Key
from stoq_kube.meta import Raw, metadata
from stoq_operator.translate.service import Slice, cluster_service, reduce_service, reduce_slice

Place = tuple[str, str]
"""Namespace and name."""

Change = tuple[Key, ClusterService | None]


class ServiceTable:
    """What is known of each Service; each change returns what has become of the Services."""

    def __init__(self) -> None:
        self._services: dict[Place, Raw] = {}
        self._slices: dict[Place, dict[str, Slice]] = {}
        """By the Service's place, and the slice's name."""
        self._owners: dict[Place, Place] = {}
        """Of each slice its Service."""
        self._pods: dict[str, tuple[str, ...]] = {}
        """Addresses of meshed pods by uid; one that is gone has none while a slice names it."""
        self._gone: set[str] = set()
        self._naming: dict[str, set[Place]] = {}
        """The slices that name a pod, by its uid."""

    def put_service(self, raw: Raw) -> Change:
        """A Service is there, new or changed."""
        found = metadata(raw)
        place = (found.namespace, found.name)
        self._services[place] = reduce_service(raw)
        return self._assembled(place)

    def drop_service(self, raw: Raw) -> Change:
        """A Service is gone."""
        found = metadata(raw)
        return self._dropped((found.namespace, found.name))

    def keep_services(self, places: AbstractSet[Place]) -> list[Change]:
        """Exactly these Services are there."""
        return [self._dropped(place) for place in list(self._services) if place not in places]

    def put_slice(self, raw: Raw) -> list[Change]:
        """A slice is there, new or changed."""
        found = metadata(raw)
        place = (found.namespace, found.name)
        reduced = reduce_slice(raw)
        owner = (found.namespace, reduced.service) if reduced is not None else None
        before = self._owners.get(place)
        former = self._taken(place)
        if reduced is not None and owner is not None:
            self._owners[place] = owner
            self._slices.setdefault(owner, {})[found.name] = reduced
            for pod in _named(reduced):
                self._naming.setdefault(pod, set()).add(place)
        self._forget_unnamed(former)
        return self._all_assembled({before, owner})

    def drop_slice(self, place: Place) -> list[Change]:
        """A slice is gone."""
        owner = self._owners.get(place)
        self._forget_unnamed(self._taken(place))
        return self._all_assembled({owner})

    def keep_slices(self, places: AbstractSet[Place]) -> list[Change]:
        """Exactly these slices are there."""
        gone = [place for place in self._owners if place not in places]
        return [change for place in gone for change in self.drop_slice(place)]

    def put_pod(self, uid: str, addresses: tuple[str, ...]) -> list[Change]:
        """A meshed pod has these addresses, which are none before and between two sandboxes."""
        self._gone.discard(uid)
        return self._known_by(uid, addresses)

    def drop_pod(self, uid: str) -> list[Change]:
        """A meshed pod is gone, or has ended."""
        if uid not in self._naming:
            self._pods.pop(uid, None)
            return []
        self._gone.add(uid)
        return self._known_by(uid, ())

    def _known_by(self, uid: str, addresses: tuple[str, ...]) -> list[Change]:
        if self._pods.get(uid) == addresses:
            return []
        self._pods[uid] = addresses
        return self._all_assembled({self._owners[place] for place in self._naming.get(uid, ())})

    def _taken(self, place: Place) -> frozenset[str]:
        """Takes a slice away; the pods that it named."""
        owner = self._owners.pop(place, None)
        if owner is None:
            return frozenset()
        found = self._slices[owner].pop(place[1])
        if not self._slices[owner]:
            del self._slices[owner]
        named = _named(found)
        for pod in named:
            self._naming[pod].discard(place)
            if not self._naming[pod]:
                del self._naming[pod]
        return named

    def _forget_unnamed(self, pods: AbstractSet[str]) -> None:
        for pod in pods & self._gone:
            if pod not in self._naming:
                self._gone.discard(pod)
                self._pods.pop(pod, None)

    def _dropped(self, place: Place) -> Change:
        self._services.pop(place, None)
        return self._assembled(place)

    def _all_assembled(self, places: Iterable[Place | None]) -> list[Change]:
        return [
            self._assembled(place)
            for place in places
            if place is not None and place in self._services
        ]

    def _assembled(self, place: Place) -> Change:
        key = Key("Service", *place)
        raw = self._services.get(place)
        if raw is None:
            return key, None
        slices = self._slices.get(place, {})
        return key, cluster_service(raw, [self._agreed(slices[name]) for name in sorted(slices)])

    def _agreed(self, found: Slice) -> Slice:
        """The slice without what the meshed pods themselves do not say, or no longer."""
        return found._replace(
            endpoints=tuple(
                item
                for item in found.endpoints
                if item.pod not in self._pods or item.address in self._pods[item.pod]
            )
        )


def _named(found: Slice) -> frozenset[str]:
    return frozenset(item.pod for item in found.endpoints if item.pod)
