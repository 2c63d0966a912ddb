"""What the demonstration says, from what it saw."""

from typing import Any

import pytest

from lab import plan
from lab.demo import connections, files, report
from lab.handshakes import Handshake

PLAN = plan.make("r1", ["server", "client"])
SERVER, CLIENT = PLAN.pods
IDS = {pod.name: f"spiffe://stoq.test/ns/demo/sa/{pod.name}" for pod in PLAN.pods}


def info(**changes: Any) -> dict[str, Any]:
    return {
        "initiator": "dialled",
        "remote": f"[{SERVER.ipv6}]:14008",
        "spiffe_id": IDS["server"],
        "key_exchange": "X25519MLKEM768",
        "signature": "Ed25519+FALCON-1024",
        "cipher": "AES-256-GCM",
        "resumed": False,
        "bytes_sent": 100,
        "bytes_received": 23,
        **changes,
    }


def told(**changes: Any) -> dict[str, list[dict[str, Any]]]:
    return {"client": [info(**changes)], "server": []}


def dialled(round_trips: int = 1, **changes: Any) -> list[report.ConnectionReport]:
    seen = Handshake(CLIENT.ipv6, SERVER.ipv6, 14008, 0.0, round_trips, 0.01, 2500, 6000)
    pods = {pod.name: pod for pod in PLAN.pods}
    return connections.dialled(told(**changes), pods, IDS, [seen], 14008)


def test_a_connection_is_reported_by_the_pod_that_dialled_it() -> None:
    (found,) = dialled()

    assert (found.source, found.destination) == (IDS["client"], IDS["server"])
    assert (found.bytes, found.round_trips) == (123, 1)
    assert dialled(initiator="accepted") == []
    assert dialled(remote=f"[{SERVER.ipv6}]:14012") == []


def test_round_trips_that_the_witness_did_not_see_are_not_made_up() -> None:
    pods = {pod.name: pod for pod in PLAN.pods}
    (found,) = connections.dialled(told(), pods, IDS, [], 14008)

    assert found.round_trips is None
    assert not connections.round_trip_check([found]).ok


@pytest.mark.parametrize(
    "changes",
    [{"key_exchange": "X25519"}, {"signature": "Ed25519"}, {"cipher": "AES-128-GCM"}],
)
def test_any_weaker_part_of_the_suite_fails_the_check(changes: dict[str, Any]) -> None:
    assert connections.suite_check(dialled()).ok
    failed = connections.suite_check(dialled(**changes))
    assert not failed.ok
    assert next(iter(changes.values())) in failed.detail


def test_no_connection_at_all_is_a_failure_not_a_pass() -> None:
    assert not connections.suite_check([]).ok
    assert not connections.round_trip_check([]).ok
    assert not connections.identity_check({}, {}, 14008).ok


def test_a_peer_that_proved_another_id_fails_the_check() -> None:
    owners = {SERVER.ipv6: IDS["server"]}

    assert connections.identity_check(told(), owners, 14008).ok
    check = connections.identity_check(told(spiffe_id=IDS["client"]), owners, 14008)
    assert not check.ok
    assert IDS["client"] in check.detail


def test_two_round_trips_fail_the_check_and_name_the_pair() -> None:
    check = connections.round_trip_check(dialled(round_trips=2))

    assert not check.ok
    assert f"{IDS['client']} to {IDS['server']}: 2" in check.detail


def test_the_object_has_the_documented_fields() -> None:
    pod = report.PodReport("client", CLIENT.netns, str(CLIENT.ipv6), IDS["client"], "http://m")
    whole = report.Report(
        "r1", 1500, 12.5, [pod], dialled(), 0, {"ARP": 2}, 8e9, [report.Check("c", True, "d")]
    )
    printed = whole.as_object()

    assert printed["ok"] is True
    assert set(printed["pods"][0]) == {"name", "netns", "address", "spiffe_id", "metrics_url"}
    assert {"key_exchange", "signature", "cipher", "round_trips", "bytes"} <= set(
        printed["connections"][0]
    )
    assert printed["plaintext_packets"] == 0
    assert set(printed["checks"][0]) == {"name", "ok", "detail"}


def test_a_report_is_ok_only_when_every_check_is_and_there_is_one() -> None:
    good, bad = report.Check("a", True, ""), report.Check("b", False, "")

    assert report.Report("r", 1500, 1.0, checks=[good]).ok
    assert not report.Report("r", 1500, 1.0, checks=[good, bad]).ok
    assert not report.Report("r", 1500, 1.0).ok


def test_the_table_shows_who_talked_to_whom_and_the_count() -> None:
    text = report.render(report.Report("r", 1500, 1.0, (), dialled(), 0, {"ARP": 2}, 8.25e9, ()))

    assert IDS["client"] in text
    assert "plaintext packets seen on the wire: 0" in text
    assert "8.25 Gbit/s" in text
    assert "ARP 2" in text


def test_what_a_scenario_shows_stands_in_table_and_object_and_nothing_is_measured_for_it() -> None:
    shown = report.Table("Shards per connection", ("id", "shards"), [["00ff", "40"], ["01", "7"]])
    whole = report.Report("r", 1500, 1.0, scenario="shard", tables=[shown])

    text = report.render(whole)
    assert "Shards per connection\n\nid    shards\n----  ------\n00ff  40\n01    7\n" in text
    assert "iperf3" not in text
    assert whole.as_object()["tables"][0]["rows"] == [["00ff", "40"], ["01", "7"]]
    assert whole.as_object()["throughput_bits_per_second"] is None


@pytest.mark.parametrize(
    ("count", "text"), [(1, "1 B"), (64_000, "64 kB"), (1_000_000_000, "1.0 GB")]
)
def test_sizes_are_written_for_readers(count: int, text: str) -> None:
    assert report.size(count) == text


def test_no_two_parts_of_a_random_file_are_alike(tmp_path: Any) -> None:
    sample = files.random(tmp_path, "f", 3 * files.BLOCK + 5)
    content = (tmp_path / "f").read_bytes()
    blocks = {content[at : at + files.BLOCK] for at in range(0, len(content), files.BLOCK)}

    assert len(content) == sample.size == 3 * files.BLOCK + 5
    assert len(blocks) == 4


def test_every_packet_sized_piece_of_a_marked_file_holds_the_marker(tmp_path: Any) -> None:
    files.marked(tmp_path, "f", 10_000, b"marker;")
    content = (tmp_path / "f").read_bytes()

    assert len(content) == 10_000
    assert all(b"marker;" in content[at : at + 1200] for at in range(0, 10_000 - 1200, 1200))


def test_no_two_lines_of_a_numbered_file_are_alike(tmp_path: Any) -> None:
    sample = files.numbered(tmp_path, "f", 5000, b"marker;")
    content = (tmp_path / "f").read_bytes()
    lines = content.splitlines()

    assert len(content) == sample.size == 5000
    assert len(set(lines)) == len(lines)
    assert all(line.startswith(b"marker;") for line in lines[:-1])
