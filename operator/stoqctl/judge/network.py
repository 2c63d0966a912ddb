"""Do NetworkPolicies let the mesh through? Pure.

All traffic between meshed pods is UDP 14008, and every sidecar needs UDP 14012 of the control
plane. A NetworkPolicy that names the applications' TCP ports admits neither.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from stoq import constants
from stoqctl.finding import Finding
from stoqctl.judge.facts import Facts, Object, few, labels, name
from stoqctl.judge.workloads import lives, meshed


def findings(facts: Facts) -> Iterator[Finding]:
    """One for incoming and one for outgoing traffic."""
    pods = [pod for pod in facts.pods if lives(pod) and meshed(pod)]
    for direction, port, peer in (
        ("Ingress", constants.STOQ_PORT, "other pods"),
        ("Egress", constants.STOQ_PORT, "other pods"),
        ("Egress", constants.CONTROL_PORT, "the control plane"),
    ):
        yield _direction(pods, facts.network_policies, direction, port, peer)


def _direction(
    pods: Sequence[Object], policies: Sequence[Object], direction: str, port: int, peer: str
) -> Finding:
    blocked: dict[str, set[str]] = {}
    for pod in pods:
        chosen = [item for item in policies if applies(item, pod, direction)]
        if chosen and not any(admits(item, direction, port) for item in chosen):
            for item in chosen:
                blocked.setdefault(name(item), set()).add(name(pod))
    field = direction.lower()
    to = "from" if direction == "Ingress" else "to"
    rule = f"{field}: [{{ports: [{{protocol: UDP, port: {port}}}]}}]"
    return Finding(
        f"NetworkPolicy, UDP {port} {to} {peer}",
        not blocked,
        "; ".join(f"{policy} keeps it from {few(sorted(at))}" for policy, at in blocked.items())
        or f"nothing keeps it from {len(pods)} meshed pods",
        f"add to one of them: {rule}; what it said about callers and TCP ports becomes an "
        "AccessPolicy: stoqctl policy import",
    )


def applies(policy: Object, pod: Object, direction: str) -> bool:
    """Whether the policy restricts this direction of the pod's traffic."""
    spec = policy["spec"]
    if policy["metadata"].get("namespace") != pod["metadata"].get("namespace"):
        return False
    implied = ["Ingress", *(["Egress"] if spec.get("egress") else [])]
    if direction not in (spec.get("policyTypes") or implied):
        return False
    return selects(spec.get("podSelector") or {}, labels(pod))


def admits(policy: Object, direction: str, port: int) -> bool:
    """Whether some rule lets UDP `port` through, at least with some peers."""
    rules = policy["spec"].get(direction.lower()) or ()
    return any(_covers(rule.get("ports") or (), port) for rule in rules)


def _covers(ports: Sequence[Mapping[str, Any]], port: int) -> bool:
    if not ports:
        return True
    for item in ports:
        first = item.get("port")
        if item.get("protocol", "TCP") != "UDP" or isinstance(first, str):
            continue
        if first is None or first <= port <= item.get("endPort", first):
            return True
    return False


def selects(selector: Object, found: Mapping[str, str]) -> bool:
    """Whether a LabelSelector of Kubernetes chooses these labels."""
    for key, value in (selector.get("matchLabels") or {}).items():
        if found.get(key) != value:
            return False
    for term in selector.get("matchExpressions") or ():
        key, values = term["key"], term.get("values") or ()
        outcome = {
            "In": found.get(key) in values,
            "NotIn": found.get(key) not in values,
            "Exists": key in found,
            "DoesNotExist": key not in found,
        }
        if not outcome[term["operator"]]:
            return False
    return True
