"""Services and their EndpointSlices, which come from two watches, put together. Pure."""

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
        before = self._owners.get(place)
        owner = (found.namespace, reduced.service) if reduced is not None else None
        if before is not None and before != owner:
            self._slices[before].pop(found.name, None)
        if reduced is not None and owner is not None:
            self._owners[place] = owner
            self._slices.setdefault(owner, {})[found.name] = reduced
        return self._all_assembled({before, owner})

    def drop_slice(self, place: Place) -> list[Change]:
        """A slice is gone."""
        owner = self._owners.pop(place, None)
        if owner is not None:
            self._slices[owner].pop(place[1], None)
            if not self._slices[owner]:
                del self._slices[owner]
        return self._all_assembled({owner})

    def keep_slices(self, places: AbstractSet[Place]) -> list[Change]:
        """Exactly these slices are there."""
        gone = [place for place in self._owners if place not in places]
        return [change for place in gone for change in self.drop_slice(place)]

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
        return key, cluster_service(raw, [slices[name] for name in sorted(slices)])
