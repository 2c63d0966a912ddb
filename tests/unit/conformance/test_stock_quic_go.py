"""quic-go as it is, another stack than the engine's and the reference's, with an engine that for
once does classical TLS.
"""

import asyncio
import json
from asyncio.subprocess import PIPE, Process
from pathlib import Path
from typing import Any

import pytest

from stoq.engine import CertificateAuthority, Engine
from stoq_reference import head
from stoq_reference.head import Head, Kind
from support import engines, reference
from support.ends import whole
from support.interop import LOOPBACK, EngineServer
from support.patience import PATIENCE
from support.stock import QUIC_FRAMES, classical, listening

PROGRAM = Path(__file__).parents[3] / ".stoq" / "peers" / "stock-quic-go"
DATA = bytes(range(256)) * 1000
ANSWER = DATA[::-1]


class Peer:
    """quic-go in a process of its own (hack/peers/stock-quic-go)."""

    def __init__(self, folder: Path, ca: CertificateAuthority) -> None:
        self._folder = folder
        self._ca = ca
        self._events: list[dict[str, Any]] = []

    async def start(self, side: str, address: str, *flags: str, own: str | None = None) -> Process:
        """Starts it as client or server, with a certificate of `own`."""
        assert PROGRAM.exists(), f"{PROGRAM} is not there: hack/setup --checks builds it"
        files = []
        if own is not None:
            identity = reference.issued(self._ca, own)
            for flag, content in (
                ("certificate", identity.certificate.der),
                ("key", identity.keys.ed25519),
            ):
                (self._folder / flag).write_bytes(content)
                files.append(f"-{flag}={self._folder / flag}")
        return await asyncio.create_subprocess_exec(
            PROGRAM,
            *files,
            *flags,
            side,
            address,
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
            env={"QLOGDIR": str(self._folder)},
        )

    def events(self, name: str) -> list[dict[str, Any]]:
        """What its qlog has under this name."""
        records = b"".join(path.read_bytes() for path in self._folder.glob("*.sqlog"))
        events = [json.loads(record) for record in records.split(b"\x1e") if record.strip()]
        return [event["data"] for event in events if event.get("name") == name]

    def frames_received(self) -> set[str]:
        """What it has read, by name; it closes a connection on a frame it does not know."""
        packets = self.events("transport:packet_received")
        return {frame["frame_type"] for packet in packets for frame in packet.get("frames", [])}


@pytest.fixture
def peer(tmp_path: Path, ca: CertificateAuthority) -> Peer:
    return Peer(tmp_path, ca)


async def ended(process: Process, sent: bytes = b"") -> tuple[bytes, list[dict[str, Any]]]:
    """What it has printed, and what it says of its connections."""
    async with asyncio.timeout(PATIENCE):
        out, said = await process.communicate(sent)
    assert process.returncode == 0, said.decode()
    return out, [json.loads(line) for line in said.splitlines()]


@pytest.mark.parametrize("spiffe_id", [engines.CLIENT, None])
async def test_quic_go_dials_an_engine(
    peer: Peer, ca: CertificateAuthority, spiffe_id: str | None
) -> None:
    async with listening(ca) as server:
        acceptor = server.engine.acceptor()
        process = await peer.start("client", f"[{LOOPBACK}]:{server.api}", own=spiffe_id)
        running = asyncio.create_task(ended(process, Head(Kind.API, bytes(16)).encode() + DATA))
        far = await acceptor.accept()
        assert (far.peer and far.peer.spiffe_id) == spiffe_id
        assert await whole(far, len(DATA) + 1) == DATA
        await far.send(ANSWER, end=True)
        out, said = await running
    assert out == ANSWER
    (connection,) = said
    assert (connection["cipher"], connection["group"]) == ("TLS_AES_256_GCM_SHA384", "X25519")
    assert {"crypto", "handshake_done", "stream"} <= peer.frames_received() <= QUIC_FRAMES
    # It updates its keys after the first hundred packets.
    assert {event["trigger"] for event in peer.events("security:key_updated")} >= {"local_update"}


async def test_quic_go_resumes_a_session_with_an_engine(
    peer: Peer, ca: CertificateAuthority
) -> None:
    async with listening(ca) as server:
        address = f"[{LOOPBACK}]:{server.mesh}"
        process = await peer.start("client", address, "-connections=3", own=engines.CLIENT)
        _, said = await ended(process)
        assert [connection["resumed"] for connection in said] == [False, True, True]
        assert server.engine.snapshot().counters.handshakes_resumed == 2


async def test_quic_go_proves_its_address_to_an_engine(
    peer: Peer, ca: CertificateAuthority
) -> None:
    async with listening(ca, handshakes_before_retry=0) as server:
        address = f"[{LOOPBACK}]:{server.mesh}"
        process = await peer.start("client", address, "-connections=1", own=engines.CLIENT)
        await ended(process)
        assert server.engine.snapshot().counters.retries_sent > 0


@pytest.mark.parametrize("retry", [False, True])
async def test_an_engine_dials_quic_go(
    peer: Peer, ca: CertificateAuthority, *, retry: bool
) -> None:
    flags = ["-retry"] if retry else []
    process = await peer.start("server", f"[{LOOPBACK}]:0", *flags, own=engines.SERVER)
    assert process.stderr is not None
    remote = (await process.stderr.readline()).decode().strip()
    running = asyncio.create_task(ended(process, ANSWER))
    async with Engine(engines.client_settings(), classical(ca, engines.CLIENT)) as client:
        near = await client.dialler(remote, engines.SERVER).open()
        await near.send(DATA, end=True)
        assert await whole(near, len(ANSWER) + 1) == ANSWER
        assert client.connections()[0].profile == "classical"
    out, (connection,) = await running
    assert connection["verified"] is retry
    begun, length = head.decode(out)
    assert begun.kind is Kind.API
    assert out[length:] == DATA
    assert {"crypto", "stream"} <= peer.frames_received() <= QUIC_FRAMES


async def test_the_mesh_turns_quic_go_away_although_both_know_the_group(
    peer: Peer, ca: CertificateAuthority, engine: EngineServer
) -> None:
    address = f"[{LOOPBACK}]:{engine.mesh}"
    process = await peer.start("client", address, "-connections=1", own=engines.CLIENT)
    async with asyncio.timeout(PATIENCE):
        _, said = await process.communicate()
    assert process.returncode == 1
    # The alert handshake_failure; the engine says why.
    assert b"CRYPTO_ERROR 0x128 (remote)" in said
    assert b"signature" in said
