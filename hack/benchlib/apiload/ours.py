"""The method in stoq.api."""

import asyncio
from pathlib import Path

import msgspec

from benchlib import identities
from benchlib.apiload.load import PAYLOAD, measure
from stoq.api.call import Context
from stoq.api.client import ApiClient
from stoq.api.method import Unary
from stoq.api.server import ApiServer
from stoq.engine import Engine, EngineSettings, Listener


class Message(msgspec.Struct):
    """Request and response."""

    body: bytes


ECHO = Unary("bench.v1/Echo", Message, Message)


async def _echo(request: Message, _context: Context) -> Message:
    return request


async def serve(address: str, folder: Path) -> None:
    """Serves until killed; leaves identities for both ends in `folder`."""
    identities.make(folder)
    server = ApiServer()
    server.unary(ECHO, _echo)
    listener = Listener(listen=address)
    settings = EngineSettings(workers=1, bootstrap=listener, log_level="error")
    async with Engine(settings, identities.load(folder, "server")) as engine:
        print("serving", flush=True)
        await server.serve(engine.acceptor())


async def call(
    address: str, folder: Path, calls: int, rate: float, seconds: float
) -> dict[str, float]:
    """Measures a server at `address`."""
    settings = EngineSettings(workers=1, log_level="error")
    async with Engine(settings, identities.load(folder, "client")) as engine:
        client = ApiClient(engine.dialler(address, identities.SERVER))
        message = Message(PAYLOAD)
        return await measure(lambda: client.call(ECHO, message), calls, rate, seconds)


def run_server(address: str, folder: Path) -> None:
    """Serves until killed."""
    asyncio.run(serve(address, folder))


def run_client(
    address: str, folder: Path, calls: int, rate: float, seconds: float
) -> dict[str, float]:
    """Measures."""
    return asyncio.run(call(address, folder, calls, rate, seconds))
