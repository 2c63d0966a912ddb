"""Reading and writing DNS messages, checked against dnspython."""

from typing import Any

import dns.message
import dns.rcode
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stoq_sidecar.dns import wire

LABEL = st.from_regex(r"[A-Za-z0-9_-]{1,63}", fullmatch=True)
NAMES = st.lists(LABEL, max_size=3).map(tuple)


def query(name: str = "db.shop.stoq", kind: str = "AAAA", **more: Any) -> bytes:
    return dns.message.make_query(name, kind, **more).to_wire()


@given(NAMES, st.sampled_from(["A", "AAAA", "SRV", "TXT"]))
def test_a_question_is_read_as_dnspython_writes_it(labels: tuple[str, ...], kind: str) -> None:
    message = query(".".join(labels) + ".", kind)
    found = wire.question(message)
    assert found.labels == tuple(label.lower() for label in labels)
    assert (found.type, found.class_) == (dns.rdatatype.from_text(kind), wire.CLASS_IN)
    assert found.end == len(message)


@given(st.binary(max_size=300))
def test_no_bytes_at_all_do_more_than_be_malformed(message: bytes) -> None:
    if not wire.is_query(message):
        return
    try:
        end = wire.question(message).end
    except wire.Malformed:
        reply = wire.failure(message, wire.FORMERR)
    else:
        assert end <= len(message)
        wire.edns_payload(message, end)
        reply = wire.failure(message, wire.SERVFAIL)
    assert wire.answers(reply, message)
    dns.message.from_wire(reply, ignore_trailing=True)


@given(st.integers(0, 40))
def test_a_message_that_is_cut_off_is_malformed(length: int) -> None:
    message = query()
    if length < len(message):
        with pytest.raises(wire.Malformed):
            wire.question(message[:length])


def test_a_name_that_points_elsewhere_or_is_too_long_is_malformed() -> None:
    head = query()[: wire.HEADER]
    for body in (b"\xc0\x0c", b"\x40" + b"a" * 64, (b"\x3f" + b"a" * 63) * 5):
        with pytest.raises(wire.Malformed):
            wire.question(head + body + b"\0\0\1\0\1")


def test_the_size_in_the_edns_record_is_found() -> None:
    plain, modern = query(), query(use_edns=0, payload=1400)
    assert wire.edns_payload(plain, wire.question(plain).end) is None
    assert wire.edns_payload(modern, wire.question(modern).end) == 1400


def test_only_a_reply_to_the_very_question_is_one() -> None:
    asked = query("DB.shop.stoq")
    reply = wire.failure(asked, wire.NXDOMAIN)
    assert wire.answers(reply, asked)
    assert not wire.answers(wire.with_id(reply, wire.id_of(asked) ^ 1), asked)
    assert not wire.answers(wire.failure(query("db.shop.stoq"), wire.NXDOMAIN), asked)
    other_spelling = wire.with_id(reply.replace(b"DB", b"db"), wire.id_of(asked))
    assert not wire.answers(other_spelling, asked)
    assert not wire.answers(asked, asked)
    assert not wire.answers(reply[:5], asked)


def test_a_reply_without_a_question_can_only_be_an_error() -> None:
    asked = query()
    bare = asked[:2] + b"\x80\x01" + bytes(8)
    assert wire.answers(bare, asked)
    assert not wire.answers(asked[:2] + b"\x80\x03" + bytes(8), asked)


def test_a_failure_keeps_id_question_and_the_wish_for_recursion() -> None:
    asked = query()
    reply = dns.message.from_wire(wire.failure(asked, wire.SERVFAIL))
    assert reply.id == wire.id_of(asked)
    assert reply.rcode() == dns.rcode.SERVFAIL
    assert str(reply.question[0].name) == "db.shop.stoq."
    assert dns.flags.to_text(reply.flags) == "QR RD RA"
