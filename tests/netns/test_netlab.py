"""hack/netlab with real programs over it. Bounds are wide where a busy machine could be late, and
narrow where only a mistake could be: nothing is faster than the path.
"""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lab import command, netns, plan
from lab.netlab import path, schedule, userspace
from lab.netlab.route import End, Route
from lab.plan import Plan, Pod
from lab.state import State
from netns.meshes import eventually

# The first one builds the program.
pytestmark = pytest.mark.timeout(300)

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module", autouse=True)
def built() -> str:
    return userspace.program()


def netlab(
    *words: str, file: Path | None = None, text: str = ""
) -> subprocess.CompletedProcess[str]:
    if file is not None:
        file.write_text(text)
    return subprocess.run(
        [ROOT / "hack" / "netlab", *words],
        env={**os.environ, "PYTHON": sys.executable},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_delay_and_loss_are_what_the_file_says(tmp_path: Path) -> None:
    file = tmp_path / "far.toml"
    text = "seed = 4\n[[steps]]\ndelay_ms = 20\nloss_percent = 20\n"
    ping = ["ping", "-n", "-i", "0.01", "-c", "300", "-W", "1", "{far4}"]
    done = netlab("run", str(file), "--", *ping, file=file, text=text)
    times = [float(found) for found in re.findall(r"time=([\d.]+) ms", done.stdout)]
    assert min(times) >= 40, done.stderr
    assert min(times) < 60
    # Two ways with a fifth lost on each: 64 % come back; the queries for addresses may be lost too.
    assert 150 <= len(times) <= 230


@pytest.mark.alone
def test_the_rate_of_each_direction_holds_and_changes_when_it_is_time(tmp_path: Path) -> None:
    file = tmp_path / "step.json"
    steps = [
        {"seconds": 3, "delay_ms": 2, "rate_mbit": 40, "up": {"rate_mbit": 8}},
        {"delay_ms": 2, "rate_mbit": 10},
    ]
    iperf = ["iperf3", "-J", "-4", "-c", "{far4}", "-R", "-i", "1", "-t", "7"]
    words = ["run", str(file), "--far", "iperf3 -s -1", "--", *iperf]
    done = netlab(*words, file=file, text=json.dumps({"steps": steps}))
    assert done.returncode == 0, done.stderr
    rates = [
        interval["sum"]["bits_per_second"] / 1e6
        for interval in json.loads(done.stdout)["intervals"]
    ]
    assert 20 < rates[1] < 41, rates
    # The queue of the first step, and half a second until iperf3 begins, count to the fifth second.
    assert 6 < rates[5] < 10.3, rates


@pytest.mark.alone
def test_a_path_of_the_kernel_carries_at_its_rate_and_goes_on_at_that_of_the_next_step(
    tmp_path: Path,
) -> None:
    file = tmp_path / "kernel.json"
    # Packets of GSO wait whole when the slow step begins, and have to leave all the same.
    steps = [{"seconds": 1.5, "rate_mbit": 600, "queue_ms": 10}, {"rate_mbit": 20}]
    iperf = ["iperf3", "-J", "-4", "-c", "{far4}", "-R", "-i", "0.5", "-t", "3.5"]
    words = ["run", str(file), "--far", "iperf3 -s -1", "--", *iperf]
    done = netlab(*words, file=file, text=json.dumps({"path": "kernel", "steps": steps}))
    assert done.returncode == 0, done.stderr
    rates = [
        interval["sum"]["bits_per_second"] / 1e6
        for interval in json.loads(done.stdout)["intervals"]
    ]
    assert 60 < rates[1] < 605, rates
    assert 6 < sum(rates[4:]) / len(rates[4:]) < 20.3, rates


def test_a_path_of_the_kernel_is_a_link_of_a_pod_begins_when_told_and_counts() -> None:
    laid_out = plan.make(plan.new_run_id("t"), ["far", "near"])
    state = State.create(laid_out.run, "test")
    made: list[Route] = []
    try:
        text = (
            'path = "kernel"\n[[steps]]\nseconds = 0.001\nrate_mbit = 100\n'
            "[[steps]]\nrate_mbit = 0.5\nqueue_ms = 1"
        )
        steps = schedule.parse(text, "x.toml")

        def link(plan: Plan, pod: Pod) -> None:
            ends = End(pod.netns, "eth0"), End(plan.fabric, pod.port)
            made.append(path.lay(state, *ends, steps, hold=True))

        netns.build(laid_out, state, {"near": link})
        [route] = made
        near, far = laid_out.pod("near"), laid_out.pod("far")
        ping = ["ping", "-n", "-q", "-c", "100", "-l", "100", "-W", "5", "-s", "1400"]
        said = netns.run_in(near.netns, [*ping, str(far.ipv6)])
        assert "100 received" in said
        held = route.counted()
        assert held["step"] == held["up"]["overflowed"] == 0
        assert held["up"]["delivered_bytes"] >= 100 * (1400 + 8 + 40 + 14)
        assert held["down"]["delivered"] >= 100
        assert route.begin() <= time.monotonic()
        assert eventually(lambda: route.counted()["step"] > 0)
        # A burst and a queue of 30,000 bytes are all that a hundred of 1462 bytes find.
        command.run([*netns.enter(near.netns), *ping, str(far.ipv6)], check=False)
        told = route.counted()
        assert told["step"] == 1
        assert told["up"]["overflowed"] > 0
        assert told["up"]["offered"] >= told["up"]["delivered"] + told["up"]["overflowed"]
    finally:
        state.remove()


def test_a_command_keeps_its_status_and_nothing_is_left(tmp_path: Path) -> None:
    before = _ours()
    done = netlab("run", "branch-office", "--", "sh", "-c", "exit 7")
    assert done.returncode == 7, done.stderr
    failed = netlab("run", "branch-office", "--far", "false", "--", "true")
    assert (failed.returncode, "false ended at once" in failed.stderr) == (2, True)
    bad = netlab("up", str(tmp_path / "x.toml"), file=tmp_path / "x.toml", text="[[steps]]\nrate=1")
    assert (bad.returncode, "unknown field `rate`" in bad.stderr) == (2, True)
    assert _ours() <= before


def _ours() -> set[str]:
    listed = command.run(["ip", "netns", "list"]).stdout
    return set(re.findall(r"stoq-n[0-9a-f]{6}-(?:near|far)", listed))


def test_what_up_leaves_can_be_entered_until_down() -> None:
    done = netlab("up", "between-zones")
    assert done.returncode == 0, done.stderr
    found = re.search(r"namespace (stoq-n[0-9a-f]+-near)", done.stdout)
    assert found, done.stdout
    try:
        netns.run_in(found[1], ["ping", "-c", "1", "-W", "5", "fd7e:717b::2"])
    finally:
        assert netlab("down").returncode == 0
    assert found[1] not in command.run(["ip", "netns", "list"]).stdout


def test_a_path_is_a_link_of_a_pod_begins_when_told_and_counts() -> None:
    laid_out = plan.make(plan.new_run_id("t"), ["far", "near"])
    state = State.create(laid_out.run, "test")
    try:
        slow = schedule.parse("[[steps]]\ndelay_ms = 15\nduplicate_percent = 100", "x.toml")
        netns.build(laid_out, state, {"far": path.link(state, slow)})
        near, far = laid_out.pod("near"), laid_out.pod("far")
        said = netns.run_in(near.netns, ["ping", "-n", "-c", "3", "-i", "0.2", str(far.ipv6)])
        times = [float(found) for found in re.findall(r"time=([\d.]+) ms", said)]
        assert min(times) >= 30
        assert "DUP!" in said
        lossy = schedule.parse(
            "[[steps]]\nseconds = 0.001\n[[steps]]\nloss_percent = 100", "x.toml"
        )
        ends = (End(near.netns, "eth1"), End(laid_out.fabric, "p9"))
        made = path.lay(state, *ends, lossy, hold=True)
        assert made.counted()["step"] == 0
        made.begin()
        assert eventually(lambda: made.counted()["step"] > 0)
        told = made.counted()
        assert told["step"] == 1
        assert told["up"]["offered"] == told["up"]["delivered"] + told["up"]["lost"]
    finally:
        state.remove()


def test_the_demonstration_goes_over_such_a_path() -> None:
    lab_root = f"/run/stoq-lab-test-{os.getpid()}"
    done = subprocess.run(
        [sys.executable, "-m", "lab.demo", "--path", "branch-office", "--json"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT / "hack"), "STOQ_LAB_ROOT": lab_root},
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    # Up, from the client to the server, the line has 10 Mbit/s.
    assert 0 < json.loads(done.stdout)["throughput_bits_per_second"] < 10.5e6
