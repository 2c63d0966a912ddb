"""Adaptation of connections, from the policies. Pure."""

import msgspec

from stoq.records.policy import TransportPolicy
from stoq.rules import AdaptationRule


def rule(policy: TransportPolicy | None) -> AdaptationRule | None:
    """What `policy` says of adaptation, for the workloads that it binds."""
    if policy is None or policy.spec.adaptation is None:
        return None
    return AdaptationRule(
        policy=f"{policy.metadata.namespace}/{policy.metadata.name}",
        **msgspec.structs.asdict(policy.spec.adaptation),
    )
