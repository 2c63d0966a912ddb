"""What the programs of a cluster are told."""

import json
from pathlib import Path

import pytest

from clusterlib import binaries, cgroups, control, debian, kind, manifests, node
from clusterlib.pki import Pair
from clusterlib.plan import Family, make

PAIR = Pair(Path("/k/x.crt"), Path("/k/x.key"))
FILES = control.Files(Path("/c"), PAIR, PAIR, PAIR, PAIR, PAIR, PAIR)


def argv(family: Family, service: str) -> list[str]:
    plan = make("local", 2, family, 0)
    services = control.services(plan, FILES, Path("/b"))
    return list(next(each.argv for each in services if each.name == service))


def test_the_api_server_dials_webhooks_at_their_pods() -> None:
    assert "--enable-aggregator-routing=true" in argv(Family.IPV6, "kube-apiserver")


def test_the_api_server_writes_an_audit_log() -> None:
    assert f"--audit-log-path={FILES.audit_log}" in argv(Family.IPV6, "kube-apiserver")


def test_admission_is_kubernetes_default_and_more_not_less() -> None:
    flags = argv(Family.IPV6, "kube-apiserver")
    assert "--enable-admission-plugins=NodeRestriction" in flags
    assert not [flag for flag in flags if flag.startswith("--disable-admission")]


@pytest.mark.parametrize(
    ("family", "expected"),
    [
        (Family.IPV6, ["--node-cidr-mask-size=64"]),
        (Family.IPV4, ["--node-cidr-mask-size=24"]),
        (Family.DUAL, ["--node-cidr-mask-size-ipv6=64", "--node-cidr-mask-size-ipv4=24"]),
    ],
)
def test_pod_ranges_have_the_size_that_the_routes_have(family: Family, expected: list[str]) -> None:
    flags = argv(family, "kube-controller-manager")
    assert [flag for flag in flags if "mask-size" in flag] == expected


def test_nodes_are_registered_with_the_pod_ranges_that_are_routed_to_them() -> None:
    plan = make("local", 2, Family.DUAL, 0)
    ranges = [each["spec"]["podCIDRs"] for each in manifests.nodes(plan)]
    assert ranges == [[str(range_) for range_ in each.pod_ranges] for each in plan.nodes]
    network = node.network(plan, plan.nodes[1])["plugins"][0]["ipam"]
    assert [entry[0]["subnet"] for entry in network["ranges"]] == ranges[1]


def test_the_dns_service_has_the_address_that_kubelets_tell_pods() -> None:
    plan = make("local", 2, Family.DUAL, 0)
    service = manifests.system(plan)[-1]
    assert service["spec"]["clusterIPs"] == node.kubelet(plan, "/x")["clusterDNS"]


def test_a_nodes_files_are_in_its_own_var() -> None:
    plan = make("local", 1, Family.IPV6, 0)
    assert all(path.startswith("/var/") for path in node.files(plan, plan.nodes[0], "/x"))


def test_kind_has_a_control_plane_beside_the_nodes_and_the_same_audit_policy() -> None:
    config = kind.config(2, Family.IPV6, Path("/audit"))
    assert [each["role"] for each in config["nodes"]] == ["control-plane", "worker", "worker"]
    patch = json.loads(config["kubeadmConfigPatchesJSON6902"][0]["patch"])
    assert "audit-policy-file" in {each["value"]["name"] for each in patch[:-1]}


def test_every_program_of_a_provider_is_built_from_a_package() -> None:
    tools = binaries.tools()
    assert tools["etcd"] == "go.etcd.io/etcd/server/v3"
    for provider in ("modules", "kind"):
        assert set(binaries.programs(provider)) <= set(tools)
    assert "kind" not in binaries.programs("modules")


def test_programs_say_the_version_that_they_were_built_from() -> None:
    version = binaries.version("k8s.io/kubernetes")
    assert f"gitVersion={version}" in binaries.linker_flags()


def test_images_are_of_the_debian_that_runs_here() -> None:
    assert debian.release("ID=debian\nVERSION_CODENAME=trixie\n") == "trixie"
    assert debian.release("ID=other\n") == "stable"


def test_cgroup_hierarchies_of_both_versions_are_found() -> None:
    mountinfo = (
        "30 25 0:26 / /sys/fs/cgroup ro - tmpfs tmpfs ro\n"
        "31 30 0:27 / /sys/fs/cgroup/cpu rw,nosuid shared:9 - cgroup cgroup rw,cpu\n"
        "32 30 0:28 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
    )
    found = cgroups.hierarchies(mountinfo)
    assert found == [Path("/sys/fs/cgroup/cpu"), Path("/sys/fs/cgroup/unified")]
