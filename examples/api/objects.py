"""Sends a file as an object, takes such objects, and hears copies of them.

python objects.py FOLDER take [ADDRESS]
python objects.py FOLDER shadow ADDRESS
python objects.py FOLDER send FILE [ADDRESS [SHADOW]]
"""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import identities

from stoq.api.client import ApiClient
from stoq.api.objects import ReceivedObject, serve_objects
from stoq.engine import Engine, EngineSettings, Listener, Shadow

ADDRESS = "[::1]:14108"
# A sidecar has its table from the registry, and serves no peer before.
TABLE = {
    "version": 1,
    "own": {"name": "inventory", "namespace": "shop", "addresses": ["fd00::1"]},
    "inbound": "strict",
    "outbound": "meshOnly",
}


async def keep(received: ReceivedObject) -> None:
    """Takes the client's objects, and nobody else's."""
    if received.sender != identities.CLIENT:
        raise PermissionError(f"{received.sender} may not send anything")
    print(f"{len(received.data)} bytes from {received.sender}", flush=True)


async def hear(received: ReceivedObject) -> None:
    """What a shadow does with a copy; nobody waits for it."""
    print(f"{len(received.data)} bytes, a copy of what is for {received.copy_of}", flush=True)


@asynccontextmanager
async def serving(folder: Path, address: str) -> AsyncIterator[Engine]:
    """An engine that objects can be sent to."""
    settings = EngineSettings(name="inventory", workers=1, stoq=Listener(listen=address))
    async with Engine(settings, identities.load(folder, "server", max_shard=65_536)) as engine:
        engine.set_table(json.dumps(TABLE))
        print(f"port {engine.local_port('stoq')}", flush=True)
        yield engine


async def take(folder: Path, address: str) -> None:
    """Takes objects until it is stopped."""
    async with serving(folder, address) as engine:
        await serve_objects(engine.object_receiver(), keep)


async def shadow(folder: Path, address: str) -> None:
    """Hears copies of the client's objects until it is stopped."""
    async with serving(folder, address) as engine:
        receiver = engine.object_receiver(mirrors_from=[identities.CLIENT])
        await serve_objects(receiver, hear)


async def send(folder: Path, data: bytes, address: str) -> None:
    """Sends one object, and returns when the other side has all of it."""
    tls = identities.load(folder, "client", max_shard=0)
    async with Engine(EngineSettings(workers=1), tls) as engine:
        sender = engine.object_sender(address, identities.SERVER, lanes=2)
        client = ApiClient(engine.dialler(address, identities.SERVER), objects=sender)
        await client.send_object(data)
        print(f"{len(data)} bytes sent")


async def send_with_copy(folder: Path, data: bytes, address: str, to: str) -> None:
    """Sends one object, and a shadow its copy."""
    tls = identities.load(folder, "client", max_shard=0)
    async with Engine(EngineSettings(workers=1), tls) as engine:
        copies = Shadow(to, identities.SERVER, share=10_000)  # of ten thousand objects: all
        sender = engine.object_sender(address, identities.SERVER, shadows=[copies])
        client = ApiClient(engine.dialler(address, identities.SERVER), objects=sender)
        await client.send_object(data)
        print(f"{len(data)} bytes sent")
        await engine.drain(10)  # A copy may still be on its way.


def main(folder: Path, what: str, *rest: str) -> None:
    """What the arguments say."""
    if what == "take":
        asyncio.run(take(folder, *(rest or (ADDRESS,))))
    elif what == "shadow":
        asyncio.run(shadow(folder, *rest))
    elif len(rest) == 3:
        file, address, to = rest
        asyncio.run(send_with_copy(folder, Path(file).read_bytes(), address, to))
    else:
        file, *given = rest
        asyncio.run(send(folder, Path(file).read_bytes(), *(given or [ADDRESS])))


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
