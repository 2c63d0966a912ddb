"""`hack/bench steady`: the command line, and what is made of what was seen."""

import json

import pytest

from benchlib.adapt import steadiness
from benchlib.adapt.steadiness import SMOKE, Cost, Packet, Seen, Settings
from benchlib.errors import BenchError

FIXED = [Seen(2000.0, 4.0, 0, 0.0, 0), Seen(1000.0, 4.0, 0, 0.0, 0), Seen(4000.0, 5.0, 0, 0.0, 0)]
ADAPTING = [
    Seen(1990.0, 4.1, 6000, 0.003, 0),
    Seen(1010.0, 4.0, 6000, 0.012, 0),
    Seen(3900.0, 5.0, 5000, 0.005, 1),
]
FOUND = {"link": {"fixed": FIXED, "adapting": ADAPTING}}


def test_the_table_has_ratios_of_one_round_and_what_a_decision_takes() -> None:
    row = steadiness.table(Settings(), FOUND)[2]
    assert row == (
        "| the link between two pods | 1990 (1010–3900) | 2000 (1000–4000) | 0.995 (0.975–1.010) "
        "| 1.000 (1.000–1.025) | 1 (0.5–2) | 6000 (5000–6000) | 0 (0–1) |"
    )


def test_what_could_not_be_measured_is_no_figure() -> None:
    row = steadiness.table(Settings(), {"wan": {"fixed": FIXED}})[2]
    assert row.startswith("| 100 Mbit/s, 20 ms there and back | – | 2000 (1000–4000) | – |")
    assert FIXED[0].decision == 0.0


def test_json_has_every_round() -> None:
    told = json.loads(json.dumps(steadiness.figures(FOUND)))["link"]["adapting"]
    assert told["decision_microseconds"] == [0.5, 2.0, 1.0]
    assert told["changes"] == [0, 0, 1]


def test_the_path_of_the_wan_has_a_bottleneck_only_on_the_way_of_the_data() -> None:
    schedule = steadiness.PATHS["wan"].schedule
    assert schedule is not None
    (step,) = schedule.steps
    up, down = step.up.over(step).document(), step.down.over(step).document()
    assert (up["rate"], up["queue"], up["delay"]) == (100_000_000, 250_000, 10_000)
    assert (down["rate"], down["delay"]) == (0, 10_000)
    assert schedule.seconds == 0.0, "it never changes"


def test_what_the_engines_own_benchmark_says_becomes_a_table() -> None:
    packet = {
        "controller": "bbr3", "acknowledged_together": 2, "ours": 130.4, "cubic_alone": 71.0,
    }  # fmt: skip
    told = steadiness.cost(json.dumps({"packets": [packet], "decision": 20.4}))
    assert told == Cost((Packet("bbr3", 2, 130.4, 71.0),), 20.4)
    lines = steadiness.packet_table(told)
    assert lines[2:] == ["| bbr3 | 2 | 130 | 71 |", "", "A decision by itself: 20 ns."]
    for said in ("", "{}", '{"packets": [{"ours": 1}], "decision": 1}'):
        with pytest.raises(BenchError, match="the benchmark of stoq-adapt said"):
            steadiness.cost(said)


def test_the_command_that_repeats_a_run_says_what_differs() -> None:
    assert steadiness.command(Settings()) == "hack/bench steady"
    assert steadiness.command(SMOKE) == "hack/bench steady --smoke"
    assert steadiness.parse(["--smoke"])[0] == SMOKE
    words = ["--paths", "wan", "--rounds", "2", "--seconds", "7.5"]
    chosen, output = steadiness.parse([*words, "--json"])
    assert (chosen.paths, chosen.rounds, chosen.seconds) == (("wan",), 2, 7.5)
    assert steadiness.command(chosen) == f"hack/bench steady {' '.join(words)}"
    assert output.json
    assert output.folder is None


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--paths", "moon"], "--paths: 'moon' is not one of link, wan"),
        (["--rounds", "0"], "--rounds: 0 is outside 1 to 1000"),
        (["--seconds", "0.5"], "--seconds: 0.5 is outside 1 to 3600"),
    ],
)
def test_a_command_line_that_makes_no_sense_is_refused_with_the_value(
    words: list[str], said: str
) -> None:
    with pytest.raises(BenchError, match=said):
        steadiness.parse(words)
