"""What AccessPolicies say of one connection. Pure; the same rules as the engine's.

Deny wins. As soon as a policy that is no dry run allows something at a workload, what none allows
is refused there. Without any policy everyone in the mesh may connect.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from stoq.records.access import AccessPolicy, PolicyRule
from stoq.spiffe import SpiffeId


@dataclass(frozen=True, slots=True)
class Verdict:
    """`by` names the policy that decided, empty where none did; `why` is a sentence."""

    allowed: bool
    by: str
    why: str
    dry_run: tuple[str, ...] = ()
    """Policies that would refuse if they were no dry run."""


def decide(
    policies: Sequence[AccessPolicy],
    caller: SpiffeId,
    namespace: str,
    labels: Mapping[str, str],
    port: int,
) -> Verdict:
    """Whether `caller` may connect to `port` of a workload with `labels` in `namespace`."""
    here = sorted(
        (
            policy
            for policy in policies
            if policy.metadata.namespace == namespace
            and (policy.spec.selector is None or policy.spec.selector.selects(labels))
        ),
        key=lambda policy: policy.metadata.name,
    )
    live = [policy for policy in here if not policy.spec.dry_run]
    trial = [policy for policy in here if policy.spec.dry_run]
    would = [
        _name(policy)
        for policy in trial
        if policy.spec.action == "deny" and _names(policy, caller, port)
    ]
    allows = [policy for policy in here if policy.spec.action == "allow"]
    if not any(_names(policy, caller, port) for policy in allows):
        would += [_name(policy) for policy in allows if policy.spec.dry_run]
    return _decide(live, caller, port, tuple(would))


def _names(policy: AccessPolicy, caller: SpiffeId, port: int) -> bool:
    return any(_matches(rule, caller, port) for rule in policy.spec.rules)


def _decide(
    live: Sequence[AccessPolicy], caller: SpiffeId, port: int, would: tuple[str, ...]
) -> Verdict:
    matching = [policy for policy in live if _names(policy, caller, port)]
    for policy in matching:
        if policy.spec.action == "deny":
            return Verdict(False, _name(policy), "a deny policy names this caller", would)
    for policy in matching:
        return Verdict(True, _name(policy), "an allow policy names this caller", would)
    allowing = [_name(policy) for policy in live if policy.spec.action == "allow"]
    if allowing:
        why = f"{', '.join(allowing)} allow others, and none allows this caller on port {port}"
        return Verdict(False, "", why, would)
    return Verdict(True, "", "no policy restricts this workload", would)


def _name(policy: AccessPolicy) -> str:
    return f"{policy.metadata.namespace}/{policy.metadata.name}"


def _matches(rule: PolicyRule, caller: SpiffeId, port: int) -> bool:
    if rule.ports and not any(p.port <= port <= (p.end_port or p.port) for p in rule.ports):
        return False
    peers = rule.peers
    if peers is None:
        return True
    return (
        str(caller) in peers.spiffe_ids
        or caller.namespace in peers.namespaces
        or f"{caller.namespace}/{caller.service_account}" in peers.service_accounts
    )
