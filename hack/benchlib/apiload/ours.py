"""The method in stoq.api."""

import asyncio
import time
from pathlib import Path

import msgspec

from benchlib.apiload.load import PAYLOAD, measure
from stoq.api.call import Context
from stoq.api.client import ApiClient
from stoq.api.method import Unary
from stoq.api.server import ApiServer
from stoq.engine import (
    CertificateAuthority,
    Engine,
    EngineSettings,
    HybridKey,
    Listener,
    TlsContext,
)

TRUST_DOMAIN = "bench.example"
SERVER = f"spiffe://{TRUST_DOMAIN}/ns/bench/sa/server"
CLIENT = f"spiffe://{TRUST_DOMAIN}/ns/bench/sa/client"


class Message(msgspec.Struct):
    """Request and response."""

    body: bytes


ECHO = Unary("bench.v1/Echo", Message, Message)


async def _echo(request: Message, _context: Context) -> Message:
    return request


async def serve(address: str, folder: Path) -> None:
    """Serves until killed; leaves the client's identity and the root in `folder`."""
    now = int(time.time())
    authority = CertificateAuthority.create(TRUST_DOMAIN, now - 60, now + 7200)

    def identity(spiffe_id: str) -> tuple[HybridKey, bytes]:
        key = HybridKey.generate()
        return key, authority.issue(key.csr(), spiffe_id, now - 60, now + 7200)

    key, certificate = identity(CLIENT)
    (folder / "stoq.root").write_bytes(authority.root)
    (folder / "stoq.crt").write_bytes(certificate)
    (folder / "stoq.key").write_bytes(key.to_bytes())
    server = ApiServer()
    server.unary(ECHO, _echo)
    listener = Listener(listen=address)
    settings = EngineSettings(workers=1, bootstrap=listener, log_level="error")
    async with Engine(settings, _context(authority.root, *identity(SERVER))) as engine:
        print("serving", flush=True)
        await server.serve(engine.acceptor())


async def call(
    address: str, folder: Path, calls: int, rate: float, seconds: float
) -> dict[str, float]:
    """Measures a server at `address`."""
    key = HybridKey.from_bytes((folder / "stoq.key").read_bytes())
    root, certificate = ((folder / f"stoq.{part}").read_bytes() for part in ("root", "crt"))
    settings = EngineSettings(workers=1, log_level="error")
    async with Engine(settings, _context(root, key, certificate)) as engine:
        client = ApiClient(engine.dialler(address, SERVER))
        message = Message(PAYLOAD)
        return await measure(lambda: client.call(ECHO, message), calls, rate, seconds)


def _context(root: bytes, key: HybridKey, certificate: bytes) -> TlsContext:
    tls = TlsContext()
    tls.set_trust(TRUST_DOMAIN, [root])
    tls.set_identity(key, certificate)
    return tls


def run_server(address: str, folder: Path) -> None:
    """Serves until killed."""
    asyncio.run(serve(address, folder))


def run_client(
    address: str, folder: Path, calls: int, rate: float, seconds: float
) -> dict[str, float]:
    """Measures."""
    return asyncio.run(call(address, folder, calls, rate, seconds))
