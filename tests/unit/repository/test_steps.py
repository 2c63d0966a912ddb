"""The parts of a hack/ program end as the program itself would."""

import subprocess
import time
from pathlib import Path

from lab.state import start_time
from support.patience import PATIENCE

ROOT = Path(__file__).parents[3]


def run(script: str) -> subprocess.CompletedProcess[str]:
    header = "set -euo pipefail\n. hack/lib/steps.sh\n"
    return subprocess.run(
        ["bash", "-c", header + script], cwd=ROOT, capture_output=True, text=True, check=False
    )


def test_a_part_stops_at_its_first_command_that_fails():
    done = run("part() { false | cat; echo went on; }\nstep name part\necho next part")
    assert done.returncode == 1
    assert done.stdout == ""
    assert "== name failed" in done.stderr


def test_who_asks_for_the_status_of_a_part_is_told_it():
    done = run('part() { (exit 3); }\nset +e\nstep name part\necho "status $?"')
    assert done.stdout == "status 3\n"


def test_a_part_that_passes_is_followed_by_the_next():
    done = run("step one true\nstep two echo reached")
    assert done.returncode == 0
    assert done.stdout == "reached\n"


def test_a_part_that_takes_too_long_is_ended_and_says_so():
    script = "part() { sleep 60 & echo $!; wait; }\nwithin 3 name part\necho next part"
    done = run(script)
    assert done.returncode != 0
    assert "name: still not done after its 3 s" in done.stderr
    started = int(done.stdout)
    deadline = time.monotonic() + PATIENCE
    while start_time(started) is not None:
        assert time.monotonic() < deadline, "what the part started goes on"
        time.sleep(0.05)


def test_a_part_that_ends_in_time_is_left_alone():
    done = run("part() { exit 3; }\nset +e\nwithin 60 name part\necho status $?")
    assert done.stdout == "status 3\n"
    assert "still not done" not in done.stderr
