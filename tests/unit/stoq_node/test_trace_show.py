"""What people and programs are shown."""

import json
from ipaddress import ip_address

import pytest

from stoq_node.__main__ import main
from stoq_node.pods import Pod
from stoq_node.trace.places import Place
from stoq_node.trace.records import SLOTS, TCP, Event, Flow, Latency, Owner
from stoq_node.trace.show import Json, Table, Totals
from stoq_node.trace.verdict import Verdict

NOW = "2026-11-22T10:20:30.123+00:00"
PLACE = Place(Pod(namespace="shop", name="web-0", interface="veth1"), 4001, 11)
OUT = Flow(1, TCP, ip_address("fd00::10"), 40000, ip_address("fd00::20"), 80)
EVENT = Event(OUT, Owner(1000, 7, "curl"), opened_here=True)
VERDICT = Verdict("bypass", "left past the sidecar", strict=True)


def histogram(**counts: int) -> tuple[int, ...]:
    return tuple(counts.get(f"slot{number}", 0) for number in range(SLOTS))


def test_a_connection_is_one_line_and_one_object() -> None:
    line = Table().connection(NOW, PLACE, EVENT, VERDICT)
    assert " ".join(line.split()) == (
        "10:20:30 shop/web-0 7 curl 1000 tcp to [fd00::20]:80 bypass: left past the sidecar; "
        "strict mode drops it"
    )
    assert line.count("\n") == 1
    assert json.loads(Json().connection(NOW, PLACE, EVENT, VERDICT)) == {
        "kind": "connection",
        "time": NOW,
        "pod": "shop/web-0",
        "netns": 4001,
        "protocol": "tcp",
        "local": "[fd00::10]:40000",
        "remote": "[fd00::20]:80",
        "direction": "out",
        "pid": 7,
        "comm": "curl",
        "uid": 1000,
        "verdict": "bypass",
        "strict": True,
        "why": "left past the sidecar",
    }


def test_what_came_from_elsewhere_names_its_port_here_and_what_is_not_known_is_no_zero() -> None:
    flow = Flow(1, TCP, ip_address("10.0.0.1"), 80, ip_address("10.0.0.2"), 40000)
    event = Event(flow, Owner(), opened_here=False)
    line = Table().connection(NOW, PLACE, event, Verdict("allowed", "a port that the node probes"))
    assert "? ?" in " ".join(line.split())
    assert "tcp from 10.0.0.2:40000 to port 80  allowed" in line
    said = json.loads(Json().connection(NOW, PLACE, event, VERDICT))
    assert (said["pid"], said["comm"], said["uid"]) == (None, None, None)


def test_a_histogram_has_a_bar_for_each_slot_between_its_ends() -> None:
    latency = Latency(Owner(1000, 7, "curl"), 1500, histogram(slot7=30, slot9=1, slot11=15))
    lines = Table().latency(NOW, PLACE, OUT, latency, "mesh").splitlines()
    assert "curl tcp to [fd00::20]:80 (mesh): 46 answers, connected in 1.5 ms" in lines[0]
    assert [line.split() for line in lines[1:]] == [
        ["from", "64", "µs", "#" * 30, "30"],
        ["from", "128", "µs", "0"],
        ["from", "256", "µs", "#", "1"],
        ["from", "512", "µs", "0"],
        ["from", "1.02", "ms", "#" * 15, "15"],
    ]
    said = json.loads(Json().latency(NOW, PLACE, OUT, latency, "mesh"))
    assert said["answers"] == 46
    assert said["histogram"][0] == {"from_us": 64, "count": 30}
    assert (said["path"], said["connect_us"]) == ("mesh", 1500)


def test_the_name_of_a_program_can_not_steer_a_terminal() -> None:
    event = Event(OUT, Owner(1000, 7, "\x1b[2J\x9b1m\n"), opened_here=True)
    line = Table().connection(NOW, PLACE, event, VERDICT)
    assert line.rstrip("\n").isprintable()
    said = Json().connection(NOW, PLACE, event, VERDICT)
    assert said.rstrip("\n").isprintable()
    assert json.loads(said)["comm"] == "\x1b[2J\x9b1m\n"


def test_a_connection_without_answers_has_no_histogram() -> None:
    lines = Table().latency(NOW, PLACE, OUT, Latency(Owner(), None, histogram()), "bypass")
    assert lines.splitlines() == [lines.rstrip("\n")]
    assert "connected" not in lines


def test_drops_of_the_node_have_no_pod() -> None:
    assert "the node" in Table().drops(NOW, "", "NO_SOCKET", "ipv6", 3)
    assert "dropped 3 ipv6: NO_SOCKET" in Table().drops(NOW, "shop/web-0", "NO_SOCKET", "ipv6", 3)
    assert json.loads(Json().drops(NOW, "", "NO_SOCKET", "ipv6", 3))["pod"] is None
    assert json.loads(Json().notice(NOW, "trace", "lost"))["text"] == "lost"
    assert "lost" in Table().notice(NOW, "trace", "lost")


def test_the_end_says_what_was_lost() -> None:
    totals = Totals(seconds=2.04, lost_flows=3)
    totals.flows["bypass"] = 1
    assert Table().end(totals) == (
        "2.0 s: 1 bypass, 0 allowed, 0 mesh; lost 3 connections and 0 drops\n"
    )
    assert json.loads(Json().end(totals))["lost_flows"] == 3


def test_the_help_explains_the_words_and_has_examples(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["trace", "--help"])
    text = capsys.readouterr().out
    for word in ("bypass ", "allowed ", "mesh ", "examples:", "--pod shop/web-0", "exit status"):
        assert word in text


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--pod", "web-0"], "--pod is 'web-0': must be namespace/name"),
        (["--netns", "no-such-namespace"], "--netns is 'no-such-namespace'"),
        (["--seconds", "0"], "must be from 0.1"),
    ],
)
def test_flags_that_can_not_be_are_refused_with_the_value(
    flags: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        status: object = main(["trace", *flags])
    except SystemExit as end:
        status = end.code
    assert status == 2
    assert said in capsys.readouterr().err
