"""`hack/bench adapt`: the command line, and what is made of what was seen."""

import csv
import io
import json
from pathlib import Path

import pytest

from benchlib.adapt import measure, page, picture, series, settings
from benchlib.adapt.decisions import Decisions
from benchlib.adapt.run import SMOKE
from benchlib.adapt.series import Decision, Point, Seen
from benchlib.errors import BenchError
from lab.netlab.schedule import Schedule, parse

STEP = parse(
    "[[steps]]\nseconds = 1\nrate_mbit = 100\n[[steps]]\nseconds = 1\nrate_mbit = 10\n"
    "[[steps]]\nseconds = 2\nrate_mbit = 100\nup = { rate_mbit = 50 }",
    "step",
)


def flow(*mbit: float) -> Seen:
    """One that gets so much in each tenth of a second."""
    points, arrivals, received = [Point(0.0, 0)], [(0.0, 0)], 0
    for number, rate in enumerate(mbit, 1):
        before, received = received, received + round(rate * 1e6 / 8 / 10)
        points.append(Point(number / 10, received, "home", "bbr3", 30_000, 12.5, 8.0))
        for part in range(1, 5):
            at = (number - 1) / 10 + part * series.SAMPLE
            arrivals.append((at, before + (received - before) * part // 4))
    return Seen(points, arrivals)


FOLLOWED = flow(*[92] * 10, *[9] * 10, *[10] * 4, *[45] * 16)
STUCK = flow(*[92] * 10, *[9] * 10, *[10] * 20)


def test_rates_and_goodput_are_of_what_arrived() -> None:
    seen = series.rates(flow(80, 40).points)
    assert seen == [pytest.approx((0.05, 80)), pytest.approx((0.15, 40))]
    assert series.goodput(flow(80, 40)) == pytest.approx(60)


def test_windows_slide_by_samples_and_a_late_sample_makes_them_longer() -> None:
    arrivals = [(0.0, 0), (0.025, 10_000), (0.05, 20_000), (0.09, 60_000)]
    assert series.windows(arrivals, 0.05) == [
        pytest.approx((0.0, 3.2)), pytest.approx((0.025, 50_000 * 8e-6 / 0.065)),
    ]  # fmt: skip
    assert series.windows(arrivals, 1.0) == []


def test_a_direction_that_differs_is_the_paths_rate() -> None:
    assert series.path_rates(STEP) == [(0.0, 100), (1.0, 10), (2.0, 50)]


def test_a_change_is_followed_when_a_window_is_near_the_new_rate() -> None:
    down, up = series.changes(STEP, FOLLOWED)
    assert (down.seconds, down.before, down.after, down.own) == (1.0, 100, 10, None)
    assert down.first == pytest.approx(0.0)
    assert down.held == pytest.approx(0.0)
    assert (up.before, up.after) == (10, 50)
    assert up.first == pytest.approx(0.4)
    assert up.held is not None
    assert 0.3 < up.held < 0.4


def test_one_burst_uses_a_rate_but_does_not_hold_it() -> None:
    burst = flow(*[92] * 10, *[9] * 10, *[10] * 2, 45, *[10] * 7, *[45] * 10)
    _, up = series.changes(STEP, burst)
    assert up.first == pytest.approx(0.2)
    assert up.own is None
    assert up.held is not None
    assert 0.9 < up.held < 1.0


def test_after_a_fall_more_than_the_rate_is_not_near_it() -> None:
    queue = flow(*[92] * 10, *[12] * 3, *[9] * 7, *[45] * 20)
    down, _ = series.changes(STEP, queue)
    assert down.first == pytest.approx(0.3)
    assert down.held is not None
    assert 0.0 < down.held < 0.3


def test_who_never_reaches_a_rate_is_compared_with_its_own_best_second() -> None:
    _, up = series.changes(STEP, flow(*[92] * 10, *[9] * 10, *[10] * 2, *[30] * 18))
    assert up.own == pytest.approx(30)
    assert up.first == pytest.approx(0.2)
    _, none = series.changes(STEP, flow(*[92] * 10, *[9] * 10, *[0] * 20))
    assert none.own == 0.0


def test_a_decision_counts_in_the_direction_of_the_change_and_what_is_let_go_by_the_pace() -> None:
    decisions = [
        Decision(0.5, 0.501, "standard", "enterprise"),
        Decision(1.03, 1.033, "enterprise", "standard"),
        Decision(1.5, 1.502, "standard", "performance"),
    ]
    points = [
        Point(0.9, 0, "", "cubic", 100_000, 8.0),
        Point(1.1, 0, "", "cubic", 100_000, 40.0),
        Point(1.2, 0, "", "bbr3", 10_000, 40.0, 11.0),
        Point(2.1, 0, "", "bbr3", 10_000, 8.0, 12.0),
        Point(2.2, 0, "", "bbr3", 10_000, 1.0, 60.0),
    ]
    assert points[0].allowed_mbit == pytest.approx(100)
    down, up = series.changes(STEP, Seen(points, FOLLOWED.arrivals, decisions))
    assert down.decided == pytest.approx(0.033)
    assert up.decided is None
    assert down.allowed == pytest.approx(0.2)
    assert up.allowed == pytest.approx(0.2)
    assert down.rtt_ms == (8.0, 40.0)


def test_answers_one_after_another_narrow_down_when_a_decision_was() -> None:
    first, again = (
        {
            "from": "enterprise",
            "to": "home",
            "cause": "measured",
            "age_seconds": age,
            "applied": True,
        }
        for age in (0.050, 0.150)
    )
    same = {**first, "from": "standard", "to": "standard"}
    found = Decisions()
    found.note(1.10, 1.14, [first, same])
    found.note(1.21, 1.22, [{**again, "to": "slow", "age_seconds": 0.01}, again])
    assert [(each.before, each.after) for each in found.found] == [
        ("enterprise", "home"), ("enterprise", "slow"),
    ]  # fmt: skip
    assert found.found[0].least == pytest.approx(1.06)
    assert found.found[0].most == pytest.approx(1.07)


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
    assert "44.2 (44.2–44.2) | 30.2 (30.2–30.2) | 1.46" in rows[2]
    told = "\n".join(page.settling(schedules(), {"step": found}))
    assert "| `step` | STOQ, adapting | 10, 50 | 400 | 375 | – | – | 12.5 → 12.5 |" in told
    assert "| `step` | STOQ, fixed defaults | 10, 50 | 0 (own 10) | 0 (own 10) | – | – |" in told
    assert page.settling({"x": parse("steps = [{}]", "x")}, {"x": {"fixed": [flow(1)]}}) == []


def test_every_peer_is_in_the_table_by_its_own_name() -> None:
    found = {name: [FOLLOWED] for name in reversed(settings.CANDIDATES)}
    head = page.table(schedules(), {"step": found})[0]
    assert head.split(" | ")[1:] == [
        "STOQ, adapting, Mbit/s",
        "STOQ, fixed defaults, Mbit/s",
        "stock quinn, CUBIC, Mbit/s",
        "Envoy pair, kernel CUBIC, Mbit/s",
        "Envoy pair, kernel BBR, Mbit/s",
        "adapting / fixed |",
    ]
    told = page.settling(schedules(), {"step": found})
    for name in settings.CANDIDATES:
        assert any(f"| `step` | {measure.TITLES[name]} | 100, 10 |" in line for line in told)


def test_whatever_can_be_asked_for_can_be_measured_named_and_drawn() -> None:
    for known in (measure.CANDIDATES, measure.TITLES, picture.COLOURS):
        assert tuple(known) == settings.CANDIDATES


def test_only_peers_that_are_ours_to_build_are_built() -> None:
    assert measure.BUILT.isdisjoint(settings.SMOKE.candidates)
    assert measure.BUILT.issubset(settings.CANDIDATES)


def test_csv_has_a_row_for_every_look_and_json_all_rounds() -> None:
    found = {"adapting": [FOLLOWED, STUCK]}
    rows = list(csv.DictReader(io.StringIO(page.rows(STEP, found))))
    assert len(rows) == 80
    assert (rows[12]["path_mbit"], rows[12]["tier"], rows[12]["congestion_window"]) == (
        "10", "home", "30000",
    )  # fmt: skip
    assert rows[-1]["round"] == "2"
    told = page.figures(STEP, found)["adapting"]
    assert json.loads(json.dumps(told))["goodput_mbit"] == [44.25, 30.25]


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
    assert page.name(chosen) == "adapt-loss-1+jitter"
    assert page.name(settings.Settings(rounds=1)) == page.name(settings.SMOKE) == "adapt"
    assert settings.parse(["--smoke", "--out", "x"])[1].folder == Path("x")
    assert page.command(settings.SMOKE) == "hack/bench adapt --smoke"
    for words, said in (
        (["--schedules", "moon"], "--schedules: 'moon' is not one of between-zones"),
        (
            ["--peers", "nginx"],
            "--peers: 'nginx' is not one of adapting, fixed, quinn, envoy-cubic, envoy-bbr",
        ),
        (["--rounds", "0"], "--rounds: 0 is outside"),
    ):
        with pytest.raises(BenchError, match=said):
            settings.parse(words)


def test_the_smoke_takes_seconds() -> None:
    assert SMOKE.seconds * len(settings.SMOKE.candidates) < 10
