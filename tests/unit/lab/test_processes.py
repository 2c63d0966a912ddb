"""Programs of a laboratory: known by id and start time, ended with their children, logged."""

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import command, process, state
from lab.state import State
from support.patience import PATIENCE


@pytest.fixture
def run_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[State]:
    monkeypatch.setenv("STOQ_LAB_ROOT", str(tmp_path))
    made = State.create("r1", "test")
    yield made
    made.stop_processes()


def test_a_program_that_ends_early_says_what_it_printed(run_state: State) -> None:
    failing = process.start(run_state, "failing", ["sh", "-c", "echo no such port; exit 3"])

    with pytest.raises(process.ProcessError, match=r"status 3 before ready:\nno such port"):
        failing.wait_until("ready", lambda: False)


def test_waiting_ends_with_what_was_waited_for(run_state: State) -> None:
    slow = process.start(run_state, "slow", ["sleep", "60"])

    with pytest.raises(process.ProcessError, match="slow: not listening in 0.1 s"):
        slow.wait_until("listening", lambda: False, timeout=0.1)


def test_stopping_ends_a_program_that_ignores_the_request_and_its_children(
    run_state: State,
) -> None:
    stubborn = "trap '' TERM; sleep 60 & echo $! > child; wait; sleep 60"
    running = process.start(
        run_state, "stubborn", ["sh", "-c", f"cd {run_state.folder}; {stubborn}"]
    )
    child = run_state.folder / "child"
    running.wait_until("having a child", lambda: child.exists() and bool(child.read_text()))

    assert running.stop(timeout=0.2) == -9
    deadline = time.monotonic() + PATIENCE
    while state.start_time(int(child.read_text())) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert state.start_time(int(child.read_text())) is None


def test_a_program_gets_its_own_settings_and_not_those_of_the_laboratory(run_state: State) -> None:
    printing = process.start(run_state, "env", ["env"], environment={"STOQ_POD_NAME": "web-0"})
    while printing.running():
        time.sleep(0.01)

    settings = [line for line in printing.tail(100_000).splitlines() if line.startswith("STOQ_")]
    assert settings == ["STOQ_POD_NAME=web-0"]


def test_a_process_that_was_given_the_same_id_since_is_left_alone(run_state: State) -> None:
    stranger = subprocess.Popen(["sleep", "60"], start_new_session=True)
    try:
        run_state.processes[stranger.pid] = 1
        run_state.stop_processes()
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_the_record_survives_its_writer_and_a_broken_one_is_refused(
    run_state: State, tmp_path: Path
) -> None:
    running = process.start(run_state, "sleep", ["sleep", "60"])

    read = State.load(run_state.folder)
    assert read.processes == {running.pid: state.start_time(running.pid)}
    assert [found.run for found in state.all_runs("test")] == ["r1"]
    assert state.all_runs("another purpose") == []

    (run_state.folder / "state.json").write_text("{}")
    with pytest.raises(ValueError, match="not the record of a laboratory"):
        State.load(run_state.folder)


def test_a_process_that_is_gone_has_no_start_time() -> None:
    assert state.start_time(os.getpid()) is not None
    assert state.start_time(2**22 + 1) is None


def test_a_command_that_fails_says_what_was_run_and_what_it_answered() -> None:
    with pytest.raises(command.CommandError, match=r"sh -c .*: exit status 7: broken"):
        command.run(["sh", "-c", "echo broken >&2; exit 7"])
    with pytest.raises(command.CommandError, match="no such program; hack/setup installs it"):
        command.run(["no-such-program"])
    with pytest.raises(command.CommandError, match=r"no end within 0.1 s"):
        command.run(["sleep", "5"], timeout=0.1)


def test_a_program_is_not_taken_for_a_namesake_that_ran_before_it(run_state: State) -> None:
    first = process.start(run_state, "server", ["echo", "listening"])
    first.wait_until("listening", lambda: "listening" in first.tail())
    first.stop()

    assert process.start(run_state, "server", ["sleep", "60"]).tail() == ""
