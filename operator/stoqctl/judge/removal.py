"""What would break if the mesh were uninstalled now. Pure."""

from collections.abc import Sequence
from typing import Final

from stoq import constants
from stoq.injection.names import LABEL
from stoqctl.finding import Finding
from stoqctl.judge import agents
from stoqctl.judge.facts import Facts, Object, few, name
from stoqctl.judge.workloads import lives, meshed

SYSTEM: Final = constants.SYSTEM_NAMESPACE


def findings(facts: Facts, pods: Sequence[Object], objects: Sequence[Object]) -> list[Finding]:
    """In the order in which to work through them; `pods` are those of all namespaces, `objects` the
    records and policies.
    """
    enrolled = [name(item) for item in facts.enrolled]
    inside = [pod for pod in pods if lives(pod) and meshed(pod)]
    places = sorted({pod["metadata"]["namespace"] for pod in inside})
    used = [f"{item['kind']} {name(item)}" for item in objects if item["kind"] == "ServiceRecord"]
    return [
        Finding(
            "enrolled namespaces",
            not enrolled,
            f"{few(enrolled)}: new pods there ask for a sidecar" if enrolled else "none",
            " && ".join(f"kubectl label namespace {place} {LABEL}-" for place in enrolled),
        ),
        Finding(
            "meshed pods",
            not inside,
            f"{len(inside)} in {few(places)}: they lose their peers when their certificates run out"
            if inside
            else "none",
            "once no namespace is enrolled: "
            + " && ".join(f"kubectl -n {place} rollout restart deploy,sts,ds" for place in places),
        ),
        Finding(
            "service records",
            not used,
            f"{few(used)}: their names stop resolving" if used else "none",
            "let applications use other names, then kubectl delete servicerecords --all -A",
        ),
        *([agents.guards(facts)] if facts.agents is not None else []),
    ]


STEPS: Final = (
    f"helm uninstall stoq -n {SYSTEM}",
    "kubectl delete crd -l app.kubernetes.io/name=stoq",
    f"kubectl delete namespace {SYSTEM}",
)
"""What is left to do when nothing would break; the last two remove records, policies and the roots,
for good."""
