"""Tries the way to another meshed pod: can it be reached, as whom, how fast, with which MTU.

What the engine does for an application's first byte is done here without an application: the
connection that is there is used, or one is made. The peer notices nothing but a stream that ends.
"""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final

from stoq.api.stream import CANCELLED, Dialler, StreamError
from stoq.engine import ConnectionInfo
from stoq.registry import RegistryState, WorkloadEntry
from stoq.settings.kinds import join_host_and_port

PATIENCE: Final = 4.0
"""Seconds until a path counts as blocked: a lost first packet is sent again after one second."""

SETTLING: Final = 0.5
"""Seconds that a new connection has to find out its path's MTU (RFC 8899) before it is reported."""


class Unmeshed(ValueError):
    """No meshed pod has the address; the text says so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PathReport:
    """What was found on the way to one address."""

    address: str
    port: int
    """UDP."""
    spiffe_id: str
    """Whom the registry has at the address, and the peer had to prove to be."""
    reached: bool
    seconds: float
    """Until a stream was open; with a connection that was there already, next to nothing."""
    error: str = ""
    """Why it was not reached."""
    key_exchange: str | None = None
    signature: str | None = None
    cipher: str | None = None
    rtt_seconds: float | None = None
    mtu: int | None = None
    """UDP payload bytes per datagram that the path carries."""


def find(state: RegistryState | None, address: str) -> WorkloadEntry:
    """The meshed pod at `address`. Raises Unmeshed, and ValueError for what is no address."""
    wanted = ip_address(address)
    for workload in state.workloads.values() if state is not None else ():
        if any(ip_address(own) == wanted for own in workload.addresses):
            return workload
    raise Unmeshed(
        f"no meshed pod has {address} as far as this sidecar was told: `stoqctl records` lists "
        "services, `kubectl get pods -o wide` pods"
    )


class Prober:
    """Measures with one engine's diallers."""

    def __init__(
        self,
        dial: Callable[[str, str], Dialler],
        connections: Callable[[], Iterable[ConnectionInfo]],
    ) -> None:
        """`dial` takes address with port, and the SPIFFE id to be proven."""
        self._dial = dial
        self._connections = connections

    async def measure(self, workload: WorkloadEntry, address: str) -> PathReport:
        """The way to `workload` at `address`. Never raises for what the network does."""
        remote = join_host_and_port(address, workload.port)
        loop = asyncio.get_running_loop()
        started = loop.time()
        error, opened = "", 0.0
        found: ConnectionInfo | None = None
        try:
            async with asyncio.timeout(PATIENCE):
                stream = await self._dial(remote, workload.spiffe_id).open()
            opened = loop.time()
            found = await self._settled(remote)
            stream.reset(CANCELLED)
            stream.close()
        except StreamError as failed:
            error = str(failed)
        except TimeoutError:
            error = f"no answer from UDP {remote} within {PATIENCE:g} s"
        return PathReport(
            address=address,
            port=workload.port,
            spiffe_id=workload.spiffe_id,
            reached=not error,
            seconds=(opened or loop.time()) - started,
            error=error,
            key_exchange=found.key_exchange if found else None,
            signature=found.signature if found else None,
            cipher=found.cipher if found else None,
            rtt_seconds=found.rtt_seconds if found else None,
            mtu=found.mtu if found else None,
        )

    async def _settled(self, remote: str) -> ConnectionInfo | None:
        """The connection to `remote`, once it has had its time to probe the path."""
        found = self._connection(remote)
        if found is not None and found.age_seconds < SETTLING:
            await asyncio.sleep(SETTLING - found.age_seconds)
            found = self._connection(remote) or found
        return found

    def _connection(self, remote: str) -> ConnectionInfo | None:
        """The youngest of those that were dialled: the engine may have several to one peer."""
        mine = [c for c in self._connections() if c.remote == remote and c.initiator == "dialled"]
        return min(mine, key=lambda connection: connection.age_seconds, default=None)
