"""Fixtures of tests in which engines and the reference meet; a conftest.py imports them."""

from collections.abc import AsyncIterator

import pytest

from stoq.engine import CertificateAuthority, Engine, EngineSettings, Listener
from support import engines
from support.interop import TABLE, EngineServer


@pytest.fixture(scope="session")
def ca() -> CertificateAuthority:
    return engines.authority()


@pytest.fixture
async def engine(ca: CertificateAuthority) -> AsyncIterator[EngineServer]:
    """A real engine with both of its listeners."""
    settings = EngineSettings(
        name="server",
        workers=1,
        stoq=Listener(listen="[::1]:0"),
        bootstrap=Listener(listen="[::1]:0"),
        log_level="error",
    )
    async with Engine(settings, engines.identity(ca, engines.SERVER)) as server:
        server.set_table(TABLE)
        yield EngineServer(server)


@pytest.fixture
async def client(ca: CertificateAuthority) -> AsyncIterator[Engine]:
    """A real engine that dials."""
    tls = engines.identity(ca, engines.CLIENT)
    async with Engine(engines.client_settings(), tls) as dialling:
        yield dialling
