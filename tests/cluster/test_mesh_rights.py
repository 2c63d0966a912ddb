"""Operator and node agents have the rights they use: the API server wrote down what they ask."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple

import pytest

from cluster.access import Cluster
from cluster.mesh import SYSTEM, Mesh, eventually
from stoq.constants import ROTATE_ANNOTATION
from support.helm import rendered

pytestmark = pytest.mark.timeout(600)

ACCOUNTS = ("stoq-operator", "stoq-node")


class Use(NamedTuple):
    verb: str
    group: str
    resource: str
    """With its subresource, as rules have it: `servicerecords/status`."""


RARE = {"stoq-node": {Use("create", "", "events")}}
"""What is asked for only when something is wrong with a pod: tests of the agents have it so."""


def granted(account: str) -> set[Use]:
    """What the chart's roles for an account, which have its name, allow."""
    rules = [
        rule
        for (kind, name), item in rendered("node.enabled=true").items()
        if kind in ("ClusterRole", "Role") and name == account
        for rule in item["rules"]
    ]
    return {
        Use(verb, group, resource)
        for rule in rules
        for verb in rule["verbs"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }


def requests(cluster: Cluster, account: str) -> Iterator[tuple[Use, dict[str, Any]]]:
    """What an account asked the API server for, with the audit log's entries."""
    user = f"system:serviceaccount:{SYSTEM}:{account}"
    with cluster.audit_log.open() as log:
        for line in log:
            entry = json.loads(line) if line.endswith("\n") else {}
            if entry.get("user", {}).get("username") == user:
                target = entry.get("objectRef") or {}
                parts = (target.get("resource", ""), target.get("subresource", ""))
                resource = "/".join(part for part in parts if part)
                yield Use(entry["verb"], target.get("apiGroup", ""), resource), entry


def ours(kind: str, name: str, **spec: object) -> dict[str, Any]:
    return {
        "apiVersion": "stoq.dev/v1alpha1",
        "kind": kind,
        "metadata": {"name": name},
        "spec": spec,
    }


def test_every_right_is_used_and_none_is_missing(shop: Cluster, mesh: Mesh) -> None:
    began = datetime.now(UTC)
    revocation = ours("Revocation", shop.namespace, spiffeId="spiffe://cluster.local/ns/x/sa/x")
    gateway = ours("HopGateway", shop.namespace, spiffeId="spiffe://cluster.local/ns/x/sa/x")
    refusing = f"{shop.namespace}-refusing"
    level = {"pod-security.kubernetes.io/enforce": "baseline", "stoq.dev/inject": "enabled"}
    metadata = {"name": refusing, "labels": level}
    shop.apply(
        {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata},
        ours("ServiceRecord", "nowhere", ports=[{"port": 80}], serviceRef={"name": "not-there"}),
        ours("TransportPolicy", "modes", inbound="strict"),
        ours("AccessPolicy", "callers", action="allow", dryRun=True, rules=[{}]),
        revocation,
        gateway,
    )
    rotate = f"{ROTATE_ANNOTATION}={began:%Y-%m-%dT%H:%M:%SZ}"
    mesh.system.kubectl("annotate", "--overwrite", "secret", "stoq-ca", rotate)
    try:
        # Watching, a list may be asked for in the form of a watch; both are one right.
        eventually(lambda: not any(unused(shop, account) for account in ACCOUNTS), 120)
    except AssertionError:
        assert {one: unused(shop, one) for one in ACCOUNTS} == {one: set() for one in ACCOUNTS}
    finally:
        shop.kubectl("delete", "revocation,hopgateway", shop.namespace)
        shop.kubectl("delete", "namespace", refusing, "--wait=false")
    refused = {
        use
        for account in ACCOUNTS
        for use, entry in requests(shop, account)
        if lacks_right(entry) and datetime.fromisoformat(entry["requestReceivedTimestamp"]) > began
    }
    assert refused == set()


def unused(cluster: Cluster, account: str) -> set[Use]:
    # An apply of what is not there yet is a create that the log calls a patch.
    asked = {
        part
        for use, entry in requests(cluster, account)
        for part in ([use, use._replace(verb="create")] if made(use, entry) else [use])
    }
    return granted(account) - asked - RARE.get(account, set())


def made(use: Use, entry: dict[str, Any]) -> bool:
    return bool(use.verb == "patch" and entry["responseStatus"]["code"] == 201)


def lacks_right(entry: dict[str, Any]) -> bool:
    status = entry["responseStatus"]
    causes = {cause.get("reason") for cause in status.get("details", {}).get("causes", [])}
    # A namespace that is being deleted, as those of other tests, takes nothing new from anybody.
    return bool(status["code"] == 403 and "NamespaceTerminating" not in causes)
