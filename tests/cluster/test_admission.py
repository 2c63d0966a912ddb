"""Admission is on as in any cluster, and the API server writes down what it was asked."""

import json

import pytest

from cluster.access import Cluster, Failed
from cluster.mesh import eventually
from cluster.pods import WAIT, pod


def test_pod_security_refuses_what_the_namespace_forbids(cluster: Cluster) -> None:
    label = "pod-security.kubernetes.io/enforce=restricted"
    cluster.kubectl("label", "namespace", cluster.namespace, label)
    cluster.apply(pod("modest", WAIT))
    manifest = pod("privileged", WAIT)
    manifest["spec"]["containers"][0]["securityContext"] = {"privileged": True}
    with pytest.raises(Failed, match="violates PodSecurity"):
        cluster.apply(manifest)


def test_a_validating_admission_policy_is_enforced(cluster: Cluster) -> None:
    name = f"no-secrets-{cluster.namespace}"
    meant = {"matchLabels": {"kubernetes.io/metadata.name": cluster.namespace}}
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"]}
    version = {"apiVersion": "admissionregistration.k8s.io/v1"}
    policy = {
        **version,
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": name},
        "spec": {
            "failurePolicy": "Fail",
            "matchConstraints": {"resourceRules": [{**rule, "resources": ["configmaps"]}]},
            "validations": [
                {"expression": "object.metadata.name != 'x'", "message": "x is not for us"}
            ],
        },
    }
    binding = {
        **version,
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": name},
        "spec": {
            "policyName": name,
            "validationActions": ["Deny"],
            "matchResources": {"namespaceSelector": meant},
        },
    }
    cluster.apply(policy, binding)
    try:
        refused = [attempt for attempt in range(100) if _refused(cluster, attempt)]
        assert refused, "the policy was never enforced"
    finally:
        for kind in ("validatingadmissionpolicybinding", "validatingadmissionpolicy"):
            cluster.kubectl("delete", kind, name)


def _refused(cluster: Cluster, attempt: int) -> bool:
    """Whether a ConfigMap named x is refused, as it is once the policy has been compiled."""
    labels = f"--from-literal=attempt={attempt}"
    try:
        cluster.kubectl("create", "configmap", "x", labels, "--dry-run=server")
    except Failed as error:
        return "x is not for us" in str(error)
    return False


def test_the_audit_log_has_who_did_what(cluster: Cluster) -> None:
    cluster.kubectl("create", "configmap", "audited")
    wanted = ("create", "configmaps", cluster.namespace, "audited")
    assert eventually(lambda: wanted in requests(cluster))


def requests(cluster: Cluster) -> set[tuple[str | None, ...]]:
    """Verb, resource, namespace and name of each; the last line may be half written."""
    with cluster.audit_log.open() as log:
        events = [json.loads(line) for line in log if line.endswith("\n")]
    about = ("resource", "namespace", "name")
    return {
        (event["verb"], *(event.get("objectRef", {}).get(key) for key in about)) for event in events
    }
