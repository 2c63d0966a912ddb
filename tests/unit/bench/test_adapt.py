"""`hack/bench adapt`: the command line, and what is made of what was seen."""

import csv
import io
import json
from pathlib import Path

import pytest

from benchlib.adapt import page, series, settings
from benchlib.adapt.run import SMOKE
from benchlib.adapt.series import Point
from benchlib.errors import BenchError
from lab.netlab.schedule import Schedule, parse

STEP = parse(
    "[[steps]]\nseconds = 1\nrate_mbit = 100\n[[steps]]\nseconds = 1\nrate_mbit = 10\n"
    "[[steps]]\nseconds = 1\nrate_mbit = 100\nup = { rate_mbit = 50 }",
    "step",
)


def flow(*mbit: float) -> list[Point]:
    """One that gets so much in each tenth of a second."""
    points, received = [Point(0.0, 0)], 0
    for number, rate in enumerate(mbit, 1):
        received += round(rate * 1e6 / 8 / 10)
        points.append(Point(number / 10, received, "home", "bbr3", 30_000, 12.5))
    return points


FOLLOWED = flow(*[92] * 10, *[9] * 10, *[10] * 4, *[45] * 6)
STUCK = flow(*[92] * 10, *[9] * 10, *[10] * 10)


def test_rates_and_goodput_are_of_what_arrived() -> None:
    seen = series.rates(flow(80, 40))
    assert seen == [pytest.approx((0.05, 80)), pytest.approx((0.15, 40))]
    assert series.goodput(flow(80, 40)) == pytest.approx(60)


def test_a_direction_that_differs_is_the_paths_rate() -> None:
    assert series.path_rates(STEP) == [(0.0, 100), (1.0, 10), (2.0, 50)]


def test_a_change_is_followed_when_two_looks_use_the_new_rate() -> None:
    down, up = series.changes(STEP, FOLLOWED)
    assert (down.seconds, down.before, down.after) == (1.0, 100, 10)
    assert down.settled == pytest.approx(0.0)
    assert (up.before, up.after) == (10, 50)
    assert up.settled == pytest.approx(0.4)
    assert series.changes(STEP, STUCK)[1].settled is None
    one_burst = flow(*[92] * 10, *[9] * 10, *[10] * 4, 45, *[10] * 5)
    assert series.changes(STEP, one_burst)[1].settled is None


def test_a_path_without_a_change_of_the_rate_has_none_to_follow() -> None:
    assert series.changes(parse("[[steps]]\nrate_mbit = 5", "x"), flow(5, 5)) == []


def schedules() -> dict[str, Schedule]:
    return {"step": STEP}


def test_the_page_has_goodput_ratio_and_how_soon_a_rate_was_used() -> None:
    found = {"adapting": [FOLLOWED], "fixed": [STUCK]}
    rows = page.table(schedules(), {"step": found})
    assert (
        rows[0]
        == "| path | STOQ, adapting, Mbit/s | STOQ, fixed defaults, Mbit/s | adapting / fixed |"
    )
    assert "44 (44–44) | 37 (37–37) | 1.19" in rows[2]
    told = "\n".join(page.settling(schedules(), {"step": found}))
    assert "| `step` | STOQ, adapting | 10, 50 | 0.4 |" in told
    assert "| `step` | STOQ, fixed defaults | 10, 50 | never |" in told
    assert page.settling({"x": parse("steps = [{}]", "x")}, {"x": {"fixed": [flow(1)]}}) == []


def test_csv_has_a_row_for_every_look_and_json_all_rounds() -> None:
    found = {"adapting": [FOLLOWED, STUCK]}
    rows = list(csv.DictReader(io.StringIO(page.rows(STEP, found))))
    assert len(rows) == 60
    assert (rows[12]["path_mbit"], rows[12]["tier"], rows[12]["congestion_window"]) == (
        "10", "home", "30000",
    )  # fmt: skip
    assert rows[-1]["round"] == "2"
    told = page.figures(STEP, found)["adapting"]
    assert json.loads(json.dumps(told))["goodput_mbit"] == [44.0, 37.0]


def test_the_command_line_names_what_it_does_not_know() -> None:
    chosen, output = settings.parse(
        ["--schedules", "loss-1, jitter", "--peers", "fixed", "--rounds", "2"]
    )
    assert (chosen.schedules, chosen.candidates, chosen.rounds) == (
        ("loss-1", "jitter"),
        ("fixed",),
        2,
    )
    assert output.folder is None
    assert (
        page.command(chosen)
        == "hack/bench adapt --schedules loss-1,jitter --peers fixed --rounds 2"
    )
    assert settings.parse(["--smoke", "--out", "x"])[1].folder == Path("x")
    assert page.command(settings.SMOKE) == "hack/bench adapt --smoke"
    for words, said in (
        (["--schedules", "moon"], "--schedules: 'moon' is not one of between-zones"),
        (["--peers", "nginx"], "--peers: 'nginx' is not one of adapting, fixed, envoy"),
        (["--rounds", "0"], "--rounds: 0 is outside"),
    ):
        with pytest.raises(BenchError, match=said):
            settings.parse(words)


def test_the_smoke_takes_seconds() -> None:
    assert SMOKE.seconds * len(settings.SMOKE.candidates) < 10
