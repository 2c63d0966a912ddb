"""Values to bytes and back, msgpack or JSON, typed by msgspec."""

from enum import StrEnum
from typing import TypeVar

import msgspec

from stoq.api.errors import Malformed

T = TypeVar("T")


class Codec(StrEnum):
    """How the messages of a call are written; the header names it."""

    MSGPACK = "msgpack"
    JSON = "json"


def encode(codec: Codec, value: object) -> bytes:
    """The bytes of a msgspec struct or any type msgspec writes."""
    if codec is Codec.JSON:
        return msgspec.json.encode(value)
    return msgspec.msgpack.encode(value)


def decode(codec: Codec, body: bytes, type_: type[T]) -> T:
    """A `type_` from `body`. Raises `Malformed` that names the field at fault."""
    try:
        if codec is Codec.JSON:
            return msgspec.json.decode(body, type=type_)
        return msgspec.msgpack.decode(body, type=type_)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed(
            f"the bytes are no {codec} {type_.__name__}: {error}; "
            "compare the versions of both sides"
        ) from None
