"""What `stoqctl` says of a mesh that works, and what it changes there."""

import json
import tarfile
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cluster.access import Cluster, stoqctl
from cluster.mesh import Mesh, checked, eventually
from cluster.pods import WAIT, pod, serve, service
from cluster.test_mesh_records import record
from stoq.injection.names import MOUNT_PATH

pytestmark = pytest.mark.timeout(600)

PASSWORD = "correct-horse-battery-staple"
"""Of an application: nobody's business."""

LIVE_PORT = 9000
"""Where the seller says again whatever it hears, for as long as it is asked to."""

ASKS_ON = (
    "mkfifo /tmp/in; (echo begun; exec sleep 3600) >/tmp/in & "
    f"nc $SELLER {LIVE_PORT} </tmp/in; echo ended; {WAIT[2]}"
)
"""One connection for as long as the other side keeps it."""

SECRETS = ("stoq-ca", "stoq-tickets", "stoq-webhook-tls")
PUBLIC = (".crt", ".json")
"""What of them everybody may read, by the ends of names."""


def said(cluster: Cluster, *arguments: str) -> Any:
    """What the program answers as JSON."""
    status, text = stoqctl(cluster, *arguments, "--json")
    assert status == 0, text
    return json.loads(text)


def client(cluster: Cluster) -> str:
    return f"{cluster.namespace}/client"


def web(cluster: Cluster) -> str:
    return f"spiffe://cluster.local/ns/{cluster.namespace}/sa/default"


def test_the_way_between_two_chosen_pods_is_tried(pair: Cluster) -> None:
    target = f"{pair.namespace}/web"
    found = json.loads(checked(pair, client(pair), "--to", target, "--json"))
    (way,) = [item for item in found["checks"] if item["name"] == f"path to {target}"]
    for part in (web(pair), "X25519MLKEM768", "FALCON", "byte datagrams"):
        assert part.lower() in way["detail"].lower()


def test_a_way_out_of_the_mesh_is_none_and_says_what_has_one(pair: Cluster) -> None:
    status, text = stoqctl(pair, "check", client(pair), "--to", "2001:db8::1", "--json")
    (way,) = [item for item in json.loads(text)["checks"] if item["name"] == "path to 2001:db8::1"]
    assert (status, way["ok"]) == (1, False)
    assert "no meshed pod has 2001:db8::1" in way["detail"]


def test_a_pods_identity_is_its_service_accounts_and_lasts(pair: Cluster) -> None:
    found = said(pair, "identity", client(pair))
    assert found["spiffe_id"] == web(pair)
    assert found["obtained"] < found["expires"]
    assert (found["profile"], found["trust_domain"]) == ("hybrid-1024", "cluster.local")
    assert found["roots"] >= 1


def test_connections_come_with_what_was_negotiated(pair: Cluster) -> None:
    pair.fetch("client", "http://web/")
    found = said(pair, "connections", client(pair))["connections"]
    (held, *_) = [each for each in found if each["spiffe_id"] == web(pair)]
    assert (held["state"], held["key_exchange"]) == ("established", "X25519MLKEM768")
    assert "falcon" in held["signature"].lower()
    assert held["remote"].endswith(":14008")


def test_a_tier_is_pinned_by_hand_and_let_go(pair: Cluster) -> None:
    # It asks all the time, so its connection is one that is used.
    asks = f"{pair.namespace}/asks"

    def tiers() -> set[str]:
        return {each["adaptation"]["tier"] for each in said(pair, "adapt", asks)["connections"]}

    pinned = said(pair, "adapt", asks, "--tier", "home")["adaptation"]["pins"]
    assert pinned == {"tier": "home", "congestion": ""}
    eventually(lambda: tiers() == {"home"})
    free = said(pair, "adapt", asks, "--unpin")["adaptation"]["pins"]
    assert free == {"tier": "", "congestion": ""}


def test_records_are_listed_as_the_cluster_has_them_and_as_a_pod_knows_them(pair: Cluster) -> None:
    ports = [{"port": 9293, "targetPort": 8080}]
    pair.apply(record("listed", ports=ports, selector={"matchLabels": {"app": "web"}}))
    (address,) = pair.addresses("web")

    def known() -> dict[str, Any]:
        found = said(pair, "records", client(pair))["services"]
        own = [item for item in found if item["namespace"] == pair.namespace]
        return {item["name"]: item for item in own if item["endpoints"]}

    eventually(lambda: {"web", "listed"} <= known().keys())
    assert [end["address"] for end in known()["listed"]["endpoints"]] == [address]
    (kept,) = said(pair, "records", "-n", pair.namespace)["records"]
    assert [kept["status"]["vip"]] == known()["listed"]["vips"]


def test_a_meshs_and_a_pods_state_are_one_object_each(pair: Cluster) -> None:
    def settled() -> Any:
        found = said(pair, "status")
        return found if found["operator"]["ready"] == found["operator"]["replicas"] else None

    mesh = eventually(settled)
    assert mesh["operator"]["leader"]
    (own,) = [item for item in mesh["namespaces"] if item["name"] == pair.namespace]
    pods = pair.get("pods")["items"]
    inside = sum("initContainers" in each["spec"] for each in pods)
    assert (own["pods"], own["meshed"], own["ready"]) == (len(pods), inside, inside)
    # The stranger to the peers is one by its own word.
    assert (len(pods) - inside, own["without_sidecar"]) == (1, 0)
    one = said(pair, "status", client(pair))
    assert (one["ready"], one["stale"], one["blocking"]) == (True, False, {})
    assert one["spiffe_id"] == web(pair)
    assert one["addresses"] == pair.addresses("client")


@pytest.fixture(scope="module")
def seller(pair: Cluster) -> Cluster:
    """A server of another identity, with a password in its environment; and who stays with it."""
    pair.kubectl("create", "serviceaccount", "seller")
    echo = f"nc -ll -p {LIVE_PORT} -e cat & httpd"
    command = ["sh", "-c", serve("sold")[2].replace("httpd", echo, 1)]
    ports = [{"name": "web", "port": 80, "targetPort": 8080}]
    ports += [{"name": "live", "port": LIVE_PORT}]
    made = pod("seller", command, pair.nodes()[1], serviceAccountName="seller")
    made["spec"]["containers"][0]["env"] = [{"name": "PASSWORD", "value": PASSWORD}]
    pair.apply(made, service("seller", ports=ports))
    pair.ready("seller")
    assert pair.fetch("client", "http://seller/") == "sold"
    stays = pod("stays", ["sh", "-c", ASKS_ON], pair.nodes()[0])
    address = pair.addresses("seller")[0]
    stays["spec"]["containers"][0]["env"] = [{"name": "SELLER", "value": address}]
    pair.apply(stays)
    pair.ready("stays")
    eventually(lambda: "begun" in log(pair))
    return pair


def log(cluster: Cluster) -> list[str]:
    """What came of the one connection."""
    return cluster.kubectl("logs", "stays", "-c", "main").split()


def test_a_bug_report_has_what_helps_and_no_secret(
    seller: Cluster, mesh: Mesh, tmp_path: Path
) -> None:
    archive = tmp_path / "report.tar.gz"
    said(seller, "bugreport", "-n", seller.namespace, "--output", str(archive))
    with tarfile.open(archive) as opened:
        files = {
            member.name.removeprefix("stoq-bugreport/"): opened.extractfile(member).read().decode()
            for member in opened
        }
    place = f"{seller.namespace}/seller"
    assert {f"pods/{place}.json", f"sidecars/{place}/connections.json"} <= files.keys()
    assert f"logs/{place}/stoq-sidecar.log" in files
    assert web(seller) in files[f"sidecars/{place}/connections.json"]
    everything = "\n".join(files.values())
    known = {PASSWORD, *keys(mesh), *token(seller)}
    assert [each for each in known if each in everything] == []
    assert "PRIVATE KEY" not in everything


def keys(mesh: Mesh) -> Iterator[str]:
    """How the keys in our Secrets begin, as they may be written; the rest of one is as bad."""
    for secret in SECRETS:
        for name, content in mesh.system.get("secret", secret)["data"].items():
            if not name.endswith(PUBLIC):
                key = b64decode(content)
                written = key.decode().splitlines()[1:-1] if key.startswith(b"-----") else []
                yield from (content[:40], key[:32].hex(), *written)


def token(cluster: Cluster) -> Iterator[str]:
    """The proof of who it is that a pod has: no part of it, but its head, is to be seen."""
    read = f"print(open('{MOUNT_PATH}/token').read())"
    python = ["-c", "stoq-sidecar", "--", "/opt/stoq/bin/python", "-c", read]
    yield from cluster.kubectl("exec", "seller", *python).strip().split(".")[1:]


def certificates(cluster: Cluster) -> int:
    """How many the seller has got so far."""
    return int(said(cluster, "identity", f"{cluster.namespace}/seller")["renewals"])


def test_who_is_revoked_loses_live_connections_and_proves_itself_again(seller: Cluster) -> None:
    identity = f"spiffe://cluster.local/ns/{seller.namespace}/sa/seller"
    assert log(seller) == ["begun"]
    before = certificates(seller)
    try:
        assert said(seller, "revoke", identity, "--reason", "a test")["changed"]
        eventually(lambda: log(seller)[-1] == "ended")
        # Its pod lives and has its token, so it has another certificate, which is good at once.
        assert seller.fetch("client", "http://seller/") == "sold"
        eventually(lambda: certificates(seller) > before)
        eventually(
            lambda: identity in said(seller, "identity", client(seller))["revoked_identities"]
        )
    finally:
        undone = said(seller, "revoke", identity, "--undo")
    assert undone == {**undone, "revoked": False, "changed": True}
