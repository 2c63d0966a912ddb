"""Running a program to its end, with an error that says what was run and what it answered."""

import os
import subprocess
from collections.abc import Sequence


class CommandError(RuntimeError):
    """A program ended with a status other than 0; the message has its command line and output."""


def inherited() -> dict[str, str]:
    """Our environment without STOQ_*: those are settings, and each program is given its own."""
    return {name: text for name, text in os.environ.items() if not name.startswith("STOQ_")}


def run(
    argv: Sequence[str],
    *,
    timeout: float = 30.0,
    stdin: str | None = None,
    check: bool = True,
) -> subprocess.CompletedProcess[str]:
    """Runs `argv` without a shell and returns what it printed (text, decoded leniently).

    `timeout` is in seconds. Raises CommandError when it ends with another status than 0 (unless
    `check` is off), when it does not end in time, or when there is no such program.
    """
    try:
        done = subprocess.run(
            argv,
            input=stdin,
            capture_output=True,
            text=True,
            errors="replace",
            env=inherited(),
            timeout=timeout,
            check=False,
        )
    except FileNotFoundError as error:
        raise CommandError(f"{argv[0]}: no such program; hack/setup installs it") from error
    except subprocess.TimeoutExpired as error:
        raise CommandError(f"{' '.join(argv)}: no end within {timeout:g} s") from error
    if check and done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip() or "it printed nothing")[-2000:]
        raise CommandError(f"{' '.join(argv)}: exit status {done.returncode}: {said}")
    return done
