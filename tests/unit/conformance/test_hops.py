"""Connections over a gateway: who dials, the gateway and the end are of either implementation."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, replace

import pytest

from stoq.api.stream import ByteStream
from stoq.engine import CertificateAuthority, Engine, EngineSettings, Gateway, Listener
from stoq_reference import frames, hops, origins
from stoq_reference.beside import Ids
from stoq_reference.carriers import Extension
from stoq_reference.client import connect
from stoq_reference.codes import StreamCode
from stoq_reference.endpoint import Endpoint
from stoq_reference.frames import Frame, Inner, Open
from stoq_reference.head import Address, Kind
from stoq_reference.hop_frames import Forwarded, Seen
from stoq_reference.origins import Origins
from stoq_reference.parameters import Parameters
from stoq_reference.peer import Peer
from stoq_reference.server import serve
from stoq_reference.stream import Stream, StreamFailed
from support import engines, reference
from support.ends import Pair
from support.interop import echo, failure, own_address
from support.patience import PATIENCE
from unit.conformance.pairs import REFERENCES, TO_ENGINE, TO_REFERENCE, pairs

Dialling = Callable[
    [CertificateAuthority, "Place", "Place"], AbstractAsyncContextManager[ByteStream | Stream]
]

HERE = f"spiffe://{engines.TRUST_DOMAIN}/ns/mesh/sa/gateway"
ELSEWHERE = f"spiffe://{engines.TRUST_DOMAIN}/ns/mesh/sa/other"

DATA = bytes(range(256)) * 40


@dataclass(frozen=True)
class Place:
    """Who is where."""

    identity: str
    address: Address

    def workload(self, *, via: str = "") -> dict[str, object]:
        """In the table of an engine."""
        return {
            "uid": self.identity,
            "name": "it",
            "namespace": "shop",
            "spiffe_id": self.identity,
            "addresses": [str(self.address.host)],
            "port": self.address.port,
            **({"via": [[via]]} if via else {}),
        }


ROUTES = Extension.HOPS | Extension.SIGNED_ROUTES
BESIDE = ROUTES | Extension.FORWARDED


def offering(
    ca: CertificateAuthority,
    identity: str,
    expected: str | None = None,
    offered: Extension = ROUTES,
) -> Endpoint:
    """A reference that offers routes."""
    made = reference.endpoint(ca, identity, expected)
    return replace(made, parameters=Parameters(extensions=offered))


@asynccontextmanager
async def engine(
    ca: CertificateAuthority, identity: str, settings: EngineSettings, **table: object
) -> AsyncIterator[Engine]:
    """One that offers routes, and packets beside them."""
    identified = engines.identity(ca, identity, hops=True, forwarded=True)
    async with Engine(settings, identified) as made:
        own = {"name": "own", "namespace": "shop", "addresses": ["fd00::2"]}
        modes = {"inbound": "strict", "outbound": "meshOnly"}
        made.set_table(json.dumps({"version": 1, "own": own, **modes, **table}))
        yield made


def listener() -> Listener:
    """At an address that a workload can have."""
    return Listener(listen=f"{own_address()}:0")


def place(identity: str, port: int | None) -> Place:
    assert port is not None
    return Place(identity, Address.of(own_address(), port))


@asynccontextmanager
async def beside(work: Coroutine[None, None, None]) -> AsyncIterator[None]:
    """Runs something for as long."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()


async def answer(stream: ByteStream) -> None:
    while data := await stream.recv():
        await stream.send(data)
    await stream.send(b"", end=True)


@asynccontextmanager
async def engine_end(ca: CertificateAuthority) -> AsyncIterator[Place]:
    """An engine that sends back what API streams bring."""
    settings = EngineSettings(workers=1, bootstrap=listener(), log_level="error")
    async with engine(ca, engines.SERVER, settings) as made:

        async def serving() -> None:
            await answer(await made.acceptor().accept())

        async with beside(serving()):
            yield place(engines.SERVER, made.local_port("bootstrap"))


@asynccontextmanager
async def reference_end(ca: CertificateAuthority) -> AsyncIterator[Place]:
    """The same of the reference."""

    async def each(peer: Peer) -> None:
        while True:
            await echo(await peer.accepted.get())

    async with reference_serving(ca, engines.SERVER, each) as found:
        yield found


@asynccontextmanager
async def reference_serving(
    ca: CertificateAuthority,
    identity: str,
    each: Callable[[Peer], Coroutine[None, None, None]],
    offered: Extension = ROUTES,
) -> AsyncIterator[Place]:
    """A reference that does this for each of its peers."""
    async with serve(own_address(), 0, offering(ca, identity, offered=offered)) as server:

        async def accept() -> None:
            async with asyncio.TaskGroup() as peers:
                while True:
                    peers.create_task(each(await server.accepted.get()))

        async with beside(accept()):
            yield place(identity, server.port)


@asynccontextmanager
async def engine_gateway(
    ca: CertificateAuthority, end: Place, origin: str = ""
) -> AsyncIterator[Place]:
    """An engine that forwards what the client of these tests asks for, and `origin` has begun."""
    begun = {"origin": origin} if origin else {}
    rule = {"from": engines.CLIENT, "to": end.identity, **begun}
    settings = EngineSettings(workers=1, stoq=listener(), gateway=Gateway(), log_level="error")
    table = {"workloads": [end.workload()], "forwards": [rule]}
    async with engine(ca, HERE, settings, **table) as made:
        yield place(HERE, made.local_port("stoq"))


@asynccontextmanager
async def reference_gateway(
    ca: CertificateAuthority, end: Place, origin: str = "", watched: list[Ids] | None = None
) -> AsyncIterator[Place]:
    """The same of the reference. In `watched` is counted what goes beside the tunnels."""

    def admits(route: Open, begun_by: str | None) -> bool:
        leads = (route.identity, route.destination) == (end.identity, end.address)
        return leads and origin in ("", begun_by)

    seen = Origins(offering(ca, HERE))

    async def each(peer: Peer) -> None:
        if watched is not None:
            watched.append(peer.ids)
        while True:
            with suppress(StreamFailed):
                await hops.forward(peer, await peer.accepted.get(), HERE, seen, admits)

    async with reference_serving(ca, HERE, each, BESIDE) as found:
        yield found


async def spoken(stream: ByteStream | Stream) -> bytes:
    """What comes back for what is said."""
    said = stream.send(DATA, end=True)
    if said is not None:
        await said
    found = b""
    while data := await stream.recv():
        found += data
    return found


@asynccontextmanager
async def engine_client(
    ca: CertificateAuthority, gateway: Place, end: Place
) -> AsyncIterator[ByteStream]:
    """An engine's stream, over the gateway that its table leads over."""
    host, port = str(gateway.address.host), gateway.address.port
    known = [{"spiffe_id": gateway.identity, "address": host, "port": port}]
    table = {"workloads": [end.workload(via=gateway.identity)], "gateways": known}
    settings = EngineSettings(workers=1, log_level="error")
    async with engine(ca, engines.CLIENT, settings, **table) as made:
        remote = f"{end.address.host}:{end.address.port}"
        stream = await made.dialler(remote, end.identity).open()
        assert stream.peer.spiffe_id == end.identity
        yield stream


@asynccontextmanager
async def reference_client(
    ca: CertificateAuthority, gateway: Place, end: Place, watched: list[Ids] | None = None
) -> AsyncIterator[Stream]:
    """The same of the reference, which has packets beside the tunnel where they are `watched`."""
    offered = ROUTES if watched is None else BESIDE
    to_gateway = offering(ca, engines.CLIENT, gateway.identity, offered)
    to_end = offering(ca, engines.CLIENT, end.identity)
    async with (
        connect(str(gateway.address.host), gateway.address.port, to_gateway) as outer,
        hops.connect(outer, (HERE,), end.address, end.identity, to_end) as inner,
    ):
        assert inner.certificate is not None
        if watched is not None:
            watched.append(outer.ids)
        yield inner.open(Kind.API)


CLIENTS: Mapping[str, Dialling] = {"engine": engine_client, "reference": reference_client}
GATEWAYS = {"engine": engine_gateway, "reference": reference_gateway}
ENDS = {"engine": engine_end, "reference": reference_end}


@pairs(TO_REFERENCE, TO_ENGINE, REFERENCES)
async def test_a_connection_over_a_gateway_proves_its_ends_and_carries_bytes_both_ways(
    pair: Pair, ca: CertificateAuthority
) -> None:
    """The gateway is of the server's implementation."""
    async with asyncio.timeout(PATIENCE), AsyncExitStack() as stack:
        end = await stack.enter_async_context(ENDS[pair.server](ca))
        gateway = await stack.enter_async_context(GATEWAYS[pair.server](ca, end))
        stream = await stack.enter_async_context(CLIENTS[pair.client](ca, gateway, end))
        assert await spoken(stream) == DATA


@pairs(TO_REFERENCE, TO_ENGINE, REFERENCES)
async def test_a_gateway_that_asks_who_began_a_route_lets_the_signed_one_pass(
    pair: Pair, ca: CertificateAuthority
) -> None:
    async with asyncio.timeout(PATIENCE), AsyncExitStack() as stack:
        end = await stack.enter_async_context(ENDS[pair.server](ca))
        asks = GATEWAYS[pair.server](ca, end, engines.CLIENT)
        gateway = await stack.enter_async_context(asks)
        stream = await stack.enter_async_context(CLIENTS[pair.client](ca, gateway, end))
        assert await spoken(stream) == DATA


async def answered(stream: ByteStream | Stream, data: bytes) -> bool:
    """Whether something comes back that is said in the midst."""
    said = stream.send(data)
    if said is not None:
        await said
    found = b""
    while len(found) < len(data):
        found += await stream.recv()
    return found == data


@pairs(TO_REFERENCE, TO_ENGINE, REFERENCES)
async def test_packets_of_a_connection_over_a_gateway_go_beside_its_tunnel(
    pair: Pair, ca: CertificateAuthority
) -> None:
    watched = list[Ids]()
    async with asyncio.timeout(PATIENCE), AsyncExitStack() as stack:
        end = await stack.enter_async_context(ENDS[pair.server](ca))
        ours = pair.server == "reference"
        between = reference_gateway(ca, end, watched=watched) if ours else engine_gateway(ca, end)
        gateway = await stack.enter_async_context(between)
        ours = pair.client == "reference"
        dialled: AbstractAsyncContextManager[ByteStream | Stream] = (
            reference_client(ca, gateway, end, watched) if ours else engine_client(ca, gateway, end)
        )
        stream = await stack.enter_async_context(dialled)
        assert len(watched) == (pair.client, pair.server).count("reference")
        # They go in the tunnel until a probe was seen, and when they would be too long beside it.
        while not all(ids.sent > 20 and ids.came > 20 for ids in watched):
            assert await answered(stream, DATA[:100])
        assert await spoken(stream) == DATA


@asynccontextmanager
async def asking(
    ca: CertificateAuthority, between: str, origin: str = ""
) -> AsyncIterator[tuple[Peer, Place]]:
    """A reference's connection with a gateway, and an end that nobody has to be at."""
    end = place(engines.SERVER, 9)
    own = offering(ca, engines.CLIENT, HERE, BESIDE)
    async with (
        asyncio.timeout(PATIENCE),
        GATEWAYS[between](ca, end, origin) as gateway,
        connect(str(gateway.address.host), gateway.address.port, own) as outer,
    ):
        yield outer, end


async def refused(outer: Peer, route: Open, *before: Frame) -> int | None:
    stream = outer.open(Kind.FRAMES)
    for frame in (*before, route):
        stream.send(frames.encode(frame))
    return await failure(stream.read())


@pytest.mark.parametrize("between", sorted(GATEWAYS))
async def test_routes_that_do_not_lead_on_are_refused_with_their_code(
    between: str, ca: CertificateAuthority
) -> None:
    async with asking(ca, between) as (outer, end):
        good = Open(bytes(16), 0, (HERE,), end.address, end.identity)
        for route, code in (
            (replace(good, gateways=(ELSEWHERE,)), StreamCode.NO_ROUTE),
            (replace(good, gateways=(ELSEWHERE, HERE)), StreamCode.NO_ROUTE),
            (replace(good, position=1, gateways=(HERE, HERE)), StreamCode.LOOP),
            (replace(good, identity=HERE), StreamCode.LOOP),
            (replace(good, identity=ELSEWHERE), StreamCode.DENIED),
            (replace(good, destination=Address.of(own_address(), 10)), StreamCode.DENIED),
        ):
            assert await refused(outer, route) == code, route
        assert not outer.closed.done()


@pytest.mark.parametrize("between", sorted(GATEWAYS))
async def test_a_route_that_nobody_proves_to_have_begun_is_refused_with_its_code(
    between: str, ca: CertificateAuthority
) -> None:
    async with asking(ca, between, engines.CLIENT) as (outer, end):
        good = Open(bytes(16), 0, (HERE,), end.address, end.identity)
        mine = offering(ca, engines.CLIENT).identity
        theirs = offering(ca, engines.SERVER).identity
        assert mine is not None
        assert theirs is not None
        now = time.time()
        origin, signature = origins.proof(mine, good, now)
        other, by_another = origins.proof(theirs, good, now)
        assert await refused(outer, good) == StreamCode.DENIED
        for before in (
            (origin,),
            (other, by_another),
            (origin, by_another),
            (other, signature),
            (origin, replace(signature, until=signature.until - 1)),
            origins.proof(mine, replace(good, route=bytes(15) + b"1"), now),
            origins.proof(mine, good, now - 2 * origins.LIFE),
            origins.proof(mine, good, now + 2 * origins.LIFE),
        ):
            assert await refused(outer, good, *before) == StreamCode.BAD_SIGNATURE, before
        assert not outer.closed.done()


@pytest.mark.parametrize("frame", [Forwarded(bytes(16)), Seen(bytes(8))], ids=["id", "nonce"])
@pytest.mark.parametrize("between", sorted(GATEWAYS))
async def test_a_gateway_that_asked_for_nothing_beside_a_tunnel_takes_no_answer(
    between: str, frame: Frame, ca: CertificateAuthority
) -> None:
    async with asking(ca, between) as (outer, end):
        stream = outer.open(Kind.FRAMES)
        stream.send(frames.encode(Open(bytes(16), 0, (HERE,), end.address, end.identity)))
        stream.send(frames.encode(frame))
        with pytest.raises(StreamFailed) as failed:
            await stream.read()
        assert failed.value.code == StreamCode.DENIED
        assert not outer.closed.done()


@pytest.mark.parametrize("between", sorted(GATEWAYS))
async def test_a_packet_that_names_another_tunnel_is_dropped(
    between: str, ca: CertificateAuthority
) -> None:
    async with asking(ca, between) as (outer, end):
        stream = outer.open(Kind.FRAMES)
        stream.send(frames.encode(Open(bytes(16), 0, (HERE,), end.address, end.identity)))
        for tunnel in (stream.id, stream.id + 4):
            stream.send(frames.encode(Inner(tunnel, b"no QUIC")))
            outer.send_datagram(frames.encode(Inner(tunnel, b"nor this")))
        stream.send(b"", end=True)
        assert await stream.read() == b"", "the end of the stream ends the route"
        assert not outer.closed.done()
