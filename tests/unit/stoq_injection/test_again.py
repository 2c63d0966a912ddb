"""Injection of a pod that has been injected, by us or by something that looks like us."""

import copy
import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stoq.injection.annotations import quantity
from stoq.injection.config import Config
from stoq.injection.decide import Injected, decide
from support.pods import CONFIG, annotated, applied, pod

Object = dict[str, Any]

NAMES = st.text("abcdefgh-", min_size=1, max_size=8).filter(lambda name: name.strip("-") == name)
CONTAINERS = st.lists(
    st.fixed_dictionaries(
        {"name": NAMES, "image": NAMES},
        optional={
            "securityContext": st.fixed_dictionaries({"runAsUser": st.integers(0, 10_000)}),
            "ports": st.lists(st.fixed_dictionaries({"containerPort": st.integers(1, 13_000)})),
            "env": st.lists(st.fixed_dictionaries({"name": NAMES, "value": st.text()})),
        },
    ),
    max_size=4,
    unique_by=lambda container: str(container["name"]),
)
VOLUMES = st.lists(
    st.fixed_dictionaries({"name": NAMES, "emptyDir": st.just({})}),
    max_size=3,
    unique_by=lambda volume: str(volume["name"]),
)
PODS = st.builds(
    lambda app, init, volumes, annotations: {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"generateName": "web-"} | annotations,
        "spec": {"containers": app} | init | volumes,
    },
    CONTAINERS.filter(bool),
    st.one_of(st.just({}), st.builds(lambda found: {"initContainers": found}, CONTAINERS)),
    st.one_of(st.just({}), st.builds(lambda found: {"volumes": found}, VOLUMES)),
    st.one_of(
        st.just({}),
        st.builds(
            lambda found: {"annotations": found},
            st.dictionaries(st.text("ab/~.", min_size=1), st.text()),
        ),
    ),
)


def patched(manifest: Object, config: Config = CONFIG) -> Object:
    outcome = decide(manifest, "shop", config)
    assert isinstance(outcome, Injected), outcome
    return applied(manifest, outcome.patch)


@given(PODS)
def test_the_patch_makes_the_pod_that_was_decided_and_keeps_all_there_was(manifest: Object) -> None:
    before = copy.deepcopy(manifest)
    outcome = decide(manifest, "shop", CONFIG)
    assert isinstance(outcome, Injected)
    assert manifest == before
    made = applied(manifest, outcome.patch)
    assert made == outcome.pod
    assert made["spec"]["containers"] == before["spec"]["containers"]
    assert made["spec"]["initContainers"][2:] == before["spec"].get("initContainers", [])
    assert made["spec"]["volumes"][:-1] == before["spec"].get("volumes", [])
    assert before["metadata"].get("annotations", {}).items() <= (
        made["metadata"]["annotations"].items()
    )


@given(PODS)
def test_a_second_time_changes_nothing(manifest: Object) -> None:
    outcome = decide(patched(manifest), "shop", CONFIG)
    assert isinstance(outcome, Injected)
    assert outcome.patch == ()


def as_the_api_server_returns_it(made: Object) -> Object:
    """With the defaults and the mounts that it adds before a webhook is asked again."""
    result = copy.deepcopy(made)
    for container in result["spec"]["initContainers"]:
        container["terminationMessagePath"] = "/dev/termination-log"
        token = {"name": "kube-api-access-x", "mountPath": "/var/run/secrets/…", "readOnly": True}
        container.setdefault("volumeMounts", []).append(token)
        container.setdefault("env", []).append({"name": "OTHER_WEBHOOK", "value": "1"})
    probe = result["spec"]["initContainers"][0]["readinessProbe"]
    probe["httpGet"]["scheme"] = "HTTP"
    probe["successThreshold"] = 1
    result["spec"]["volumes"][0]["projected"]["defaultMode"] = 420
    return result


def test_what_the_api_server_and_other_webhooks_add_is_kept() -> None:
    seen = as_the_api_server_returns_it(patched(pod()))
    outcome = decide(seen, "shop", CONFIG)
    assert isinstance(outcome, Injected)
    assert outcome.patch == ()


def test_a_container_that_another_webhook_put_first_moves_behind_ours() -> None:
    seen = as_the_api_server_returns_it(patched(pod()))
    ours = list(seen["spec"]["initContainers"])
    seen["spec"]["initContainers"].insert(0, {"name": "vault", "image": "v"})
    assert patched(seen)["spec"]["initContainers"] == [*ours, {"name": "vault", "image": "v"}]


def test_a_pod_injected_by_an_older_version_gets_todays_containers() -> None:
    older = patched(pod(), dataclasses.replace(CONFIG, sidecar_image="r.test/sidecar:0"))
    assert patched(older)["spec"]["initContainers"] == patched(pod())["spec"]["initContainers"]


@pytest.mark.parametrize(
    ("place", "field", "value"),
    [
        (0, "command", ["sleep", "infinity"]),
        (0, "image", "r.test/other:1"),
        (0, "lifecycle", {"postStart": {"exec": {"command": ["true"]}}}),
        (0, "securityContext", {"privileged": True}),
        (0, "startupProbe", {"httpGet": {"path": "/healthz/ready", "port": 14020}}),
        (1, "args", ["--undo"]),
        (1, "command", ["stoq-init"]),
        (1, "env", [{"name": "STOQ_LOG_LEVEL", "value": "debug"}]),
    ],
)
def test_a_container_that_only_looks_like_ours_is_replaced(
    place: int, field: str, value: object
) -> None:
    forged = patched(pod())
    forged["spec"]["initContainers"][place][field] = value
    assert patched(forged)["spec"]["initContainers"] == patched(pod())["spec"]["initContainers"]


def test_a_setting_that_somebody_slipped_in_is_removed() -> None:
    forged = patched(pod())
    uid = {"name": "STOQ_CAPTURE_SIDECAR_UID", "value": "1000"}
    forged["spec"]["initContainers"][0]["env"].append(uid)
    assert patched(forged)["spec"]["initContainers"] == patched(pod())["spec"]["initContainers"]


def test_changed_annotations_change_the_containers() -> None:
    meshed = patched(annotated(cpu_request="100m"))
    meshed["metadata"]["annotations"]["stoq.dev/cpu-request"] = "200m"
    sidecar = patched(meshed)["spec"]["initContainers"][0]
    assert sidecar["resources"]["requests"]["cpu"] == "200m"


@given(st.integers(0, 10**12), st.sampled_from(["", "m", "k", "Ki", "M", "Gi", "e3", "E"]))
def test_quantities_are_numbers(number: int, suffix: str) -> None:
    factors = {"": 1, "k": 10**3, "Ki": 2**10, "M": 10**6, "Gi": 2**30, "e3": 10**3, "E": 10**18}
    found = quantity(f"{number}{suffix}")
    assert found * 1000 == number if suffix == "m" else found == number * factors[suffix]


@pytest.mark.parametrize("text", ["", "m", "1,5", "-1", "1kb", "1KiB", "0x10", "٣", "1e999", " 1"])
def test_what_is_no_quantity_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        quantity(text)
