"""Packets beside a tunnel, as either end of it sends and takes them (docs/wire-format.md, section
14, G13 to G18)."""

import asyncio
import secrets
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from stoq_reference import bare, frames
from stoq_reference.bare import BarePacket, Probe
from stoq_reference.hop_frames import BARE_ID, NONCE, Seen
from stoq_reference.stream import Stream, StreamFailed

WAITS = (0.3, 0.7)
"""Seconds for which a probe is waited for, and for which it is once more."""

PAUSE, LONGEST_PAUSE = 1.0, 60.0
"""Seconds between probes that are seen, and at most after those that are not."""

STEERING = bytes(2)
"""Worker and generation, of which there is one each (G17)."""


class Ids:
    """Under which ids the peer of a connection may send packets beside its tunnels (G16), and how
    many went and came there.
    """

    def __init__(self) -> None:
        self.sent = 0
        self.came = 0
        self._taking: dict[bytes, Callable[[BarePacket | Probe], None]] = {}

    def give(self, taking: Callable[[BarePacket | Probe], None]) -> bytes:
        """A new one; what comes under it is for `taking`."""
        id_ = STEERING + secrets.token_bytes(BARE_ID - len(STEERING))
        self._taking[id_] = taking
        return id_

    def end(self, id_: bytes) -> None:
        """It holds no longer."""
        self._taking.pop(id_, None)

    def take(self, datagram: bytes) -> bool:
        """Whether a datagram came under one of them."""
        came = bare.read(datagram) if self._taking else None
        taking = self._taking.get(came.id) if came is not None else None
        if came is None or taking is None:
            return False
        taking(came)
        return True


class Path(Protocol):
    """The connection that has the tunnel."""

    ids: Ids

    @property
    def path_takes(self) -> int:
        """Bytes of the datagrams that are known to get through."""

    def send_raw(self, datagram: bytes) -> None:
        """Sends a datagram that is none of the connection."""


class Beside:
    """What goes beside one tunnel, both ways."""

    def __init__(
        self,
        path: Path,
        stream: Stream,
        taken: Callable[[bytes], None],
        connection_ids: tuple[bytes, bytes],
    ) -> None:
        """`connection_ids`: those of the inner connection to which packets come here, and go from
        here. Inner packets that come are `taken`.
        """
        self._path = path
        self._stream = stream
        self._taken = taken
        self._own, self._theirs = connection_ids
        self.id = path.ids.give(self._arrived)
        self._id: bytes | None = None
        self._probing: asyncio.Task[None] | None = None
        self._nonce = b""
        self._seen = asyncio.Event()
        self._open = False

    def begin(self, id_: bytes) -> None:
        """The other end takes packets under `id_`, once probes have shown that they get there."""
        self._stop()
        self._id = id_
        self._probing = asyncio.create_task(self._probe(id_))

    def send(self, packet: bytes) -> bool:
        """Whether an inner packet has gone; otherwise it goes in the tunnel (G14, G15)."""
        if not self._open or self._id is None:
            return False
        datagram = bare.beside(packet, self._theirs, self._id)
        if datagram is None or len(datagram) > self._path.path_takes:
            return False
        self._path.send_raw(datagram)
        self._path.ids.sent += 1
        return True

    def seen(self, nonce: bytes) -> None:
        """The other end has seen a probe; one that is not waited for is passed over (G18)."""
        if nonce == self._nonce:
            self._seen.set()

    def end(self) -> None:
        """The tunnel has ended, or there is another in the place of this."""
        self._stop()
        self._path.ids.end(self.id)

    def _stop(self) -> None:
        self._open = False
        if self._probing is not None:
            self._probing.cancel()

    def _arrived(self, came: BarePacket | Probe) -> None:
        if isinstance(came, Probe):
            with suppress(StreamFailed):
                self._stream.send(frames.encode(Seen(came.nonce)))
            return
        self._path.ids.came += 1
        self._taken(came.restored(self._own))

    async def _probe(self, id_: bytes) -> None:
        pause = PAUSE
        while True:
            self._open = await self._asked(id_)
            if self._open:
                pause = PAUSE
            await asyncio.sleep(pause)
            if not self._open:
                pause = min(2 * pause, LONGEST_PAUSE)

    async def _asked(self, id_: bytes) -> bool:
        """Whether a probe is seen, the first or the same once more (G15)."""
        self._nonce = secrets.token_bytes(NONCE)
        self._seen.clear()
        for wait in WAITS:
            self._path.send_raw(Probe(id_, self._nonce).encode())
            with suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._seen.wait()
                return True
        return False
