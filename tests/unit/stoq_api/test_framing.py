import pytest
from hypothesis import given
from hypothesis import strategies as st

from stoq.api.errors import Malformed
from stoq.api.framing import (
    LONG,
    MAX_BODY,
    MAX_CONTROL_BODY,
    Decoder,
    Frame,
    Kind,
    encode,
    pieces,
)

frames = st.lists(st.tuples(st.sampled_from(Kind), st.binary(max_size=2000)), max_size=8)


def drain(decoder):
    found = []
    while (frame := decoder.next()) is not None:
        found.append(frame)
    return found


@given(frames, st.data())
def test_frames_survive_any_cut_of_the_bytes(sent, data):
    stream = b"".join(encode(kind, body) for kind, body in sent)
    decoder, received = Decoder(limit=4096), []
    while stream:
        cut = data.draw(st.integers(1, len(stream)))
        decoder.feed(stream[:cut])
        stream = stream[cut:]
        received += drain(decoder)
    assert received == [Frame(kind, body) for kind, body in sent]
    assert decoder.pending == 0


@given(st.binary(max_size=200))
def test_any_bytes_give_frames_or_the_specified_error(data):
    decoder = Decoder(limit=64)
    decoder.feed(data)
    try:
        found = drain(decoder)
    except Malformed:
        return
    assert sum(4 + len(frame.body) for frame in found) + decoder.pending == len(data)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(Kind),
            st.binary(max_size=20) | st.sampled_from([bytes(LONG - 1), bytes(LONG)]),
        ),
        max_size=6,
    )
)
def test_frames_in_pieces_are_the_same_bytes_and_no_long_body_is_copied(sent):
    found = pieces(*sent)
    assert b"".join(found) == b"".join(encode(kind, body) for kind, body in sent)
    long = [body for _, body in sent if len(body) >= LONG]
    assert [id(piece) for piece in found if any(piece is body for body in long)] == list(
        map(id, long)
    )
    assert len(found) <= 2 * len(long) + 1


def test_no_frames_are_one_empty_piece_that_can_carry_the_end():
    assert pieces() == [b""]


def test_the_longest_message_allowed_is_accepted():
    decoder = Decoder(limit=100)
    decoder.feed(encode(Kind.MESSAGE, b"x" * 100))
    assert decoder.next() == Frame(Kind.MESSAGE, b"x" * 100)


def test_a_longer_message_is_refused_before_its_body_is_read():
    decoder = Decoder(limit=100)
    decoder.feed(encode(Kind.MESSAGE, b"x" * 101)[:4])
    with pytest.raises(Malformed, match="101 bytes is over the limit of 100"):
        decoder.next()


@pytest.mark.parametrize("kind", [Kind.HEADER, Kind.STATUS])
def test_control_frames_have_their_own_smaller_limit(kind):
    decoder = Decoder(limit=MAX_BODY)
    decoder.feed(encode(kind, b"x" * (MAX_CONTROL_BODY + 1)))
    with pytest.raises(Malformed, match=str(MAX_CONTROL_BODY)):
        decoder.next()


def test_an_unknown_kind_is_refused():
    decoder = Decoder(limit=100)
    decoder.feed(b"\x03\0\0\0")
    with pytest.raises(Malformed, match="0x03 is no kind"):
        decoder.next()


def test_a_frame_cut_short_stays_pending():
    decoder = Decoder(limit=100)
    decoder.feed(encode(Kind.MESSAGE, b"hello")[:-1])
    assert decoder.next() is None
    assert decoder.pending == 8


def test_an_empty_body_is_a_frame():
    decoder = Decoder(limit=100)
    decoder.feed(encode(Kind.MESSAGE, b""))
    assert decoder.next() == Frame(Kind.MESSAGE, b"")


def test_a_body_that_no_prefix_can_say_is_refused_by_the_sender():
    with pytest.raises(Malformed, match="split it"):
        encode(Kind.MESSAGE, bytes(MAX_BODY + 1))


def test_the_layout_is_the_documented_one():
    assert encode(Kind.STATUS, b"ab") == b"\x02\x00\x00\x02ab"
