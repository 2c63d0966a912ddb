"""Serves the inventory until it is told to stop.

python server.py FOLDER [ADDRESS]
"""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import identities
from inventory import ASK, GET, LIST, STORE, Item, Query, Stored

from stoq.api.call import Context, ServerLimits
from stoq.api.errors import NotFound, Unauthorised
from stoq.api.server import ApiServer
from stoq.engine import Engine, EngineSettings, Listener


class Inventory:
    """The handlers."""

    def __init__(self) -> None:
        self.items = {"apple": 3, "pear": 5}

    async def get(self, query: Query, _context: Context) -> Item:
        """One request, one response."""
        if query.name not in self.items:
            raise NotFound(f"there is no {query.name!r}; List names what there is")
        return Item(query.name, self.items[query.name])

    async def list(self, query: Query, _context: Context) -> AsyncIterator[Item]:
        """One request, any number of responses."""
        for name, count in self.items.items():
            if name.startswith(query.name):
                yield Item(name, count)

    async def store(self, items: AsyncIterator[Item], context: Context) -> Stored:
        """Any number of requests, one response."""
        assert context.peer is not None
        if context.peer.spiffe_id != identities.CLIENT:
            raise Unauthorised(f"{context.peer.spiffe_id} may not store anything")
        stored = 0
        async for item in items:
            self.items[item.name] = item.count
            stored += 1
        return Stored(stored)

    async def ask(self, queries: AsyncIterator[Query], context: Context) -> AsyncIterator[Item]:
        """Any number of both."""
        async for query in queries:
            yield await self.get(query, context)


async def main(folder: Path, address: str) -> None:
    """Runs the server until SIGTERM, and then for as long as calls take, five seconds at most."""
    inventory = Inventory()
    server = ApiServer(ServerLimits(message=64 * 1024))
    server.unary(GET, inventory.get)
    server.server_stream(LIST, inventory.list)
    server.client_stream(STORE, inventory.store)
    server.bidirectional(ASK, inventory.ask)

    told = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, told.set)
    settings = EngineSettings(name="inventory", workers=1, bootstrap=Listener(listen=address))
    async with Engine(settings, identities.load(folder, "server")) as engine:
        serving = asyncio.create_task(server.serve(engine.acceptor()))
        print(f"port {engine.local_port('bootstrap')}", flush=True)
        await told.wait()
        await server.drain(5)
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "[::1]:14100"))
