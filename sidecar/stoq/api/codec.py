"""Values to bytes and back, msgpack or JSON, typed by msgspec."""

from collections.abc import Callable
from enum import StrEnum
from functools import lru_cache
from typing import Any, Final, TypeVar

import msgspec

from stoq.api.errors import Malformed

T = TypeVar("T")


class Codec(StrEnum):
    """How the messages of a call are written; the header names it."""

    MSGPACK = "msgpack"
    JSON = "json"


CODECS: Final = {codec.value: codec for codec in Codec}
"""By the name in the header."""

KEPT: Final = 1024
"""Decoders that are kept; more types than any program has methods."""

_to_msgpack: Final = msgspec.msgpack.Encoder().encode
_to_json: Final = msgspec.json.Encoder().encode


def encode(codec: Codec, value: object) -> bytes:
    """The bytes of a msgspec struct or any type msgspec writes."""
    return _to_msgpack(value) if codec is Codec.MSGPACK else _to_json(value)


@lru_cache(maxsize=KEPT)
def _decoder(codec: Codec, type_: Any) -> Callable[[bytes], Any]:
    """Building one takes longer than most messages do."""
    module: Any = msgspec.msgpack if codec is Codec.MSGPACK else msgspec.json
    decode: Callable[[bytes], Any] = module.Decoder(type_).decode
    return decode


def decode(codec: Codec, body: bytes, type_: type[T]) -> T:
    """A `type_` from `body`. Raises `Malformed` that names the field at fault."""
    key: Any = type_
    try:
        value: T = _decoder(codec, key)(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed(
            f"the bytes are no {codec} {getattr(type_, '__name__', type_)}: {error}; "
            "compare the versions of both sides"
        ) from None
    return value
