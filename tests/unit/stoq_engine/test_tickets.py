"""Session tickets that replicas of a control plane share, over real engines."""

import time

import pytest

from lab.ports import free_port
from stoq.api.stream import StreamError
from stoq.engine import (
    CertificateAuthority,
    Engine,
    EngineSettings,
    HybridKey,
    Listener,
    TlsContext,
)
from support import engines
from support.patience import until

SINCE = int(time.time())
"""It names the key: the same at every replica, whenever that begins. A key seals for a day."""


@pytest.fixture
def address() -> str:
    """Where one replica listens after the other, as behind a Service."""
    return f"[::1]:{free_port()}"


def replica(ca: CertificateAuthority, key: bytes) -> TlsContext:
    """A control plane's, with a certificate of its own and a shared key of tickets."""
    now = int(time.time())
    tls, own = TlsContext(), HybridKey.generate()
    tls.set_trust(engines.TRUST_DOMAIN, [ca.root])
    tls.set_identity(own, ca.issue(own.csr(), engines.SERVER, now - 60, now + 3600))
    tls.set_ticket_keys([(SINCE, key)])
    return tls


@pytest.mark.parametrize(("second", "resumed"), [(b"a" * 32, True), (b"b" * 32, False)])
async def test_another_replica_resumes_the_session_if_it_has_the_key(
    address: str, second: bytes, resumed: bool
) -> None:
    ca = engines.authority()
    tls = engines.identity(ca, engines.CLIENT)
    async with Engine(EngineSettings(workers=1), tls) as client:
        found = []
        for key in (b"a" * 32, second):
            settings = EngineSettings(workers=1, bootstrap=Listener(listen=address))
            async with Engine(settings, replica(ca, key)):
                await client.dialler(address, engines.SERVER).open()
                (info,) = client.connections()
                found.append(info.resumed)
                await until(lambda: tls.ticket_counts() == (2, 0))
            await until(lambda: not client.connections())
    assert found == [False, resumed]


async def test_who_dialled_while_nobody_was_there_resumes_when_a_replica_is_back(
    address: str,
) -> None:
    ca = engines.authority()
    tls = engines.identity(ca, engines.CLIENT)
    listening = EngineSettings(workers=1, bootstrap=Listener(listen=address))
    async with (
        Engine(EngineSettings(workers=1), tls) as client,
        Engine(listening, replica(ca, b"a" * 32)),
    ):
        await client.dialler(address, engines.SERVER).open()
        await until(lambda: tls.ticket_counts() == (2, 0))
    async with Engine(engines.client_settings(dial_timeout_ms=100), tls) as client:
        with pytest.raises(StreamError, match="no answer from"):
            await client.dialler(address, engines.SERVER).open()
    assert tls.ticket_counts() == (1, 0)
    async with (
        Engine(EngineSettings(workers=1), tls) as client,
        Engine(listening, replica(ca, b"a" * 32)),
    ):
        await client.dialler(address, engines.SERVER).open()
        (info,) = client.connections()
        assert info.resumed
