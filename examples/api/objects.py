"""Sends a file as an object, and takes such objects.

python objects.py FOLDER take [ADDRESS]
python objects.py FOLDER send FILE [ADDRESS]
"""

import asyncio
import json
import sys
from pathlib import Path

import identities

from stoq.api.client import ApiClient
from stoq.api.objects import ReceivedObject, serve_objects
from stoq.engine import Engine, EngineSettings, Listener

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


async def take(folder: Path, address: str) -> None:
    """Takes objects until it is stopped."""
    settings = EngineSettings(name="inventory", workers=1, stoq=Listener(listen=address))
    async with Engine(settings, identities.load(folder, "server", max_shard=65_536)) as engine:
        engine.set_table(json.dumps(TABLE))
        print(f"port {engine.local_port('stoq')}", flush=True)
        await serve_objects(engine.object_receiver(), keep)


async def send(folder: Path, data: bytes, address: str) -> None:
    """Sends one object, and returns when the other side has all of it."""
    tls = identities.load(folder, "client", max_shard=0)
    async with Engine(EngineSettings(workers=1), tls) as engine:
        sender = engine.object_sender(address, identities.SERVER, lanes=2)
        client = ApiClient(engine.dialler(address, identities.SERVER), objects=sender)
        await client.send_object(data)
        print(f"{len(data)} bytes sent")


def main(folder: Path, what: str, *rest: str) -> None:
    """What the arguments say."""
    if what == "take":
        asyncio.run(take(folder, *(rest or (ADDRESS,))))
    else:
        file, *address = rest
        asyncio.run(send(folder, Path(file).read_bytes(), *(address or [ADDRESS])))


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
