"""The capture probe against real listeners on loopback."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from lab.ports import free_port
from stoq_sidecar import capture_probe
from stoq_sidecar.readiness import Readiness
from support.patience import PATIENCE, until

NONCE = bytes(range(16))


@asynccontextmanager
async def answering(answer: Callable[[], bytes], host: str = "127.0.0.1") -> AsyncIterator[int]:
    async def connected(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer())
        writer.close()

    async with await asyncio.start_server(connected, host, 0) as server:
        yield server.sockets[0].getsockname()[1]


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_our_nonce_is_the_proof(host: str) -> None:
    async with answering(lambda: NONCE, host) as port:
        assert await capture_probe.probe(host, NONCE, port) is None


@pytest.mark.parametrize("answer", [b"", NONCE[:-1], NONCE + b"x", b"SSH-2.0-OpenSSH_9"])
async def test_any_other_answer_is_not(answer: bytes) -> None:
    async with answering(lambda: answer) as port:
        found = await capture_probe.probe("127.0.0.1", NONCE, port)
    assert "answered by another process" in str(found)


async def test_missing_rules_are_named() -> None:
    port = free_port()
    found = await capture_probe.probe("127.0.0.1", NONCE, port)
    assert "no capture rule turns it to port 14001" in str(found)


async def test_silence_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capture_probe, "PATIENCE", 0.05)
    stay = asyncio.Event()

    async def silent(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await stay.wait()
        writer.close()

    async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        assert "unanswered" in str(await capture_probe.probe("127.0.0.1", NONCE, port))
        stay.set()


async def test_it_ends_once_the_rules_come_and_says_meanwhile_what_is_missing() -> None:
    port = free_port()
    readiness = Readiness([capture_probe.LATCH])
    proving = asyncio.create_task(
        capture_probe.verify(["127.0.0.1"], NONCE, readiness, PATIENCE, port)
    )
    await until(lambda: "refused" in readiness.blocking()[capture_probe.LATCH])

    async def answered(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(NONCE)
        writer.close()

    async with await asyncio.start_server(answered, "127.0.0.1", port):
        async with asyncio.timeout(PATIENCE):
            await proving
    # Who shows clients' addresses looks for their routes before the latch drops.
    assert not readiness.ready


async def test_that_it_takes_long_is_warned_of_once(caplog: pytest.LogCaptureFixture) -> None:
    answers = [b"nothing", b"nothing", NONCE]
    readiness = Readiness([capture_probe.LATCH])
    async with answering(lambda: answers.pop(0)) as port:
        with caplog.at_level(logging.WARNING):
            await capture_probe.verify(["127.0.0.1"], NONCE, readiness, 0.0, port)
    assert [r.message[:31] for r in caplog.records] == ["capture is not in force after 0"]


def test_the_hosts_follow_the_families() -> None:
    assert capture_probe.hosts(ipv6=True, ipv4=True) == ["::1", "127.0.0.1"]
    assert capture_probe.hosts(ipv6=True, ipv4=False) == ["::1"]
    assert capture_probe.hosts(ipv6=False, ipv4=True) == ["127.0.0.1"]
