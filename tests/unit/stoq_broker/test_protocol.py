"""The broker's messages, well-formed and not."""

import msgspec
import pytest

from stoq.broker.protocol import (
    MAX_MESSAGE,
    VERSION,
    Code,
    Hello,
    Operation,
    ProtocolError,
    Refusal,
    Reply,
    Request,
    Role,
    SocketInfo,
    decode_reply,
    decode_request,
    encode_reply,
    encode_request,
)


@pytest.mark.parametrize("operation", list(Operation))
def test_a_request_survives_the_way(operation: Operation) -> None:
    request = Request(op=operation, workers=3)
    assert decode_request(encode_request(request)) == request


def test_a_reply_survives_the_way() -> None:
    reply = Reply(
        v=VERSION,
        hello=Hello("stoq-control", "web-0", "shop", captured=True),
        sockets=(
            SocketInfo(Role.OUTBOUND, 14001, transparent=True),
            SocketInfo(Role.STOQ, 14008, 1),
        ),
    )
    assert decode_reply(encode_reply(reply)) == reply


def test_the_bytes_of_a_request_are_pinned() -> None:
    # Another implementation was written against docs/broker.md; these bytes may not change.
    packed = encode_request(Request(op=Operation.SOCKETS, workers=2))
    assert msgspec.msgpack.decode(packed) == {"v": 1, "op": "sockets", "workers": 2}
    assert len(packed) < 32
    wanting = encode_request(Request(op=Operation.SOCKETS, workers=2, transparent=True, udp=True))
    found = msgspec.msgpack.decode(wanting)
    assert (found["transparent"], found["udp"]) == (True, True)


def test_fields_of_a_later_broker_are_ignored() -> None:
    packed = msgspec.msgpack.encode({"v": 1, "op": "hello", "colour": "blue"})
    assert decode_request(packed).op is Operation.HELLO


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"v": 2, "op": ["of", "another", "world"]}, Code.VERSION),
        ({"op": "hello"}, Code.MALFORMED),
        ({"v": 1, "op": "shutdown"}, Code.MALFORMED),
        ({"v": 1, "op": "sockets", "workers": 0}, Code.MALFORMED),
        ({"v": 1, "op": "sockets", "workers": 65}, Code.MALFORMED),
        ({"v": 1, "op": "sockets", "workers": "2"}, Code.MALFORMED),
        ([1, 2], Code.MALFORMED),
    ],
)
def test_a_wrong_request_is_refused_with_its_code(body: object, code: Code) -> None:
    with pytest.raises(ProtocolError) as refused:
        decode_request(msgspec.msgpack.encode(body))
    assert refused.value.code is code


@pytest.mark.parametrize("message", [b"", b"\xc1", b"\x81", b"\x91" * 60_000, b"\xde\xff\xff"])
def test_garbage_is_malformed(message: bytes) -> None:
    with pytest.raises(ProtocolError) as refused:
        decode_request(message)
    assert refused.value.code is Code.MALFORMED


def test_an_oversize_message_is_over_the_limit() -> None:
    with pytest.raises(ProtocolError) as refused:
        decode_reply(b"\x00" * (MAX_MESSAGE + 1))
    assert refused.value.code is Code.LIMIT


@pytest.mark.parametrize(("code", "seen"), [("limit", Code.LIMIT), ("new one", Code.FAILED)])
def test_a_refusal_is_raised_with_its_code(code: str, seen: Code) -> None:
    reply = Reply(v=VERSION, error=Refusal(code, "because"))
    with pytest.raises(ProtocolError, match="because") as refused:
        decode_reply(encode_reply(reply))
    assert refused.value.code is seen
