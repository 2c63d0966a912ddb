import json

import pytest

from stoqctl.admin import Sidecar
from stoqctl.errors import StoqctlError
from stoqctl.verbs.check import judge
from unit.stoqctl.conftest import CONNECTION, NOW, SERVICE, WORKLOAD, config


def test_status_shows_who_the_sidecar_is_and_how_it_is(sidecar, stoqctl):
    status, text = stoqctl("status", "--admin", sidecar.url)
    assert status == 0
    for part in ("shop/web", WORKLOAD["spiffe_id"], "in 23 h", "version 7", "strict"):
        assert part in text


def test_status_says_whether_udp_is_captured(sidecar, stoqctl):
    assert "not captured" not in stoqctl("status", "--admin", sidecar.url)[1]
    older = {name: value for name, value in config().items() if name != "captured_udp"}
    for page in (config(captured_udp=False), older):
        sidecar.pages["/config"] = page
        assert "not captured: it passes as it is" in stoqctl("status", "--admin", sidecar.url)[1]


def test_status_names_what_a_sidecar_waits_for(sidecar, stoqctl):
    waiting = {"identity": "no [token]"}
    sidecar.pages["/config"] = config(blocking=waiting, registry=None)
    _, text = stoqctl("status", "--admin", sidecar.url)
    assert "waits for identity  no [token]" in text
    assert "unknown" in text


def test_status_as_json_is_one_object(sidecar, stoqctl):
    _, text = stoqctl("status", "--admin", sidecar.url, "--json")
    found = json.loads(text)
    assert (found["ready"], found["workloads"], found["connections"]) == (True, 1, 1)


def test_connections_show_what_was_negotiated(sidecar, stoqctl):
    _, text = stoqctl("connections", "--admin", sidecar.url)
    for part in ("X25519MLKEM768", "Ed25519+FALCON-1024 (resumed)", "AES-256-GCM", "2.0 MB"):
        assert part in text
    assert json.loads(stoqctl("connections", "--admin", sidecar.url, "--json")[1]) == {
        "connections": [CONNECTION]
    }


def test_records_show_which_ports_are_of_udp(sidecar, stoqctl):
    ports = [{"port": 53, "target": 5353, "protocol": "UDP"}, {"port": 53, "target": 53}]
    page = config()
    page["registry"]["services"] = {"shop/db": SERVICE | {"ports": ports}}
    sidecar.pages["/config"] = page
    assert "53→5353/udp, 53 " in stoqctl("records", "--admin", sidecar.url)[1]


def test_an_address_is_printed_as_it_is(sidecar, stoqctl):
    remote = "[fd73:746f:7100:100::9]:14008"
    sidecar.pages["/connections"] = [CONNECTION | {"remote": remote}]
    assert remote in stoqctl("connections", "--admin", sidecar.url)[1]


def test_a_handshake_that_is_not_over_is_shown_as_such(sidecar, stoqctl):
    nothing = {"spiffe_id": None, "key_exchange": None, "signature": None, "cipher": None}
    sidecar.pages["/connections"] = [CONNECTION | nothing | {"state": "handshake"}]
    _, text = stoqctl("connections", "--admin", sidecar.url)
    assert "no certificate" in text
    assert "handshake" in text


def test_no_connections_is_said_in_words(sidecar, stoqctl):
    sidecar.pages["/connections"] = []
    assert "no STOQ connections" in stoqctl("connections", "--admin", sidecar.url)[1]


def test_identity_shows_the_svid_and_the_trust(sidecar, stoqctl):
    _, text = stoqctl("identity", "--admin", sidecar.url)
    assert WORKLOAD["spiffe_id"] in text
    assert "1 done, 0 failed" in text
    assert "1 by serial number, spiffe://old" in text
    found = json.loads(stoqctl("identity", "--admin", sidecar.url, "--json")[1])
    assert (found["roots"], found["revoked"], found["profile"]) == (1, ["0a"], "hybrid-1024")
    assert found["revoked_identities"] == ["spiffe://old"]
    sidecar.pages["/config"] = config(crypto={"policy": None, "profile": "hybrid-512"})
    found = json.loads(stoqctl("identity", "--admin", sidecar.url, "--json")[1])
    assert found["profile"] == "hybrid-512"


def test_records_show_workloads_and_services_as_the_sidecar_knows_them(sidecar, stoqctl):
    _, text = stoqctl("records", "--admin", sidecar.url)
    assert "80→8080, 443" in text
    assert "fd53::99" in text
    found = json.loads(stoqctl("records", "--admin", sidecar.url, "--json")[1])
    assert found == {"workloads": [WORKLOAD], "services": [SERVICE], "ejected": {}}


EJECTED = {
    "namespace": "shop",
    "name": "db",
    "failovers": 3,
    "ejections": 1,
    "ejected": ["[fd00::3]:8080"],
}


def test_an_ejected_endpoint_is_shown_with_its_service(sidecar, stoqctl):
    sidecar.pages["/config"] = config(failing=[EJECTED, EJECTED | {"name": "web", "ejected": []}])
    _, text = stoqctl("records", "--admin", sidecar.url)
    assert "fd00::3 (ejected: 8080)" in text
    _, text = stoqctl("status", "--admin", sidecar.url)
    assert "ejected of shop/db  [fd00::3]:8080" in text
    assert "shop/web" not in text.partition("ejected of")[2]
    found = {"shop/db": ["[fd00::3]:8080"]}
    for verb in ("records", "status"):
        _, text = stoqctl(verb, "--admin", sidecar.url, "--json")
        assert json.loads(text)["ejected"] == found


def test_a_sidecar_of_the_release_before_does_not_say_what_is_ejected(sidecar, stoqctl):
    page = config()
    del page["failing"]
    sidecar.pages["/config"] = page
    assert json.loads(stoqctl("status", "--admin", sidecar.url, "--json")[1])["ejected"] == {}


def test_records_of_a_sidecar_that_knows_none_is_an_error(sidecar, stoqctl):
    sidecar.pages["/config"] = config(registry=None)
    status, text = stoqctl("records", "--admin", sidecar.url)
    assert status == 1
    assert "has not heard from the registry" in text


def test_a_check_of_a_healthy_sidecar_ends_with_status_0(sidecar, stoqctl):
    assert stoqctl("check", "--admin", sidecar.url)[0] == 0
    found = json.loads(stoqctl("check", "--admin", sidecar.url, "--json")[1])
    assert found["ok"]
    assert [item["name"] for item in found["checks"]] == [
        "sidecar",
        "ready",
        "identity",
        "registry",
        "suites",
    ]


IDENTITY = config()["identity"]
DISCOVERY = config()["discovery"]


@pytest.mark.parametrize(
    ("changes", "name", "says"),
    [
        ({"blocking": {"capture": "not in force"}}, "ready", "capture: not in force"),
        ({"identity": IDENTITY | {"expires": 0}}, "identity", "no SVID yet"),
        ({"identity": IDENTITY | {"expires": NOW - 60}}, "identity", "expired 1 min"),
        ({"identity": IDENTITY | {"expires": NOW + 10}}, "identity", "left"),
        ({"discovery": DISCOVERY | {"stale": True}}, "registry", "last heard 5 s ago"),
        (
            {"discovery": DISCOVERY | {"stale": True, "updated": 0, "last_error": "no answer"}},
            "registry",
            "no answer",
        ),
    ],
)
def test_a_check_finds_what_is_wrong_and_what_mends_it(changes, name, says):
    findings = {item.name: item for item in judge(config(**changes), [CONNECTION], NOW)}
    wrong = [item.name for item in findings.values() if not item.ok]
    assert wrong == [name]
    assert says in findings[name].detail
    assert findings[name].fix


def test_a_classical_connection_fails_the_check():
    findings = list(judge(config(), [CONNECTION | {"profile": "classical"}], NOW))
    assert [item.name for item in findings if not item.ok] == ["suites"]


def test_a_failing_check_ends_with_status_1_and_prints_the_fix(sidecar, stoqctl):
    sidecar.pages["/config"] = config(discovery=DISCOVERY | {"stale": True})
    status, text = stoqctl("check", "--admin", sidecar.url)
    assert status == 1
    assert "registry: check that the control process runs at [fd00::1]:14012" in text


def test_a_sidecar_that_is_not_there_is_explained(stoqctl):
    status, text = stoqctl("status", "--admin", "http://[::1]:9")
    assert status == 1
    assert "name its network namespace with --netns" in text
    status, text = stoqctl("check", "--admin", "http://[::1]:9", "--json")
    assert status == 1
    assert not json.loads(text)["ok"]


def test_a_namespace_that_is_not_there_is_explained(stoqctl):
    status, text = stoqctl("status", "--netns", "/nowhere/pod")
    assert status == 1
    assert "entering needs root" in text


@pytest.mark.parametrize("url", ["", "ftp://x", "http://", "http://[::1]:99999", "[::1]:14000"])
def test_a_url_that_is_none_is_refused(stoqctl, url):
    status, text = stoqctl("status", "--admin", url)
    assert status == 1
    assert "http://[::1]:14000" in text


def test_an_answer_that_is_no_json_and_a_page_that_is_none_are_explained(sidecar):
    with pytest.raises(StoqctlError, match="is a sidecar there"):
        Sidecar(sidecar.url).get("/junk")
    with pytest.raises(StoqctlError, match="answered 404"):
        Sidecar(sidecar.url).get("/none")


SERVICE_ID = "spiffe://example.org/ns/shop/sa/db"

PATH = {
    "address": "fd00::3", "port": 14008, "spiffe_id": SERVICE_ID, "reached": True, "seconds": 0.002,
    "error": "", "key_exchange": "X25519MLKEM768", "signature": "Ed25519+FALCON-1024",
    "cipher": "AES-256-GCM", "rtt_seconds": 0.0012, "mtu": 1452,
}  # fmt: skip


def path_check(sidecar, stoqctl, report):
    sidecar.pages["/path"] = {"fd00::3": report}
    status, text = stoqctl("check", "--admin", sidecar.url, "--to", "fd00::3", "--json")
    found = {item["name"]: item for item in json.loads(text)["checks"]}["path to fd00::3"]
    assert found["ok"] == (status == 0)
    return found


def test_a_path_is_shown_with_identity_suite_round_trip_and_mtu(sidecar, stoqctl):
    found = path_check(sidecar, stoqctl, PATH)
    for part in (SERVICE_ID, "X25519MLKEM768", "1.2 ms", "1452 byte"):
        assert part in found["detail"]


def test_a_blocked_path_names_the_port_and_where_to_look(sidecar, stoqctl):
    blocked = PATH | {"reached": False, "error": "timed out", "mtu": None, "rtt_seconds": None}
    found = path_check(sidecar, stoqctl, blocked)
    assert not found["ok"]
    assert "UDP 14008 of fd00::3" in found["detail"]
    assert "NetworkPolicies" in found["fix"]


def test_a_path_that_carries_the_smallest_datagrams_only_is_a_finding(sidecar, stoqctl):
    found = path_check(sidecar, stoqctl, PATH | {"mtu": 1200})
    assert not found["ok"]
    assert "raise the MTU" in found["fix"]


def test_an_address_of_no_meshed_pod_is_a_finding(sidecar, stoqctl):
    assert "no meshed pod" in path_check(sidecar, stoqctl, None)["detail"]
