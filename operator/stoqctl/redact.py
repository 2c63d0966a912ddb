"""Takes out of a report what is nobody's business. Pure.

What is kept is listed, not what is removed: an application's environment, arguments and annotations
may hold a password under any name. A second pass strikes what looks like a key or a token wherever
it stands, since logs are free text.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from stoq.injection.names import OWN, PREFIX

STRUCK: Final = "[removed]"

_KEY: Final = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(-----END [A-Z ]*-----|\Z)", re.DOTALL
)
_JWT: Final = re.compile(r"eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*")
_BEARER: Final = re.compile(
    r"(?i)\b(bearer|authorization|token|password|secret)(['\"]?\s*[:=]\s*['\"]?)[^\s'\",}]+"
)

_CONTAINER: Final = frozenset(
    {
        "name",
        "image",
        "imagePullPolicy",
        "ports",
        "resources",
        "restartPolicy",
        "securityContext",
        "startupProbe",
        "readinessProbe",
        "livenessProbe",
    }
)
_POD: Final = frozenset(
    {
        "nodeName",
        "hostNetwork",
        "serviceAccountName",
        "restartPolicy",
        "securityContext",
        "dnsPolicy",
        "dnsConfig",
        "priorityClassName",
    }
)
_METADATA: Final = frozenset(
    {
        "name",
        "namespace",
        "uid",
        "labels",
        "generation",
        "creationTimestamp",
        "deletionTimestamp",
        "resourceVersion",
    }
)


def text(value: str) -> str:
    """Free text without keys and tokens."""
    value = _KEY.sub(STRUCK, value)
    value = _JWT.sub(STRUCK, value)
    return _BEARER.sub(lambda match: match[1] + match[2] + STRUCK, value)


def texts(value: Any) -> Any:
    """A document, every text in it without keys and tokens."""
    if isinstance(value, str):
        return text(value)
    if isinstance(value, Mapping):
        return {key: texts(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [texts(item) for item in value]
    return value


def metadata(item: Mapping[str, Any]) -> dict[str, Any]:
    """Of an object: its names, and of its annotations our own."""
    found = item.get("metadata") or {}
    kept = {key: value for key, value in found.items() if key in _METADATA}
    ours = {
        key: value
        for key, value in (found.get("annotations") or {}).items()
        if key.startswith(PREFIX)
    }
    return {**kept, **({"annotations": ours} if ours else {})}


def pod(item: Mapping[str, Any]) -> dict[str, Any]:
    """A pod: where and how its containers run, and of environments our own."""
    spec = item["spec"]
    return {
        "metadata": metadata(item),
        "spec": {
            **{key: value for key, value in spec.items() if key in _POD},
            **{
                field: [_container(one) for one in spec.get(field) or ()]
                for field in ("initContainers", "containers")
            },
            "volumes": [one["name"] for one in spec.get("volumes") or ()],
        },
        "status": texts(_status(item.get("status") or {})),
    }


def _status(item: Mapping[str, Any]) -> dict[str, Any]:
    """Without what an application's container said when it ended."""
    said = [
        {
            **status,
            **{
                field: {
                    phase: {key: value for key, value in detail.items() if key != "message"}
                    for phase, detail in status[field].items()
                }
                for field in ("state", "lastState")
                if status.get(field)
            },
        }
        for status in item.get("containerStatuses") or ()
    ]
    return {**item, **({"containerStatuses": said} if said else {})}


def _container(item: Mapping[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in item.items() if key in _CONTAINER}
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        if "exec" in (kept.get(probe) or {}) or "httpGet" in (kept.get(probe) or {}):
            kept[probe] = {
                key: value for key, value in kept[probe].items() if key not in {"exec", "httpGet"}
            }
    if item["name"] in OWN:
        return {**item, **kept}
    return kept


def plain(item: Mapping[str, Any]) -> dict[str, Any]:
    """An object of ours, or of the cluster's, that holds no secrets by its kind."""
    return {**texts({k: v for k, v in item.items() if k != "metadata"}), "metadata": metadata(item)}
