"""From AccessPolicies to the rules that a workload enforces. Pure."""

from collections.abc import Iterable, Mapping

from stoq.records.access import AccessPeers, AccessPolicy
from stoq.registry import AccessRule

EVERYONE = AccessPeers()


def rules_for(
    policies: Iterable[AccessPolicy], labels: Mapping[str, str]
) -> tuple[AccessRule, ...]:
    """The rules of those `policies`, all of the workload's namespace, that choose its labels.

    In order of the policies' names, so that they do not depend on the order of arrival.
    """
    chosen = [
        policy
        for policy in policies
        if policy.spec.selector is None or policy.spec.selector.selects(labels)
    ]
    chosen.sort(key=lambda policy: policy.metadata.name)
    return tuple(rule for policy in chosen for rule in _rules(policy))


def _rules(policy: AccessPolicy) -> Iterable[AccessRule]:
    for rule in policy.spec.rules:
        peers = rule.peers or EVERYONE
        yield AccessRule(
            policy=f"{policy.metadata.namespace}/{policy.metadata.name}",
            action=policy.spec.action,
            dry_run=policy.spec.dry_run,
            spiffe_ids=peers.spiffe_ids,
            namespaces=peers.namespaces,
            service_accounts=peers.service_accounts,
            ports=tuple((item.port, item.end_port or item.port) for item in rule.ports),
        )
