"""What the load tools and /proc say, as numbers."""

import json
import os

import pytest

from benchlib import procfs
from benchlib.errors import BenchError
from benchlib.iperf import received_rate
from benchlib.scenarios.latency import values_of

LATENCY = {
    "answered": 1000,
    "errors": 1,
    "first_error": "reset",
    "lost": 2,
    "p50_us": 100.0,
    "p99_us": 900.0,
    "p999_us": 2000.0,
    "p99_us_by_tenth": [5000.0, 800.0, *[850.0] * 7, 1200.0],
}


def test_iperf3s_rate_is_what_arrived() -> None:
    report = {
        "end": {"sum_sent": {"bits_per_second": 9e9}, "sum_received": {"bits_per_second": 8e9}}
    }
    assert received_rate(json.dumps(report)) == 8e9


def test_iperf3s_own_words_are_passed_on() -> None:
    with pytest.raises(BenchError, match="iperf3: unable to connect"):
        received_rate(json.dumps({"error": "unable to connect"}))


def test_a_report_that_is_cut_off_is_shown() -> None:
    with pytest.raises(BenchError, match="iperf3 wrote no JSON: '{'"):
        received_rate("{")


def test_latencies_are_in_milliseconds() -> None:
    values = values_of(json.dumps(LATENCY))
    assert (values["p50"], values["p99"], values["p999"]) == (0.1, 0.9, 2.0)


def test_errors_and_losses_both_failed() -> None:
    assert values_of(json.dumps(LATENCY))["failed"] == 3.0


def test_growth_compares_the_end_with_a_path_that_is_warm() -> None:
    assert values_of(json.dumps(LATENCY))["p99_growth"] == 1.5


def test_no_answer_at_all_is_an_error_with_its_cause() -> None:
    with pytest.raises(BenchError, match="no request was answered: reset"):
        values_of(json.dumps({**LATENCY, "answered": 0}))


def test_the_machine_is_busy_whenever_it_is_not_idle() -> None:
    tick = 1 / os.sysconf("SC_CLK_TCK")
    before = "cpu 0 0 0 0 0 0 0 0 0 0\ncpu0 0\ncpu1 0\nintr 0\n"
    after = f"cpu 7 0 0 {100} {20} 0 0 {30} 0 0\ncpu0 0\ncpu1 0\nintr 0\n"
    start = procfs.parse_machine_time(before, 10.0)
    end = procfs.parse_machine_time(after, 11.0)
    assert end.steal == pytest.approx(30 * tick)
    assert end.busy - start.busy == pytest.approx(2.0 - 150 * tick)


def test_this_process_has_used_cpu_and_memory() -> None:
    assert procfs.cpu_seconds(os.getpid()) >= 0.0
    assert procfs.rss_mb(os.getpid()) > 1.0
