"""What the chart makes of its values for the node agent."""

from typing import Any

import pytest

from stoq_node import settings
from support.helm import Objects, Refused, rendered

ON = "node.enabled=true"
THREE = ["BPF", "PERFMON", "NET_ADMIN"]
DAEMON_SET = ("DaemonSet", "stoq-node")


def pod(*values: str) -> dict[str, Any]:
    found: dict[str, Any] = rendered(ON, *values)[DAEMON_SET]["spec"]["template"]["spec"]
    return found


def container(*values: str) -> dict[str, Any]:
    (found,) = pod(*values)["containers"]
    return dict(found)


def environment(*values: str) -> dict[str, str]:
    return {item["name"]: item.get("value", "node-1") for item in container(*values)["env"]}


def rights(*values: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = rendered(ON, *values)["ClusterRole", "stoq-node"]["rules"]
    return found


def agents_parts(objects: Objects) -> set[str]:
    return {kind for kind, name in objects if name == "stoq-node"}


def test_without_the_value_nothing_of_it_is_there() -> None:
    assert agents_parts(rendered("monitoring.podMonitor.enabled=true")) == set()
    assert agents_parts(rendered(ON)) == {
        "ServiceAccount",
        "ClusterRole",
        "ClusterRoleBinding",
        "DaemonSet",
    }


def test_the_agent_accepts_the_settings_it_is_given() -> None:
    found = settings.read(
        environment(
            "node.guard.mode=generic",
            "node.guard.interface=eth0",
            "node.guard.allow={10.0.0.0/8,fd00::/8}",
            "node.nameservers={192.0.2.53}",
            "node.bpffs=/run/bpf",
        )
    )
    assert found.kubernetes.node == "node-1"
    assert list(map(str, found.kubernetes.nameservers)) == ["192.0.2.53"]
    assert found.kernel.pins == "/run/bpf/stoq"
    assert (found.guard.mode, found.guard.interface) == ("generic", "eth0")
    assert list(map(str, found.guard.allow)) == ["10.0.0.0/8", "fd00::/8"]
    assert settings.read(environment()).kernel.pins == settings.read({}).kernel.pins


def test_it_has_three_capabilities_and_no_privilege() -> None:
    spec, found = pod(), container()["securityContext"]
    assert found["capabilities"] == {"drop": ["ALL"], "add": THREE}
    assert found["allowPrivilegeEscalation"] is False
    assert found["readOnlyRootFilesystem"] is True
    assert "privileged" not in found
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert "hostPID" not in spec
    assert [item["hostPath"] for item in spec["volumes"] if "hostPath" in item] == [
        {"path": "/sys/fs/bpf", "type": "Directory"}
    ]


def test_to_capture_it_enters_namespaces_and_has_what_that_takes() -> None:
    capture = ("capture.mode=node", "node.namespaces=/var/run/netns")
    found = container(*capture)
    assert found["securityContext"]["capabilities"]["add"] == [*THREE, "SYS_ADMIN", "NET_RAW"]
    assert settings.read(environment(*capture)).capture.namespaces == "/var/run/netns"
    assert settings.read(environment()).capture.namespaces == ""
    (mount,) = [item for item in found["volumeMounts"] if item["name"] == "namespaces"]
    assert mount["mountPropagation"] == "HostToContainer"
    assert mount["readOnly"] is True
    assert "hostPID" not in pod(*capture)


def test_to_lend_interfaces_it_has_raw_sockets_and_locked_memory() -> None:
    lends = ("capture.mode=node", "capture.udp=false", "node.afXdp=copy")
    added = container(*lends)["securityContext"]["capabilities"]["add"]
    assert added == [*THREE, "SYS_ADMIN", "NET_RAW", "IPC_LOCK"]
    assert settings.read(environment(*lends)).af_xdp.mode == "copy"
    assert settings.read(environment("capture.mode=node")).af_xdp.mode == "off"
    chooses = ("capture.mode=node", "node.afXdp=auto")
    assert settings.read(environment(*chooses)).af_xdp.mode == "auto"
    assert "IPC_LOCK" in container(*chooses)["securityContext"]["capabilities"]["add"]
    # Without a broker there is nobody to pass them.
    alone = container("node.afXdp=copy")["securityContext"]["capabilities"]["add"]
    assert alone == THREE


def test_it_looks_for_plaintext_past_sidecars_as_often_as_it_is_told() -> None:
    assert settings.read(environment()).bypass == settings.read({}).bypass
    assert settings.read(environment("node.bypassSeconds=0")).bypass.seconds == 0


def test_raw_sockets_are_for_captured_udp_alone() -> None:
    def webhook(*values: str) -> str:
        spec = rendered(ON, *values)["Deployment", "stoq-operator"]["spec"]["template"]["spec"]
        given = {item["name"]: item.get("value") for item in spec["containers"][1]["env"]}
        return str(given["STOQ_INJECT_CAPTURE_UDP"])

    def capabilities(*values: str) -> list[str]:
        return list(container(*values)["securityContext"]["capabilities"]["add"])

    without = ("capture.mode=node", "capture.udp=false")
    assert capabilities(*without) == [*THREE, "SYS_ADMIN"]
    assert (webhook("capture.mode=node"), webhook(*without)) == ("true", "false")
    # In mode init nobody could pass the sockets.
    assert (capabilities("capture.udp=true"), webhook("capture.udp=true")) == (THREE, "false")


def test_capture_by_agents_takes_agents() -> None:
    with pytest.raises(Refused, match=r"set node\.enabled=true"):
        rendered("capture.mode=node")
    with pytest.raises(Refused, match="mode"):
        rendered(ON, "capture.mode=both")


def test_webhook_operator_and_second_lock_know_who_captures() -> None:
    for values, mode in (((ON,), "init"), ((ON, "capture.mode=node"), "node")):
        objects = rendered(*values)
        (operator, webhook) = objects["Deployment", "stoq-operator"]["spec"]["template"]["spec"][
            "containers"
        ]
        for found in (operator, webhook):
            given = {item["name"]: item.get("value") for item in found["env"]}
            assert given["STOQ_INJECT_CAPTURE"] == mode
        lock = objects["ValidatingAdmissionPolicy", "stoq-enrolled"]["spec"]["validations"][0]
        assert ("STOQ_CAPTURE_MODE" in lock["expression"]) is (mode == "node")


def test_it_is_on_the_nodes_network_and_asks_the_clusters_name_servers() -> None:
    spec = pod()
    assert spec["hostNetwork"] is True
    assert spec["dnsPolicy"] == "ClusterFirstWithHostNet"


def test_it_runs_on_every_linux_node_before_what_it_enforces() -> None:
    spec = pod("node.nodeSelector.pool=mesh")
    assert spec["nodeSelector"] == {"kubernetes.io/os": "linux", "pool": "mesh"}
    assert spec["tolerations"] == [{"operator": "Exists"}]
    assert spec["priorityClassName"] == "system-node-critical"


def test_two_agents_are_never_on_one_node() -> None:
    def strategy(*values: str) -> Any:
        return rendered(ON, *values)[DAEMON_SET]["spec"]["updateStrategy"]["rollingUpdate"]

    assert strategy() == {"maxSurge": 0, "maxUnavailable": 1}
    assert strategy("node.maxUnavailable=10%")["maxUnavailable"] == "10%"


def test_it_may_read_pods_and_policies_and_write_what_its_node_can_do_and_events() -> None:
    may = {
        (resource, verb)
        for rule in rights()
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    assert may == {
        *((kind, verb) for kind in ("pods", "meshconfigs", "transportpolicies")
          for verb in ("list", "watch")),
        ("nodecapabilities", "create"),
        ("nodecapabilities", "patch"),
        ("nodecapabilities/status", "patch"),
        ("nodes", "get"),
        ("events", "create"),
    }  # fmt: skip


def test_the_operators_objects_do_not_choose_its_pods() -> None:
    objects = rendered(ON, "networkPolicy.enabled=true")
    labels = objects[DAEMON_SET]["spec"]["template"]["metadata"]["labels"]
    assert labels.items() >= objects[DAEMON_SET]["spec"]["selector"]["matchLabels"].items()
    for kind, place in (("Deployment", "selector"), ("NetworkPolicy", "podSelector")):
        chosen = objects[kind, "stoq-operator"]["spec"][place]["matchLabels"]
        assert not labels.items() >= chosen.items()


def test_metrics_keep_the_names_of_the_pods_that_they_are_about() -> None:
    monitor = rendered(ON, "monitoring.podMonitor.enabled=true")["PodMonitor", "stoq-node"]
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    assert endpoint["honorLabels"] is True
    assert endpoint["port"] in {port["name"] for port in container()["ports"]}


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("node.enable=true", "enable"),
        ("node.guard.mode=fast", "mode"),
        ("node.maxUnavailable=0", "maxUnavailable"),
        ("node.maxUnavailable=ten", "maxUnavailable"),
        ("node.bpffs=bpf", "bpffs"),
        ("node.namespaces=netns", "namespaces"),
        ("node.nameservers={dns}", "nameservers"),
        ("node.guard.deny={everyone}", "deny"),
    ],
)
def test_a_value_that_can_not_be_is_refused_by_name(value: str, said: str) -> None:
    with pytest.raises(Refused, match=said):
        rendered(ON, value)
