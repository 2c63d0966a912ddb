"""From a pod to its meshed form, or the reason why there is none. Pure."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stoq import constants
from stoq.injection import annotations, containers, names, probes
from stoq.injection.config import Config
from stoq.injection.obstacles import Pod, exemption, obstacle
from stoq.injection.patch import Operation, contains, is_ours, keyed, patch


@dataclass(frozen=True, slots=True)
class Injected:
    """The meshed pod, and the patch that makes it; empty for a pod that is meshed already."""

    pod: Mapping[str, Any]
    patch: tuple[Operation, ...]


@dataclass(frozen=True, slots=True)
class Skipped:
    """The pod stays as it is: `reason` is one of a few words, `why` a sentence."""

    reason: str
    why: str


@dataclass(frozen=True, slots=True)
class Refused:
    """The pod must not run: `reason` is one of a few words, `why` names value and way out."""

    reason: str
    why: str


Outcome = Injected | Skipped | Refused


def decide(pod: Pod, namespace: str, config: Config, groups: Sequence[str] = ()) -> Outcome:
    """What becomes of `pod`, which was asked to be in the mesh, in `namespace`.

    `groups` are those of the user who makes it. Deciding again on the outcome gives an empty patch,
    also after the API server and other webhooks have added to it.
    """
    if not isinstance(pod.get("spec"), Mapping) or not pod["spec"].get("containers"):
        return Refused("invalid", "it has no spec.containers: it is no pod")
    if exempt := exemption(pod, namespace, groups):
        return Skipped(*exempt)
    if found := obstacle(pod, config.capture):
        return Refused(*found)
    given = (pod.get("metadata") or {}).get("annotations") or {}
    try:
        wishes = annotations.read(given)
        probed = probes.ports(pod["spec"])
        ours = containers.injected(config, wishes, probed)
    except annotations.AnnotationError as error:
        return Refused("annotation", str(error))
    after = {
        **pod,
        "metadata": {
            **(pod.get("metadata") or {}),
            "annotations": {**_defaults(pod), **given, names.STATUS: _status(ours)},
        },
        "spec": {
            **pod["spec"],
            "initContainers": _placed(pod["spec"].get("initContainers") or (), ours),
            "volumes": _placed_volume(pod["spec"].get("volumes") or ()),
        },
    }
    return Injected(after, patch(pod, after))


def _placed(
    there: Sequence[Mapping[str, Any]], ours: Sequence[Mapping[str, Any]]
) -> list[Mapping[str, Any]]:
    """Ours first, in order; one that is there already and has all we want stays as it is. One of
    another capture mode goes.
    """
    first = [_kept(keyed(there, container["name"]), container) for container in ours]
    return [*first, *(container for container in there if container.get("name") not in names.OWN)]


def _placed_volume(there: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    volume = containers.identity_volume()
    if keyed(there, names.VOLUME) is None:
        return [*there, volume]
    return [
        volume if item.get("name") == names.VOLUME and not contains(item, volume) else item
        for item in there
    ]


def _kept(there: Mapping[str, Any] | None, wanted: Mapping[str, Any]) -> Mapping[str, Any]:
    return there if there is not None and is_ours(there, wanted) else wanted


def _defaults(pod: Pod) -> dict[str, str]:
    """`kubectl logs` and `exec` go to the application unless the pod says otherwise."""
    first = pod["spec"]["containers"][0].get("name", "")
    return {names.DEFAULT_CONTAINER: first, names.DEFAULT_LOGS_CONTAINER: first}


def _status(ours: Sequence[Mapping[str, Any]]) -> str:
    return json.dumps(
        {
            "version": constants.VERSION,
            "initContainers": [container["name"] for container in ours],
            "volumes": [names.VOLUME],
            "images": sorted({container["image"] for container in ours}),
        },
        separators=(",", ":"),
    )
