"""What the benchmark of the kernel programs asks for and makes of its figures."""

from ipaddress import IPv6Address
from pathlib import Path
from statistics import mean
from typing import cast

import pytest

from benchlib import output, procfs
from benchlib.errors import BenchError
from benchlib.node import auto, blasted, brokers, drops, killed, lent, page, run, settings
from benchlib.node.blast import Blast, Card, nft_port, nft_rules, sent
from benchlib.node.programs import Programs
from benchlib.tools import Tools
from lab.outages import VICTIMS, Seen

ABOUT = dict.fromkeys(("cpus", "cpu", "kernel", "load_before", "load_after", "stoq"), "x")
ROUNDS = {
    "guard-native initial": [400_000.0, 500_000.0, 600_000.0],
    "guard initial": [300_000.0, 400_000.0, 500_000.0],
    "prerouting initial": [200_000.0, 200_000.0, 200_000.0],
    "blast sink": [2.0, 2.0, 2.0],
    "blast guarded": [1.9, 1.8, 2.0],
    "storm refused": [0.0, 0.0, 0.0],
}


def test_a_ratio_is_of_figures_of_the_same_round() -> None:
    found = page.results(ROUNDS)
    assert found["guard (tc) / prerouting, Initials"] == {"median": 2.0, "min": 1.5, "max": 2.5}
    native = found["guard (native XDP) / prerouting, Initials"]
    assert native == {"median": 2.5, "min": 2.0, "max": 3.0}
    assert found["with the guard / sink"]["median"] == 0.95
    assert "bulk, nothing attached" not in found, "it was not measured"


def test_the_page_has_figures_wishes_load_and_the_command() -> None:
    chosen, _ = settings.parse(["--rate", "1000", "--rounds", "3"])
    text = page.page(chosen, ROUNDS, ABOUT | {"load_before": 0.1, "load_after": 1.9})
    assert "`hack/bench node --rounds 3 --rate 1000`" in text
    assert "load 0.1 before and 1.9 after" in text
    assert "Initials | 0.4 million/s (0.3–0.5) |  |" in text
    assert "| guard (native XDP) / prerouting, Initials | 2.5 (2–3) | ≥ 1.5 |" in text
    assert "| packets of theirs that the guard dropped | 0 | 0 |" in text


def test_the_page_of_everything_is_written_where_it_is_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    figures = {name for row in page.ROWS for name in (row.figure, row.over) if name}
    text = page.page(settings.SMOKE, {name: [1.0] for name in figures}, ABOUT)
    output.show(output.Output(json=False, folder=tmp_path / "made"), "node", {"results": {}}, text)
    written = (tmp_path / "made" / "node.md").read_text()
    assert written == text
    assert capsys.readouterr().out == f"{text}\n"
    assert [row.meaning in written for row in page.ROWS] == [True] * len(page.ROWS)
    assert (tmp_path / "made" / "node.json").exists()


def test_a_blast_ends_by_itself() -> None:
    blast = Blast(IPv6Address("fd00::1"), "junk", 2.5, 100)
    command = " ".join(blast.command(Tools(Path("/peers"), None)))
    assert command == "/peers/blast [fd00::1]:14008 --kind junk --rate 100 --seconds 2.5"
    assert sent('{"refused":0,"seconds":1.0,"sent":12}\n') == 12


def test_a_blast_by_a_card_has_no_rate_and_ends_as_well() -> None:
    card = Card("drop0", "02:00:00:00:00:01")
    blast = Blast(IPv6Address("fd00::1"), "initial", 0.2, card=card)
    command = " ".join(blast.command(Tools(Path("/peers"), None)))
    by = "--device drop0 --to 02:00:00:00:00:01"
    assert command == f"/peers/blast [fd00::1]:14008 --kind initial {by} --seconds 0.2"


def test_nftables_is_given_the_guards_own_limits() -> None:
    rules = nft_rules("ip6", "prerouting priority raw")
    assert "limit rate over 2000/second burst 20000 packets" in rules
    assert "limit rate over 100/second burst 100 packets" in rules
    assert nft_port("netdev", "x").count("drop\n") == 1


def test_every_way_is_compared_on_both_kinds() -> None:
    measured = {f"{way.name} {kind}" for way in drops.WAYS for kind in drops.KINDS}
    shown = {row.figure for row in page.ROWS if row.unit == "million/s"}
    assert measured == shown


def test_what_is_compared_of_a_blasted_flow_had_the_same_place_in_time_on_average() -> None:
    places = {
        name: [place for place, one in enumerate(blasted.ORDER) if one == name]
        for name in ("sink", "guarded", "unguarded")
    }
    assert {mean(at) for at in places.values()} == {(len(blasted.ORDER) - 1) / 2}
    assert len(places["sink"]) == len(places["guarded"])


def test_parts_are_measured_by_name_and_in_the_order_given() -> None:
    chosen, _ = settings.parse(["--only", "blasted,drops"])
    assert chosen.only == ("blasted", "drops")
    assert run.name_of(chosen) == "node-blasted+drops"
    assert page.command(chosen) == "hack/bench node --only blasted,drops"
    everything, _ = settings.parse([])
    assert run.name_of(everything) == "node"
    with pytest.raises(BenchError, match="--only: 'drop' is none of drops, flow, blasted"):
        settings.parse(["--only", "flow,drop"])


def test_every_part_that_can_be_named_is_there() -> None:
    assert tuple(run.parts(cast("Programs", None))) == settings.PARTS


def test_what_this_kernel_cannot_do_is_on_the_page_with_the_reason() -> None:
    text = page.page(settings.SMOKE, {}, ABOUT, {"drops": drops.NO_FRAMES})
    assert f"\nNot measured here, drops: {drops.NO_FRAMES}.\n" in text
    assert "Not measured" not in page.page(settings.SMOKE, {}, ABOUT)


def test_idle_time_is_that_of_one_cpu_and_with_what_others_took() -> None:
    stat = "cpu 1 1 1 1 1 1 1 1 0 0\ncpu0 9 9 9 9 9 9 9 9 0 0\ncpu1 1 2 3 400 50 6 7 50 0 0\n"
    assert procfs.idle_seconds(stat, 1) == pytest.approx(500 / procfs._TICKS)
    with pytest.raises(ValueError, match="no cpu7"):
        procfs.idle_seconds(stat, 7)


@pytest.mark.parametrize(
    "given", [["--rate", "5"], ["--mtu", "100"], ["--sidecars", "30000"], ["--seconds", "0.5"]]
)
def test_what_cannot_be_measured_is_refused_by_name(given: list[str]) -> None:
    with pytest.raises(BenchError, match=f"{given[0]}: {given[1]} is outside"):
        settings.parse(given)


def test_figures_past_the_stack_are_of_frames_that_went_there() -> None:
    lent.check("lent", 12)
    lent.check("sockets", 0)
    for way, frames in (("lent", 0), ("sockets", 12)):
        with pytest.raises(BenchError, match=f"{way}: {frames} frames went past the stack"):
            lent.check(way, frames)


def test_packets_are_those_of_the_time_between() -> None:
    assert lent.rate({lent.DATAGRAMS: 100.0}, {lent.DATAGRAMS: 700.0}, 3.0) == 200


def test_every_figure_of_a_lent_pair_is_beside_the_same_by_sockets() -> None:
    shown = {(row.figure, row.over) for row in page.ROWS if row.figure.startswith("xdp ")}
    for figure in ("bulk", "packets", "p50", "p99"):
        sockets, past = f"xdp {figure} sockets", f"xdp {figure} lent"
        assert {(sockets, ""), (past, ""), (past, sockets)} <= shown
    assert {row.wanted for row in page.ROWS if row.figure.startswith("xdp ")} == {""}


def test_the_brokers_of_a_pair_capture_both_pods() -> None:
    pods = brokers.pods(["bench-1-client", "bench-1-server"])
    assert [pod.netns for pod in pods.values()] == [
        "/run/netns/bench-1-client",
        "/run/netns/bench-1-server",
    ]
    assert all(pod.plan is not None and not pod.plan.udp for pod in pods.values())


def test_joined_pods_are_shown_beside_what_they_are_held_against() -> None:
    shown = {(row.figure, row.unit) for row in page.ROWS if not row.over}
    for way in ("raw", "joined", "envoy"):
        assert {(f"splice bulk {way}", "Gbit/s"), (f"splice p50 {way}", "ms")} <= shown


def test_what_was_killed_is_shown_with_what_was_tried_and_none_may_be_delivered() -> None:
    unheld = Seen(100, 50, {"TCP to server": 60, "UDP to client": 20})
    seen = {name: Seen(200, 9, {}) for name in VICTIMS}
    seen["agent"] = Seen(210, 9, {"TCP to server": 2})
    found = killed.figures(unheld, seen)
    assert found["killed tries"] == 610
    assert found["killed unheld"] == 80
    wanted = {row.figure: row.wanted for row in page.ROWS if row.figure in found}
    assert wanted.keys() == found.keys()
    for name in VICTIMS:
        assert found[f"killed {name}"] == (2 if name == "agent" else 0)
        assert wanted[f"killed {name}"] == "0"


def test_a_count_of_nothing_is_no_result_where_nothing_was_tried_or_nothing_went_on() -> None:
    open_, silent = Seen(100, 50, {"TCP to server": 60}), Seen(200, 0, {})
    killed.figures(open_, {"sidecar": silent})
    with pytest.raises(BenchError, match="nothing was delivered in the clear before"):
        killed.figures(Seen(100, 50, {}), {"sidecar": silent})
    with pytest.raises(BenchError, match="control plane was killed, and the meshed traffic"):
        killed.figures(open_, {"control plane": silent})


def test_the_agents_choice_is_beside_what_was_the_faster() -> None:
    pair = {"xdp bulk sockets": [2.0, 2.2], "xdp bulk lent": [2.6, 2.5]}
    pair |= {"xdp p50 sockets": [0.5, 0.6], "xdp p50 lent": [0.4, 0.5]}
    measured = {"auto bulk sockets": [1.0, 1.0], "auto bulk lent": [1.3, 1.0]}
    measured |= {"auto trips sockets": [900.0, 900.0], "auto trips lent": [910.0, 800.0]}
    said = "auto chose AF_XDP 1 of 2 times and sockets 1 of 2 times; the faster was AF_XDP"
    assert auto.verdict(pair | measured) == said
    slower = pair | {"xdp p50 lent": [0.7, 0.8]}
    assert auto.verdict(slower | measured).endswith("the faster was sockets")
    assert auto.verdict(pair) == ""

    text = page.page(settings.SMOKE, pair | measured, ABOUT)
    assert f"| AF_XDP where the agent chooses | {said} | the same |" in text
