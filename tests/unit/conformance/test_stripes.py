"""Striped flows: of the reference alone, and of an engine that relays them for its application."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from ipaddress import ip_address

import pytest

from stoq.engine import CertificateAuthority, Engine, EngineSettings, Listener
from stoq_reference import lanes, stripes
from stoq_reference.carriers import Extension
from stoq_reference.client import connect
from stoq_reference.codes import StreamCode
from stoq_reference.endpoint import Endpoint
from stoq_reference.head import Address, Head, Kind
from stoq_reference.lanes import Joining, Striped
from stoq_reference.parameters import Parameters
from stoq_reference.peer import Peer
from stoq_reference.server import Server, serve
from stoq_reference.stream import Stream, StreamFailed
from stoq_reference.stripes import Data, End, Received
from support import engines, flows, reference
from support.ends import Pair, telling
from support.interop import LOOPBACK, OWN_ADDRESS, TABLE, EngineServer, own_address
from support.patience import PATIENCE, until
from unit.conformance.pairs import REFERENCES, TO_ENGINE, TO_REFERENCE, pairs

OFFER = Parameters(extensions=Extension.STRIPES)
CALLER = Address.of("fd00::1", 40000)
SERVICE = Address.of(OWN_ADDRESS, 80)
LANES = 3
FORTH = bytes(range(256)) * 8000
"""Two megabytes: an engine opens further lanes behind the first."""

BACK = bytes(range(255, -1, -1)) * 3000


@dataclass
class Flow:
    """A flow that a reference begins, and what becomes of it at the other end."""

    destination: Address
    dial: AsyncExitStack
    endpoint: Endpoint
    host: str
    port: int

    async def peer(self, endpoint: Endpoint | None = None) -> Peer:
        """A connection, of its own or of somebody else."""
        dialled = connect(self.host, self.port, endpoint or self.endpoint)
        return await self.dial.enter_async_context(dialled)

    async def begin(self) -> Striped:
        """The flow, with lane 0."""
        return lanes.begin(await self.peer(), CALLER, self.destination, LANES)

    async def join(self, striped: Striped) -> None:
        """Adds the further lanes, each on a connection of its own."""
        await striped.until_answered()
        for number in range(1, LANES):
            assert striped.join(lanes.open_lane(await self.peer(), striped.head, number))


async def read(striped: Striped) -> bytes:
    """Everything up to the end."""
    heard = b""
    while data := await striped.recv():
        heard += data
    return heard


async def answering(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """An application that hears everything, and then says something."""
    heard = await reader.read()
    writer.write(BACK if heard == FORTH else b"not what was said")
    writer.close()


@asynccontextmanager
async def to_engine(ca: CertificateAuthority) -> AsyncIterator[tuple[Flow, Engine]]:
    """A reference that dials an engine with an application."""
    host = own_address()
    settings = EngineSettings(workers=2, stoq=Listener(listen="[::1]:0"), log_level="error")
    identity = engines.identity(ca, engines.SERVER, stripes=True)
    application = await asyncio.start_server(answering, host, 0)
    async with (
        asyncio.timeout(PATIENCE),
        application,
        Engine(settings, identity) as engine,
        AsyncExitStack() as dial,
    ):
        engine.set_table(TABLE.replace(OWN_ADDRESS, host))
        destination = Address.of(host, application.sockets[0].getsockname()[1])
        port = EngineServer(engine).mesh
        yield Flow(destination, dial, offering(ca, engines.CLIENT), LOOPBACK, port), engine


def offering(ca: CertificateAuthority, spiffe_id: str) -> Endpoint:
    """A reference that knows striped flows."""
    own = frozenset({ip_address(OWN_ADDRESS), ip_address(own_address())})
    return replace(reference.endpoint(ca, spiffe_id), parameters=OFFER, addresses=own)


@dataclass
class Served:
    """What a reference that takes striped flows has taken."""

    server: Server
    begun: list[Striped]


@asynccontextmanager
async def reference_serving(
    ca: CertificateAuthority, host: str, *, wanted: int = 1
) -> AsyncIterator[Served]:
    """A reference whose application hears everything, and then says something, once the flow has
    the wanted lanes: what is said before may be over before the last of them is there.
    """
    joining, begun = Joining(), list[Striped]()

    async def flow(striped: Striped) -> None:
        heard = await read(striped)
        await until(lambda: striped.lanes >= wanted)
        striped.send(BACK if heard == FORTH else b"not what was said", end=True)

    async def streams(peer: Peer, tasks: asyncio.TaskGroup) -> None:
        while True:
            stream = await peer.accepted.get()
            if (striped := joining.take(peer, stream)) is not None:
                begun.append(striped)
                tasks.create_task(flow(striped))

    async def peers(server: Server) -> None:
        async with asyncio.TaskGroup() as tasks:
            while True:
                tasks.create_task(streams(await server.accepted.get(), tasks))

    async with serve(host, 0, offering(ca, engines.SERVER)) as server:
        serving = asyncio.create_task(peers(server))
        yield Served(server, begun)
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)


@asynccontextmanager
async def to_reference(ca: CertificateAuthority) -> AsyncIterator[tuple[Flow, Served]]:
    """A reference that dials another one."""
    async with (
        asyncio.timeout(PATIENCE),
        reference_serving(ca, LOOPBACK) as served,
        AsyncExitStack() as dial,
    ):
        endpoint = offering(ca, engines.CLIENT)
        yield Flow(SERVICE, dial, endpoint, LOOPBACK, served.server.port), served


@pairs(TO_REFERENCE, TO_ENGINE, REFERENCES)
async def test_a_striped_flow_comes_whole_over_its_lanes(
    pair: Pair, ca: CertificateAuthority
) -> None:
    if pair == TO_REFERENCE:
        tls = engines.identity(ca, engines.CLIENT, stripes=True)
        taking = reference_serving(ca, own_address(), wanted=LANES)
        async with asyncio.timeout(PATIENCE), taking as served:
            back, connections = await flows.answered(
                tls, served.server.port, FORTH, lanes=LANES, workers=2
            )
            (striped,) = served.begun
            await striped.over()
            assert len(connections) == striped.lanes == LANES
        assert back == BACK
        return
    async with to_engine(ca) if pair == TO_ENGINE else to_reference(ca) as (flow, _):
        striped = await flow.begin()
        striped.send(FORTH[:1000])
        await flow.join(striped)
        striped.send(FORTH[1000:], end=True)
        assert await read(striped) == BACK
        await striped.over()
        assert striped.lanes == LANES


@pairs(TO_ENGINE, REFERENCES)
async def test_the_loss_of_a_further_lane_loses_nothing(
    pair: Pair, ca: CertificateAuthority
) -> None:
    async with to_engine(ca) if pair == TO_ENGINE else to_reference(ca) as (flow, _):
        striped = await flow.begin()
        striped.send(FORTH[:1000])
        await striped.until_answered()
        lost = await flow.peer()
        assert striped.join(lanes.open_lane(lost, striped.head, 1))
        striped.send(FORTH[1000:], end=True)
        lost.end()
        assert await read(striped) == BACK
        await striped.over()


@pairs(TO_ENGINE, REFERENCES)
async def test_a_lane_of_somebody_else_is_denied_and_the_flow_goes_on(
    pair: Pair, ca: CertificateAuthority
) -> None:
    async with to_engine(ca) if pair == TO_ENGINE else to_reference(ca) as (flow, _):
        striped = await flow.begin()
        striped.send(FORTH[:1000])
        await striped.until_answered()
        other = offering(ca, f"spiffe://{engines.TRUST_DOMAIN}/ns/shop/sa/other")
        renewed = reference.identity(ca, engines.CLIENT)
        rekeyed = replace(flow.endpoint, identity=renewed, tickets={})
        for stranger in (other, rekeyed):
            lane = lanes.open_lane(await flow.peer(stranger), striped.head, 1)
            with pytest.raises(StreamFailed) as failed:
                await lane.recv()
            assert failed.value.code == StreamCode.DENIED
        striped.send(FORTH[1000:], end=True)
        assert await read(striped) == BACK


WRONG = {
    "another kind": b"\3",
    "behind the limit": stripes.encode(Data(1 << 40, b"x")),
    "an overlap": stripes.encode(Data(8, b"bc")) + stripes.encode(Data(7, b"ab")),
    "an end too early": stripes.encode(Data(8, b"bc")) + stripes.encode(End(9)),
    "more than was sent": stripes.encode(Received(1, 0)),
}


@pytest.mark.parametrize("said", WRONG.values(), ids=WRONG)
@pairs(TO_ENGINE, REFERENCES)
async def test_records_that_are_wrong_reset_all_lanes_of_the_flow(
    pair: Pair, ca: CertificateAuthority, said: bytes
) -> None:
    async with to_engine(ca) if pair == TO_ENGINE else to_reference(ca) as (flow, _):
        head = Head(Kind.LANE, bytes(16), CALLER, flow.destination, received=LANES)
        first = lanes.open_lane(await flow.peer(), head, 0)
        first.send(stripes.encode(Data(0, b"a")))
        assert await first.recv()
        further = lanes.open_lane(await flow.peer(), head, 1)
        further.send(said)
        for lane in (first, further):
            assert await reset_with(lane) == StreamCode.BAD_SHARD


async def reset_with(lane: Stream) -> int | None:
    """The code with which the peer wants no more of a lane."""
    await until(lambda: lane.stopped_with is not None)
    return lane.stopped_with


@pairs(TO_REFERENCE, TO_ENGINE, REFERENCES)
async def test_a_lane_is_denied_where_striped_flows_are_not_in_use(
    pair: Pair, ca: CertificateAuthority
) -> None:
    async with pair.ends(ca) as (client, server):
        peer = await telling(client, server)
        with pytest.raises(StreamFailed) as failed:
            await peer.open(Kind.LANE, CALLER, SERVICE).recv()
        assert failed.value.code == StreamCode.DENIED
