"""Are the enrolled namespaces, and the pods in them, in the mesh? Pure."""

from collections.abc import Iterator, Mapping

from stoq.injection import names as ours
from stoq.injection.obstacles import exemption, pod_security
from stoqctl.finding import Finding
from stoqctl.judge.facts import Facts, Object, few, labels, name

ENDED = frozenset({"Succeeded", "Failed"})


def meshed(pod: Object) -> bool:
    """Whether the pod carries our sidecar."""
    return sidecar(pod["spec"]) is not None


def sidecar(spec: Object) -> Object | None:
    """Our sidecar among the init containers."""
    for container in spec.get("initContainers") or ():
        if container["name"] == ours.SIDECAR:
            found: Object = container
            return found
    return None


def status_of(pod: Object, container: str = ours.SIDECAR) -> Mapping[str, object]:
    """What the kubelet says of one of the init containers; empty: nothing yet."""
    for status in (pod.get("status") or {}).get("initContainerStatuses") or ():
        if status["name"] == container:
            found: Mapping[str, object] = status
            return found
    return {}


def lives(pod: Object) -> bool:
    """Whether the pod runs, or will."""
    return (pod.get("status") or {}).get("phase") not in ENDED


def stands_outside(pod: Object) -> str:
    """Why the pod need not be meshed; empty: it must be."""
    # Its creator's groups are not known any more; who has such an annotation is a static pod.
    found = exemption(pod, pod["metadata"]["namespace"], (ours.NODES_GROUP,))
    return found[1] if found else ""


def namespaces(facts: Facts) -> Iterator[Finding]:
    """The namespaces' own labels."""
    refused = {name(item): pod_security(labels(item), facts.capture) for item in facts.enrolled}
    refusing = [place for place, why in refused.items() if why]
    yield Finding(
        "Pod Security",
        not refusing,
        "; ".join(f"{place}: {refused[place]}" for place in refusing)
        or f"admits {_admitted(facts)} in {len(facts.enrolled)} enrolled namespaces",
        " && ".join(
            f"kubectl label --overwrite namespace {place} "
            "pod-security.kubernetes.io/enforce=privileged"
            for place in refusing
        ),
    )
    system = [name(item) for item in facts.enrolled if name(item) in ours.NEVER]
    if system:
        yield Finding(
            "enrolled namespaces",
            False,
            f"{few(system)} carry {ours.LABEL}, which has no effect there",
            f"kubectl label namespace {' '.join(system)} {ours.LABEL}-",
        )


def _admitted(facts: Facts) -> str:
    return ours.INIT if facts.capture == "init" else "meshed pods, of any level,"


def pods(facts: Facts) -> Iterator[Finding]:
    """Each pod has a sidecar, and it is ready."""
    alive = [pod for pod in facts.pods if lives(pod)]
    bare = [name(pod) for pod in alive if not meshed(pod) and not stands_outside(pod)]
    places = sorted({item.partition("/")[0] for item in bare})
    yield Finding(
        "pods without sidecar",
        not bare,
        few(bare) or f"none; {sum(map(meshed, alive))} pods are meshed",
        "they were made before the namespace was enrolled: "
        + " && ".join(f"kubectl -n {place} rollout restart deploy,sts,ds" for place in places),
    )
    waiting = [pod for pod in alive if meshed(pod) and not status_of(pod).get("ready")]
    yield Finding(
        "sidecars",
        not waiting,
        few([f"{name(pod)} ({_why(pod)})" for pod in waiting]) or "all are ready",
        " ; ".join(f"stoqctl logs {name(pod)}" for pod in waiting[:3]),
    )
    unmeshed = [name(pod) for pod in alive if not meshed(pod) and stands_outside(pod)]
    if unmeshed:
        yield Finding("outside by choice", True, f"{few(unmeshed)}: not encrypted by the mesh")


def _why(pod: Object) -> str:
    """One word on a sidecar that is not ready."""
    for container in (ours.INIT, ours.SIDECAR, ours.READY):
        state = status_of(pod, container).get("state")
        if not isinstance(state, Mapping):
            continue
        for phase in ("waiting", "terminated"):
            detail = state.get(phase) or {}
            if detail.get("reason") not in {None, "Completed", "PodInitializing"}:
                return f"{container} {detail['reason']}"
    return "not ready"
