"""A path by the kernel's token buckets: what they are told, when, and what they tell."""

import json
from itertools import islice

import pytest

from lab.command import CommandError
from lab.netlab import bucket, kernel
from lab.netlab.follow import moments
from lab.netlab.schedule import Schedule, ScheduleError, parse

STEPS = """
path = "kernel"
[[steps]]
seconds = 2
rate_mbit = 1000
queue_ms = 5
[[steps]]
seconds = 3
rate_mbit = 50
queue_ms = 20
up = { rate_mbit = 40 }
[[steps]]
seconds = 1
rate_mbit = 1000
queue_ms = 0.01
"""


def steps(text: str = STEPS) -> Schedule:
    return parse(text, "x.toml")


def of(text: str, mtu: int = 1500) -> bucket.Bucket:
    [step] = steps(f'path = "kernel"\n[[steps]]\n{text}').steps
    return bucket.bucket(step, mtu)


def test_a_fast_step_has_a_burst_of_a_millisecond_and_cuts_nothing() -> None:
    found = of("rate_mbit = 1000\nqueue_ms = 5")
    assert found == bucket.Bucket(rate=10**9, cut=125_000, burst=125_000, limit=625_000)


def test_a_slow_step_cuts_packets_to_frames() -> None:
    found = of("rate_mbit = 50\nqueue_ms = 20")
    assert found == bucket.Bucket(rate=50_000_000, cut=1_514, burst=16_000, limit=125_000)


def test_a_frame_of_any_mtu_and_a_packet_that_is_not_cut_fit() -> None:
    jumbo = of("rate_mbit = 1", 65_535)
    assert jumbo.cut == jumbo.burst == jumbo.limit == 65_549
    short = of("rate_mbit = 1000\nqueue_ms = 0.01")
    assert short.limit == short.cut == 125_000


def test_tc_is_told_both_buckets_of_both_directions() -> None:
    first = bucket.setup(steps(), 1500, "far", "near")
    assert first[0] == (
        "qdisc add dev far root handle 1: tbf rate 10000tbit burst 125000 limit 625000"
    )
    assert first[3] == (
        "qdisc add dev near parent 1:1 handle 2: tbf rate 1000000000bit burst 125000 limit 625000"
    )


def test_a_slow_step_lets_go_what_waits_whole_and_then_has_a_burst_of_its_own() -> None:
    told = json.loads(bucket.document(steps(), 1500, "far", "near"))
    assert told["again"] is None
    assert [(event["at"], event["step"]) for event in told["events"]] == [
        (0.0, 0), (2.0, 1), (pytest.approx(2.1375), 1), (5.0, 2),
    ]  # fmt: skip
    assert told["events"][1]["lines"] == [
        "qdisc change dev far root handle 1: tbf rate 10000tbit burst 1514 limit 100000",
        "qdisc change dev far parent 1:1 handle 2: tbf rate 40000000bit burst 72000 limit 100000",
        "qdisc change dev near root handle 1: tbf rate 10000tbit burst 1514 limit 125000",
        "qdisc change dev near parent 1:1 handle 2: tbf rate 50000000bit burst 72000 limit 125000",
    ]
    assert told["events"][2]["lines"][1] == (
        "qdisc change dev far parent 1:1 handle 2: tbf rate 40000000bit burst 16000 limit 100000"
    )


def test_a_slow_step_that_is_over_too_soon_keeps_the_large_burst() -> None:
    text = STEPS.replace("seconds = 3", "seconds = 0.1")
    told = json.loads(bucket.document(steps(text), 1500, "far", "near"))
    assert [event["at"] for event in told["events"]] == [0.0, 2.0, 2.1]


def test_a_path_that_is_slow_throughout_has_small_bursts() -> None:
    slow = steps(
        'path = "kernel"\n[[steps]]\nseconds = 1\nrate_mbit = 20\n[[steps]]\nrate_mbit = 10'
    )
    told = json.loads(bucket.document(slow, 1500, "far", "near"))
    assert [event["at"] for event in told["events"]] == [0.0, 1.0]
    assert "burst 16000" in told["events"][1]["lines"][1]


def test_steps_begin_when_those_before_have_lasted_and_anew_when_they_repeat() -> None:
    assert list(moments([0.0, 2.0, 2.2], None)) == [(2.0, 1), (2.2, 2)]
    told = json.loads(bucket.document(steps("repeat = true" + STEPS), 1500, "far", "near"))
    found = moments([event["at"] for event in told["events"]], told["again"])
    again = [(2.0, 1), (pytest.approx(2.1375), 2), (5.0, 3), (6.0, 0), (8.0, 1)]
    assert list(islice(found, 5)) == again


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("rate_mbit = 9\ndelay_ms = 3", 'steps[0].delay_ms: path = "kernel" knows rate_mbit and'),
        ("rate_mbit = 9\nup = { loss_percent = 1 }", "steps[0].up.loss_percent: path"),
        ("rate_mbit = 9\ndown = { reorder_ms = 1 }", "steps[0].down.reorder_ms: path"),
        ("queue_ms = 9", "steps[0].rate_mbit is missing: path"),
        ("up = { rate_mbit = 9 }", "steps[0].rate_mbit is missing: path"),
        (
            "rate_mbit = 100000\nqueue_ms = 1000",
            "steps[0].queue_ms: 1000 ms of 100000 Mbit/s are more than the 4294967295 bytes",
        ),
    ],
)
def test_what_a_bucket_cannot_be_is_refused_with_the_field(text: str, said: str) -> None:
    with pytest.raises(ScheduleError) as refused:
        steps(f'path = "kernel"\n[[steps]]\n{text}')
    assert str(refused.value).startswith(f"x.toml: {said}")


def test_nothing_is_refused_that_asks_for_no_trouble() -> None:
    assert steps('path = "kernel"\n[[steps]]\nrate_mbit = 9\ndelay_ms = 0').path == "kernel"
    with pytest.raises(ScheduleError, match="path: invalid enum value 'wire'"):
        steps('path = "wire"\n[[steps]]')


def test_a_kernel_without_the_bucket_is_told_with_its_module() -> None:
    said = "tc -n x -batch -: exit status 1: Error: Specified qdisc kind is unknown."
    error = kernel.refused(CommandError(said), "sch_tbf")
    assert str(error).startswith(said)
    assert "takes the kernel's modules sch_tbf (modprobe)" in str(error)


def test_counters_are_those_of_the_bucket_that_has_the_rate() -> None:
    listed = [
        {"kind": "noqueue", "handle": "0:", "dev": "lo", "packets": 0, "drops": 0, "qlen": 0},
        {"kind": "tbf", "handle": "1:", "dev": "far", "packets": 1, "drops": 2, "qlen": 3},
        {"kind": "tbf", "handle": "2:", "dev": "far", "bytes": 900, "packets": 7, "drops": 2,
         "qlen": 1},
        {"kind": "tbf", "handle": "2:", "dev": "near", "bytes": 0, "packets": 0, "drops": 0,
         "qlen": 0},
    ]  # fmt: skip
    assert bucket.counters(json.dumps(listed), "far") == {
        "offered": 10, "delivered": 7, "delivered_bytes": 900, "overflowed": 2,
    }  # fmt: skip
