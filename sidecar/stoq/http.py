"""A small HTTP/1.1 server on h11 for the pages of our own programs: admin, metrics, health, and the
admission webhook.

Bounded in everything a peer controls: header and body sizes, time, requests and number of
connections. Routes are exact paths. Not a web framework and never on the data path.
"""

import asyncio
import logging
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from http import HTTPStatus
from ipaddress import IPv6Address, ip_address
from typing import Final
from urllib.parse import parse_qsl, urlsplit

import h11

log = logging.getLogger("stoq.http")

MAX_HEADER: Final = 16 * 1024
"""Bytes of request line and headers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a peer may make the server do. The defaults are for pages, which need no body."""

    body: int = 4 * 1024
    """Bytes of a request's body."""
    connections: int = 64
    """Connections served at a time; further ones are closed at once."""
    seconds: float = 10.0
    """For one whole exchange, the TLS handshake included."""
    idle_seconds: float = 0.0
    """How long a connection stays open for the next request; 0: one request per connection."""


@dataclass(frozen=True, slots=True)
class Request:
    """`path` without the query, `client` the peer's address with a v4-mapped one unmapped."""

    method: str
    path: str
    query: Mapping[str, str]
    client: str
    body: bytes = b""

    @property
    def from_loopback(self) -> bool:
        """Whether the peer is on this machine's loopback."""
        return ip_address(self.client).is_loopback


@dataclass(frozen=True, slots=True)
class Response:
    """What is sent back."""

    body: bytes
    status: HTTPStatus = HTTPStatus.OK
    content_type: str = "text/plain; charset=utf-8"


def plain(text: str, status: HTTPStatus = HTTPStatus.OK) -> Response:
    """A line of text."""
    return Response(f"{text}\n".encode(), status)


Handler = Callable[[Request], Awaitable[Response]]
Routes = Mapping[tuple[str, str], Handler]


class HttpServer:
    """Serves `routes`, a handler per (method, path), on already listening sockets; over TLS when
    there is a context, into which certificates may be loaded anew at any time.
    """

    def __init__(
        self,
        name: str,
        routes: Routes,
        limits: Limits = Limits(),
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._name = name
        self._routes = routes
        self._limits = limits
        self._tls = tls
        self._open = 0

    async def serve(self, sockets: list[socket.socket]) -> None:
        """Serves until cancelled, then closes the sockets and every connection."""
        async with asyncio.TaskGroup() as tasks:
            for listener in sockets:
                tasks.create_task(self._accept(listener))

    async def _accept(self, listener: socket.socket) -> None:
        if listener.family in {socket.AF_INET, socket.AF_INET6}:
            # Its connections have it too. asyncio asks for it only where a socket names TCP as its
            # protocol. Without it the end of an answer waits until its beginning is acknowledged,
            # which kernels put off for 40 ms.
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        server = await asyncio.start_server(
            self._connected,
            sock=listener,
            limit=MAX_HEADER,
            ssl=self._tls,
            ssl_handshake_timeout=self._limits.seconds if self._tls else None,
        )
        async with server:
            await server.serve_forever()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._open >= self._limits.connections:
            writer.transport.abort()
            return
        self._open += 1
        try:
            await self._converse(reader, writer)
        except (TimeoutError, OSError) as error:
            log.debug("%s: connection ended early: %r", self._name, error)
        finally:
            self._open -= 1
            writer.transport.abort() if writer.transport.is_closing() else writer.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEADER)
        patience = self._limits.seconds
        while True:
            if not connection.trailing_data[0]:  # else the next request has arrived already
                async with asyncio.timeout(patience):
                    connection.receive_data(await reader.read(MAX_HEADER))
            async with asyncio.timeout(self._limits.seconds):
                await self._exchange(connection, reader, writer)
            if connection.states != {h11.CLIENT: h11.DONE, h11.SERVER: h11.DONE}:
                return
            connection.start_next_cycle()
            patience = self._limits.idle_seconds

    async def _exchange(
        self,
        connection: h11.Connection,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        try:
            request = await self._read(connection, reader, writer)
        except h11.RemoteProtocolError as error:
            status = HTTPStatus(error.error_status_hint)
            response = plain(f"not an acceptable request: {error}", status)
        else:
            if request is None:
                return
            response = await self._respond(request)
        body = b"" if connection.their_state is h11.ERROR else response.body
        if connection.our_state not in {h11.IDLE, h11.SEND_RESPONSE}:
            return
        headers = [("content-type", response.content_type), ("content-length", str(len(body)))]
        if not self._limits.idle_seconds or connection.their_state is not h11.DONE:
            headers.append(("connection", "close"))
        head = h11.Response(
            status_code=response.status, headers=headers, reason=response.status.phrase.encode()
        )
        events = (head, h11.Data(data=body), h11.EndOfMessage())
        writer.write(b"".join(connection.send(event) or b"" for event in events))
        await writer.drain()

    async def _read(
        self,
        connection: h11.Connection,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> Request | None:
        """The request with its body; None when the peer left before asking."""
        request: Request | None = None
        body = bytearray()
        while True:
            event = connection.next_event()
            if event is h11.NEED_DATA:
                if connection.they_are_waiting_for_100_continue:
                    go_on = h11.InformationalResponse(status_code=100, headers=[])
                    writer.write(connection.send(go_on) or b"")
                connection.receive_data(await reader.read(MAX_HEADER))
            elif isinstance(event, h11.Request):
                request = _request(event, writer)
            elif isinstance(event, h11.Data):
                body += event.data
                if len(body) > self._limits.body:
                    raise h11.RemoteProtocolError(
                        f"body over {self._limits.body} bytes", error_status_hint=413
                    )
            elif isinstance(event, h11.EndOfMessage):
                return replace(request, body=bytes(body)) if request else None
            else:  # ConnectionClosed
                return None

    async def _respond(self, request: Request) -> Response:
        handler = self._routes.get((request.method, request.path))
        if handler is not None:
            try:
                return await handler(request)
            except Exception:
                log.exception("%s: %s %s failed", self._name, request.method, request.path)
                return plain("failed; the log says why", HTTPStatus.INTERNAL_SERVER_ERROR)
        methods = sorted(method for method, path in self._routes if path == request.path)
        if methods:
            return plain(f"use {' or '.join(methods)}", HTTPStatus.METHOD_NOT_ALLOWED)
        pages = "\n".join(f"{method} {path}" for method, path in sorted(self._routes))
        found = HTTPStatus.OK if request.path == "/" else HTTPStatus.NOT_FOUND
        return plain(f"{self._name}\n{pages}", found)


def _request(event: h11.Request, writer: asyncio.StreamWriter) -> Request:
    target = urlsplit(event.target.decode("ascii", "replace"))
    return Request(
        method=event.method.decode("ascii"),
        path=target.path,
        query=dict(parse_qsl(target.query)),
        client=_unmapped(writer.get_extra_info("peername")[0]),
    )


def _unmapped(host: str) -> str:
    address = ip_address(host.partition("%")[0])
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(address)
