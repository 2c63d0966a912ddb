"""The operator's rights are those it needs: the API server wrote down what it asked for."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple

import pytest

from cluster.access import Cluster
from cluster.mesh import Mesh, eventually
from stoq.constants import ROTATE_ANNOTATION
from support.helm import rendered

pytestmark = pytest.mark.timeout(600)

OPERATOR = "system:serviceaccount:stoq-system:stoq-operator"


class Use(NamedTuple):
    verb: str
    group: str
    resource: str
    """With its subresource, as rules have it: `servicerecords/status`."""


def granted() -> set[Use]:
    """What the chart's roles for the operator allow."""
    rules = [
        rule
        for (kind, _), item in rendered().items()
        if kind in ("ClusterRole", "Role")
        for rule in item["rules"]
    ]
    return {
        Use(verb, group, resource)
        for rule in rules
        for verb in rule["verbs"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }


def requests(cluster: Cluster) -> Iterator[tuple[Use, dict[str, Any]]]:
    """What the operator asked the API server for, with the audit log's entries."""
    with cluster.audit_log.open() as log:
        for line in log:
            entry = json.loads(line) if line.endswith("\n") else {}
            if entry.get("user", {}).get("username") == OPERATOR:
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
    shop.apply(
        ours("ServiceRecord", "nowhere", ports=[{"port": 80}], serviceRef={"name": "not-there"}),
        ours("TransportPolicy", "modes", inbound="strict"),
        ours("AccessPolicy", "callers", action="allow", dryRun=True, rules=[{}]),
        revocation,
    )
    rotate = f"{ROTATE_ANNOTATION}={began:%Y-%m-%dT%H:%M:%SZ}"
    mesh.system.kubectl("annotate", "--overwrite", "secret", "stoq-ca", rotate)
    try:
        # Watching, a list may be asked for in the form of a watch; both are one right.
        eventually(lambda: not unused(shop), 120)
    except AssertionError:
        assert unused(shop) == set()
    finally:
        shop.kubectl("delete", "revocation", shop.namespace)
    refused = {
        use
        for use, entry in requests(shop)
        if entry["responseStatus"]["code"] == 403
        and datetime.fromisoformat(entry["requestReceivedTimestamp"]) > began
    }
    assert refused == set()


def unused(cluster: Cluster) -> set[Use]:
    # An apply of what is not there yet is a create that the log calls a patch.
    asked = {
        part
        for use, entry in requests(cluster)
        for part in ([use, use._replace(verb="create")] if made(use, entry) else [use])
    }
    return granted() - asked


def made(use: Use, entry: dict[str, Any]) -> bool:
    return bool(use.verb == "patch" and entry["responseStatus"]["code"] == 201)
