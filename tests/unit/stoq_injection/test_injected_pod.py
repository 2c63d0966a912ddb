"""What a meshed pod looks like."""

import dataclasses
import json
from typing import Any

import pytest

from stoq.injection import names
from stoq.injection.config import Config
from stoq.injection.decide import Injected, Refused, decide
from stoq_sidecar.settings import read, required
from support.pods import CONFIG, annotated, applied, pod

Object = dict[str, Any]


def injected(manifest: Object, config: Config = CONFIG) -> Object:
    outcome = decide(manifest, "shop", config)
    assert isinstance(outcome, Injected), outcome
    return applied(manifest, outcome.patch)


def environment(container: Object) -> dict[str, str]:
    """As the container will see it, with the downward API filled in."""
    fields = {
        "metadata.name": "web-0",
        "metadata.namespace": "shop",
        "spec.serviceAccountName": "web",
        "spec.nodeName": "node0",
        "status.hostIPs": "fd00::10,10.0.0.16",
    }
    return {
        item["name"]: item["value"]
        if "value" in item
        else fields[item["valueFrom"]["fieldRef"]["fieldPath"]]
        for item in container["env"]
    }


def test_our_containers_come_before_the_users_own_init_containers() -> None:
    made = injected(pod(initContainers=[{"name": "migrate", "image": "r.test/migrate:1"}]))
    names_in_order = [container["name"] for container in made["spec"]["initContainers"]]
    assert names_in_order == ["stoq-sidecar", "stoq-init", "migrate"]
    assert [container["name"] for container in made["spec"]["containers"]] == ["web"]


def test_only_the_sidecar_is_native_and_only_init_has_privileges() -> None:
    sidecar, init = injected(pod())["spec"]["initContainers"]
    assert "restartPolicy" not in init
    assert sidecar["restartPolicy"] == "Always"
    assert init["securityContext"]["capabilities"] == {
        "drop": ["ALL"],
        "add": ["NET_ADMIN", "NET_RAW"],
    }
    assert init["securityContext"]["runAsUser"] == 0
    assert sidecar["securityContext"] == {  # Pod Security Standard restricted
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "seccompProfile": {"type": "RuntimeDefault"},
        "runAsUser": 14008,
        "runAsGroup": 14008,
        "runAsNonRoot": True,
        "capabilities": {"drop": ["ALL"]},
    }


def test_one_container_behind_the_sidecar_holds_the_application_back() -> None:
    node = dataclasses.replace(CONFIG, capture="node")
    for config, command in ((CONFIG, ["stoq-init", "--wait"]), (node, ["stoq-ready"])):
        sidecar, holds = injected(pod(), config)["spec"]["initContainers"]
        assert holds["command"] == command
        # With a startup probe the kubelet would not start what the sidecar's readiness is asked by.
        assert not {"startupProbe", "livenessProbe", "lifecycle"} & sidecar.keys()
        # What runs as the sidecar's user is not captured.
        assert holds["securityContext"]["runAsUser"] != sidecar["securityContext"]["runAsUser"]


def test_a_pod_whose_sidecar_starts_again_is_not_ready_meanwhile() -> None:
    probe = injected(pod())["spec"]["initContainers"][0]["readinessProbe"]
    assert probe["httpGet"] == {"path": "/healthz/ready?wait=0.9", "port": 14020}
    # The answer is held back for less than the kubelet waits for it, and than it lets pass by.
    assert probe["timeoutSeconds"] >= 0.9 <= probe["periodSeconds"]


def test_both_containers_get_settings_that_their_programs_accept() -> None:
    made = injected(annotated(exclude_outbound_ports="443,8000-8010", log_level="debug"))
    for container in made["spec"]["initContainers"]:
        settings = read("", environment(container))
        assert required(settings) == []
        assert settings.spiffe_id == "spiffe://cluster.local/ns/shop/sa/web"
        assert settings.control.address == "stoq-operator.stoq-system.svc:14012"
        assert settings.log.level == "debug"
        assert [str(item) for item in settings.plan().exclude_outbound_ports] == [
            "443",
            "8000-8010",
        ]


def test_every_exclusion_reaches_capture() -> None:
    made = injected(annotated(exclude_outbound_cidrs="fd00::/64", exclude_inbound_ports="9090"))
    plan = read("", environment(made["spec"]["initContainers"][0])).plan()
    assert [str(item) for item in plan.exclude_outbound_networks] == ["fd00::/64"]
    assert [str(item) for item in plan.exclude_inbound_ports] == ["9090"]


def test_the_pods_own_word_on_plaintext_reaches_the_sidecar() -> None:
    made = injected(annotated(inbound="strict", outbound="meshOnly"))
    settings = read("", environment(made["spec"]["initContainers"][0]))
    assert (settings.pod.inbound, settings.pod.outbound) == ("strict", "meshOnly")


def test_the_sidecar_learns_which_ports_the_node_may_probe() -> None:
    manifest = pod(
        containers=[
            {
                "name": "web",
                "image": "r.test/web:1",
                "ports": [{"name": "health", "containerPort": 9000}],
                "livenessProbe": {"httpGet": {"port": "health"}},
                "readinessProbe": {"tcpSocket": {"port": 8080}},
                "startupProbe": {"grpc": {"port": 50051}},
                "lifecycle": {"preStop": {"httpGet": {"port": "8081"}}},
            },
            {
                "name": "other",
                "image": "r.test/other:1",
                "livenessProbe": {"exec": {"command": ["true"]}},
                "readinessProbe": {"httpGet": {"port": "nowhere"}},
                "startupProbe": {"httpGet": {"port": 1, "host": "r.test"}},
            },
        ]
    )
    settings = read("", environment(injected(manifest)["spec"]["initContainers"][0]))
    probed = [str(ports) for ports in settings.capture.probe_ports]
    assert probed == ["8080", "8081", "9000", "50051"]
    assert [str(host) for host in settings.pod.host_addresses] == ["fd00::10", "10.0.0.16"]


def test_a_mesh_of_ipv6_only_says_so_to_both_containers() -> None:
    config = Config(sidecar_image="s", init_image="i", ipv6_only=True)
    for container in injected(pod(), config)["spec"]["initContainers"]:
        assert read("", environment(container)).plan().ipv6_only


def test_a_mesh_that_requires_a_signed_registry_says_so_to_sidecars() -> None:
    (prefers, _) = injected(pod())["spec"]["initContainers"]
    assert read("", environment(prefers)).discovery.signed == "prefer"
    config = Config(sidecar_image="s", init_image="i", discovery_signed="require")
    for container in injected(pod(), config)["spec"]["initContainers"]:
        assert read("", environment(container)).discovery.signed == "require"


def test_a_mesh_of_the_small_degree_has_sidecars_begin_with_it() -> None:
    (usual, _) = injected(pod())["spec"]["initContainers"]
    assert "STOQ_IDENTITY_PROFILE" not in environment(usual)
    config = Config(sidecar_image="s", init_image="i", profile="hybrid-512")
    for container in injected(pod(), config)["spec"]["initContainers"]:
        assert read("", environment(container)).identity.profile == "hybrid-512"


def test_token_and_bundle_are_where_the_sidecar_looks() -> None:
    made = injected(pod())
    (volume,) = made["spec"]["volumes"]
    token, bundle = volume["projected"]["sources"]
    settings = read("", environment(made["spec"]["initContainers"][0]))
    (mount,) = made["spec"]["initContainers"][0]["volumeMounts"]
    assert mount == {"name": volume["name"], "mountPath": names.MOUNT_PATH, "readOnly": True}
    token_path = f"{names.MOUNT_PATH}/{token['serviceAccountToken']['path']}"
    assert token_path == settings.identity.token_file
    assert token["serviceAccountToken"]["audience"] == "stoq.dev"
    assert f"{names.MOUNT_PATH}/{bundle['configMap']['items'][0]['path']}" == (
        settings.identity.bundle_file
    )
    assert bundle["configMap"]["optional"] is False


def test_resources_come_from_the_mesh_and_annotations_win() -> None:
    config = Config(sidecar_image="s", init_image="i", memory_limit="256Mi")
    made = injected(annotated(cpu_request="100m", cpu_limit="1"), config)
    for container in made["spec"]["initContainers"]:
        assert container["resources"] == {
            "requests": {"cpu": "100m", "memory": "64Mi"},
            "limits": {"cpu": "1", "memory": "256Mi"},
        }


def test_kubectl_still_goes_to_the_application() -> None:
    annotations = injected(pod())["metadata"]["annotations"]
    assert annotations["kubectl.kubernetes.io/default-container"] == "web"
    assert annotations["kubectl.kubernetes.io/default-logs-container"] == "web"


def test_a_default_container_that_the_pod_names_stays() -> None:
    manifest = pod()
    manifest["metadata"]["annotations"] = {"kubectl.kubernetes.io/default-container": "other"}
    annotations = injected(manifest)["metadata"]["annotations"]
    assert annotations["kubectl.kubernetes.io/default-container"] == "other"


def test_the_status_annotation_says_what_was_injected() -> None:
    status = json.loads(injected(pod())["metadata"]["annotations"]["stoq.dev/status"])
    assert status["initContainers"] == ["stoq-sidecar", "stoq-init"]
    assert status["images"] == ["r.test/init:1", "r.test/sidecar:1"]
    assert status["volumes"] == ["stoq-identity"]


@pytest.mark.parametrize("field", ["annotations", "labels"])
def test_null_metadata_is_as_good_as_none(field: str) -> None:
    manifest = pod(volumes=None, initContainers=None)
    manifest["metadata"][field] = None
    outcome = decide(manifest, "shop", CONFIG)
    assert isinstance(outcome, Injected)
    assert len(outcome.pod["spec"]["initContainers"]) == 2


def test_in_capture_mode_node_the_sidecar_waits_for_the_agent_and_nothing_has_privileges() -> None:
    config = dataclasses.replace(CONFIG, capture="node")
    made = injected(annotated(exclude_outbound_ports="443"), config)
    sidecar, ready = made["spec"]["initContainers"]
    assert (sidecar["name"], ready["name"]) == (names.SIDECAR, names.READY)
    for container in (sidecar, ready):
        assert container["securityContext"]["runAsNonRoot"]
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    settings = read("", environment(sidecar))
    assert required(settings) == []
    assert (settings.capture.mode, settings.capture.broker_uid) == ("node", 0)
    assert settings.capture.broker_seconds == 600
    assert list(map(str, settings.capture.exclude_outbound_ports)) == ["443"]
    assert json.loads(made["metadata"]["annotations"][names.STATUS])["initContainers"] == [
        names.SIDECAR,
        names.READY,
    ]
    assert injected(made, config) == made


WITH_UDP = dataclasses.replace(CONFIG, capture="node", capture_udp=True)


def udp_of(manifest: Object, config: Config) -> str:
    sidecar = injected(manifest, config)["spec"]["initContainers"][0]
    return read("", environment(sidecar)).capture.udp


def test_a_sidecar_is_told_whether_to_insist_on_captured_udp() -> None:
    assert udp_of(pod(), WITH_UDP) == "on"
    assert udp_of(annotated(capture_udp="on"), WITH_UDP) == "on"
    assert udp_of(annotated(capture_udp="off"), WITH_UDP) == "off"
    assert udp_of(pod(), dataclasses.replace(WITH_UDP, capture_udp=False)) == "off"


def test_exclusions_of_udp_alone_reach_capture() -> None:
    made = injected(
        annotated(exclude_outbound_udp_ports="123", exclude_inbound_udp_ports="5060"), WITH_UDP
    )
    plan = read("", environment(made["spec"]["initContainers"][0])).plan()
    assert list(map(str, plan.exclude_outbound_udp_ports)) == ["123"]
    assert list(map(str, plan.exclude_inbound_udp_ports)) == ["5060"]


@pytest.mark.parametrize(
    "config", [CONFIG, dataclasses.replace(CONFIG, capture_udp=True),
               dataclasses.replace(CONFIG, capture="node")],
)  # fmt: skip
def test_a_pod_that_wants_udp_captured_is_refused_where_nobody_can(config: Config) -> None:
    outcome = decide(annotated(capture_udp="on"), "shop", config)
    assert isinstance(outcome, Refused)
    assert "stoq.dev/capture-udp is 'on'" in outcome.why
    assert "capture.udp=true" in outcome.why


def test_a_pod_of_the_other_capture_mode_becomes_one_of_this() -> None:
    node = dataclasses.replace(CONFIG, capture="node")
    assert injected(injected(pod()), node)["spec"] == injected(pod(), node)["spec"]
    assert injected(injected(pod(), node))["spec"] == injected(pod())["spec"]


def test_a_pod_as_an_earlier_version_made_it_becomes_one_of_this() -> None:
    """The webhooks of two versions may answer for one pod while the mesh is upgraded."""
    made = injected(pod(initContainers=[{"name": "migrate", "image": "r.test/migrate:1"}]))
    sidecar, init, migrate = made["spec"]["initContainers"]
    ready = {"name": "stoq-ready", "image": "r.test/sidecar:1", "command": ["stoq-ready"]}
    before = [{**init, "command": ["stoq-init"]}, sidecar, ready, migrate]
    earlier = {**made, "spec": {**made["spec"], "initContainers": before}}
    assert injected(earlier)["spec"] == made["spec"]
