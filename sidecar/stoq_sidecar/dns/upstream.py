"""Passes queries on to the name servers of the pod, unchanged but for the id.

Each UDP query leaves from a socket of its own, whose port the kernel draws, under an id drawn
here, and only a reply from that server to that very question is taken (RFC 5452). The sidecar's
user is not captured, so nothing comes back here in a loop.
"""

import asyncio
import errno
import secrets
import socket
import struct
from collections.abc import Sequence
from typing import Final

from stoq.capture.plan import Address
from stoq_sidecar.dns import wire
from stoq_sidecar.dns.counts import Counts

PORT: Final = 53

ATTEMPTS: Final = 3
PATIENCE: Final = 1.5
"""Seconds for one attempt over UDP: together less than the five after which libc asks again."""

TCP_PATIENCE: Final = 4.0
"""Seconds for one exchange over TCP; TCP itself repeats what is lost."""

MAX_WAITING: Final = 256
"""Queries that may wait at a time; each holds a descriptor. More are answered SERVFAIL."""

MAX_UDP: Final = 65535

_RETRIED: Final = frozenset({wire.SERVFAIL, wire.REFUSED})
"""What another name server may know better."""


class Upstream:
    """The name servers, in order of preference; `port` is 53 outside of tests."""

    def __init__(
        self,
        nameservers: Sequence[Address],
        counts: Counts,
        *,
        port: int = PORT,
        patience: float = PATIENCE,
    ) -> None:
        self._servers = tuple(nameservers)
        self._counts = counts
        self._port = port
        self._patience = patience

    async def ask(self, query: bytes, *, udp: bool) -> bytes:
        """The reply of the first name server that has one; SERVFAIL when none has.

        A reply over UDP that is cut off (TC) is passed on: the client asks again over TCP.
        """
        if self._counts.waiting >= MAX_WAITING:
            self._counts.failures["overload"] += 1
            return wire.failure(query, wire.SERVFAIL)
        self._counts.waiting += 1
        try:
            return await self._ask(query, udp=udp)
        finally:
            self._counts.waiting -= 1

    async def _ask(self, query: bytes, *, udp: bool) -> bytes:
        one = self._over_udp if udp else self._over_tcp
        patience = self._patience if udp else TCP_PATIENCE
        attempts = ATTEMPTS if udp else len(self._servers)
        worst: bytes | None = None
        for attempt in range(attempts if self._servers else 0):
            server = self._servers[attempt % len(self._servers)]
            asked = wire.with_id(query, secrets.randbits(16))
            started = asyncio.get_running_loop().time()
            self._counts.upstream += 1
            try:
                async with asyncio.timeout(patience):
                    reply = await one(server, asked)
            except TimeoutError:
                self._counts.failures["timeout"] += 1
                continue
            except (OSError, EOFError):
                self._counts.failures["unreachable"] += 1
                continue
            self._counts.took(asyncio.get_running_loop().time() - started)
            reply = wire.with_id(reply, wire.id_of(query))
            if wire.rcode(reply) not in _RETRIED:
                return reply
            self._counts.failures["refused"] += 1
            worst = reply
            if attempt + 1 >= len(self._servers):
                break  # the same server would say the same again
        return worst or wire.failure(query, wire.SERVFAIL)

    async def _over_udp(self, server: Address, query: bytes) -> bytes:
        loop = asyncio.get_running_loop()
        with socket.socket(_family(server), socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as one:
            # Connected, so that the kernel drops what others send and reports what ICMP says.
            one.connect((str(server), self._port))
            self._counts.udp_bytes += len(query)
            one.send(query)
            while True:
                reply = await loop.sock_recv(one, MAX_UDP)
                if wire.answers(reply, query):
                    return reply
                self._counts.failures["mismatch"] += 1

    async def _over_tcp(self, server: Address, query: bytes) -> bytes:
        reader, writer = await asyncio.open_connection(str(server), self._port)
        message = struct.pack("!H", len(query)) + query
        self._counts.tcp_bytes += len(message)
        try:
            writer.write(message)
            reply = await read_message(reader)
        finally:
            writer.transport.abort()
        if not wire.answers(reply, query):
            self._counts.failures["mismatch"] += 1
            raise OSError(errno.EBADMSG, "the name server answered something else")
        return reply


async def read_message(reader: asyncio.StreamReader) -> bytes:
    """One message of a TCP stream (RFC 1035, section 4.2.2). Raises EOFError."""
    size = struct.unpack("!H", await reader.readexactly(2))[0]
    return await reader.readexactly(size)


def _family(address: Address) -> socket.AddressFamily:
    return socket.AF_INET6 if address.version == 6 else socket.AF_INET
