"""Pods that stay out of the mesh, and pods that can not be let in."""

import dataclasses
from typing import Any

import pytest

from stoq.injection.decide import Injected, Refused, Skipped, decide
from stoq.injection.obstacles import pod_security
from support.pods import CONFIG, annotated, pod

Object = dict[str, Any]


def labelled(value: str) -> Object:
    made = pod()
    made["metadata"]["labels"]["stoq.dev/inject"] = value
    return made


def container(**more: Any) -> Object:
    return {"name": "web", "image": "r.test/web:1", **more}


@pytest.mark.parametrize(
    ("manifest", "namespace", "reason"),
    [
        (labelled("disabled"), "shop", "opted_out"),
        (pod(hostNetwork=True), "shop", "host_network"),
        (pod(os={"name": "windows"}), "shop", "windows"),
        (pod(), "kube-system", "system_namespace"),
        (pod(), "stoq-system", "system_namespace"),
    ],
)
def test_these_pods_stay_as_they_are(manifest: Object, namespace: str, reason: str) -> None:
    outcome = decide(manifest, namespace, CONFIG)
    assert isinstance(outcome, Skipped)
    assert outcome.reason == reason


def test_a_mirror_pod_is_left_alone_only_when_a_kubelet_makes_it() -> None:
    manifest = pod()
    manifest["metadata"]["annotations"] = {"kubernetes.io/config.mirror": "x"}
    assert isinstance(decide(manifest, "shop", CONFIG, ["system:nodes"]), Skipped)
    assert isinstance(decide(manifest, "shop", CONFIG, ["system:authenticated"]), Injected)


@pytest.mark.parametrize(
    ("manifest", "reason", "said"),
    [
        (labelled("true"), "label", "'true': use enabled, or disabled"),
        (pod(containers=[container(name="stoq-sidecar")]), "name", "container stoq-sidecar"),
        (pod(volumes=[{"name": "stoq-identity", "emptyDir": {}}]), "name", "volume stoq-identity"),
        (pod(containers=[container(ports=[{"containerPort": 14001}])]), "port", "port 14001"),
        (pod(containers=[container(securityContext={"runAsUser": 14008})]), "uid", "uid 14008"),
        (pod(securityContext={"runAsUser": 14008}), "uid", "container web runs as uid 14008"),
        (
            pod(initContainers=[container(name="x", securityContext={"runAsUser": 14008})]),
            "uid",
            "container x",
        ),
        ({"metadata": {}}, "invalid", "no spec.containers"),
    ],
)
def test_these_pods_are_refused_with_the_way_out(manifest: Object, reason: str, said: str) -> None:
    outcome = decide(manifest, "shop", CONFIG)
    assert isinstance(outcome, Refused)
    assert outcome.reason == reason
    assert said in outcome.why


def test_a_containers_own_user_counts_more_than_the_pods() -> None:
    manifest = pod(
        securityContext={"runAsUser": 14008},
        containers=[container(securityContext={"runAsUser": 1000})],
    )
    assert isinstance(decide(manifest, "shop", CONFIG), Injected)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("exclude_outbound_ports", "http", "'http' is neither a port nor a range"),
        ("exclude_inbound_ports", "70000", "ports are 1-65535"),
        ("exclude_outbound_cidrs", "10.0.0.1/8", "has host bits set"),
        ("cpu_request", "lots", "use a quantity such as 100m"),
        ("memory_limit", "64MB", "use a quantity"),
        ("log_level", "loud", "trace or debug or info or warn or error"),
        ("inbound", "Strict", "permissive or strict"),
        ("outbound", "deny", "allow or meshOnly"),
        ("exclude_ports", "443", "is unknown: remove it, or use one of"),
    ],
)
def test_an_annotation_that_can_not_be_used_is_named_with_its_value(
    name: str, value: str, said: str
) -> None:
    outcome = decide(annotated(**{name: value}), "shop", CONFIG)
    assert isinstance(outcome, Refused)
    assert outcome.reason == "annotation"
    assert f"stoq.dev/{name.replace('_', '-')}" in outcome.why
    assert said in outcome.why


def test_a_request_above_its_limit_is_refused_before_the_api_server_does() -> None:
    outcome = decide(annotated(memory_request="1Gi", memory_limit="1000M"), "shop", CONFIG)
    assert isinstance(outcome, Refused)
    assert "memory request is 1Gi, above its limit 1000M" in outcome.why


def test_an_annotation_that_yaml_read_as_a_number_is_refused() -> None:
    manifest = annotated()
    manifest["metadata"]["annotations"] = {"stoq.dev/cpu-limit": 1}
    outcome = decide(manifest, "shop", CONFIG)
    assert isinstance(outcome, Refused)
    assert "put it in quotes" in outcome.why


@pytest.mark.parametrize("level", ["baseline", "restricted"])
def test_pod_security_that_refuses_init_is_known(level: str) -> None:
    assert level in pod_security({"pod-security.kubernetes.io/enforce": level})


@pytest.mark.parametrize("labels", [{}, {"pod-security.kubernetes.io/enforce": "privileged"}])
def test_other_namespaces_take_init(labels: dict[str, str]) -> None:
    assert pod_security(labels) == ""


@pytest.mark.parametrize("level", ["baseline", "restricted"])
def test_in_capture_mode_node_no_level_of_pod_security_refuses_pods(level: str) -> None:
    labels = {"pod-security.kubernetes.io/enforce": level}
    assert "capture.mode=node" in pod_security(labels)
    assert pod_security(labels, "node") == ""


def test_a_user_namespace_of_its_own_and_capture_mode_node_exclude_each_other() -> None:
    alone = pod(hostUsers=False)
    outcome = decide(alone, "shop", dataclasses.replace(CONFIG, capture="node"))
    assert isinstance(outcome, Refused)
    assert outcome.reason == "user_namespace"
    assert "hostUsers" in outcome.why
    assert isinstance(decide(alone, "shop", CONFIG), Injected)
