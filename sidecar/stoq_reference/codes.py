"""Application error codes (docs/wire-format.md, section 6)."""

from enum import IntEnum


class ConnectionCode(IntEnum):
    """Codes of CONNECTION_CLOSE."""

    NO_ERROR = 0x00
    UNAUTHORISED = 0x01
    REVOKED = 0x02
    EXPIRED = 0x03
    PROTOCOL = 0x04
    IDLE = 0x05
    OVERLOADED = 0x06
    INTERNAL = 0x07
    DRAINING = 0x08
    BAD_TOKEN = 0x09
    CRYPTO_PROFILE = 0x0A


class StreamCode(IntEnum):
    """Codes of RESET_STREAM and STOP_SENDING."""

    REFUSED = 0x10
    UNREACHABLE = 0x11
    TIMED_OUT = 0x12
    NOT_MINE = 0x13
    FORBIDDEN_PORT = 0x14
    RESET = 0x15
    CANCELLED = 0x16
    BAD_HEAD = 0x17
    DENIED = 0x18
    DRAINING = 0x19
    ACCESS_DENIED = 0x1A
    BAD_SHARD = 0x1B
    TOO_LARGE = 0x1C
    INCOMPLETE = 0x1D
    BAD_SIGNATURE = 0x1E
    NO_ROUTE = 0x1F
    LOOP = 0x20
