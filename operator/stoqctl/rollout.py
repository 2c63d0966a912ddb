"""Which sidecars an upgrade changes, and when one of them is done. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from stoq.injection.names import SIDECAR
from stoqctl.judge.facts import Object, name
from stoqctl.judge.workloads import lives, sidecar, status_of

HOPELESS: Final = frozenset(
    {
        "CrashLoopBackOff",
        "CreateContainerConfigError",
        "CreateContainerError",
        "ErrImageNeverPull",
        "ErrImagePull",
        "ImagePullBackOff",
        "InvalidImageName",
    }
)
"""Why the kubelet waits with a container that will not come up by waiting."""


@dataclass(frozen=True, slots=True)
class Step:
    """One sidecar to change; `restarts` is its count before, `trouble` what it waited for then,
    `ready` whether its pod took connections of Services.
    """

    namespace: str
    pod: str
    uid: str
    image: str
    restarts: int
    trouble: str = ""
    ready: bool = False

    @property
    def name(self) -> str:
        """`<namespace>/<pod>`."""
        return f"{self.namespace}/{self.pod}"


def steps(pods: Sequence[Object], image: str) -> list[Step]:
    """The running sidecars that have another image, in order of their pods' names."""
    found = []
    for pod in sorted(pods, key=name):
        ours = sidecar(pod["spec"])
        if ours is None or ours["image"] == image or not lives(pod):
            continue
        if pod["metadata"].get("deletionTimestamp"):
            continue
        metadata = pod["metadata"]
        found.append(
            Step(
                metadata["namespace"],
                metadata["name"],
                metadata["uid"],
                ours["image"],
                restart_count(pod),
                _trouble(pod),
                is_ready(pod),
            )
        )
    return found


def restart_count(pod: Object) -> int:
    """How often the kubelet has started the sidecar again."""
    count = status_of(pod).get("restartCount", 0)
    return count if isinstance(count, int) else 0


def is_ready(pod: Object) -> bool:
    """Whether the pod is among the endpoints of its Services."""
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return any((one["type"], one["status"]) == ("Ready", "True") for one in conditions)


def patch(image: str) -> dict[str, Any]:
    """The strategic merge patch: the sidecar's image is one of the few fields of a running pod that
    may change, and the kubelet then restarts that container alone.
    """
    return {"spec": {"initContainers": [{"name": SIDECAR, "image": image}]}}


def progress(step: Step, pod: Object | None) -> tuple[bool, str]:
    """Whether the step is over, and what went wrong: empty when nothing did."""
    if pod is None or pod["metadata"].get("uid") != step.uid or not lives(pod):
        return True, ""  # its successor gets its image from the webhook
    trouble = _trouble(pod)
    # What it waited for before is seen for a moment longer.
    if trouble and trouble != step.trouble:
        return True, trouble
    done = restart_count(pod) > step.restarts and bool(status_of(pod).get("ready"))
    # The application's own probes failed meanwhile: before they pass again its Services go without
    # this pod, and the next must not be missing beside it.
    return done and (is_ready(pod) or not step.ready), ""


def _trouble(pod: Object) -> str:
    """Why the sidecar will not come up by waiting; empty: it runs, or may yet."""
    state = status_of(pod).get("state")
    waiting = (state.get("waiting") or {}) if isinstance(state, Mapping) else {}
    if waiting.get("reason") not in HOPELESS:
        return ""
    return f"{waiting['reason']}: {waiting.get('message', '')}".rstrip(": ")
