"""Injection into the pod templates of manifests, as the webhook would do it. Pure."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from stoq.injection.config import Config
from stoq.injection.decide import Injected, Refused, decide
from stoqctl.errors import StoqctlError

Object = dict[str, Any]

TEMPLATES: Final[Mapping[str, tuple[str, ...]]] = {
    "Pod": (),
    "Deployment": ("spec", "template"),
    "StatefulSet": ("spec", "template"),
    "DaemonSet": ("spec", "template"),
    "ReplicaSet": ("spec", "template"),
    "ReplicationController": ("spec", "template"),
    "Job": ("spec", "template"),
    "CronJob": ("spec", "jobTemplate", "spec", "template"),
}
"""Where the pod is in each kind that has one."""


def inject(document: Object, config: Config, namespace: str, note: Callable[[str], None]) -> Object:
    """The manifest with meshed pods; what has no pod stays as it is. `namespace` is for manifests
    without one; `note` is told what was not meshed and why. Raises `StoqctlError` for a pod that
    the webhook would refuse.
    """
    if document.get("kind") == "List":
        items = [inject(item, config, namespace, note) for item in document.get("items") or ()]
        return {**document, "items": items}
    steps = TEMPLATES.get(str(document.get("kind")))
    if steps is None:
        return document
    metadata = document.get("metadata") or {}
    place = metadata.get("namespace") or namespace
    what = f"{document['kind']} {metadata.get('name', '')}"
    return _at(document, steps, lambda pod: _meshed(pod, config, place, what, note))


def _at(document: Any, steps: tuple[str, ...], change: Callable[[Object], Object]) -> Object:
    if not isinstance(document, dict):
        raise StoqctlError(f"{document!r} where a pod template belongs; is it a manifest?")
    if not steps:
        return change(document)
    return {**document, steps[0]: _at(document.get(steps[0]), steps[1:], change)}


def _meshed(
    pod: Object, config: Config, place: str, what: str, note: Callable[[str], None]
) -> Object:
    outcome = decide(pod, place, config)
    if isinstance(outcome, Injected):
        return dict(outcome.pod)
    if isinstance(outcome, Refused):
        raise StoqctlError(f"{what}: {outcome.why}")
    note(f"{what} stays as it is: {outcome.why}")
    return pod
