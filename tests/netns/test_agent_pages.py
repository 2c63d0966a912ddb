"""The pages of a running sidecar."""

from collections.abc import Iterator
from typing import Any, cast

import pytest

from netns.meshes import Echo, Running, running
from netns.sockets import connect


@pytest.fixture(scope="module")
def mesh() -> Iterator[Running]:
    with running("client", "server") as made, Echo(made.pod("server")):
        assert made.reaches("client", "server")
        yield made


def test_connections_say_what_was_negotiated(mesh: Running) -> None:
    found = {c["spiffe_id"]: c for c in mesh.admin("client", "/connections")}
    peer = found["spiffe://stoq.test/ns/demo/sa/server"]
    assert peer["key_exchange"] == "X25519MLKEM768"
    assert peer["signature"] == peer["local_signature"] == "Ed25519+FALCON-1024"
    assert peer["cipher"] == "AES-256-GCM"
    assert peer["profile"] == "hybrid-1024"


def test_config_shows_everything_but_keys(mesh: Running) -> None:
    page = mesh.admin("client", "/config")
    assert page["settings"]["pod"]["name"] == "client"
    assert page["identity"]["spiffe_id"] == "spiffe://stoq.test/ns/demo/sa/client"
    assert page["engine"]["outbound"]["listen"] == "[::]:14001"
    assert {w["name"] for w in page["registry"]["workloads"].values()} == {"client", "server"}
    assert page["addresses"][0] == str(mesh.pod("client").ipv6)
    assert page["blocking"] == {}
    token = (mesh.state.folder / "pods" / "client" / "token").read_text()
    assert token not in mesh.page("client", "http://[::1]:14000/config")[1]


def test_the_way_to_a_pod_can_be_tried(mesh: Running) -> None:
    report = mesh.admin("client", f"/path?address={mesh.pod('server').ipv6}")
    assert report["reached"], report["error"]
    assert report["spiffe_id"] == "spiffe://stoq.test/ns/demo/sa/server"
    assert report["signature"] == "Ed25519+FALCON-1024"
    assert report["mtu"] > 1200


def test_the_admin_port_is_out_of_reach_from_outside(mesh: Running) -> None:
    # Captured, and refused by the sidecar: our own ports are no application's.
    with (
        pytest.raises(ConnectionResetError),
        connect(mesh.pod("outside").netns, mesh.pod("client").ipv6, 14000) as connection,
    ):
        connection.sendall(b"GET /config HTTP/1.1\r\nHost: x\r\n\r\n")
        assert connection.recv(100) == b"nothing may come"


def test_adaptation_is_shown_pinned_and_counted(mesh: Running) -> None:
    def adaptation() -> dict[str, Any]:
        (found,) = [
            c["adaptation"]
            for c in mesh.admin("client", "/connections")
            if c["spiffe_id"] == "spiffe://stoq.test/ns/demo/sa/server"
        ]
        return cast("dict[str, Any]", found)

    assert adaptation()["min_rtt_seconds"] > 0
    url = "http://[::1]:14000/adapt"
    assert mesh.page("client", f"{url}?tier=home&congestion=bbr3", "-X", "POST")[0] == 200
    assert mesh.reaches("client", "server")
    pinned = adaptation()
    assert (pinned["tier"], pinned["congestion"]) == ("home", "bbr3")
    # What is measured for the first time may be told after it.
    assert "policy" in [change["cause"] for change in pinned["changes"]]
    assert mesh.metric("client", "stoq_adapt_connections", tier="home") >= 1
    assert mesh.metric("client", "stoq_adapt_changes_total", tier="home") >= 1
    status, text = mesh.page("client", f"{url}?tier=fast", "-X", "POST")
    assert status == 400
    assert "no tier is called" in text
    assert mesh.page("client", f"{url}?tier=", "-X", "POST")[0] == 200


def test_the_log_level_changes_at_run_time(mesh: Running) -> None:
    url = "http://[::1]:14000/log-level"
    assert mesh.page("client", f"{url}?level=debug", "-X", "POST") == (200, "debug\n")
    assert mesh.page("client", url) == (200, "debug\n")
    status, body = mesh.page("client", f"{url}?level=loud", "-X", "POST")
    assert status == 400
    assert "'loud', not one of" in body


def test_metrics_have_the_fields_labels_and_the_suite(mesh: Running) -> None:
    labels = {
        "reporter": "source",
        "source_workload": "client",
        "source_workload_namespace": "demo",
        "source_principal": "spiffe://stoq.test/ns/demo/sa/client",
        "destination_workload": "server",
        "destination_workload_namespace": "demo",
        "destination_principal": "spiffe://stoq.test/ns/demo/sa/server",
        "destination_service": "unknown",
        "request_protocol": "tcp",
        "connection_security_policy": "mutual_tls",
        "key_exchange": "X25519MLKEM768",
        "signature": "Ed25519+FALCON-1024",
        "cipher": "AES-256-GCM",
        "response_flags": "-",
    }
    assert mesh.metric("client", "stoq_tcp_connections_opened_total", **labels) >= 1
    assert mesh.metric("client", "stoq_tcp_sent_bytes_total", **labels) >= 22
    assert mesh.metric("client", "stoq_identity_cert_expiration_timestamp_seconds") > 1e9
    assert mesh.metric("client", "stoq_identity_cert_refreshes_total", result="ok") == 1
    assert mesh.metric("client", "stoq_registry_stale") == 0
    assert mesh.metric("client", "stoq_ready") == 1
    assert mesh.metric("client", "process_resident_memory_bytes") > 0


def test_metrics_and_health_are_reached_from_outside(mesh: Running) -> None:
    address = f"http://[{mesh.pod('client').ipv6}]:14020"
    assert mesh.page("outside", f"{address}/healthz/ready") == (200, "ready\n")
    assert mesh.page("outside", f"{address}/healthz/live") == (200, "live\n")
    assert "stoq_ready 1.0" in mesh.page("outside", f"{address}/metrics")[1]
