"""What the benchmark of starting pods makes of its samples, without a cluster."""

import pytest

from benchlib.errors import BenchError
from benchlib.podstart import page, settings
from benchlib.podstart.measure import MESHED, PLAIN, Found, Usage

ABOUT = dict.fromkeys(("cpus", "cpu", "kernel", "load_before", "kubernetes", "stoq"), "x")

STARTS = {PLAIN: [1.0] * 19 + [3.0], MESHED: [2.25] * 18 + [4.0, 9.0]}
IDLE = [
    (Usage(100.0, 5.0, 30e6), Usage(160.0, 5.12, 31e6)),
    (Usage(100.0, 5.0, 40e6), Usage(160.0, 5.6, 41e6)),
    (Usage(100.0, 5.0, 20e6), Usage(100.0, 5.0, 20e6)),
]


def test_what_the_mesh_adds_is_the_difference_of_the_percentiles() -> None:
    found = page.figures(Found(STARTS, IDLE))
    assert (found["plain_p50_s"], found["meshed_p50_s"]) == (1.0, 2.25)
    assert (found["added_p50_s"], found["added_p95_s"]) == (1.25, 3.0)


def test_a_kubelet_that_read_nothing_anew_says_nothing_of_idle_cpu() -> None:
    found = page.figures(Found(STARTS, IDLE))
    assert found["idle_cores_p50"] == pytest.approx(0.002)
    assert found["idle_cores_max"] == pytest.approx(0.01)
    assert (found["idle_rss_p50"], found["idle_rss_max"]) == (31e6, 41e6)


def test_the_page_has_figures_wishes_and_the_command() -> None:
    chosen, _ = settings.parse(["--pods", "12"])
    text = page.page(chosen, page.figures(Found(STARTS, IDLE)), ABOUT)
    assert "`hack/bench pod-start --pods 12`" in text
    assert "| difference: P50, P95 | 1.25 s, 3.00 s | P95 ≤ 1.5 s |" in text
    assert "| idle sidecar's CPU: median, most | 2.0, 10.0 mCPU | ≤ 5 mCPU |" in text


@pytest.mark.parametrize("given", [["--pods", "1"], ["--seconds", "5"]])
def test_too_little_to_say_anything_is_refused_by_name(given: list[str]) -> None:
    with pytest.raises(BenchError, match=f"{given[0]}: {given[1]} is outside"):
        settings.parse(given)
