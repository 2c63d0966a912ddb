"""Adaptation of connections, from the policies. Pure."""

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from stoq.records.meta import Key
from stoq.records.policy import TransportPolicy
from stoq.records.workload import Workload
from stoq.rules import AdaptationRule
from stoq_operator.problem import Problem


def rule(policy: TransportPolicy | None) -> AdaptationRule | None:
    """What `policy` says of adaptation, for the workloads that it binds."""
    if policy is None or policy.spec.adaptation is None:
        return None
    return AdaptationRule(
        policy=f"{policy.metadata.namespace}/{policy.metadata.name}",
        **msgspec.structs.asdict(policy.spec.adaptation),
    )


def overruled(
    policies: Mapping[str, Sequence[TransportPolicy]], pods: Iterable[Workload]
) -> dict[Key, Problem]:
    """The policies, given by namespace, whose adaptation does not bind some pod that it is for
    because another policy, equally narrow and with other wishes, comes first by name.

    That a policy with a selector wins over one without is no problem: it is what it is for.
    """
    rivals = {place: found for place, each in policies.items() if (found := _rivals(each))}
    problems: dict[Key, Problem] = {}
    if not rivals:
        return problems
    for pod in pods:
        place, labels = pod.metadata.namespace, pod.metadata.labels
        for group in rivals.get(place, ()):
            chosen = [policy for policy in group if policy.selects(place, labels)]
            for other in chosen[1:]:
                if other.spec.adaptation != chosen[0].spec.adaptation:
                    problems.setdefault(other.key, _problem(chosen[0], pod))
    return problems


def _rivals(policies: Iterable[TransportPolicy]) -> list[list[TransportPolicy]]:
    """Groups of policies that are equally narrow, in the order in which they win."""
    found = [policy for policy in policies if policy.spec.adaptation is not None]
    found.sort(key=lambda policy: policy.metadata.name)
    groups = (
        [policy for policy in found if (policy.spec.selector is None) == wide]
        for wide in (True, False)
    )
    return [group for group in groups if len(group) > 1]


def _problem(first: TransportPolicy, pod: Workload) -> Problem:
    return Problem(
        "AdaptationOverruled",
        f"spec.adaptation does not hold for {pod.metadata.name}: TransportPolicy "
        f"{first.metadata.name} is for it too and comes first by name; let their selectors choose "
        "different pods, or keep adaptation in one of them",
    )
