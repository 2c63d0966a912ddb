"""The replies about service records. Pure.

Negative replies carry the zone's SOA, whose minimum is how long they may be remembered (RFC 2308),
and tell a name that is not (NXDOMAIN) from one without records of that type.
"""

import struct
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Final

from stoq.registry import ServiceEntry
from stoq_sidecar.dns import wire
from stoq_sidecar.dns.names import ZONE, Found
from stoq_sidecar.dns.wire import Labels

NEGATIVE_SECONDS: Final = 1
"""A record that is created is usable within a second, also by who asked for it too early."""

PAYLOAD: Final = 1232
"""Bytes of UDP that we say we take (DNS flag day 2020); queries are smaller."""

CLASSIC: Final = 512
"""Bytes of a UDP reply to who does not speak EDNS (RFC 1035, section 2.3.4)."""

MAX_TCP: Final = 65535

A: Final = 1
CNAME: Final = 5
SOA: Final = 6
AAAA: Final = 28
SRV: Final = 33
OPT: Final = 41
ANY: Final = 255

_SOA: Final = (
    wire.name(("sidecar", ZONE))
    + wire.name(("nobody", "invalid"))
    # Serial and timers are for secondaries, of which there are none.
    + struct.pack("!IIIII", 1, 3600, 600, 86400, NEGATIVE_SECONDS)
)

_Rdata = tuple[int, bytes]
"""Type and data of a record."""


@dataclass(slots=True)
class _Reply:
    """Records of the three sections, encoded."""

    code: int = 0
    answer: list[bytes] = field(default_factory=list)
    authority: list[bytes] = field(default_factory=list)
    additional: list[bytes] = field(default_factory=list)


def encode(
    query: bytes,
    below: Labels,
    found: Found | None,
    *,
    alias: bool = False,
    ipv6_only: bool = False,
    udp: bool,
) -> tuple[bytes, str]:
    """The reply to `query`, which has a question, about the name `below` our zone; and what it is:
    `record`, `no_data` or `no_name`.

    `alias`: the question's own name leads to that name. Over UDP a reply that is longer than the
    client takes comes without records and with TC set, so that it asks again over TCP.
    """
    asked = wire.question(query)
    payload = wire.edns_payload(query, asked.end)
    records = [] if found is None else _records(found, below, asked.type, wire.id_of(query))
    records = [one for one in records if not (ipv6_only and one[0] == A)]
    ttl = found.entry.ttl_seconds if found and found.entry else NEGATIVE_SECONDS
    reply = _Reply(wire.NXDOMAIN if found is None else 0)
    owner = wire.FIRST_NAME
    if alias:
        owner = wire.name((*below, ZONE))
        reply.answer.append(wire.record(wire.FIRST_NAME, CNAME, ttl, owner))
    reply.answer += [wire.record(owner, kind, ttl, data) for kind, data in records]
    if not records:
        soa = wire.record(wire.name((ZONE,)), SOA, NEGATIVE_SECONDS, _SOA)
        reply.authority.append(soa)
    elif found and found.entry and found.service:
        for kind, data in _addresses(found.entry, wire.id_of(query)):
            if not (ipv6_only and kind == A):
                reply.additional.append(wire.record(_target(below), kind, ttl, data))
    outcome = "record" if records else "no_name" if found is None else "no_data"
    whole = _message(query, asked, reply, payload)
    limit = max(CLASSIC, payload or 0) if udp else MAX_TCP
    if len(whole) > limit:
        return _message(query, asked, _Reply(), payload, truncated=True), outcome
    return whole, outcome


def _message(
    query: bytes,
    asked: wire.Question,
    reply: _Reply,
    payload: int | None,
    *,
    truncated: bool = False,
) -> bytes:
    additional = [*reply.additional]
    if payload is not None:
        additional.append(wire.record(b"\0", OPT, 0, b"", PAYLOAD))
    sections = (reply.answer, reply.authority, additional)
    flags = wire.AUTHORITATIVE | (wire.TRUNCATED if truncated else 0) | reply.code
    head = wire.reply_header(query, flags, 1, *map(len, sections))
    body = b"".join(one for section in sections for one in section)
    return head + query[wire.HEADER : asked.end] + body


def _records(found: Found, below: Labels, kind: int, turn: int) -> list[_Rdata]:
    """The records of type `kind` at a name."""
    if kind == SOA and not below:
        return [(SOA, _SOA)]
    if found.entry is None:
        return []
    records: list[_Rdata] = []
    if kind in (SRV, ANY):
        # One target, so priority and weight tell nobody anything.
        records += [
            (SRV, struct.pack("!HHH", 0, 1, port.port) + _target(below)) for port in found.ports
        ]
    if not found.service:
        records += [one for one in _addresses(found.entry, turn) if kind in (one[0], ANY)]
    return records


def _target(below: Labels) -> bytes:
    """The record's own name; `below` may begin with a service and a protocol."""
    return wire.name((*below[-2:], ZONE))


def _addresses(entry: ServiceEntry, turn: int) -> list[_Rdata]:
    """The virtual addresses, or those of the endpoints of a headless service, which begin with
    another one each `turn` since most programs take the first.
    """
    texts = list(entry.vips)
    if not texts:
        open_ones = [end for end in entry.endpoints if end.weight]
        live = [end for end in open_ones if not end.terminating] or open_ones
        first = turn % len(live) if live else 0
        texts = [end.address for end in live[first:] + live[:first]]
    addresses = [ip_address(text) for text in texts]
    return [(A if one.version == 4 else AAAA, one.packed) for one in addresses]
