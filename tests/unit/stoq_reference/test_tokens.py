"""Tokens of the reference, held against docs/vectors."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stoq_reference import frames, tokens
from stoq_reference.errors import Malformed
from stoq_reference.frames import PacketToken
from stoq_reference.tokens import BadToken, Keys, PacketReader, StreamReader
from support.vectors import Case, cases, vectors

KEYS = Keys.of(bytes.fromhex(vectors("tokens.json")["exporter"]))


def token(text: str | None) -> PacketToken | None:
    """The token that a vector has in hex."""
    if text is None:
        return None
    found, _ = frames.decode(bytes.fromhex(text))
    assert isinstance(found, PacketToken)
    return found


def key(case: Case) -> bytes:
    return {"client": KEYS.client, "server": KEYS.server}[case["sender"]]


@cases("tokens.json", "tags")
def test_tags(case: Case) -> None:
    data = bytes.fromhex(case["data"])
    made = tokens.tag(key(case), case["form"], case["stream"], case["sequence"], data)
    assert made.hex() == case["tag"]


@cases("tokens.json", "streams")
def test_streams_with_tokens_are_written_and_read(case: Case) -> None:
    messages = [bytes.fromhex(message) for message in case["messages"]]
    stream = tokens.write(key(case), case["stream"], messages, case["interval"])
    assert stream.hex() == case["hex"]
    reader = StreamReader(key(case), case["stream"])
    assert reader.push(stream) == b"".join(messages)
    reader.finish()


@cases("tokens.json", "invalid")
def test_wrong_tokens_close_the_connection_and_hand_nothing_on(case: Case) -> None:
    reader, verified = StreamReader(key(case), case["stream"]), b""
    fault = {"bad_token": BadToken, "protocol": Malformed}[case["code"]]
    stream = bytes.fromhex(case["hex"])

    def read() -> None:
        nonlocal verified
        for at in range(len(stream)):
            verified += reader.push(stream[at : at + 1])
        reader.finish()

    with pytest.raises(fault):
        read()
    assert verified.hex() == case["verified"]


@cases("tokens.json", "packets")
def test_tokens_in_packets(case: Case) -> None:
    reader = PacketReader(key(case), from_client=case["sender"] == "client")
    for step in case["steps"]:
        arguments = step["packet"], bytes.fromhex(step["payload"]), token(step["token"])
        if step["outcome"] == "bad_token":
            with pytest.raises(BadToken):
                reader.check(*arguments)
        else:
            assert reader.check(*arguments) == (step["outcome"] == "new")


@given(
    st.lists(st.binary(min_size=1, max_size=40), min_size=1, max_size=5),
    st.integers(0),
    st.integers(1, 255),
)
def test_a_changed_stream_never_gives_wrong_bytes(messages, at, by) -> None:
    stream = bytearray(tokens.write(KEYS.client, 4, messages))
    stream[at % len(stream)] ^= by
    reader = StreamReader(KEYS.client, 4)

    def read() -> None:
        assert b"".join(messages).startswith(reader.push(bytes(stream)))
        reader.finish()

    with pytest.raises((BadToken, Malformed)):
        read()
