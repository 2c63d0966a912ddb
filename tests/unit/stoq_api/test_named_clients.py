"""Clients of a name, over real engines: failover, and endpoints that come and go."""

import asyncio

import pytest

from stoq.api.client import ApiClient
from stoq.api.errors import NotFound, TimedOut, Unavailable
from stoq.api.route import Named
from stoq.api.server import ApiServer
from stoq.registry import (
    Endpoint,
    MeshEntry,
    RegistryState,
    ServiceEntry,
    ServicePort,
    TrustEntry,
    WorkloadEntry,
)
from stoq.resolver import RegistryResolver
from support import engines
from unit.stoq_api.conftest import COUNT, DOUBLE, Number

NAME = "shop/numbers"


class Backend:
    """A server with an engine of its own."""

    def __init__(self, name, engine):
        self.name = name
        self.engine = engine
        self.port = engine.local_port("bootstrap")
        self.calls = 0
        self.server = ApiServer()
        self.server.unary(DOUBLE, self.double)
        self.server.server_stream(COUNT, self.count)
        self.serving = asyncio.create_task(self.server.serve(engine.acceptor()))

    async def double(self, request, context):
        self.calls += 1
        if request.value == 13:
            raise Unavailable("not today")
        return Number(request.value * 2)

    async def count(self, request, context):
        self.calls += 1
        for value in range(request.value):
            yield Number(value)


def state(*ports, service=True):
    """One service whose endpoints listen on these ports of loopback."""
    entry = ServiceEntry(
        name="numbers",
        namespace="shop",
        vips=(),
        ports=(ServicePort(80, 80, "calls"),),
        endpoints=tuple(Endpoint("::1", targets=(port,)) for port in ports),
    )
    owner = WorkloadEntry(
        uid="u", name="n", namespace="shop", spiffe_id=engines.SERVER, addresses=("::1",)
    )
    return RegistryState(
        epoch="e",
        version=1,
        mesh=MeshEntry(trust_domain=engines.TRUST_DOMAIN),
        trust=TrustEntry(roots=()),
        workloads={"u": owner},
        services={entry.key: entry} if service else {},
    )


class Mesh:
    """Two backends, what the registry says of them, and a client that dials by name."""

    def __init__(self, backends, client_engine):
        self.backends = backends
        self.resolver = RegistryResolver()
        self.client = ApiClient(Named(NAME, self.resolver, client_engine.dialler))

    @property
    def calls(self):
        return [backend.calls for backend in self.backends]


@pytest.fixture
async def mesh(request):
    """Its client dials each endpoint for as long as the test's parameter says (milliseconds)."""
    ca = engines.authority()
    settings = engines.server_settings()
    async with (
        engines.Engine(settings, engines.identity(ca, engines.SERVER)) as first,
        engines.Engine(settings, engines.identity(ca, engines.SERVER)) as second,
        engines.Engine(
            engines.client_settings(dial_timeout_ms=getattr(request, "param", 30_000)),
            engines.identity(ca, engines.CLIENT),
        ) as client,
    ):
        backends = [Backend("first", first), Backend("second", second)]
        yield Mesh(backends, client)
        for backend in backends:
            backend.serving.cancel()
            await asyncio.gather(backend.serving, return_exceptions=True)


async def test_calls_are_spread_over_the_endpoints_of_a_name(mesh):
    mesh.resolver.update(state(*(backend.port for backend in mesh.backends)))
    for value in range(10):
        assert await mesh.client.call(DOUBLE, Number(value)) == Number(value * 2)
    assert mesh.calls == [5, 5]


async def test_a_call_waits_for_the_first_word_of_the_registry(mesh):
    call = asyncio.create_task(mesh.client.call(DOUBLE, Number(2)))
    await asyncio.sleep(0.05)
    mesh.resolver.update(state(mesh.backends[0].port))
    assert await call == Number(4)


async def test_but_not_for_longer_than_its_deadline(mesh):
    with pytest.raises(TimedOut):
        await mesh.client.call(DOUBLE, Number(2), timeout=0.05)


# Who is there must have answered within the same time.
@pytest.mark.parametrize("mesh", [5000], indirect=True)
async def test_a_call_goes_to_the_next_endpoint_when_one_is_not_there(mesh):
    mesh.resolver.update(state(9, mesh.backends[1].port))
    for value in range(4):
        assert await mesh.client.call(DOUBLE, Number(value)) == Number(value * 2)
    async with mesh.client.stream(COUNT, Number(3)) as numbers:
        assert [number.value async for number in numbers] == [0, 1, 2]
    assert mesh.calls == [0, 5]


async def test_a_server_that_drains_loses_no_call(mesh):
    mesh.resolver.update(state(*(backend.port for backend in mesh.backends)))
    await mesh.backends[0].server.drain(1)
    for value in range(6):
        assert await mesh.client.call(DOUBLE, Number(value)) == Number(value * 2)
    assert mesh.calls == [0, 6]


async def test_what_a_handler_has_seen_is_not_sent_to_another(mesh):
    mesh.resolver.update(state(*(backend.port for backend in mesh.backends)))
    with pytest.raises(Unavailable, match="not today"):
        await mesh.client.call(DOUBLE, Number(13))
    assert sum(mesh.calls) == 1


async def test_endpoints_may_come_and_go_while_a_client_is_used(mesh):
    first, second = mesh.backends
    mesh.resolver.update(state(first.port))
    await mesh.client.call(DOUBLE, Number(1))
    mesh.resolver.update(state(second.port))
    await mesh.client.call(DOUBLE, Number(1))
    assert mesh.calls == [1, 1]
    mesh.resolver.update(state())
    with pytest.raises(Unavailable, match="no endpoint now") as failed:
        await mesh.client.call(DOUBLE, Number(1))
    assert failed.value.untouched
    mesh.resolver.update(state(service=False))
    with pytest.raises(NotFound, match="stoqctl records"):
        await mesh.client.call(DOUBLE, Number(1))


@pytest.mark.parametrize("mesh", [500], indirect=True)
async def test_when_nobody_is_there_the_last_failure_is_told(mesh):
    mesh.resolver.update(state(9, 10))
    with pytest.raises(Unavailable, match="test.v1/Double failed") as failed:
        await mesh.client.call(DOUBLE, Number(1))
    assert failed.value.untouched
    with pytest.raises(Unavailable):
        async with mesh.client.stream(COUNT, Number(3)):
            pass
