"""The ports of a pod that its kubelet dials: those of probes and of lifecycle hooks. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from stoq.injection import names

_PROBES: Final = ("startupProbe", "readinessProbe", "livenessProbe")
_HOOKS: Final = ("postStart", "preStop")
_DIALLED: Final = ("httpGet", "tcpSocket", "grpc")


def ports(spec: Mapping[str, Any]) -> tuple[int, ...]:
    """In order. A named port that no container port has is left out: the kubelet cannot dial it
    either. So is a probe that names another host than the pod.
    """
    return tuple(
        sorted(
            {
                number
                for field in ("initContainers", "containers")
                for container in spec.get(field) or ()
                if container.get("name") not in names.OWN
                for action in _actions(container)
                if (number := _number(container, action)) is not None
            }
        )
    )


def _actions(container: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    hooks = container.get("lifecycle") or {}
    handlers = [container.get(name) for name in _PROBES] + [hooks.get(name) for name in _HOOKS]
    for handler in handlers:
        for kind in _DIALLED:
            action = (handler or {}).get(kind)
            if action and not action.get("host"):
                yield action


def _number(container: Mapping[str, Any], action: Mapping[str, Any]) -> int | None:
    port = action.get("port")
    if isinstance(port, str) and not port.isdecimal():
        declared = container.get("ports") or ()
        port = next((item["containerPort"] for item in declared if item.get("name") == port), None)
    return int(port) if port is not None else None
