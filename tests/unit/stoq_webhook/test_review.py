"""What the API server is answered."""

import dataclasses
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from stoq_operator.webhook.notices import QUIET_SECONDS, REMEMBERED, Said, notice
from stoq_operator.webhook.review import Answer, ReviewError, answer
from support.pods import CONFIG, annotated, applied, pod
from support.webhook import patch_of, review

Object = dict[str, Any]

RESTRICTED = {"shop": {"pod-security.kubernetes.io/enforce": "restricted"}}


def response(found: Answer) -> Object:
    body = json.loads(found.body)
    assert (body["apiVersion"], body["kind"]) == ("admission.k8s.io/v1", "AdmissionReview")
    made: Object = body["response"]
    assert made["uid"] == "705ab4f5-6393-11e8-b7cc-42010a800002"
    return made


def test_a_pod_is_allowed_with_the_patch_that_meshes_it() -> None:
    found = answer(review(pod()), CONFIG, {})
    made = response(found)
    assert made["allowed"]
    containers = applied(pod(), patch_of(made))["spec"]["initContainers"]
    assert [container["name"] for container in containers] == ["stoq-sidecar", "stoq-init"]
    assert (found.outcome, found.reason, found.notice) == ("injected", "", None)


def test_a_meshed_pod_is_allowed_without_a_patch() -> None:
    meshed = applied(pod(), patch_of(response(answer(review(pod()), CONFIG, {}))))
    found = answer(review(meshed), CONFIG, {})
    assert response(found)["allowed"]
    assert "patch" not in response(found)
    assert found.outcome == "unchanged"


def test_a_pod_that_can_not_be_meshed_is_refused_with_the_way_out() -> None:
    found = answer(review(annotated(cpu_request="lots")), CONFIG, {})
    made = response(found)
    assert not made["allowed"]
    assert "stoq.dev/cpu-request is 'lots'" in made["status"]["message"]
    assert (found.outcome, found.reason) == ("refused", "annotation")


def test_a_pod_on_the_nodes_network_is_let_through_and_its_author_is_told() -> None:
    found = answer(review(pod(hostNetwork=True)), CONFIG, {})
    made = response(found)
    assert made["allowed"]
    assert "patch" not in made
    assert "hostNetwork: true" in made["warnings"][0]
    assert found.notice is not None
    assert found.notice.reason == "NotMeshed"


def test_a_pod_that_opts_out_needs_no_event() -> None:
    manifest = pod()
    manifest["metadata"]["labels"]["stoq.dev/inject"] = "disabled"
    found = answer(review(manifest), CONFIG, {})
    assert (found.outcome, found.reason, found.notice) == ("skipped", "opted_out", None)


def test_the_author_is_told_of_pod_security_that_will_refuse_the_pod() -> None:
    found = answer(review(pod()), CONFIG, RESTRICTED)
    assert found.outcome == "injected"
    assert found.notice is not None
    assert "enforces Pod Security restricted" in found.notice.message
    assert "enforce=privileged" in response(found)["warnings"][0]


def test_in_capture_mode_node_no_pod_security_is_in_the_way() -> None:
    found = answer(review(pod()), dataclasses.replace(CONFIG, capture="node"), RESTRICTED)
    assert (found.outcome, found.notice) == ("injected", None)


def test_a_dry_run_is_answered_alike_and_leaves_no_event() -> None:
    wet, dry = (
        answer(review(pod(hostNetwork=True), dryRun=flag), CONFIG, {}) for flag in (False, True)
    )
    assert wet.body == dry.body
    assert dry.notice is None


def test_a_kubelets_mirror_pod_stays_as_it_is() -> None:
    manifest = pod()
    manifest["metadata"]["annotations"] = {"kubernetes.io/config.mirror": "x"}
    user = {"username": "system:node:n", "groups": ["system:nodes"]}
    assert answer(review(manifest, userInfo=user), CONFIG, {}).reason == "mirror"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "no AdmissionReview"),
        (b"\xff\xfe", "no AdmissionReview"),
        (b'{"apiVersion": "admission.k8s.io/v1"}', "no AdmissionReview"),
        (review(pod()).replace(b"k8s.io/v1", b"k8s.io/v1beta1"), "v1beta1"),
        (review({"kind": "Deployment", "spec": {}}), "the object is a 'Deployment'"),
    ],
)
def test_what_is_no_review_of_a_pod_is_refused(body: bytes, said: str) -> None:
    with pytest.raises(ReviewError, match=said):
        answer(body, CONFIG, {})


def test_an_event_is_about_what_owns_the_pod() -> None:
    owner = {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "name": "web-7",
        "uid": "u",
        "controller": True,
    }
    manifest = pod(hostNetwork=True)
    manifest["metadata"] = {"generateName": "web-7-", "ownerReferences": [owner]}
    found = answer(review(manifest), CONFIG, {}).notice
    assert found is not None
    event = found.event(datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))
    assert event["involvedObject"] == {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "name": "web-7",
        "uid": "u",
        "namespace": "shop",
    }
    assert event["metadata"]["namespace"] == "shop"
    assert event["firstTimestamp"] == "2026-01-02T03:04:05Z"
    assert event["message"].startswith("pod shop/web-7- not meshed: ")


def test_the_same_is_said_once_in_a_while() -> None:
    said = Said()
    found, other = (notice(pod(), namespace, "R", "m") for namespace in ("shop", "bank"))
    assert [said.again(found, now) for now in (0.0, QUIET_SECONDS - 1, QUIET_SECONDS)] == [
        False,
        True,
        False,
    ]
    assert not said.again(other, 0.0)


def test_what_was_said_is_not_remembered_for_ever() -> None:
    said = Said()
    for number in range(REMEMBERED + 1):
        assert not said.again(notice(pod(), f"n{number}", "R", "m"), 0.0)
    assert not said.again(notice(pod(), "n0", "R", "m"), 1.0)
    assert said.again(notice(pod(), f"n{REMEMBERED}", "R", "m"), 1.0)
