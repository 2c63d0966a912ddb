"""Events for the people whose pods are left out of the mesh: what is said, and how often. Pure."""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

QUIET_SECONDS: Final = 600.0
"""The same is said of the same owner once in this time: a ReplicaSet tries again and again."""

REMEMBERED: Final = 1024
"""Notices that are remembered for that; beyond, the oldest may be said again early."""

MAX_MESSAGE: Final = 1024
"""Bytes of an event's message that the API server takes."""


@dataclass(frozen=True, slots=True)
class Notice:
    """`about` is an object reference: what owns the pod, else the pod itself."""

    namespace: str
    about: Mapping[str, str]
    reason: str
    message: str

    def event(self, now: datetime) -> dict[str, Any]:
        """As the API server takes it (core/v1 Event)."""
        moment = now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"generateName": "stoq-injector-", "namespace": self.namespace},
            "involvedObject": dict(self.about),
            "reason": self.reason,
            "message": self.message[:MAX_MESSAGE],
            "type": "Warning",
            "source": {"component": "stoq-injector"},
            "firstTimestamp": moment,
            "lastTimestamp": moment,
            "count": 1,
        }


def notice(pod: Mapping[str, Any], namespace: str, reason: str, message: str) -> Notice:
    """A notice about `pod`, which does not exist yet, or may never."""
    metadata = pod.get("metadata") or {}
    name = metadata.get("name") or metadata.get("generateName") or ""
    about = {"apiVersion": "v1", "kind": "Pod", "name": name, "namespace": namespace}
    for owner in metadata.get("ownerReferences") or ():
        if owner.get("controller"):
            wanted = ("apiVersion", "kind", "name", "uid")
            about = {field: owner.get(field, "") for field in wanted} | {"namespace": namespace}
    return Notice(namespace, about, reason, f"pod {namespace}/{name} {message}")


class Said:
    """Remembers what was said when."""

    def __init__(self) -> None:
        self._when: OrderedDict[tuple[str, ...], float] = OrderedDict()

    def again(self, found: Notice, now: float) -> bool:
        """Whether `found` was said already; from `now` (monotonic seconds) on it was."""
        key = (found.namespace, found.about["kind"], found.about["name"], found.reason)
        before = self._when.get(key)
        if before is not None and now - before < QUIET_SECONDS:
            return True
        self._when[key] = now
        self._when.move_to_end(key)
        if len(self._when) > REMEMBERED:
            self._when.popitem(last=False)
        return False
