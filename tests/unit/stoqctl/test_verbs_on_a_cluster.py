import json
import tarfile

import pytest
import yaml

from stoqctl import connect
from stoqctl.errors import UNREACHABLE, StoqctlError, Unreachable
from unit.stoqctl import apiserver, mesh
from unit.stoqctl.mesh import IMAGE, SYSTEM

SHOP = "/api/v1/namespaces/shop"
POLICIES = "/apis/networking.k8s.io/v1/namespaces/shop/networkpolicies"
OURS = "/apis/stoq.dev/v1alpha1"


@pytest.fixture
def server():
    found = apiserver.serving()
    mesh.fill(found)
    yield found
    found.shutdown()
    found.server_close()


@pytest.fixture
def kubeconfig(server, tmp_path):
    file = tmp_path / "kubeconfig"
    named = [("clusters", "cluster", {"server": server.url}), ("users", "user", {"token": "t"})]
    named.append(("contexts", "context", {"cluster": "x", "user": "x"}))
    lists = {field: [{"name": "x", kind: value}] for field, kind, value in named}
    file.write_text(yaml.safe_dump({**lists, "current-context": "x"}))
    return file


@pytest.fixture
def ctl(stoqctl, kubeconfig):
    return lambda *arguments: stoqctl(*arguments, "--kubeconfig", kubeconfig)


def checks(ctl, *arguments):
    """Status, and the failed checks by name."""
    status, text = ctl("check", *arguments, "--json")
    found = json.loads(text)
    assert found["ok"] == (status == 0)
    failed = {item["name"]: item for item in found["checks"] if not item["ok"]}
    assert all(item["fix"] for item in failed.values())
    return {name: item["detail"] for name, item in failed.items()}


def test_nothing_is_wrong_with_a_healthy_mesh(ctl):
    status, text = ctl("check")
    assert (status, "✗" in text) == (0, False)
    assert "2 pods are meshed" in text
    assert checks(ctl, "-n", "shop") == {}


def test_node_agents_are_checked_where_there_are_any(ctl, server):
    names = {item["name"] for item in json.loads(ctl("check", "--json")[1])["checks"]}
    assert not {"node agents", "enforcement by the kernel"} & names
    crd = "nodecapabilities.stoq.dev"
    crds = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    server.put(f"{crds}/{crd}", **mesh.established(crd))
    server.put(
        "/apis/apps/v1/namespaces/stoq-system/daemonsets/stoq-node",
        status={"desiredNumberScheduled": 1, "numberReady": 1},
    )
    why = "kernel 6.1.0 is older than Linux 6.6"
    condition = {"type": "Enforced", "status": "False", "message": why}
    path = "/apis/stoq.dev/v1alpha1/nodecapabilities/node0"
    server.put(path, status={"conditions": [condition]})
    status, text = ctl("check", "--json")
    wrong = {item["name"]: item["detail"] for item in json.loads(text)["checks"] if not item["ok"]}
    assert (status, wrong) == (1, {"enforcement by the kernel": f"node0: {why}"})


def test_a_cluster_without_the_mesh_is_told_how_to_install_it(ctl, server):
    for path in [path for path in server.objects if "stoq" in path]:
        del server.objects[path]
    assert {"custom resources", "operator", "webhook", "mesh configuration", "trust bundle"} <= set(
        checks(ctl)
    )
    assert "helm install" in ctl("check")[1]


def test_before_an_installation_rights_and_leftovers_are_checked(ctl, server):
    del server.objects["/apis/apps/v1/namespaces/stoq-system/deployments/stoq-operator"]
    failed = checks(ctl, "--pre")
    assert failed["rights to install"] == "you may not create secrets"
    assert "without an operator" in failed["left over"]


def test_what_may_not_be_read_is_a_finding_and_not_the_end(ctl, server):
    server.refused[f"{SYSTEM}/secrets"] = 403
    failed = checks(ctl)
    assert list(failed) == ["rights"]
    assert "ask for the right" in failed["rights"]


def test_a_namespace_that_is_not_there_is_named(ctl):
    status, text = ctl("check", "-n", "nowhere")
    assert status == 1
    assert "there is no namespace nowhere" in text


def test_an_error_of_the_server_is_passed_on(ctl, server):
    server.refused["/apis/apps"] = 500
    status, text = ctl("status")
    assert status == 1
    assert "deployments/stoq-operator is not for you" in text
    server.refused["/"] = 401
    assert "log in again" in ctl("status")[1]


def test_a_cluster_that_does_not_answer_has_a_status_of_its_own(server, kubeconfig):
    server.shutdown()
    server.server_close()
    with pytest.raises(Unreachable, match="is it up") as raised:
        connect.cluster(str(kubeconfig)).get("/version")
    assert raised.value.status == UNREACHABLE


def test_a_kubeconfig_that_is_none_is_explained(tmp_path):
    with pytest.raises(StoqctlError, match="name one with --kubeconfig"):
        connect.cluster(str(tmp_path / "none"))


def test_status_shows_the_mesh(ctl, server):
    bare = mesh.pod("bare-0", initContainers=[])
    server.put(f"{SHOP}/pods/bare-0", **bare)
    found = json.loads(ctl("status", "--json")[1])
    assert found["operator"] == {
        "installed": True, "replicas": 2, "ready": 2, "leader": "stoq-operator-1",
    }  # fmt: skip
    assert found["namespaces"] == [
        {
            "name": "shop", "pods": 3, "meshed": 2, "ready": 2, "without_sidecar": 1,
            "images": {IMAGE: 2},
        }
    ]  # fmt: skip
    _, text = ctl("status")
    assert (found["mesh"]["capture"], found["mesh"]["captured_udp"]) == ("init", False)
    for part in ("2 of 2 ready", "cluster.local", "permissive", "UDP", "not captured", IMAGE):
        assert part in text


def test_records_of_the_cluster_are_listed_with_what_became_of_them(ctl, server):
    ports = [{"port": 80, "targetPort": 8080}, {"port": 443}]
    server.put(
        f"{OURS}/namespaces/shop/servicerecords/db",
        spec={"ports": ports, "selector": {"matchLabels": {"app": "db"}}},
        status={"vip": "fd53::7", "conditions": [{"type": "Accepted", "status": "True"}]},
    )
    server.put(
        f"{OURS}/namespaces/shop/servicerecords/away",
        spec={"ports": ports, "endpoints": [{"address": "fd00::9"}]},
    )
    refused = {"type": "Accepted", "status": "False", "reason": "NoService", "message": "no web"}
    server.put(
        f"{OURS}/namespaces/shop/servicerecords/web",
        spec={"ports": ports, "serviceRef": {"name": "web"}},
        status={"conditions": [refused]},
    )
    _, text = ctl("records", "-n", "shop")
    for part in ("80→8080, 443", "app=db", "fd53::7", "fd00::9", "not seen yet", "no web"):
        assert part in text
    assert len(json.loads(ctl("records", "--json")[1])["records"]) == 3
    assert "ServiceRecord shop/web: no web" in checks(ctl)["records and policies"]


def test_an_identity_is_revoked_in_the_cluster_once_and_trusted_again(ctl, server):
    target = "spiffe://cluster.local/ns/shop/sa/web"
    answers = [json.loads(ctl("revoke", target, "--json")[1])["changed"] for _ in range(2)]
    assert answers == [True, False]
    (made,) = server.members(f"{OURS}/revocations")
    assert made["spec"] == {"spiffeId": target}
    assert "no longer revoked" in ctl("revoke", target, "--undo")[1]
    assert "was not revoked" in ctl("revoke", target, "--undo")[1]
    server.refused[f"{OURS}/revocations"] = 403
    assert ctl("revoke", target)[0] == 1


def test_a_rotation_is_asked_for_on_the_secret_of_the_roots(ctl, server):
    assert "asked for a new root" in ctl("rotate")[1]
    asked = json.loads(ctl("rotate", "--json")[1])["requested"]
    annotations = server.objects[f"{SYSTEM}/secrets/stoq-ca"]["metadata"]["annotations"]
    assert annotations == {"stoq.dev/rotate": asked}


def test_logs_are_those_of_the_container_that_is_asked_for(ctl, server):
    server.texts[f"{SHOP}/pods/web-0/log"] = b"one\ntwo\n"
    server.texts[f"{SYSTEM}/pods/stoq-operator-1/log"] = b"leads\n"
    assert ctl("logs", "shop/web-0") == (0, "one\ntwo\n")
    ctl("logs", "web-0", "-n", "shop", "--init", "--tail", "5", "--previous", "--follow")
    assert server.asked[-1][2] == {
        "container": "stoq-init", "follow": "true", "previous": "true", "tailLines": "5",
    }  # fmt: skip
    assert ctl("logs", "--operator")[1] == "leads\n"
    found = json.loads(ctl("logs", "--webhook", "--json")[1])
    assert found == {"container": "webhook", "lines": {"stoq-system/stoq-operator-1": ["leads"]}}


def test_logs_of_several_replicas_are_headed_and_not_followed(ctl, server):
    second = mesh.pod("stoq-operator-2", "stoq-system", serviceAccountName="stoq-operator")
    server.put(f"{SYSTEM}/pods/stoq-operator-2", **second)
    for name in ("stoq-operator-1", "stoq-operator-2"):
        server.texts[f"{SYSTEM}/pods/{name}/log"] = b"x\n"
    assert "== stoq-system/stoq-operator-2\nx\n" in ctl("logs", "--operator")[1]
    assert "kubectl -n stoq-system logs -f" in ctl("logs", "--operator", "--follow")[1]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("logs",), "name a pod"),
        (("logs", "web-0", "--operator"), "one of them"),
        (("logs", "a/b/c"), "'a/b/c' is no pod"),
        (("connections",), "name a pod"),
        (("identity", "web-0", "--netns", "x"), "leave out --netns"),
    ],
)
def test_a_command_line_that_means_nothing_is_explained(ctl, arguments, says):
    status, text = ctl(*arguments)
    assert status == 1
    assert says in text


def test_no_operator_no_logs(ctl, server):
    del server.objects[f"{SYSTEM}/pods/stoq-operator-1"]
    assert "no operator runs" in ctl("logs", "--operator")[1]


def test_an_upgrade_changes_sidecars_to_what_the_webhook_gives(ctl, server):
    new = "localhost/stoq/sidecar:2"
    server.objects["injected"] = {"initContainers": [{"name": "stoq-sidecar", "image": new}]}
    assert "to do" in ctl("upgrade", "-n", "shop", "--dry-run")[1]
    found = json.loads(ctl("upgrade", "-n", "shop", "--json")[1])
    assert found["image"] == new
    assert [(item["pod"], item["outcome"]) for item in found["pods"]] == [
        ("shop/db-0", "done"), ("shop/web-0", "done"),
    ]  # fmt: skip
    images = [c["image"] for c in server.objects[f"{SHOP}/pods/web-0"]["spec"]["initContainers"]]
    assert images == [new, IMAGE]
    assert "runs localhost/stoq/sidecar:2 already" in ctl("upgrade", "-n", "shop")[1]


@pytest.mark.parametrize(("image", "says"), [("broken", "ErrImagePull: no such"), ("slow", "not")])
def test_an_upgrade_stops_at_the_first_pod_that_does_not_come_back(ctl, image, says):
    options = ("-n", "shop", "--image", image, "--timeout", "0.6")
    status, text = ctl("upgrade", *options, "--json")
    assert status == 1
    first, second = json.loads(text)["pods"]
    assert says in first["outcome"]
    assert second["outcome"] == "untouched"


def test_an_upgrade_waits_for_a_pod_that_was_ready(ctl, server):
    pod = server.objects[f"{SHOP}/pods/db-0"]
    pod["status"]["conditions"] = [{"type": "Ready", "status": "True"}]
    server.unready = {"db-0"}
    options = ("-n", "shop", "--image", "other", "--timeout", "0.6", "--json")
    status, text = ctl("upgrade", *options)
    first, second = json.loads(text)["pods"]
    assert status == 1
    assert "not ready after" in first["outcome"]
    assert second["outcome"] == "untouched"


def test_an_upgrade_goes_on_when_the_api_server_is_away_for_a_moment(ctl, server):
    server.failures = {f"{SHOP}/pods/db-0": [503, 429, 500]}
    status, text = ctl("upgrade", "-n", "shop", "--image", "other", "--json")
    assert status == 0
    assert [item["outcome"] for item in json.loads(text)["pods"]] == ["done", "done"]
    assert server.failures == {f"{SHOP}/pods/db-0": []}


def test_an_upgrade_says_what_kept_it_from_looking_at_a_pod(ctl, server):
    server.failures = {f"{SHOP}/pods/db-0": [503] * 100}
    options = ("-n", "shop", "--image", "other", "--timeout", "0.6", "--json")
    status, text = ctl("upgrade", *options)
    assert status == 1
    assert "cannot be told now" in json.loads(text)["pods"][0]["outcome"]


def test_an_upgrade_without_a_webhook_asks_for_the_image(ctl, server):
    server.objects["injected"] = {}
    status, text = ctl("upgrade", "-n", "shop")
    assert status == 1
    assert "name the image with --image" in text


def test_uninstalling_is_only_well_when_nobody_needs_the_mesh(ctl, server):
    status, text = ctl("uninstall", "--check", "--json")
    found = json.loads(text)
    assert (status, [item["ok"] for item in found["checks"]]) == (1, [False, False, True])
    assert "1. kubectl label namespace shop stoq.dev/inject-" in ctl("uninstall")[1]
    for path in (SHOP, f"{SHOP}/pods/web-0", f"{SHOP}/pods/db-0"):
        del server.objects[path]
    status, text = ctl("uninstall", "--check")
    assert status == 0
    assert "1. helm uninstall stoq" in text


def allow(**changes):
    spec = {"podSelector": {"matchLabels": {"app": "db"}}, "policyTypes": ["Ingress"]}
    peers = [{"podSelector": {"matchLabels": {"app": "web"}}}]
    rule = {"from": peers, "ports": [{"port": "sql"}, {"port": 53, "protocol": "UDP"}]}
    return {"spec": {**spec, "ingress": [rule], **changes}}


def test_network_policies_become_access_policies(ctl, server):
    server.put(f"{POLICIES}/db", **allow())
    found = json.loads(ctl("policy", "import", "-n", "shop", "--json")[1])
    (policy,) = found["policies"]
    assert policy["spec"] == {
        "selector": {"matchLabels": {"app": "db"}},
        "action": "allow",
        "rules": [{"from": {"serviceAccounts": ["shop/web"]}, "ports": [{"port": 5432}]}],
    }
    assert any("UDP port 53" in note for note in found["notes"]["shop/db"])
    _, text = ctl("policy", "import", "--dry-run")
    assert "dryRun: true" in text
    assert "keeps it from shop/db-0" in checks(ctl)["NetworkPolicy, UDP 14008 from other pods"]


def test_a_policy_is_tried_on_pods_of_the_cluster(ctl, server, tmp_path):
    assert ctl("policy", "test", "shop/web-0", "shop/db-0", "5432")[0] == 0
    server.put(f"{POLICIES}/db", **allow())
    manifests = json.loads(ctl("policy", "import", "--json")[1])["policies"]
    file = tmp_path / "policies.yaml"
    file.write_text(yaml.safe_dump_all(manifests))
    options = ("-f", file)
    assert ctl("policy", "test", "shop/web-0", "shop/db-0", "5432", *options)[0] == 0
    status, text = ctl("policy", "test", "shop/web-0", "shop/db-0", "80", *options)
    assert status == 1
    assert "refused: shop/db allow others" in text
    server.put(f"{OURS}/namespaces/shop/accesspolicies/db", **manifests[0])
    stranger = "spiffe://cluster.local/ns/other/sa/x"
    found = json.loads(ctl("policy", "test", stranger, "shop/db-0", "5432", "--json")[1])
    assert (found["allowed"], found["policy"]) == (False, "")
    assert found["crypto"]["caller"] is None


def test_crypto_profiles_are_tried_on_pods_of_the_cluster(ctl, server, tmp_path):
    words = ("policy", "test", "shop/web-0", "shop/db-0", "5432")
    said = "crypto: the caller has hybrid-1024 (prefer), the target has hybrid-1024 (prefer)"
    assert said in ctl(*words)[1]
    spec = {
        "selector": {"matchLabels": {"app": "db"}},
        "crypto": {"profile": "hybrid-512", "mode": "require"},
    }
    place = f"{OURS}/namespaces/shop/transportpolicies"
    server.put(f"{place}/db", spec=spec)
    status, text = ctl(*words)
    assert status == 1
    assert "refused: the target requires crypto profile hybrid-512, and the caller" in text
    found = json.loads(ctl(*words, "--json")[1])
    assert (found["allowed"], found["crypto"]["target"]["mode"]) == (False, "require")
    assert found["crypto_refusal"].endswith("proves itself with hybrid-1024")
    stranger = "spiffe://cluster.local/ns/shop/sa/web"
    _, text = ctl("policy", "test", stranger, *words[3:])
    assert "name the caller as a pod to see its own" in text
    mine = {
        "apiVersion": "stoq.dev/v1alpha1",
        "kind": "TransportPolicy",
        "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"selector": {"matchLabels": {"app": "web"}}, "crypto": {"profile": "hybrid-512"}},
    }
    file = tmp_path / "web.yaml"
    file.write_text(yaml.safe_dump(mine))
    assert ctl(*words, "-f", file)[0] == 0


def test_a_bug_report_has_what_helps_and_no_secrets(ctl, server, tmp_path):
    pod = mesh.pod("web-0")
    pod["metadata"]["annotations"] = {"kubectl.kubernetes.io/last-applied": "hush-annotation"}
    pod["spec"]["containers"][0] |= {
        "env": [{"name": "KEY", "value": "hush-env"}],
        "args": ["--password=hush-arg"],
        "readinessProbe": {"httpGet": {"httpHeaders": [{"name": "a", "value": "hush-probe"}]}},
    }
    pod["spec"]["initContainers"][0]["env"] = [{"name": "STOQ_POD_NAME", "value": "web-0"}]
    ended = {"terminated": {"reason": "Error", "message": "hush-message"}}
    pod["status"]["containerStatuses"] = [{"name": "main", "lastState": ended}]
    server.put(f"{SHOP}/pods/web-0", **pod)
    server.texts[f"{SHOP}/pods/web-0/log"] = (
        b"renewed\ntoken=hush-log\neyJhbGciOiJI.eyJodXNoIjox.c2ln\n"
    )
    output = tmp_path / "report.tar.gz"
    status, text = ctl("bugreport", "--output", output)
    assert status == 0
    assert str(output) in text
    with tarfile.open(output) as archive:
        names = archive.getnames()
        contents = [archive.extractfile(name).read().decode() for name in names]
    everything = "\n".join(contents)
    assert "stoq-bugreport/pods/shop/web-0.json" in names
    for part in ("STOQ_POD_NAME", "renewed", "stoq-operator-1", "does not answer"):
        assert part in everything or part == "does not answer"
    for secret in (
        "hush",
        "PRIVATE KEY",
        "eyJhbGci",
        server.objects[f"{SYSTEM}/secrets/stoq-ca"]["data"]["state"],
    ):
        assert secret not in everything
    assert len(json.loads(ctl("bugreport", "--output", output, "--json")[1])["contents"]) == len(
        names
    )
    assert ctl("bugreport", "--output", tmp_path / "none" / "x")[0] == 1


def test_a_path_starts_at_a_pod(ctl):
    status, text = ctl("check", "--to", "shop/db-0")
    assert status == 1
    assert "stoqctl check POD --to shop/db-0" in text


def test_a_path_ends_at_a_pod_that_has_an_address(ctl):
    status, text = ctl("check", "shop/web-0", "--to", "shop/db-0")
    assert status == 1
    assert "pod shop/db-0 has no address yet" in text
