"""Messages of rtnetlink as bytes. What the kernel makes of them is in
tests/netns/test_client_routes.py.
"""

import errno
import socket
import struct
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stoq.capture import rtnetlink
from stoq.capture.rtnetlink import Entry, decode, encode

RULE = Entry(family=socket.AF_INET6, kind=1, attributes={6: 14008, 10: 0x36B9, 15: 14008})


def answer(kind: int, body: bytes) -> bytes:
    return struct.pack("=IHHII", 16 + len(body), kind, 0, 1, 0) + body


def test_what_is_encoded_is_what_the_kernel_would_list() -> None:
    message = encode(rtnetlink.NEW_RULE, 1, RULE)
    assert list(decode(message)) == [RULE]
    assert len(message) == 16 + 12 + 3 * 8
    assert list(decode(message + message + answer(3, bytes(4)))) == [RULE, RULE, None]


def test_attributes_of_other_sizes_are_passed_over() -> None:
    name = struct.pack("=HH", 7, 3) + b"lo\0" + b"\0"
    message = encode(rtnetlink.NEW_RULE, 0, RULE)
    longer = struct.pack("=I", len(message) + len(name)) + message[4:] + name
    assert list(decode(longer)) == [RULE]


def test_a_refusal_is_an_error_with_the_kernels_number() -> None:
    with pytest.raises(PermissionError) as refused:
        list(decode(answer(2, struct.pack("=i", -errno.EPERM))))
    assert refused.value.errno == errno.EPERM


@pytest.mark.parametrize(
    "message",
    [
        b"short",
        answer(32, bytes(8)),
        struct.pack("=IHHII", 400, 32, 0, 1, 0) + bytes(12),
        struct.pack("=IHHII", 0, 32, 0, 1, 0) + bytes(12),
        answer(32, bytes(12) + struct.pack("=HH", 2, 6)),
        answer(32, bytes(12) + struct.pack("=HH", 9, 6) + bytes(4)),
    ],
)
def test_a_message_that_lies_about_its_length_is_refused(message: bytes) -> None:
    with pytest.raises(ValueError, match=r"bytes|rtnetlink"):
        list(decode(message))


@given(st.binary(max_size=200))
def test_no_bytes_do_worse_than_an_error(message: bytes) -> None:
    with suppress(ValueError, OSError):
        assert len(list(decode(message))) <= len(message)
