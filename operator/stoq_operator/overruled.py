"""Policies of which a field holds as a whole, and that lose it to an equal. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from stoq.records.meta import Key
from stoq.records.policy import TransportPolicy
from stoq.records.workload import Workload
from stoq_operator.problem import Problem

FIELDS: Final = {"adaptation": "AdaptationOverruled", "crypto": "CryptoOverruled"}
"""Fields of a TransportPolicy, and the reason of the condition."""


def overruled(
    policies: Mapping[str, Sequence[TransportPolicy]], pods: Sequence[Workload]
) -> dict[Key, Problem]:
    """The policies, given by namespace, of which a field does not bind some pod that it is for
    because another policy, equally narrow and with other wishes, comes first by name.

    That a policy with a selector wins over one without is no problem: it is what it is for.
    """
    problems: dict[Key, Problem] = {}
    for field in FIELDS:
        rivals = {
            place: found for place, each in policies.items() if (found := _rivals(field, each))
        }
        if not rivals:
            continue
        for pod in pods:
            place, labels = pod.metadata.namespace, pod.metadata.labels
            for group in rivals.get(place, ()):
                chosen = [policy for policy in group if policy.selects(place, labels)]
                for other in chosen[1:]:
                    if getattr(other.spec, field) != getattr(chosen[0].spec, field):
                        problems.setdefault(other.key, _problem(field, chosen[0], pod))
    return problems


def _rivals(field: str, policies: Iterable[TransportPolicy]) -> list[list[TransportPolicy]]:
    """Groups of policies that are equally narrow, in the order in which they win."""
    found = [policy for policy in policies if getattr(policy.spec, field) is not None]
    found.sort(key=lambda policy: policy.metadata.name)
    groups = (
        [policy for policy in found if (policy.spec.selector is None) == wide]
        for wide in (True, False)
    )
    return [group for group in groups if len(group) > 1]


def _problem(field: str, first: TransportPolicy, pod: Workload) -> Problem:
    return Problem(
        FIELDS[field],
        f"spec.{field} does not hold for {pod.metadata.name}: TransportPolicy "
        f"{first.metadata.name} is for it too and comes first by name; let their selectors choose "
        f"different pods, or keep {field} in one of them",
    )
