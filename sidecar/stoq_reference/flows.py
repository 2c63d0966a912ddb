"""Flows of captured UDP on a connection (docs/wire-format.md, section 17)."""

import asyncio
from collections import deque
from collections.abc import Callable

from stoq_reference import udp
from stoq_reference.codes import ConnectionCode
from stoq_reference.errors import Malformed
from stoq_reference.stream import Stream, StreamFailed

EARLY = 64
"""Datagrams kept for flows that have not begun; the oldest goes first."""

Payloads = asyncio.Queue[bytes | None]


class Flows:
    """Which datagram of a connection is for which flow (U5)."""

    def __init__(self) -> None:
        self._open: dict[int, Payloads] = {}
        self._over: set[int] = set()
        self._early: deque[tuple[int, bytes]] = deque(maxlen=EARLY)

    def arrived(self, flow: int, payload: bytes) -> None:
        """A datagram; one for a flow that has ended is dropped."""
        if (payloads := self._open.get(flow)) is not None:
            payloads.put_nowait(payload)
        elif flow not in self._over:
            self._early.append((flow, payload))

    def begin(self, flow: int) -> Payloads:
        """Where the payloads of a flow come, those that were early first."""
        payloads = self._open[flow] = Payloads()
        kept, self._early = self._early, deque(maxlen=EARLY)
        for early in kept:
            self.arrived(*early)
        return payloads

    def end(self, flow: int) -> None:
        """What comes for this flow from now on is dropped."""
        self._open.pop(flow, None)
        self._over.add(flow)


class Flow:
    """What an application at one address and port says to one other, and the answers."""

    def __init__(
        self,
        stream: Stream,
        flows: Flows,
        *,
        send: Callable[[bytes], bool],
        close: Callable[[ConnectionCode, str], None],
    ) -> None:
        """`stream`: of kind 5. `send`: puts this into a DATAGRAM frame, if it fits. `close`: ends
        the connection.
        """
        self.stream = stream
        self._flows = flows
        self._send = send
        self._close = close
        self._payloads = flows.begin(stream.id)
        self._reading = asyncio.create_task(self._read())

    def send(self, payload: bytes) -> None:
        """By a DATAGRAM frame where it fits, else on the stream (U3). Raises StreamFailed."""
        fits = self.stream.id < udp.FLOWS_BELOW
        if not fits or not self._send(udp.datagram(self.stream.id, payload)):
            self.stream.send(udp.message(payload))

    async def recv(self) -> bytes | None:
        """The next payload; None when the flow has ended."""
        payload = await self._payloads.get()
        if payload is None:
            self._payloads.put_nowait(None)
        return payload

    def end(self) -> None:
        """Ends the flow in both directions (U6)."""
        self._flows.end(self.stream.id)
        self.stream.finish()
        self._reading.cancel()
        self._payloads.put_nowait(None)

    async def _read(self) -> None:
        """Takes the messages of the stream, to its end."""
        rest = b""
        try:
            while data := await self.stream.recv():
                rest += data
                while (taken := udp.take(rest)) is not None:
                    payload, used = taken
                    self._payloads.put_nowait(payload)
                    rest = rest[used:]
        except StreamFailed:
            pass
        except Malformed as error:
            self._close(ConnectionCode.PROTOCOL, str(error))
        self._flows.end(self.stream.id)
        self._payloads.put_nowait(None)
