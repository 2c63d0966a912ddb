"""docs/wire-example.md takes vectors apart as the reference does: bytes, fields and values."""

import re
from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from stoq_reference import parameters
from support import dissect
from support.dissect import Field
from support.vectors import vectors

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "wire-example.md").read_text(encoding="utf-8")
FORMAT = (ROOT / "docs" / "wire-format.md").read_text(encoding="utf-8")
BLOCKS = dict(re.findall(r"^```text (\S+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))
LONGEST = 16
"""Bytes that a line has in full."""


def vector(file: str, under: str, name: str) -> dict[str, Any]:
    return next(case for case in vectors(file)[under] if case["name"] == name)


def recorded(part: str) -> bytes:
    return bytes.fromhex(vectors("handshakes.json")["handshakes"][0][part])


PACKET = vector("frames.json", "reserves", "a packet that opens a flow, its token and zeros")
ROUTE = vector("frames.json", "valid", "a route over one gateway, over IPv4")
INNER = vector("frames.json", "valid", "a packet on a route")
BARE = vector("forwarded.json", "packets", "a short header")
PROBE = vector("forwarded.json", "probes", "a probe")


def dumped(case: dict[str, Any], key: str = "hex") -> bytes:
    return bytes.fromhex(case[key])


def packet(plain: bytes) -> Iterable[Field]:
    return dissect.payload(plain, PACKET["reserve"])


APART: dict[str, tuple[bytes, Callable[[bytes], Iterable[Field]]]] = {
    "client-hello": (recorded("client_hello"), dissect.messages),
    "server-hello": (recorded("server_hello"), dissect.messages),
    "server-flight": (recorded("server_flight"), dissect.messages),
    "packet": (dumped(PACKET), packet),
    "route": (dumped(ROUTE), dissect.frame),
    "inner-packet": (dumped(INNER), dissect.frame),
    "bare": (dumped(BARE, "bare"), dissect.beside),
    "probe": (dumped(PROBE), dissect.beside),
}
"""What each block of the page takes apart, and how."""


def printed(data: bytes) -> str:
    """How a line has its bytes: the long ones with their first and last four."""
    if len(data) <= LONGEST:
        return data.hex(" ")
    return f"{data[:4].hex(' ')} .. {data[-4:].hex(' ')}"


@pytest.mark.parametrize("name", APART)
def test_each_field_of_the_page_is_what_the_reference_reads_there(name: str) -> None:
    data, dissected = APART[name]
    fields = list(dissected(data))
    assert b"".join(raw for raw, _, _ in fields) == data
    lines = [re.split(" {2,}", line)[:3] for line in BLOCKS[name].splitlines()]
    assert lines == [[printed(raw), what or '"', value] for raw, what, value in fields]


@pytest.mark.parametrize("name", ["packet", "route", "inner-packet", "bare", "probe"])
def test_the_bytes_of_what_is_short_are_there_in_full(name: str) -> None:
    data, _ = APART[name]
    assert bytes.fromhex(BLOCKS[f"{name}-bytes"]) == data


def test_every_block_is_taken_apart_and_every_rule_is_one_of_the_wire_format() -> None:
    assert {name.removesuffix("-bytes") for name in BLOCKS} == set(APART)
    rules = set(re.findall(r"^- \*\*([A-Z]\d+)\*\*", FORMAT, re.MULTILINE))
    named = set(re.findall(r"\b[A-Z]\d{1,2}\b", PAGE))
    assert named <= rules
    assert len(named) > 20


def test_the_parameters_of_the_page_are_what_the_reference_decodes() -> None:
    hello, _ = APART["client-hello"]
    marker = next(
        index for index, (_, name, _) in enumerate(dissect.messages(hello)) if name == "revision"
    )
    raw = b"".join(field[0] for field in islice(dissect.messages(hello), marker, marker + 2))
    found = parameters.decode(raw)
    assert found is not None
    assert (found.revision, found.extensions, len(found.falcon_key_id or b"")) == (1, 0, 32)


def test_the_token_of_the_page_is_that_of_its_packet() -> None:
    exporter = bytes.fromhex(vectors("tokens.json")["exporter"])
    plain, _ = APART["packet"]
    assert dissect.token_covers(plain, 7, PACKET["reserve"], exporter)
    assert not dissect.token_covers(plain, 8, PACKET["reserve"], exporter)
    assert not dissect.token_covers(b"\0" + plain[1:], 7, PACKET["reserve"], exporter)
