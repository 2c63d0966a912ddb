"""The resolver's sockets: UDP and TCP on the loopback addresses of port 14053.

Never on a wildcard address: a reply over UDP must leave from the address that capture redirected
the query to, or the kernel does not translate it back.
"""

import asyncio
import logging
import socket
import struct
from typing import Final

from stoq import constants
from stoq_sidecar.dns import wire
from stoq_sidecar.dns.responder import Responder
from stoq_sidecar.dns.upstream import MAX_UDP, MAX_WAITING, read_message

log = logging.getLogger("stoq.dns")

BATCH: Final = 64
"""Queries read at one wake-up, so that a flood does not starve the rest of the agent."""

MAX_CONNECTIONS: Final = 64
"""TCP connections served at a time; further ones are closed at once."""

IDLE: Final = 10.0
"""Seconds that a TCP connection may stay without a query (RFC 7766, section 6.2.3)."""


def listeners(*, ipv6: bool) -> tuple[list[socket.socket], list[socket.socket]]:
    """UDP and TCP sockets on port 14053. Raises OSError naming the port."""
    hosts = ["127.0.0.1", *(["::1"] if ipv6 else [])]
    udp: list[socket.socket] = []
    tcp: list[socket.socket] = []
    try:
        for host in hosts:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            one = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
            udp.append(one)
            one.bind((host, constants.DNS_PORT))
            tcp.append(socket.create_server((host, constants.DNS_PORT), family=family))
    except OSError as error:
        for opened in (*udp, *tcp):
            opened.close()
        raise OSError(
            error.errno,
            f"cannot listen on loopback port {constants.DNS_PORT} for DNS: {error.strerror}; the "
            "port belongs to STOQ: is a second sidecar running in this pod?",
        ) from error
    return udp, tcp


class DnsServer:
    """Serves `responder`."""

    def __init__(self, responder: Responder) -> None:
        self._responder = responder
        self._connections = 0
        self._waiting: set[asyncio.Task[None]] = set()

    async def serve(self, udp: list[socket.socket], tcp: list[socket.socket]) -> None:
        """Serves until cancelled, then closes the sockets."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.TaskGroup() as tasks:
                for one in udp:
                    loop.add_reader(one, self._readable, one, tasks)
                for listener in tcp:
                    tasks.create_task(self._accept(listener))
        finally:
            for one in udp:
                loop.remove_reader(one)
                one.close()

    def _readable(self, listener: socket.socket, tasks: asyncio.TaskGroup) -> None:
        for _ in range(BATCH):
            try:
                query, client = listener.recvfrom(MAX_UDP)
            except BlockingIOError:
                return
            except OSError as error:  # what ICMP said about an earlier reply
                log.debug("reading a query: %s", error)
                continue
            if not wire.is_query(query):
                continue
            reply = self._responder.at_once(query, udp=True)
            if reply is not None:
                _send(listener, reply, client)
            elif len(self._waiting) < 2 * MAX_WAITING:  # beyond, not even a refusal
                task = tasks.create_task(self._later(listener, query, client))
                self._waiting.add(task)
                task.add_done_callback(self._waiting.discard)

    async def _later(self, listener: socket.socket, query: bytes, client: object) -> None:
        _send(listener, await self._responder.later(query, udp=True), client)

    async def _accept(self, listener: socket.socket) -> None:
        server = await asyncio.start_server(self._connected, sock=listener)
        async with server:
            await server.serve_forever()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._connections >= MAX_CONNECTIONS:
            writer.transport.abort()
            return
        self._connections += 1
        try:
            while True:
                async with asyncio.timeout(IDLE):
                    query = await read_message(reader)
                if not wire.is_query(query):
                    return
                reply = self._responder.at_once(query, udp=False)
                if reply is None:
                    reply = await self._responder.later(query, udp=False)
                writer.write(struct.pack("!H", len(reply)) + reply)
                async with asyncio.timeout(IDLE):
                    await writer.drain()
        except (TimeoutError, EOFError, OSError) as error:
            log.debug("DNS over TCP ended: %r", error)
        finally:
            self._connections -= 1
            writer.close()


def _send(listener: socket.socket, reply: bytes, client: object) -> None:
    try:
        listener.sendto(reply, client)  # type: ignore[call-overload]
    except OSError as error:  # the client has gone, or its queue is full: it asks again
        log.debug("reply to %s not sent: %s", client, error)
