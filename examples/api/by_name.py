"""Calls the inventory by the name of its record, wherever it runs."""

import asyncio

from inventory import GET, Item, Query

from stoq.api.client import ApiClient
from stoq.api.route import Named
from stoq.engine import Engine
from stoq.resolver import RegistryResolver


async def by_name(engine: Engine, registry: ApiClient, node: str) -> Item:
    """Calls whatever endpoint the record `shop/inventory` has; `node` is our own workload."""
    resolver = RegistryResolver()
    following = asyncio.create_task(resolver.run(registry, node))
    try:
        client = ApiClient(Named("shop/inventory", resolver, engine.dialler))
        return await client.call(GET, Query("apple"))
    finally:
        following.cancel()
