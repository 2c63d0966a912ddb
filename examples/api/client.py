"""Calls the inventory in all four ways.

python client.py FOLDER [ADDRESS]
"""

import asyncio
import sys
from pathlib import Path

import identities
from inventory import ASK, GET, LIST, STORE, Item, Query

from stoq.api.client import ApiClient
from stoq.api.codec import Codec
from stoq.api.errors import NotFound
from stoq.engine import Engine, EngineSettings


async def main(folder: Path, address: str) -> None:
    """Prints what the server answers."""
    async with Engine(EngineSettings(workers=1), identities.load(folder, "client")) as engine:
        client = ApiClient(engine.dialler(address, identities.SERVER))

        item = await client.call(GET, Query("apple"), timeout=2)
        print(f"{item.count} of {item.name}")
        try:
            await client.call(GET, Query("plum"))
        except NotFound as error:
            print(f"not found: {error}")

        stored = await client.upload(STORE, [Item("plum", 7), Item("fig", 1)])
        print(f"stored {stored.items}")

        async with client.stream(LIST, Query("p")) as items:
            async for item in items:
                print(f"{item.name}: {item.count}")

        async with client.converse(ASK) as conversation:
            for name in ("fig", "pear"):
                await conversation.send(Query(name))
                item = await anext(conversation)
                print(f"{item.name}? {item.count}")
            await conversation.finish()

        readable = ApiClient(engine.dialler(address, identities.SERVER), codec=Codec.JSON)
        print(f"by JSON: {await readable.call(GET, Query('fig'))}")


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "[::1]:14100"))
