from collections.abc import AsyncIterator

import pytest

from stoq.engine import CertificateAuthority, Engine
from support import engines
from support.engines import Pair


@pytest.fixture(scope="session")
def ca() -> CertificateAuthority:
    return engines.authority()


@pytest.fixture
async def pair(ca: CertificateAuthority) -> AsyncIterator[Pair]:
    server_tls = engines.identity(ca, engines.SERVER)
    client_tls = engines.identity(ca, engines.CLIENT)
    async with (
        Engine(engines.server_settings(), server_tls) as server,
        Engine(engines.client_settings(), client_tls) as client,
    ):
        yield Pair(server, client, engines.address(server))


@pytest.fixture
async def impatient(ca: CertificateAuthority) -> AsyncIterator[Engine]:
    """A client for where nobody answers."""
    settings = engines.client_settings(dial_timeout_ms=1000)
    async with Engine(settings, engines.identity(ca, engines.CLIENT)) as client:
        yield client
