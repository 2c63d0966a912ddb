"""Captured UDP of the reference, held against docs/vectors."""

import pytest

from stoq_reference import udp
from stoq_reference.errors import Malformed
from support.vectors import Case, cases


@cases("udp.json", "datagrams")
def test_a_datagram_says_its_flow_and_payload(case: Case) -> None:
    flow, payload = case["value"]["flow"], bytes.fromhex(case["value"]["payload"])
    assert udp.datagram(flow, payload).hex() == case["hex"]
    assert udp.split(bytes.fromhex(case["hex"])) == (flow, payload)


@cases("udp.json", "invalid_datagrams")
def test_what_names_no_flow_is_refused(case: Case) -> None:
    with pytest.raises(Malformed):
        udp.split(bytes.fromhex(case["hex"]))


@cases("udp.json", "messages")
def test_messages_come_one_after_the_other(case: Case) -> None:
    rest = bytes.fromhex(case["hex"])
    for value in case["value"]:
        payload = bytes.fromhex(value)
        assert rest.startswith(udp.message(payload))
        taken = udp.take(rest)
        assert taken is not None
        found, length = taken
        assert found == payload
        rest = rest[length:]
    assert rest == b""


@cases("udp.json", "invalid_messages")
def test_a_message_longer_than_udp_is_refused_by_its_length(case: Case) -> None:
    with pytest.raises(Malformed):
        udp.take(bytes.fromhex(case["hex"]))


@cases("udp.json", "incomplete_messages")
def test_a_message_is_taken_when_it_is_whole(case: Case) -> None:
    assert udp.take(bytes.fromhex(case["hex"])) is None
