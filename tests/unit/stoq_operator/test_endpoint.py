"""The control process's own endpoint, by what its engine holds for those who connect."""

import asyncio
import json

import pytest

from stoq.api.client import ApiClient
from stoq.api.method import Unary
from stoq.api.server import ApiServer
from stoq.registry import TrustEntry
from stoq_operator.endpoint import EngineEndpoint
from support import engines

ECHO = Unary("test.v1/Echo", bytes, bytes)


async def echo(request, _context):
    return request


@pytest.fixture
async def connected():
    """An endpoint, and a client of one call that was answered."""
    ca = engines.authority()
    endpoint = EngineEndpoint("[::1]:0", engines.TRUST_DOMAIN, "hybrid-1024", "error")
    endpoint.trust(TrustEntry(roots=(ca.root,)))
    now = int(engines.time.time())
    endpoint.install(ca.issue(endpoint.new_key(), engines.SERVER, now - 60, now + 3600))
    async with (
        endpoint.start() as server,
        engines.Engine(engines.client_settings(), engines.identity(ca, engines.CLIENT)) as engine,
    ):
        api = ApiServer()
        api.unary(ECHO, echo)
        serving = asyncio.create_task(api.serve(server.acceptor()))
        client = ApiClient(engine.dialler(engines.address(server), engines.SERVER))
        yield server, client
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)


async def test_a_request_larger_than_its_windows_is_answered(connected):
    _, client = connected
    body = bytes(900_000)
    assert await client.call(ECHO, body, timeout=20) == body


async def test_no_connection_widens_its_windows_whatever_its_path_is_like(connected):
    server, client = connected
    await client.call(ECHO, bytes(900_000), timeout=20)
    [connection] = server.connections()
    assert connection.adaptation is None
    assert json.loads(server.settings())["transport"]["send_window"] <= 65_536
