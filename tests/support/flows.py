"""TCP flows of an application whose engine carries them."""

import asyncio
import json

from stoq.engine import ConnectionInfo, Engine, EngineSettings, Listener, TlsContext
from support import engines
from support.interop import TABLE, own_address


async def answered(
    tls: TlsContext, port: int, said: bytes, *, lanes: int = 0, workers: int = 1
) -> tuple[bytes, list[ConnectionInfo]]:
    """What comes back to an application that says something and ends, and the connections of its
    engine.

    The engine dials a workload at our address and `port`, whose flows may have so many lanes; 0:
    one.

    Nothing captures it: it dials the listener for what is captured, which has the address of the
    workload that the table knows.
    """
    host = own_address()
    settings = EngineSettings(
        workers=workers, outbound=Listener(listen=f"{host}:0"), log_level="error"
    )
    workload = {
        "uid": "server",
        "name": "server",
        "namespace": "shop",
        "spiffe_id": engines.SERVER,
        "addresses": [host],
        "port": port,
        "lanes": lanes,
    }
    own = {"name": "client", "namespace": "shop", "addresses": ["fd00::1"]}
    table = json.loads(TABLE) | {"own": own, "workloads": [workload]}
    async with Engine(settings, tls) as engine:
        engine.set_table(json.dumps(table))
        reader, writer = await asyncio.open_connection(host, engine.local_port("outbound"))
        writer.write(said)
        writer.write_eof()
        back = await reader.read()
        connections = engine.connections()
        writer.close()
        await writer.wait_closed()
    return back, connections
