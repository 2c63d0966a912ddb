"""What the user is told when something expected goes wrong, and the exit status that goes with it.

0: done, or nothing is wrong. 1: it could not be done, or something is wrong. 2: the command line is
wrong (typer's). 3: the cluster does not answer, so nothing is known.
"""

from http import HTTPStatus
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


def is_passing(error: StoqctlError) -> bool:
    """Whether the same question may be answered a moment later: nobody answers, or an API server
    says that it cannot now (429, 5xx).
    """
    if isinstance(error, Refused):
        too_many = HTTPStatus.TOO_MANY_REQUESTS
        return error.code == too_many or error.code >= HTTPStatus.INTERNAL_SERVER_ERROR
    return isinstance(error, Unreachable)
