"""From NetworkPolicies, which know addresses, to AccessPolicies, which know identities. Pure.

Only what comes in is translated: an AccessPolicy holds where connections arrive. Its ports are of
TCP and UDP alike, so a port is translated that the NetworkPolicy opens for TCP. What can not be
said in one is never widened to everyone; it is left out, and a note says so.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from stoq import constants
from stoq.records.meta import API_VERSION
from stoqctl.judge.facts import labels, name
from stoqctl.judge.network import selects

Object = Mapping[str, Any]

NOBODY: Final = {"namespaces": [constants.SYSTEM_NAMESPACE]}
"""Callers of a rule that lets nobody in: the control plane connects to no workload. An allow policy
must have a rule, and a rule without callers would mean everyone."""

BOTH: Final = "its TCP ports are open to the same callers by UDP too, in pods that capture UDP"

NAMESPACE_NAME: Final = "kubernetes.io/metadata.name"
"""Label that the API server puts on every namespace."""


@dataclass(slots=True)
class Translation:
    """`policy` is the manifest, None when there is nothing to say; `notes` what was lost."""

    source: str
    policy: dict[str, Any] | None = None
    notes: list[str] = field(default_factory=list)


def translate(
    policy: Object, pods: Sequence[Object], namespaces: Sequence[Object], *, dry_run: bool
) -> Translation:
    """The AccessPolicy for one NetworkPolicy; `pods` and `namespaces` are those of the cluster, by
    which selectors become service accounts.
    """
    result = Translation(name(policy))
    spec, place = policy["spec"], policy["metadata"].get("namespace") or "default"
    if "Ingress" not in (spec.get("policyTypes") or ["Ingress"]):
        result.notes.append("it is about outgoing traffic only")
        return result
    if "Egress" in (spec.get("policyTypes") or ()) or spec.get("egress"):
        result.notes.append("its egress rules are left out: allow UDP 14008 and 14012 in them")
    selector = spec.get("podSelector") or {}
    if selector.get("matchExpressions"):
        result.notes.append("its podSelector has matchExpressions: write it with matchLabels first")
        return result
    targets = [
        pod
        for pod in pods
        if pod["metadata"]["namespace"] == place and selects(selector, labels(pod))
    ]
    cluster = _Cluster(pods, namespaces, place)
    rules = [_rule(rule, targets, cluster, result) for rule in spec.get("ingress") or ()]
    chosen = selector.get("matchLabels")
    result.policy = {
        "apiVersion": API_VERSION,
        "kind": "AccessPolicy",
        "metadata": {"name": policy["metadata"]["name"], "namespace": place},
        "spec": {
            **({"selector": {"matchLabels": dict(chosen)}} if chosen else {}),
            "action": "allow",
            **({"dryRun": True} if dry_run else {}),
            "rules": [rule for rule in rules if rule is not None] or [{"from": NOBODY}],
        },
    }
    return result


@dataclass(frozen=True, slots=True)
class _Cluster:
    pods: Sequence[Object]
    namespaces: Sequence[Object]
    place: str


def _rule(
    rule: Object, targets: Sequence[Object], cluster: _Cluster, result: Translation
) -> dict[str, Any] | None:
    """None: it lets nobody in that an identity could name."""
    made: dict[str, Any] = {}
    if rule.get("from"):
        peers = _peers(rule["from"], cluster, result)
        if not peers:
            return None
        made["from"] = peers
    if rule.get("ports"):
        ports = _ports(rule["ports"], targets, result)
        if not ports:
            return None
        made["ports"] = ports
    return made


def _peers(peers: Sequence[Object], cluster: _Cluster, result: Translation) -> dict[str, list[str]]:
    whole: set[str] = set()
    accounts: set[str] = set()
    for peer in peers:
        if "ipBlock" in peer:
            cidr = peer["ipBlock"].get("cidr")
            result.notes.append(f"callers at {cidr} are left out: addresses are no identities")
            continue
        places = _places(peer, cluster)
        if not peer.get("podSelector"):
            whole.update(places)
            continue
        found = {
            f"{pod['metadata']['namespace']}/{pod['spec'].get('serviceAccountName') or 'default'}"
            for pod in cluster.pods
            if pod["metadata"]["namespace"] in places and selects(peer["podSelector"], labels(pod))
        }
        if found:
            result.notes.append(
                f"pods chosen by labels became their service accounts {', '.join(sorted(found))}: "
                "other pods with these are let in too"
            )
        else:
            result.notes.append("a podSelector chooses no pod now, so its rule names nobody")
        accounts |= found
    given = {"namespaces": sorted(whole), "serviceAccounts": sorted(accounts)}
    return {field: values for field, values in given.items() if values}


def _places(peer: Object, cluster: _Cluster) -> set[str]:
    selector = peer.get("namespaceSelector")
    if selector is None:
        return {cluster.place}
    return {
        item["metadata"]["name"]
        for item in cluster.namespaces
        if selects(selector, {NAMESPACE_NAME: item["metadata"]["name"], **labels(item)})
    }


def _ports(
    ports: Sequence[Object], targets: Sequence[Object], result: Translation
) -> list[dict[str, int]]:
    found: list[dict[str, int]] = []
    both = _opened(ports, "TCP") & _opened(ports, "UDP")
    for item in ports:
        protocol, port = item.get("protocol", "TCP"), item.get("port")
        if protocol != "TCP":
            if protocol != "UDP" or (port, item.get("endPort")) not in both:
                why = "a policy's ports are of TCP and UDP alike"
                result.notes.append(f"{protocol} port {port} is left out: {why}")
        elif port is None:
            found.append({"port": 1, "endPort": 65535})
        elif isinstance(port, str):
            numbers = _named(port, targets)
            if not numbers:
                result.notes.append(f"no pod it protects has a port called {port}")
            found += [{"port": number} for number in numbers]
        else:
            found.append(
                {"port": port, **({"endPort": item["endPort"]} if "endPort" in item else {})}
            )
    if found and _opened(ports, "TCP") - both and BOTH not in result.notes:
        result.notes.append(BOTH)
    return found


def _opened(ports: Sequence[Object], protocol: str) -> set[tuple[int | str | None, int | None]]:
    wanted = (item for item in ports if item.get("protocol", "TCP") == protocol)
    return {(item.get("port"), item.get("endPort")) for item in wanted}


def _named(port: str, targets: Sequence[Object]) -> list[int]:
    return sorted(
        {
            int(declared["containerPort"])
            for pod in targets
            for container in pod["spec"]["containers"]
            for declared in container.get("ports") or ()
            if declared.get("name") == port
        }
    )
