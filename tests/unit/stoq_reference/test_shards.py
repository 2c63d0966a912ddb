"""Transfers in shards, by the reference and by docs/vectors."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stoq_reference import frames, shards
from stoq_reference.codes import StreamCode
from stoq_reference.frames import BulkData, Manifest, ObjectData, Shard, Want
from stoq_reference.shards import Assembly, Early, Refused
from support.vectors import Case, cases

ID = bytes(range(16))


def outcome(assembly: Assembly, frame: Shard) -> tuple[str, str]:
    """What becomes of a frame, and what is handed on, in the words of the vectors."""
    before = assembly.repeated
    try:
        ready = assembly.take(frame)
    except Early:
        return "wait", ""
    except Refused as refused:
        return "failed" if refused.failed else refused.code.name, ""
    return "repeated" if assembly.repeated > before else "taken", ready.hex()


@cases("shards.json", "transfers")
def test_what_becomes_of_a_transfer(case: Case) -> None:
    assembly = Assembly()
    for step in case["frames"]:
        frame, _ = frames.decode(bytes.fromhex(step["hex"]))
        assert isinstance(frame, Manifest | ObjectData | BulkData)
        expected = step["outcome"].replace("refused", StreamCode.BAD_SHARD.name)
        assert outcome(assembly, frame) == (expected, step["ready"])
    assert assembly.whole == case["whole"]
    assert assembly.failed == (case["missing"] is None)
    if case["missing"] is not None:
        ranges = tuple((offset, length) for offset, length in case["missing"])
        assert assembly.want(ID) == Want(ID, ranges)


@given(st.binary(max_size=300), st.integers(1, 40), st.randoms(), st.booleans())
def test_shards_in_any_order_with_losses_and_faults_give_the_object(
    data, size, random, is_object
) -> None:
    pieces = [data[at : at + size] for at in range(0, len(data), size)]
    sent = shards.split(ID, data, size) if is_object else shards.bulk(ID, pieces)
    first, rest = (sent[:1], sent[1:]) if is_object else ([], sent)
    come = random.choices(rest, k=len(rest)) if rest else []
    wrong = [
        ObjectData(ID, shard.offset, b"\xff" + shard.data[1:])
        if isinstance(shard, ObjectData)
        else shard
        for shard in come[:3]
    ]
    assembly = Assembly()
    found = b""
    for shard in [*first, *wrong, *come, *random.sample(rest, k=len(rest))]:
        try:
            found += assembly.take(shard)
        except Refused:
            assert not assembly.failed
    assert found == data
    assert assembly.whole
    assert assembly.want(ID).ranges == ()


def test_what_is_missing_is_sent_again() -> None:
    data = bytes(range(100))
    manifest, *sent = shards.split(ID, data, 7)
    assembly = Assembly()
    assembly.take(manifest)
    for shard in sent[::3]:
        assembly.take(shard)
    assert assembly.want(ID).ranges[:2] == ((7, 14), (28, 14))
    for shard in sent:
        assembly.take(shard)
    assert assembly.delivered == data


def test_an_object_of_too_many_shards_is_not_cut() -> None:
    with pytest.raises(ValueError, match="4097 shards"):
        shards.split(ID, bytes(4097), 1)


def test_a_want_is_not_for_who_receives() -> None:
    with pytest.raises(Refused, match="who sends"):
        Assembly().take(Want(ID, ()))
