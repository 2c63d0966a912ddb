"""Striped flows of the reference: its records and reassembly, held against docs/vectors."""

from collections import deque
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stoq_reference import stripes
from stoq_reference.errors import Malformed
from stoq_reference.stripes import (
    FIRST_LIMIT,
    MAX_CHUNKS,
    Broken,
    Data,
    End,
    Incoming,
    Outgoing,
    Received,
    Record,
)
from support.vectors import Case, cases

LANES = 4


def record(value: Case) -> Record:
    match value["kind"]:
        case "data":
            return Data(value["offset"], bytes.fromhex(value["data"]))
        case "end":
            return End(value["size"])
        case _:
            return Received(value["received"], value["limit"])


@cases("stripes.json", "records")
def test_a_record_is_written_and_read(case: Case) -> None:
    raw = bytes.fromhex(case["hex"])
    assert stripes.encode(record(case["value"])) == raw
    assert stripes.take(raw + b"\3") == (record(case["value"]), len(raw))
    assert all(stripes.take(raw[:cut]) is None for cut in range(len(raw)))


@cases("stripes.json", "read")
def test_a_record_is_read_however_long_its_integers_are(case: Case) -> None:
    raw = bytes.fromhex(case["hex"])
    assert stripes.take(raw) == (record(case["value"]), len(raw))


@cases("stripes.json", "invalid")
def test_what_is_no_record_is_refused_as_soon_as_that_is_seen(case: Case) -> None:
    with pytest.raises(Malformed):
        stripes.take(bytes.fromhex(case["hex"]))


@cases("stripes.json", "incomplete")
def test_a_record_is_taken_when_it_is_whole(case: Case) -> None:
    assert stripes.take(bytes.fromhex(case["hex"])) is None


@cases("stripes.json", "flows")
def test_what_becomes_of_a_direction(case: Case) -> None:
    incoming = Incoming()
    for step in case["records"]:
        taken = stripes.take(bytes.fromhex(step["hex"]))
        assert taken is not None
        found, _ = taken
        assert isinstance(found, Data | End)
        if step["outcome"] == "bad_shard":
            with pytest.raises(Broken):
                incoming.take(found)
            return
        assert incoming.take(found).hex() == step["ready"]
    assert incoming.ended == case["ended"]


@given(
    st.lists(st.binary(min_size=1, max_size=30), max_size=40),
    st.integers(0, 1 << 32),
)
def test_what_goes_over_lanes_that_are_late_and_lost_comes_whole(said, seed) -> None:
    random = Random(seed)
    outgoing, incoming = Outgoing(), Incoming()
    ways: list[deque[Record]] = [deque() for _ in range(LANES)]
    back: list[deque[Received]] = [deque() for _ in range(LANES)]
    alive = list(range(LANES))
    heard = b""
    pieces = deque(said)
    while not outgoing.known:
        if pieces:
            outgoing.push(pieces.popleft())
        outgoing.ended = not pieces
        lane = random.choice(alive)
        if (sent := outgoing.next(lane)) is not None:
            ways[lane].append(sent)
        lane = random.choice(alive)
        for _ in range(random.randrange(3)):
            if ways[lane]:
                # Now and then it comes twice.
                come = ways[lane][0] if random.random() < 0.1 else ways[lane].popleft()
                assert not isinstance(come, Received)
                heard += incoming.take(come)
        if (word := incoming.word(again=random.random() < 0.1)) is not None:
            back[random.choice(alive)].append(word)
        if back[lane]:
            outgoing.take(back[lane].popleft())
        if len(alive) > 1 and random.random() < 0.02:
            lost = alive.pop()
            ways[lost].clear()
            back[lost].clear()
            outgoing.lost(lost)
            again = incoming.word(again=True)
            assert again is not None
            back[alive[0]].append(again)
    assert heard == b"".join(said)
    assert incoming.ended


def test_a_sender_keeps_to_the_limit_and_to_the_number_of_chunks() -> None:
    outgoing = Outgoing()
    outgoing.push(bytes(FIRST_LIMIT + 1))
    sent = list(iter(lambda: outgoing.next(0), None))
    assert sum(len(one.data) for one in sent if isinstance(one, Data)) == FIRST_LIMIT
    outgoing.take(Received(0, FIRST_LIMIT + 1))
    assert outgoing.next(0) == Data(FIRST_LIMIT, b"\0")
    many = Outgoing()
    for _ in range(MAX_CHUNKS + 1):
        many.push(b"x")
    assert len(list(iter(lambda: many.next(0), None))) == MAX_CHUNKS
    many.take(Received(1, 0))
    assert many.next(0) == Data(MAX_CHUNKS, b"x")


def test_what_never_went_cannot_have_come() -> None:
    outgoing = Outgoing()
    outgoing.push(b"ab")
    outgoing.ended = True
    with pytest.raises(Broken):
        outgoing.take(Received(1, 0))
    assert outgoing.next(0) == Data(0, b"ab")
    with pytest.raises(Broken):
        outgoing.take(Received(3, 0))
    assert outgoing.next(0) == End(2)
    outgoing.take(Received(3, 0))
    assert outgoing.known


def test_a_receiver_says_what_has_come_at_first_at_the_end_and_in_between() -> None:
    incoming = Incoming(window=8 * FIRST_LIMIT)
    assert incoming.word() == Received(0, 8 * FIRST_LIMIT)
    assert incoming.word() is None
    half = stripes.TOLD_BYTES // 2
    incoming.take(Data(0, bytes(half)))
    assert incoming.word() is None
    incoming.take(Data(half, bytes(half)))
    assert incoming.word() == Received(2 * half, 8 * FIRST_LIMIT + 2 * half)
    incoming.take(End(2 * half))
    assert incoming.word() == Received(2 * half + 1, 8 * FIRST_LIMIT + 2 * half)
    assert incoming.word() is None
    assert incoming.word(again=True) is not None
