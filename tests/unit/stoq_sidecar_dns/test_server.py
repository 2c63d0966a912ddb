"""The resolver on its sockets, asked by dnspython."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import dns.asyncquery
import dns.message
import dns.rcode
import pytest

from lab.ports import free_port
from stoq import constants
from stoq_sidecar.dns import server, wire
from stoq_sidecar.dns.counts import Counts
from stoq_sidecar.dns.responder import Responder
from stoq_sidecar.dns.upstream import Upstream
from support.patience import PATIENCE
from support.records_of_names import entry, state

"""Seconds: far more than an answer takes on a machine that does other things, too."""

SEARCH = (("svc", "cluster", "local"),)


class Names(Upstream):
    """Name servers that know no name but `google.dev`."""

    async def ask(self, query: bytes, *, udp: bool) -> bytes:
        known = wire.question(query).labels == ("google", "dev")
        return wire.failure(query, 0 if known else wire.NXDOMAIN)


class Running:
    def __init__(self) -> None:
        self.counts = Counts()
        self.stale = False
        self.responder = Responder(
            Names((), self.counts), self.counts, "shop", SEARCH, lambda: self.stale
        )

    async def ask(
        self, name: str, kind: str = "AAAA", *, tcp: bool = False, host: str = "::1"
    ) -> dns.message.Message:
        query = dns.message.make_query(name, kind)
        send = dns.asyncquery.tcp if tcp else dns.asyncquery.udp
        return await send(query, host, PATIENCE, port=constants.DNS_PORT)  # type: ignore[operator,no-any-return]


@asynccontextmanager
async def running(monkeypatch: pytest.MonkeyPatch, *known: object) -> AsyncIterator[Running]:
    monkeypatch.setattr(constants, "DNS_PORT", free_port())
    made = Running()
    if known:
        made.responder.use(state(*known))  # type: ignore[arg-type]
    serving = asyncio.create_task(
        server.DnsServer(made.responder).serve(*server.listeners(ipv6=True))
    )
    try:
        yield made
    finally:
        serving.cancel()
        await asyncio.wait([serving])


@pytest.mark.parametrize("tcp", [False, True])
@pytest.mark.parametrize("host", ["::1", "127.0.0.1"])
async def test_records_are_answered_on_both_protocols_and_families(
    monkeypatch: pytest.MonkeyPatch, host: str, *, tcp: bool
) -> None:
    async with running(monkeypatch, entry()) as made:
        reply = await made.ask("db.shop.stoq", tcp=tcp, host=host)
        assert str(reply.answer[0]) == "db.shop.stoq. 7 IN AAAA fd53::1"
        assert made.counts.requests == {("tcp" if tcp else "udp", "record"): 1}


@pytest.mark.parametrize("name", ["db.shop.stoq.svc.cluster.local", "db", "db.shop"])
async def test_other_forms_lead_to_the_record(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    async with running(monkeypatch, entry()) as made:
        reply = await made.ask(name)
        assert str(reply.answer[0]) == f"{name}. 7 IN CNAME db.shop.stoq."


async def test_a_name_that_the_name_servers_know_is_theirs(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running(monkeypatch, entry("google", "dev")) as made:
        assert (await made.ask("google.dev")).answer == []
        assert made.counts.requests == {("udp", "forwarded"): 1}
        assert (await made.ask("google.dev.stoq")).answer


@pytest.mark.parametrize("name", ["shop.stoq.svc.cluster.local", "no.shop", "_tcp.db", "shop"])
async def test_a_name_that_nobody_has_is_none(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    async with running(monkeypatch, entry()) as made:
        assert (await made.ask(name)).rcode() == dns.rcode.NXDOMAIN
        assert made.counts.requests == {("udp", "forwarded"): 1}


async def test_before_the_registry_has_spoken_nobody_is_told_that_a_name_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with running(monkeypatch) as made:
        assert (await made.ask("db.shop.stoq")).rcode() == dns.rcode.SERVFAIL
        assert (await made.ask("db.shop")).rcode() == dns.rcode.NXDOMAIN
        made.responder.use(state(entry()))
        assert (await made.ask("db.shop.stoq")).answer


async def test_answers_while_the_registry_is_away_are_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with running(monkeypatch, entry()) as made:
        made.stale = True
        assert (await made.ask("db.shop.stoq")).answer
        assert made.counts.stale == 1


async def test_another_class_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running(monkeypatch, entry()):
        query = dns.message.make_query("db.shop.stoq", "TXT", "CH")
        reply = await dns.asyncquery.udp(query, "::1", PATIENCE, port=constants.DNS_PORT)
        assert reply.rcode() == dns.rcode.REFUSED


async def test_garbage_is_answered_or_dropped_and_service_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with running(monkeypatch, entry()) as made:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as client:
            client.connect(("::1", constants.DNS_PORT))
            for garbage in (b"", b"x", bytes(11), b"\0\1\x80" + bytes(9)):
                client.send(garbage)
            client.send(b"\0\7\1\0\0\1" + bytes(6) + b"\x3fshort")
            client.setblocking(False)
            async with asyncio.timeout(PATIENCE):
                reply = await asyncio.get_running_loop().sock_recv(client, 512)
        assert reply[:2] == b"\0\7"
        assert wire.rcode(reply) == wire.FORMERR
        assert (await made.ask("db.shop.stoq")).answer


async def test_tcp_takes_several_queries_and_ends_with_garbage(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with running(monkeypatch, entry()):
        reader, writer = await asyncio.open_connection("::1", constants.DNS_PORT)
        query = dns.message.make_query("db.shop.stoq", "A").to_wire()
        framed = struct.pack("!H", len(query)) + query
        writer.write(framed * 2)
        for _ in range(2):
            size = struct.unpack("!H", await reader.readexactly(2))[0]
            assert wire.answers(await reader.readexactly(size), query)
        writer.write(struct.pack("!H", 3) + b"abc")
        assert await reader.read() == b""
        writer.close()


async def test_more_tcp_connections_than_allowed_are_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(server, "MAX_CONNECTIONS", 1)
    async with running(monkeypatch, entry()):
        _, first = await asyncio.open_connection("::1", constants.DNS_PORT)
        await asyncio.sleep(0.05)
        reader, second = await asyncio.open_connection("::1", constants.DNS_PORT)
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
            await reader.readexactly(1)
        for one in (first, second):
            one.close()


def test_a_port_that_is_taken_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        monkeypatch.setattr(constants, "DNS_PORT", taken.getsockname()[1])
        with pytest.raises(OSError, match=r"for DNS: .*a second sidecar"):
            server.listeners(ipv6=False)
