"""The JSON patch (RFC 6902) from a pod to its meshed form, and whether one is needed. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

Operation = dict[str, Any]

_ADDED: Final = frozenset({"env", "terminationMessagePath", "volumeMounts"})
"""Fields of a container that the API server and other webhooks fill in."""

_SETTINGS: Final = "STOQ_"
"""Prefix of the variables that our programs read."""

_FIELDS: Final = (("spec", "initContainers"), ("spec", "volumes"))


def contains(there: object, wanted: object) -> bool:
    """Whether `there` has all of `wanted`, beside which API server and other webhooks may have put
    more: defaults, environment variables, mounts.
    """
    if isinstance(wanted, Mapping):
        return isinstance(there, Mapping) and all(
            name in there and contains(there[name], value) for name, value in wanted.items()
        )
    if isinstance(wanted, list) and isinstance(there, list):
        if wanted and isinstance(wanted[0], Mapping) and "name" in wanted[0]:
            named = {item.get("name"): item for item in there}
            return all(contains(named.get(item["name"]), item) for item in wanted)
        return len(there) == len(wanted) and all(map(contains, there, wanted))
    return there == wanted


def is_ours(there: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether container `there` is `wanted`, with nothing added that would change what it does."""
    environment = {item["name"] for item in wanted.get("env", ())}
    return (
        contains(there, wanted)
        and there.keys() <= wanted.keys() | _ADDED
        and there["securityContext"] == wanted["securityContext"]
        and not any(
            item["name"].startswith(_SETTINGS) and item["name"] not in environment
            for item in there.get("env") or ()
        )
    )


def patch(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[Operation, ...]:
    """What turns `before` into `after`, of which only annotations, init containers and volumes
    may differ.
    """
    found = _annotations(
        (before.get("metadata") or {}).get("annotations"), after["metadata"]["annotations"]
    )
    for section, field in _FIELDS:
        old, new = before[section].get(field), after[section][field]
        if old != new:
            action = "add" if old is None else "replace"
            found.append({"op": action, "path": f"/{section}/{field}", "value": new})
    return tuple(found)


def _annotations(old: Mapping[str, str] | None, new: Mapping[str, str]) -> list[Operation]:
    if old is None:
        return [{"op": "add", "path": "/metadata/annotations", "value": dict(new)}]
    return [
        {
            "op": "replace" if name in old else "add",
            "path": f"/metadata/annotations/{_escaped(name)}",
            "value": value,
        }
        for name, value in new.items()
        if old.get(name) != value
    ]


def _escaped(name: str) -> str:
    """RFC 6901, section 3."""
    return name.replace("~", "~0").replace("/", "~1")


def keyed(items: Sequence[Mapping[str, Any]], name: str) -> Mapping[str, Any] | None:
    """The item called `name`."""
    return next((item for item in items if item.get("name") == name), None)
