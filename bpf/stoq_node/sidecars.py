"""Asks a pod's sidecar what it sends in plaintext (`stoq.plaintext`), over HTTP by its own port."""

import asyncio
from collections.abc import Iterable
from typing import Final

import h11

from stoq import plaintext
from stoq.capture.plan import Address
from stoq.constants import METRICS_PORT
from stoq.plaintext import Figures
from stoq_node.ledger import Mute

SECONDS: Final = 2.0
"""For one answer."""

MAX_PAGE: Final = 4096
"""Bytes of the page, which has a hundred."""


class _Unusable(Exception):
    """The answer is none; the text says why."""


async def ask(addresses: Iterable[Address], port: int = METRICS_PORT) -> Figures | Mute:
    """What the sidecar of the pod that has `addresses` says, at the first that answers."""
    mutes = []
    for address in addresses:
        try:
            async with asyncio.timeout(SECONDS):
                return await _ask(str(address), port)
        except ConnectionRefusedError:
            mutes.append(Mute(f"nobody listens on port {port} of {address}", absent=True))
        except TimeoutError:
            mutes.append(Mute(f"no answer from port {port} of {address} in {SECONDS:g} seconds"))
        except (OSError, _Unusable) as error:
            mutes.append(Mute(f"port {port} of {address}: {error}"))
    if not mutes:
        return Mute("its addresses are not known")
    why = "; ".join(mute.why for mute in mutes)
    return Mute(why, absent=all(mute.absent for mute in mutes))


async def _ask(host: str, port: int) -> Figures:
    reader, writer = await asyncio.open_connection(host, port)
    try:
        return await _exchanged(reader, writer, f"[{host}]" if ":" in host else host)
    finally:
        writer.transport.abort()


async def _exchanged(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str
) -> Figures:
    http = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_PAGE)
    request = h11.Request(
        method="GET", target=plaintext.PATH, headers=[("host", host), ("connection", "close")]
    )
    writer.write((http.send(request) or b"") + (http.send(h11.EndOfMessage()) or b""))
    page = b""
    try:
        while not isinstance(event := http.next_event(), h11.EndOfMessage | h11.ConnectionClosed):
            if event is h11.NEED_DATA:
                http.receive_data(await reader.read(MAX_PAGE))
            elif isinstance(event, h11.Response) and event.status_code != 200:
                raise _Unusable(f"{event.status_code} to {plaintext.PATH}: its sidecar is older")
            elif isinstance(event, h11.Data):
                page += event.data
                if len(page) > MAX_PAGE:
                    raise _Unusable(f"more than {MAX_PAGE} bytes of {plaintext.PATH}")
        return plaintext.decode(page)
    except (h11.RemoteProtocolError, ValueError) as error:
        raise _Unusable(f"{plaintext.PATH} cannot be read: {error}") from error
