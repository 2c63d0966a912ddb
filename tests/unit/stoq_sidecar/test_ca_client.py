"""Asking the certificate authority, over the real API layer in memory."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from stoq import signing
from stoq.api.call import Context
from stoq.api.errors import Unauthorised
from stoq.api.server import ApiServer
from stoq_sidecar.ca_client import CertificateAuthority, SigningError, read_token
from stoq_sidecar.settings import Settings, read
from support.streams import Network

ID = "spiffe://cluster.local/ns/shop/sa/web"


def settings(token: Path) -> Settings:
    return read(
        "",
        {
            "STOQ_POD_NAME": "web-0",
            "STOQ_POD_NAMESPACE": "shop",
            "STOQ_POD_SERVICE_ACCOUNT": "web",
            "STOQ_CONTROL_ADDRESS": "[fd00::9]:14012",
            "STOQ_IDENTITY_TOKEN_FILE": str(token),
        },
    )


@asynccontextmanager
async def authority(handler) -> AsyncIterator[Network]:
    server, network = ApiServer(), Network(None)
    server.unary(signing.SIGN, handler, anonymous=True)
    task = asyncio.create_task(server.serve(network))
    try:
        yield network
    finally:
        task.cancel()
        await asyncio.wait([task])
        network.close()


@pytest.fixture
def token(tmp_path: Path) -> Path:
    file = tmp_path / "token"
    file.write_text("join me\n")
    return file


async def test_the_request_binds_the_token_to_the_connection(token: Path) -> None:
    seen = []

    async def sign(request: signing.SignRequest, context: Context) -> signing.SignResponse:
        exporter = context.exporter(signing.BINDING_LABEL)
        seen.append((request, signing.binding("join me", exporter)))
        return signing.SignResponse(certificate=b"leaf", roots=(b"r",), spiffe_id=ID, expires=9)

    async with authority(sign) as network:
        answer = await CertificateAuthority(lambda: network, settings(token)).sign(b"csr")
    request, binding = seen[0]
    assert (request.csr, request.token, request.binding) == (b"csr", "join me", binding)
    assert (request.workload, request.spiffe_id) == ("shop/web-0", ID)
    assert answer.certificate == b"leaf"


async def test_a_refusal_names_pod_and_identity(token: Path) -> None:
    async def sign(request: signing.SignRequest, context: Context) -> signing.SignResponse:
        raise Unauthorised("token unknown")

    async with authority(sign) as network:
        with pytest.raises(SigningError, match=r"refuses this pod \(shop/web-0 as .*token unknown"):
            await CertificateAuthority(lambda: network, settings(token)).sign(b"csr")


async def test_another_identity_is_not_accepted(token: Path) -> None:
    async def sign(request: signing.SignRequest, context: Context) -> signing.SignResponse:
        other = "spiffe://cluster.local/ns/shop/sa/db"
        return signing.SignResponse(certificate=b"leaf", roots=(), spiffe_id=other, expires=9)

    async with authority(sign) as network:
        with pytest.raises(SigningError, match=r"sa/db, this pod is .*sa/web; check"):
            await CertificateAuthority(lambda: network, settings(token)).sign(b"csr")


async def test_an_unreachable_authority_names_address_and_port(token: Path) -> None:
    network = Network(None)
    network.down = True
    with pytest.raises(SigningError, match=r"\[fd00::9\]:14012.*nobody listens.*UDP 14012"):
        await CertificateAuthority(lambda: network, settings(token)).sign(b"csr")


async def test_a_failing_authority_is_quoted(token: Path) -> None:
    async def sign(request: signing.SignRequest, context: Context) -> signing.SignResponse:
        raise RuntimeError("secret detail")

    async with authority(sign) as network:
        with pytest.raises(SigningError, match="its log has the cause"):
            await CertificateAuthority(lambda: network, settings(token)).sign(b"csr")


def test_a_missing_or_empty_token_is_named(tmp_path: Path) -> None:
    with pytest.raises(SigningError, match="STOQ_IDENTITY_TOKEN_FILE"):
        read_token(str(tmp_path / "none"))
    (tmp_path / "empty").write_text(" \n")
    with pytest.raises(SigningError, match="is empty"):
        read_token(str(tmp_path / "empty"))
