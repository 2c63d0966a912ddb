"""What the user is told when something expected goes wrong, and the exit status that goes with it.

0: done, or nothing is wrong. 1: it could not be done, or something is wrong. 2: the command line is
wrong (typer's). 3: the cluster does not answer, so nothing is known.
"""

from typing import Final

FAILED: Final = 1
UNREACHABLE: Final = 3


class StoqctlError(Exception):
    """The command can not do what was asked; the text says why and what to do."""

    status = FAILED


class Unreachable(StoqctlError):
    """No API server answers: nothing can be said about the cluster."""

    status = UNREACHABLE


class Refused(StoqctlError):
    """The API server refused; `code` is its HTTP status."""

    def __init__(self, text: str, code: int) -> None:
        super().__init__(text)
        self.code = code
