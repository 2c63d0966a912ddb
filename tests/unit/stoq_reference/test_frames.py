"""The reference reads and writes the frames of docs/vectors, and takes each from its carriers."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stoq_reference import carriers, frames
from stoq_reference.carriers import Agreed, Carrier, Extension
from stoq_reference.errors import Malformed
from stoq_reference.frames import Frame, PacketToken, Signature, Token, Type
from stoq_reference.head import Address
from stoq_reference.parameters import Parameters
from stoq_reference.reader import Short, varint
from support.vectors import Case, cases, vectors

MANIFEST, OBJECT, BULK, WANT = range(4)
HEX = {"route", "data", "leaf", "id", "source", "nonce"}


def made(type_: str, value: Case) -> Frame:
    """The frame that a vector's value describes."""
    raw = {
        key: bytes.fromhex(value[key])
        for key in ("tag", "transfer", "digest", "data", "route", "id", "key_id", "signature")
        if key in value
    }
    form = value["form"]
    match Type[type_]:
        case Type.TOKEN if form == PacketToken.form:
            return PacketToken(raw["tag"])
        case Type.TOKEN:
            return Token(form, value["sequence"], value["length"], raw["tag"])
        case Type.SHARD if form == MANIFEST:
            digests = tuple(map(bytes.fromhex, value["digests"]))
            sizes = value["size"], value["shard_size"]
            return frames.Manifest(raw["transfer"], *sizes, raw["digest"], digests)
        case Type.SHARD if form == WANT:
            return frames.Want(raw["transfer"], tuple(map(tuple, value["ranges"])))
        case Type.SHARD if form == OBJECT:
            return frames.ObjectData(raw["transfer"], value["offset"], raw["data"])
        case Type.SHARD:
            return frames.BulkData(raw["transfer"], value["offset"], raw["digest"], raw["data"])
        case Type.HOP:
            return made_hop(form, value)
        case Type.SEED:
            return frames.Seed(form, raw["id"], value["share"], value["primary"])
        case Type.FALCON_SIGNATURE:
            until = value["until"]
            return Signature(form, raw["key_id"], until, raw["digest"], raw["signature"])
        case Type.FALCON_KEY:
            return frames.Key(form, bytes.fromhex(value["old"]), bytes.fromhex(value["key"]))


def made_hop(form: int, value: Case) -> Frame:
    """The same of a HOP."""
    raw = {key: bytes.fromhex(value[key]) for key in HEX if key in value}
    match form:
        case 0:
            host, _, port = value["destination"].rpartition(":")
            destination = Address.of(host.strip("[]"), int(port))
            names = tuple(value["gateways"])
            at = value["position"]
            return frames.Open(raw["route"], at, names, destination, value["identity"])
        case 1:
            return frames.Inner(value["tunnel"], raw["data"])
        case 2:
            return frames.Origin(raw["leaf"])
        case 3:
            return frames.Forward(raw["id"], raw["source"], bytes.fromhex(value["destination"]))
        case 4:
            return frames.Forwarded(raw["id"])
        case _:
            return frames.Seen(raw["nonce"])


@cases("frames.json")
def test_frames_are_read_and_written(case: Case) -> None:
    encoded, expected = bytes.fromhex(case["hex"]), made(case["type"], case["value"])
    assert frames.decode(encoded + b"more") == (expected, len(encoded))
    assert frames.encode(expected) == encoded


@cases("frames.json", "read")
def test_frames_in_other_forms_are_read(case: Case) -> None:
    encoded, expected = bytes.fromhex(case["hex"]), made(case["type"], case["value"])
    assert frames.decode(encoded) == (expected, len(encoded))


@cases("frames.json", "invalid")
def test_wrong_frames_are_refused_at_once(case: Case) -> None:
    with pytest.raises(Malformed) as refused:
        frames.decode(bytes.fromhex(case["hex"]))
    assert not isinstance(refused.value, Short)


@cases("frames.json", "incomplete")
def test_the_rest_of_a_frame_is_waited_for(case: Case) -> None:
    with pytest.raises(Short):
        frames.decode(bytes.fromhex(case["hex"]))


def test_every_carrier_takes_what_the_table_says() -> None:
    samples = {
        (frames.type_of(frame), frame.form): frame
        for frame in (made(case["type"], case["value"]) for case in vectors("frames.json")["valid"])
    }
    rows = vectors("frames.json")["carriers"]
    assert {(Type[row["type"]], row["form"]) for row in rows} >= set(samples)
    for row in rows:
        frame = samples.get((Type[row["type"]], row["form"]))
        if frame is None:
            continue
        own, others = Extension(row["extension"]), Extension(63 & ~row["extension"])
        for carrier in Carrier:
            if carrier.value in row["carriers"]:
                carriers.check(frame, carrier, Agreed(own, 0, 0, 1 << 20))
            else:
                with pytest.raises(Malformed):
                    carriers.check(frame, carrier, Agreed(own, 0, 0, 1 << 20))
            with pytest.raises(Malformed):
                carriers.check(frame, carrier, Agreed(others, 0, 0, 1 << 20))


@cases("frames.json", "negotiation")
def test_two_endpoints_agree_on_what_both_announced(case: Case) -> None:
    theirs = case["theirs"] and Parameters(**case["theirs"])
    found = Agreed.of(Parameters(**case["ours"]), theirs)
    expected = dict(case["agreed"])
    assert found.packet_tokens == expected.pop("packet_tokens")
    assert found == Agreed(**expected)


@cases("frames.json", "reserves")
def test_the_reserve_of_a_packet_is_taken_off(case: Case) -> None:
    payload = bytes.fromhex(case["hex"])
    agreed = Agreed(Extension(case["extensions"]), case["reserve"])
    if "payload" not in case:
        with pytest.raises(Malformed) as refused:
            carriers.packet(payload, agreed)
        assert not isinstance(refused.value, Short)
        return
    token = case["token"] and made("TOKEN", case["token"])
    assert token is None or isinstance(token, PacketToken)
    before = bytes.fromhex(case["payload"])
    assert carriers.packet(payload, agreed) == (before, token)
    assert carriers.packed(before, token, agreed) == payload


def test_a_token_that_does_not_fit_is_not_sent() -> None:
    with pytest.raises(ValueError, match="24 are reserved"):
        carriers.packed(b"", PacketToken(bytes(16)), Agreed(reserve=24))


@cases("frames.json", "signed")
def test_what_a_signature_is_over(case: Case) -> None:
    frame, _ = frames.decode(bytes.fromhex(case["frame"]))
    assert isinstance(frame, Signature)
    assert frame.signed().hex() == case["hex"]
    assert len(frame.signed()) == 65


def test_a_datagram_has_one_frame() -> None:
    agreed = Agreed(Extension(63), 0, 4, 4)
    shard = frames.ObjectData(bytes(16), 0, b"data")
    encoded = frames.encode(shard)
    assert carriers.datagram(encoded, agreed) == shard
    with pytest.raises(Malformed, match="1 bytes after"):
        carriers.datagram(encoded + b"\0", agreed)
    with pytest.raises(Malformed, match="takes 3"):
        carriers.datagram(encoded, Agreed(Extension(63), 0, 3, 3))
    with pytest.raises(Malformed, match="in a datagram"):
        carriers.datagram(frames.encode(frames.Want(bytes(16), ())), agreed)


def test_a_manifest_of_shards_that_are_not_taken_is_refused() -> None:
    def take(shard_size: int, most: int) -> None:
        manifest = frames.Manifest(bytes(16), 0, shard_size, bytes(32))
        carriers.check(manifest, Carrier.STREAM, Agreed(Extension(63), 0, 0, most))

    take(4, 4)
    take(0, 1)
    for shard_size, most in ((4, 3), (0, 0)):
        with pytest.raises(Malformed, match=f"takes {most}"):
            take(shard_size, most)


@given(st.sampled_from(Type), st.integers(0, 5), st.binary(max_size=200))
def test_any_bytes_are_read_refused_or_waited_for(type_: Type, form: int, rest: bytes) -> None:
    data = varint(type_) + bytes([form]) + rest
    with suppress(Malformed):
        frame, used = frames.decode(data)
        assert used <= len(data)
        again = frames.encode(frame)
        assert frames.decode(again) == (frame, len(again))
    with suppress(Malformed):
        carriers.packet(data, Agreed(Extension(63), min(len(data), 60)))
