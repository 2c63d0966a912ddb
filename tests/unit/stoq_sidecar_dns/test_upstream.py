"""Forwarding, against name servers that misbehave in every way."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from ipaddress import ip_address

import dns.message
import dns.rcode
import pytest

from stoq_sidecar.dns import upstream, wire
from stoq_sidecar.dns.counts import Counts
from stoq_sidecar.dns.upstream import Upstream
from support.patience import PATIENCE

FIRST, SECOND = ip_address("127.0.0.1"), ip_address("127.0.0.2")
QUERY = dns.message.make_query("example.org", "AAAA", use_edns=0, want_dnssec=True).to_wire()

Answer = Callable[[bytes], list[bytes]]


def good(query: bytes) -> list[bytes]:
    return [wire.failure(query, 0)]


def silent(_: bytes) -> list[bytes]:
    return []


def failing(query: bytes) -> list[bytes]:
    return [wire.failure(query, wire.SERVFAIL)]


class Server:
    """A name server at one address that sends what `answer` returns."""

    def __init__(self, address: object, port: int, answer: Answer) -> None:
        self.seen: list[tuple[bytes, int]] = []
        self._answer = answer
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.socket.bind((str(address), port))
        self.port = self.socket.getsockname()[1]

    async def serve(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            query, client = await loop.sock_recvfrom(self.socket, 65535)
            self.seen.append((query, client[1]))
            for reply in self._answer(query):
                await loop.sock_sendto(self.socket, reply, client)


@asynccontextmanager
async def serving(*answers: Answer | None) -> AsyncIterator[list[Server]]:
    """Servers at the first addresses; none where there is no answer."""
    servers: list[Server] = []
    for address, answer in zip((FIRST, SECOND), answers, strict=False):
        if answer is not None:
            servers.append(Server(address, servers[0].port if servers else 0, answer))
    tasks = [asyncio.create_task(one.serve()) for one in servers]
    try:
        yield servers
    finally:
        for task in tasks:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        for one in servers:
            one.socket.close()


@pytest.fixture
def counts() -> Iterator[Counts]:
    made = Counts()
    yield made
    assert made.waiting == 0


def made(counts: Counts, port: int, *servers: object, patience: float = PATIENCE) -> Upstream:
    return Upstream(servers, counts, port=port, patience=patience)  # type: ignore[arg-type]


async def test_a_query_goes_on_unchanged_but_for_its_id(counts: Counts) -> None:
    async with serving(good) as (server,):
        asking = made(counts, server.port, FIRST)
        replies = [await asking.ask(QUERY, udp=True) for _ in range(20)]
    assert replies == [wire.failure(QUERY, 0)] * 20
    assert {query[2:] for query, _ in server.seen} == {QUERY[2:]}
    # Drawn anew each time, port and id: 20 draws of 65,536 are hardly ever fewer than 18.
    assert len({wire.id_of(query) for query, _ in server.seen}) >= 18
    assert len({port for _, port in server.seen}) >= 15


async def test_only_the_reply_to_the_question_is_taken(counts: Counts) -> None:
    def spoofed(query: bytes) -> list[bytes]:
        other = dns.message.make_query("example.com", "AAAA").to_wire()
        return [
            wire.with_id(wire.failure(query, 0), wire.id_of(query) ^ 1),
            wire.with_id(wire.failure(other, 0), wire.id_of(query)),
            b"",
            query,
            wire.failure(query, wire.NXDOMAIN),
        ]

    async with serving(spoofed) as (server,):
        reply = await made(counts, server.port, FIRST).ask(QUERY, udp=True)
    assert wire.rcode(reply) == wire.NXDOMAIN
    assert counts.failures["mismatch"] == 4


@pytest.mark.parametrize(
    ("first", "reason"), [(silent, "timeout"), (failing, "refused"), (None, "unreachable")]
)
async def test_the_next_server_is_asked_when_one_does_not_help(
    counts: Counts, first: Answer | None, reason: str
) -> None:
    async with serving(first, good) as (*_, last):
        # The second has to answer within what the first is waited for.
        asking = made(
            counts, last.port, FIRST, SECOND, patience=2.0 if first is silent else PATIENCE
        )
        reply = await asking.ask(QUERY, udp=True)
    assert reply == wire.failure(QUERY, 0)
    assert counts.failures[reason] == 1
    assert counts.upstream == 2


async def test_the_only_server_is_asked_three_times_and_then_it_is_a_failure(
    counts: Counts,
) -> None:
    async with serving(silent) as (server,):
        reply = await made(counts, server.port, FIRST, patience=0.1).ask(QUERY, udp=True)
    assert wire.rcode(reply) == wire.SERVFAIL
    assert wire.answers(reply, QUERY)
    assert len(server.seen) == 3


async def test_the_servers_own_refusal_is_passed_on_when_all_refuse(counts: Counts) -> None:
    async with serving(failing, failing) as (one, _):
        reply = await made(counts, one.port, FIRST, SECOND).ask(QUERY, udp=True)
    assert wire.rcode(reply) == wire.SERVFAIL
    assert counts.upstream == 2


async def test_without_a_name_server_it_is_a_failure_at_once(counts: Counts) -> None:
    assert wire.rcode(await made(counts, 53).ask(QUERY, udp=True)) == wire.SERVFAIL
    assert wire.rcode(await made(counts, 53).ask(QUERY, udp=False)) == wire.SERVFAIL


async def test_more_waiting_queries_than_allowed_are_refused_at_once(
    counts: Counts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upstream, "MAX_WAITING", 2)
    async with serving(silent) as (server,):
        asking = made(counts, server.port, FIRST, patience=0.1)
        replies = await asyncio.gather(*(asking.ask(QUERY, udp=True) for _ in range(5)))
    assert counts.failures["overload"] == 3
    assert {wire.rcode(reply) for reply in replies} == {wire.SERVFAIL}
    assert len(server.seen) == 6


@pytest.mark.parametrize("honest", [True, False])
async def test_over_tcp_the_reply_must_fit_too(counts: Counts, *, honest: bool) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        query = await upstream.read_message(reader)
        reply = wire.failure(query, 0) if honest else query
        writer.write(struct.pack("!H", len(reply)) + reply)
        writer.close()

    server = await asyncio.start_server(answer, str(FIRST), 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        reply = await made(counts, port, FIRST).ask(QUERY, udp=False)
    assert wire.rcode(reply) == (0 if honest else wire.SERVFAIL)
    assert counts.failures["mismatch"] == (0 if honest else 1)
