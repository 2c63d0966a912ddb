"""Schedules of hack/netlab: what is read, what is refused, and what the path is told."""

import json
from pathlib import Path

import pytest

from lab.netlab.options import parse as parse_options
from lab.netlab.schedule import ScheduleError, find, parse, presets


def steps(text: str) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(parse(text, "x.toml").document())["steps"]
    return found


def test_units_become_bits_bytes_microseconds_and_millionths() -> None:
    text = """
    [[steps]]
    rate_mbit = 50
    queue_ms = 100
    delay_ms = 20.5
    jitter_ms = 3
    loss_percent = 0.1
    reorder_percent = 2
    reorder_ms = 7
    duplicate_percent = 100
    """
    [step] = steps(text)
    assert step["lasts"] is None
    assert step["up"] == step["down"]
    assert step["up"] == {
        "rate": 50_000_000,
        "queue": 625_000,
        "delay": 20_500,
        "jitter": 3_000,
        "loss": 1_000,
        "reorder": 20_000,
        "reorder_by": 7_000,
        "duplicate": 1_000_000,
    }


def test_a_direction_differs_where_it_says_so_and_nowhere_else() -> None:
    [step] = steps("[[steps]]\nseconds = 1.5\ndelay_ms = 20\nup = { rate_mbit = 10, delay_ms = 0 }")
    assert step["lasts"] == 1_500_000
    assert step["up"]["rate"] == 10_000_000  # type: ignore[index]
    assert step["up"]["delay"] == 0  # type: ignore[index]
    assert (step["down"]["rate"], step["down"]["delay"]) == (0, 20_000)  # type: ignore[index]


def test_a_slow_path_still_has_room_for_a_burst() -> None:
    [step] = steps("[[steps]]\nrate_mbit = 0.1")
    assert step["up"]["queue"] == 30_000  # type: ignore[index]


def test_json_says_the_same() -> None:
    given = parse('{"seed": 9, "repeat": true, "steps": [{"seconds": 2}]}', "x.json")
    assert (given.seed, given.repeat, given.seconds) == (9, True, 2.0)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "missing required field `steps`"),
        ("steps = []", "steps: "),
        ("[[steps]]\nloss_percent = 101", "steps[0].loss_percent: "),
        ("[[steps]]\nup = { rate_mbit = 0 }", "steps[0].up.rate_mbit: "),
        ("[[steps]]\ndelay = 3", "unknown field `delay`"),
        ("[[steps]]\ndelay_ms = 'long'", "steps[0].delay_ms: expected `float | null`, got `str`"),
        ("[[steps]]\n[[steps]]", "steps[0].seconds is missing: another step follows"),
        ("repeat = true\n[[steps]]", "steps[0].seconds is missing: steps are repeated"),
        ("seed = -1\n[[steps]]", "seed: "),
        ("steps = ", "x.toml is no TOML: "),
    ],
)
def test_nonsense_is_refused_with_the_field(text: str, said: str) -> None:
    with pytest.raises(ScheduleError) as refused:
        parse(text, "x.toml")
    assert str(refused.value).startswith("x.toml")
    assert said in str(refused.value)


def test_presets_make_sense_and_are_found_by_name(tmp_path: Path) -> None:
    known = {"branch-office", "satellite", "rate-step", "gigabit-step", "multi-gigabit-step"}
    assert known <= presets().keys()
    for name, preset in presets().items():
        assert preset.description, name
        assert find(name) == preset
    file = tmp_path / "mine.json"
    file.write_text('{"steps": [{"delay_ms": 1}]}')
    assert find(str(file)).steps[0].delay_ms == 1
    with pytest.raises(ScheduleError, match=r"'moon' is no preset \(between-zones, branch-office"):
        find("moon")


def test_what_stands_after_the_dashes_is_the_command() -> None:
    words = ["run", "satellite", "--far", "iperf3 -s", "--", "ping", "-c", "1", "{far}"]
    chosen = parse_options(words)
    assert (chosen.schedule, chosen.far) == ("satellite", "iperf3 -s")
    assert chosen.command == ("ping", "-c", "1", "{far}")
    assert parse_options(["up", "satellite", "--mtu", "9000"]).mtu == 9000


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run", "satellite"], "name the command after --"),
        (["up", "satellite", "--mtu", "100"], "'100': a number of bytes from 1280 to 65535"),
        (["sideways"], "invalid choice: 'sideways'"),
        ([], "required"),
    ],
)
def test_a_command_line_that_cannot_be_used_is_explained(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        parse_options(words)
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


def test_help_lists_presets_and_examples(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse_options(["--help"])
    said = capsys.readouterr().out
    assert "branch-office" in said
    assert "hack/netlab run rate-step --far 'iperf3 -s' -- iperf3 -c {far}" in said
