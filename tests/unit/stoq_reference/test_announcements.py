"""Transport parameters on real connections; their encoding is in the vectors."""

import pytest
from aioquic.quic.packet import QuicErrorCode

from stoq.engine import CertificateAuthority
from stoq_reference.client import connect
from stoq_reference.parameters import (
    EXTENSIONS,
    PACKET_RESERVE,
    PUBLIC_KEY,
    REVISION,
    Parameters,
)
from stoq_reference.reader import varint
from support import engines, reference
from support.interop import LOOPBACK, EngineServer, echoing, refusal


def parameter(id_: int, value: bytes) -> bytes:
    return varint(id_) + varint(len(value)) + value


WRONG = {
    "revision 0": parameter(REVISION, b"\0"),
    "a revision that does not fill its value": parameter(REVISION, b"\1\0"),
    "no revision": parameter(EXTENSIONS, b"\1"),
    "revision twice": parameter(REVISION, b"\1") * 2,
    "a reserve of 257 bytes": parameter(REVISION, b"\1") + parameter(PACKET_RESERVE, b"\x41\1"),
    "an empty key": parameter(REVISION, b"\1") + parameter(PUBLIC_KEY, b""),
    "a block that ends early": parameter(REVISION, b"\1") + varint(EXTENSIONS) + b"\2\1",
}


@pytest.mark.parametrize("wrong", WRONG)
async def test_wrong_parameters_end_the_handshake(
    engine: EngineServer, ca: CertificateAuthority, wrong: str
) -> None:
    dialling = reference.announcing(reference.endpoint(ca, engines.CLIENT), WRONG[wrong])
    async with echoing(reference.endpoint(ca, engines.SERVER)) as server:
        for port in (engine.mesh, server.port):
            closed = await refusal(port, dialling)
            assert not closed.application
            assert closed.code == QuicErrorCode.TRANSPORT_PARAMETER_ERROR


NEWER = Parameters(revision=2, extensions=(1 << 62) - 1, packet_reserve=256, max_shard=1 << 40)


@pytest.mark.parametrize(
    "block", [NEWER.encode(), NEWER.encode() + parameter(PUBLIC_KEY + 1, b"new")]
)
async def test_a_newer_revision_is_spoken_to(
    engine: EngineServer, ca: CertificateAuthority, block: bytes
) -> None:
    dialling = reference.announcing(reference.endpoint(ca, engines.CLIENT), block)
    async with echoing(reference.endpoint(ca, engines.SERVER)) as server:
        for port in (engine.mesh, server.port):
            async with connect(LOOPBACK, port, dialling) as peer:
                assert peer.certificate.spiffe_id == engines.SERVER
