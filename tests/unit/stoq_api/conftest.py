import asyncio
from contextlib import suppress

import msgspec
import pytest

from stoq.api.client import ApiClient
from stoq.api.method import Bidirectional, ClientStream, ServerStream, Unary
from stoq.api.server import ApiServer
from stoq.api.stream import Peer
from support.streams import Network

WEB = Peer("spiffe://example.org/ns/shop/sa/web", "01")


class Number(msgspec.Struct):
    value: int


DOUBLE = Unary("test.v1/Double", Number, Number)
COUNT = ServerStream("test.v1/Count", Number, Number)
SUM = ClientStream("test.v1/Sum", Number, Number)
ECHO = Bidirectional("test.v1/Echo", Number, Number)


class World:
    """A server, its network and clients; closed by the fixture."""

    def __init__(self):
        self.calls = []
        self.networks = []
        self.tasks = []

    def client(self, server: ApiServer, *, peer: Peer | None = WEB, **options) -> ApiClient:
        network = Network(peer)
        self.networks.append(network)
        self.tasks.append(asyncio.create_task(server.serve(network)))
        return ApiClient(network, **options)

    @property
    def network(self) -> Network:
        return self.networks[-1]

    def server(self, limits=None) -> ApiServer:
        return ApiServer(limits, observer=lambda *call: self.calls.append(call))


@pytest.fixture
async def world():
    world = World()
    yield world
    for task in world.tasks:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    for network in world.networks:
        network.close()
