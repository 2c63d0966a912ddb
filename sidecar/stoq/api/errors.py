"""The five ways a call fails, as exceptions and as statuses on the wire.

A handler raises one of them to answer with it; a caller catches the same class. Anything else a
handler raises is a fault of the server: the caller sees `Unavailable` without details, the server
logs the traceback.
"""

from enum import StrEnum
from typing import ClassVar, Final


class Status(StrEnum):
    """How a call ended (docs/wire-format.md, section 7)."""

    OK = "ok"
    TIMEOUT = "timeout"
    NOT_FOUND = "not_found"
    UNAUTHORISED = "unauthorised"
    BAD_REQUEST = "bad_request"
    UNAVAILABLE = "unavailable"


class Malformed(ValueError):
    """Bytes received, or a value to be sent, do not fit the format; the text says where.

    A server answers `bad_request` to it; a client reports the server as `Unavailable`.
    """


class ApiError(Exception):
    """A call ended with a status other than `ok`; the text is for the person who reads the log."""

    status: ClassVar[Status] = Status.UNAVAILABLE
    untouched: bool = False
    """Whether it is certain that no handler has seen the request."""


class TimedOut(ApiError):
    """The deadline of the call passed before the answer was complete."""

    status = Status.TIMEOUT


class NotFound(ApiError):
    """The method, or the thing the request names, does not exist there."""

    status = Status.NOT_FOUND


class Unauthorised(ApiError):
    """The caller's identity or credential does not allow the call."""

    status = Status.UNAUTHORISED


class BadRequest(ApiError):
    """The request, or the bytes that should be one, break a rule; the text says which."""

    status = Status.BAD_REQUEST


class Unavailable(ApiError):
    """The server cannot answer now: unreachable, overloaded, draining or faulty. Try again; where
    `untouched` is set, also what must not be done twice.
    """

    status = Status.UNAVAILABLE

    def __init__(self, text: str, *, untouched: bool = False) -> None:
        super().__init__(text)
        self.untouched = untouched


_BY_STATUS: Final[dict[Status, type[ApiError]]] = {
    error.status: error for error in (TimedOut, NotFound, Unauthorised, BadRequest, Unavailable)
}

MAX_ERROR_TEXT: Final = 1024
"""Characters of an error text that travel; the rest is cut off."""


def error_for(status: str, text: str, *, untouched: bool = False) -> ApiError:
    """The exception for a status received; one unknown to this version is `Unavailable`."""
    try:
        error = _BY_STATUS[Status(status)]
    except (ValueError, KeyError):
        return Unavailable(f"the server answered with status {status!r}, unknown here: {text}")
    return Unavailable(text, untouched=untouched) if error is Unavailable else error(text)
