import base64
from datetime import timedelta

import pytest

from stoq.records.mesh import RootsReason
from stoqctl.judge import agents, install, network, records, removal, workloads
from stoqctl.judge.facts import Facts, few
from unit.stoqctl.mesh import NOW, certificate, established, pod

VERSION = {"major": "1", "minor": "36"}
TIME = NOW.timestamp()


def facts(**parts):
    return Facts(version=VERSION, **parts)


def failed(findings):
    return {item.name: item.detail for item in findings if not item.ok}


@pytest.mark.parametrize(("minor", "good"), [("29", False), ("30", True), ("36+", True)])
def test_a_cluster_must_be_new_enough(minor, good):
    (found,) = install.api(Facts(version={"major": "1", "minor": minor}))
    assert found.ok == good


def test_kinds_that_are_missing_or_not_served_are_named():
    crds = {f"{kind}.stoq.dev": established(kind) for kind in install.KINDS[1:]}
    crds["revocations.stoq.dev"]["spec"]["versions"][0]["served"] = False
    crds["servicerecords.stoq.dev"]["status"]["conditions"] = []
    detail = install.definitions(facts(crds=crds)).detail
    assert detail == (
        "accesspolicies is missing, revocations is not served as v1alpha1, "
        "servicerecords is not established"
    )


def webhook(bundle):
    return {"webhooks": [{"clientConfig": {"caBundle": base64.b64encode(bundle).decode()}}]}


@pytest.mark.parametrize(
    ("bundle", "says"),
    [(b"", "no caBundle yet"), (b"junk", "is no certificate"), (certificate(-1), "ended 1 d")],
)
def test_a_webhook_that_the_api_server_can_not_trust_is_found(bundle, says):
    found = facts(webhook=webhook(bundle) if bundle else {"webhooks": [{}]})
    assert says in failed(install.webhook(found, TIME + 5))["webhook"]


def test_a_certificate_that_nobody_renews_is_found():
    found = facts(webhook=webhook(certificate(300)), serving_pem=certificate(3))
    assert list(failed(install.webhook(found, TIME))) == ["webhook certificate"]
    found = facts(webhook=webhook(certificate(300)), serving_pem=b"junk")
    assert "can not be read" in failed(install.webhook(found, TIME))["webhook certificate"]


def test_a_leader_that_stopped_renewing_is_found():
    renewed = (NOW - timedelta(minutes=5)).isoformat()
    lease = {"spec": {"holderIdentity": "a", "renewTime": renewed}}
    deployment = {"spec": {"replicas": 2}, "status": {"readyReplicas": 1}}
    found = failed(install.operator(facts(deployment=deployment, lease=lease), TIME))
    assert found == {"operator": "1 of 2 replicas ready", "leader": "a, renewed 5 min 0 s ago"}
    assert failed(install.operator(facts(deployment=deployment), TIME))["leader"] == (
        "no replica leads"
    )


def test_two_mesh_configurations_are_one_too_many():
    meshes = [{"metadata": {"name": name}} for name in ("default", "other")]
    assert "the first by name holds" in install.mesh(facts(meshes=meshes)).fix


def place(name, **labels):
    return {"metadata": {"name": name, "labels": labels}}


def test_trust_bundles_that_are_missing_differ_or_end_are_found():
    enrolled = [place("a"), place("b"), place("c")]
    bundles = {"a": certificate(30), "b": certificate(20)}
    found = list(install.roots(facts(enrolled=enrolled, bundles=bundles), TIME))
    assert [item.name for item in found if not item.ok] == ["trust bundle", "trust bundle", "roots"]
    assert "stoq-trust is missing in c" in found[0].detail
    assert not next(install.roots(facts(bundles={"a": b"junk"}), TIME)).ok


def meshconfig(reason, message):
    said = {"type": "Ready", "status": "False", "reason": reason, "message": message}
    about = {"metadata": {"name": "default"}, "status": {"conditions": [said]}}
    return {"kind": "MeshConfig", **about}


@pytest.mark.parametrize("reason", RootsReason)
def test_roots_that_the_operator_can_not_use_are_one_finding_with_the_way_out(reason):
    found = meshconfig(reason.value, "root own ended on Friday; nothing is signed")
    (finding,) = install.roots(facts(meshes=[found]), TIME)
    assert (finding.name, finding.ok) == ("root secret", False)
    assert finding.detail == "root own ended on Friday; nothing is signed"
    assert "mend Secret stoq-system/stoq-ca" in finding.fix
    assert records.findings([found]).ok


def test_what_else_is_wrong_with_a_mesh_configuration_is_no_matter_of_the_roots():
    found = meshconfig("BundleUnusable", "spec.federated")
    assert list(install.roots(facts(meshes=[found]), TIME)) == []
    assert not records.findings([found]).ok


def test_nodes_that_are_not_ready_or_not_linux_are_named():
    ready = {"conditions": [{"type": "Ready", "status": "True"}]}
    windows = {**ready, "nodeInfo": {"operatingSystem": "windows"}}
    nodes = [{**place("n0"), "status": ready}, {**place("n1"), "status": windows}, place("n2")]
    (found,) = install.nodes(facts(nodes=nodes))
    assert found.detail == "not ready: n2"
    assert "never meshed: n1" in next(install.nodes(facts(nodes=nodes[:2]))).detail


def capability(name, enforced="True", message="", **status):
    condition = {"type": "Enforced", "status": enforced, "message": message}
    return {"metadata": {"name": name}, "status": {"conditions": [condition], **status}}


def test_without_node_agents_nothing_is_said_of_them():
    assert not list(agents.findings(facts()))


def test_nodes_that_do_not_enforce_are_named_with_their_reason():
    old = "kernel 6.1.0 is older than Linux 6.6"
    daemons = {"status": {"desiredNumberScheduled": 3, "numberReady": 2}}
    new = {"metadata": {"name": "n2"}}
    found = [capability("n0", guard="generic"), capability("n1", "False", old), new]
    assert failed(agents.findings(facts(agents=daemons, capabilities=found))) == {
        "node agents": "2 of 3 ready",
        "enforcement by the kernel": f"n1: {old}, n2: nothing is known yet",
    }
    good = {"status": {"desiredNumberScheduled": 2, "numberReady": 2}}
    both = [found[0], capability("n1", guard="native", nativeXdp=True)]
    assert [item.detail for item in agents.findings(facts(agents=good, capabilities=both))] == [
        "2 of 2 ready",
        "strict mode on 2 nodes, guard on 2, in the driver possible on 1",
    ]


def test_pods_that_bypass_their_sidecars_are_named_by_their_nodes():
    def looked(name, status, message=""):
        found = capability(name)
        accounted = {"type": "Accounted", "status": status, "message": message}
        found["status"]["conditions"].append(accounted)
        return found

    good, silent = looked("n0", "True"), capability("n2")
    (_, fine) = agents.findings(facts(capabilities=[good, silent]))
    assert (fine.ok, fine.detail) == (True, "none known on 1 nodes")
    bad = looked("n1", "False", "shop/web-0: TCP leaves")
    assert failed(agents.findings(facts(capabilities=[good, bad, silent]))) == {
        "plaintext past sidecars": "n1: shop/web-0: TCP leaves"
    }


def test_a_guard_that_would_stay_after_the_mesh_is_taken_off_first():
    guarded = facts(agents={}, capabilities=[capability("n0", guard="generic"), capability("n1")])
    (found,) = [item for item in removal.findings(guarded, [], []) if not item.ok]
    assert found.detail == "on n0, where they stay without their agents"
    assert "node.guard.mode=off" in found.fix


def test_the_kind_that_only_agents_need_is_ours_and_need_not_be_there():
    crds = {f"{kind}.stoq.dev": established(kind) for kind in (*install.KINDS, "nodecapabilities")}
    assert "names" not in failed(install.before(facts(crds=crds)))
    del crds["nodecapabilities.stoq.dev"]
    assert install.definitions(facts(crds=crds)).ok


def test_pod_security_that_refuses_the_init_container_is_said_with_its_remedy():
    level = {"pod-security.kubernetes.io/enforce": "restricted"}
    found = next(workloads.namespaces(facts(enrolled=[place("shop", **level)])))
    assert "NET_ADMIN" in found.detail
    assert "kubectl label --overwrite namespace shop" in found.fix


def capturing():
    """The control plane where node agents capture."""
    variable = {"name": "STOQ_INJECT_CAPTURE", "value": "node"}
    containers = [{"name": "webhook", "env": [variable]}]
    return {"spec": {"template": {"spec": {"containers": containers}}}}


def test_in_capture_mode_node_any_pod_security_is_fine():
    level = {"pod-security.kubernetes.io/enforce": "restricted"}
    enrolled = [place("shop", **level)]
    found = next(workloads.namespaces(facts(enrolled=enrolled, deployment=capturing())))
    assert found.ok
    assert "of any level" in found.detail


def test_in_capture_mode_node_there_must_be_agents():
    (found,) = agents.findings(facts(deployment=capturing()))
    assert not found.ok
    assert "node.enabled=true" in found.fix


def test_a_label_without_effect_is_found():
    assert "enrolled namespaces" in failed(
        workloads.namespaces(facts(enrolled=[place("kube-system")]))
    )


def test_pods_that_may_stay_outside_are_listed_and_are_no_failure():
    host = pod("host-0", initContainers=[], hostNetwork=True)
    found = list(workloads.pods(facts(pods=[pod("web-0"), host])))
    assert all(item.ok for item in found)
    assert found[-1].detail == "shop/host-0: not encrypted by the mesh"


@pytest.mark.parametrize(
    ("states", "says"),
    [
        ([("stoq-init", {"terminated": {"reason": "Error"}})], "stoq-init Error"),
        ([("stoq-sidecar", {"waiting": {"reason": "ErrImagePull"}})], "stoq-sidecar ErrImagePull"),
        ([("stoq-init", {"terminated": {"reason": "Completed"}})], "not ready"),
        ([], "not ready"),
    ],
)
def test_a_sidecar_that_is_not_ready_is_named_with_the_reason(states, says):
    waiting = pod("web-0")
    waiting["status"]["initContainerStatuses"] = [
        {"name": name, "ready": False, "state": state} for name, state in states
    ]
    assert failed(workloads.pods(facts(pods=[waiting]))) == {"sidecars": f"shop/web-0 ({says})"}


def policy(name="p", **spec):
    return {"metadata": {"name": name, "namespace": "shop"}, "spec": spec}


def blocked(*policies):
    return list(failed(network.findings(facts(pods=[pod("web-0")], network_policies=policies))))


INGRESS = "NetworkPolicy, UDP 14008 from other pods"
EGRESS = ["NetworkPolicy, UDP 14008 to other pods", "NetworkPolicy, UDP 14012 to the control plane"]


@pytest.mark.parametrize(
    "ports",
    [
        [{"protocol": "UDP", "port": 14008}],
        [{"protocol": "UDP", "port": 14000, "endPort": 15000}],
        [{"protocol": "UDP"}],
        [],
    ],
)
def test_a_network_policy_that_admits_the_mesh_is_no_failure(ports):
    assert blocked(policy(podSelector={}, ingress=[{"ports": ports}])) == []


def test_a_network_policy_that_names_only_other_ports_is_found():
    tcp = policy(podSelector={}, ingress=[{"ports": [{"port": 14008}, {"port": "http"}]}])
    assert blocked(tcp) == [INGRESS]
    assert blocked(tcp, policy("q", podSelector={}, ingress=[{}])) == []
    assert blocked(policy(podSelector={}, policyTypes=["Egress"])) == EGRESS
    assert blocked(policy(podSelector={}, egress=[{"ports": [{"port": 80}]}])) == [INGRESS, *EGRESS]


@pytest.mark.parametrize(
    ("term", "chosen"),
    [
        ({"key": "app", "operator": "In", "values": ["web"]}, True),
        ({"key": "app", "operator": "NotIn", "values": ["web"]}, False),
        ({"key": "app", "operator": "Exists"}, True),
        ({"key": "app", "operator": "DoesNotExist"}, False),
    ],
)
def test_selectors_are_read_as_kubernetes_does(term, chosen):
    assert network.selects({"matchExpressions": [term]}, {"app": "web"}) == chosen
    assert not network.selects({"matchLabels": {"app": "db"}}, {"app": "web"})


def test_a_policy_of_another_namespace_or_other_pods_is_none_of_ours():
    other = policy(podSelector={"matchLabels": {"app": "db"}}, policyTypes=["Ingress"])
    away = policy(podSelector={}, policyTypes=["Ingress"])
    away["metadata"]["namespace"] = "else"
    assert blocked(other, away) == []


def test_long_lists_stay_short():
    assert few(list("abcdefg")) == "a, b, c, d, e and 2 more"
