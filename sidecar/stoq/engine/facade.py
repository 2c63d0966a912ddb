"""`Engine`: the data plane as an object of asyncio."""

import asyncio
from collections.abc import Sequence
from types import TracebackType

import msgspec

from stoq import _engine
from stoq._engine import TlsContext
from stoq.engine.hub import EngineAcceptor, EngineDialler, StreamHub
from stoq.engine.objects import (
    SHARD_SIZE,
    EngineObjectAsker,
    EngineObjectReceiver,
    EngineObjectSender,
    Objects,
    Shadow,
)
from stoq.engine.settings import Adapt, EngineSettings, LogLevel
from stoq.engine.snapshot import ConnectionInfo, Snapshot, connections, snapshot


class Engine:
    """A running engine. Ends by `drain`, by `stop`, or by leaving its `async with` block.

    Raises ValueError for settings that cannot be, OSError when the kernel refuses a socket.
    """

    def __init__(self, settings: EngineSettings, tls: TlsContext) -> None:
        self._native = _engine.Engine(settings.to_json(), tls)
        self._objects = Objects(self._native.objects)
        self._hub = StreamHub(self._native.streams, self._objects)

    async def __aenter__(self) -> "Engine":
        self._hub.attach()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    def set_table(self, document: str) -> None:
        """Routes new connections by this table (JSON, as `stoq_core::table` reads it).

        Raises ValueError naming the field; the table before then stays.
        """
        self._native.set_table(document)

    def snapshot(self) -> Snapshot:
        """Counters and gauges, read once; takes microseconds and delays no worker."""
        return snapshot(self._native.snapshot())

    def connections(self) -> list[ConnectionInfo]:
        """Connections with what was negotiated; every worker is asked, about a millisecond."""
        return connections(self._native.connections())

    def settings(self) -> str:
        """What the engine runs with, defaults filled in, as JSON. There is no key in it."""
        return self._native.settings()

    def reauthorise(self) -> None:
        """Closes live connections whose peer the trust would not let in any more."""
        self._native.reauthorise()

    def prove_identity(self) -> None:
        """Proves our present identity to the peers of live connections, so that these outlive the
        certificate they were opened with: to be called after `TlsContext.set_identity`.
        """
        self._native.prove_identity()

    def set_adaptation(self, adapt: Adapt) -> None:
        """Has live and later connections adapt within these bounds and pins, until the end of this
        engine.

        Raises ValueError naming the field; also for a mode from or to `off`.
        """
        self._native.set_adaptation(msgspec.json.encode(adapt).decode())

    def adapt_now(self) -> None:
        """Judges the path of every connection at once by what is measured now."""
        self._native.adapt_now()

    def set_transparent(self, *, transparent: bool) -> None:
        """Whether the application is dialled from the client's own address from now on; at the
        start it is not. Capture must bring the answers back.
        """
        self._native.set_transparent(transparent)

    def set_log_level(self, level: LogLevel) -> None:
        """Logs what is at least so severe from now on."""
        self._native.set_log_level(level)

    def local_port(self, listener: str) -> int | None:
        """The port of `stoq`, `bootstrap`, `outbound` or `inbound`; None if there is none."""
        return self._native.local_port(listener)

    def dialler(self, remote: str, expect: str | None = None) -> EngineDialler:
        """Opens API streams to `remote` (address and port), which must prove to be the SPIFFE id
        `expect`, or any member of the mesh.
        """
        return EngineDialler(self._hub, remote, expect)

    def acceptor(self) -> EngineAcceptor:
        """Yields the API streams that peers open on the bootstrap listener, from now on; before
        the first acceptor they are denied.
        """
        return EngineAcceptor(self._hub)

    def object_sender(
        self,
        remote: str,
        expect: str | None = None,
        *,
        shard_size: int = SHARD_SIZE,
        lanes: int = 1,
        shadows: Sequence[Shadow] = (),
    ) -> EngineObjectSender:
        """Sends objects to `remote` (address and port for STOQ between workloads), which must prove
        to be the SPIFFE id `expect`, or any member of the mesh.

        `shard_size`: bytes of each shard, at most what the peer takes and 1048576; 4096 shards at
        most. `lanes`: streams that share them out, 1 to 16, each on a connection of its own as far
        as the pool allows. `shadows`: up to 4 that get copies; not without `expect`.
        """
        self._hub.attach()
        return EngineObjectSender(self._objects, remote, expect, shard_size, lanes, shadows)

    def object_receiver(
        self, *, mirrors_from: Sequence[str] | None = None, signer: str | None = None
    ) -> EngineObjectReceiver:
        """Yields the objects that peers send, from now on; before the first receiver they are
        denied. This endpoint is a shadow for the SPIFFE ids in `mirrors_from` (empty: for everyone,
        None: for nobody). `signer`: the SPIFFE id that must have signed every object; senders of
        others are refused.
        """
        self._hub.attach()
        return EngineObjectReceiver(self._objects, mirrors_from, signer)

    def hold_objects(self, most: int, askers: Sequence[str] = ()) -> None:
        """Keeps objects that come from now on, the latest, up to `most` bytes, for the SPIFFE ids
        that may ask for them (empty: every member of the mesh). At first none is kept.
        """
        self._objects.hold(most, askers)

    def object_asker(
        self, remote: str, expect: str | None = None, *, signer: str | None = None
    ) -> EngineObjectAsker:
        """Asks `remote` (address and port for STOQ between workloads) for objects that it holds; it
        must prove to be the SPIFFE id `expect`, or any member of the mesh. `signer`: the SPIFFE id
        that must have signed them, whoever holds them.
        """
        self._hub.attach()
        return EngineObjectAsker(self._objects, remote, expect, signer)

    async def drain(self, seconds: float) -> None:
        """Takes nothing new and returns when the last flow has ended, or after `seconds`.

        API streams go on until then; afterwards the engine has stopped.
        """
        self._native.drain(seconds)
        await asyncio.to_thread(self._native.join)
        self._hub.detach()

    async def stop(self) -> None:
        """Closes everything and returns when the workers have ended. Idempotent."""
        self._hub.detach()
        await asyncio.to_thread(self._native.shutdown)
