"""What both implementations have, in words of neither."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal, Protocol

SHARD = 1000
"""Bytes of each shard that an end sends."""

Tokens = Literal["off", "packet", "stream"]
Profile = Literal["hybrid-1024", "hybrid-512"]
Aead = Literal["AES-256-GCM", "AES-128-GCM"]


@dataclass(frozen=True)
class Offer:
    """What an end is made with."""

    tokens: Tokens = "off"
    reserve: int = 0
    """Bytes at the end of each packet; tokens in packets ask for theirs by themselves."""
    max_shard: int | None = None
    """None: no objects."""
    signatures: bool = True
    """With objects; an engine always offers both."""
    profile: Profile = "hybrid-1024"
    aead: Aead = "AES-256-GCM"
    certificate: bool = True
    retry: bool = False
    """Of a server: every client proves its address first."""
    holds: bool = False
    """Of a server: objects that have come can be asked for."""
    signer: str | None = None
    """Of a server: who must have signed objects."""


@dataclass(frozen=True)
class Seen:
    """What an end knows of its connection."""

    peer: str | None
    signature: str | None
    """The peer's."""
    cipher: str
    resumed: bool
    reserve: int
    packet_tokens: bool


class ByteStream(Protocol):
    """An API stream of either implementation."""

    async def send(self, data: bytes, *, end: bool = False) -> None: ...
    async def recv(self) -> bytes: ...
    def exporter(self, label: str, context: bytes = b"") -> bytes: ...


class Server(ABC):
    """An end that is dialled."""

    api: int
    """Port for API streams."""
    mesh: int
    """Port for everything else."""

    @abstractmethod
    async def accept(self) -> ByteStream:
        """The next API stream."""

    @abstractmethod
    async def received(self) -> bytes:
        """The next object."""

    @abstractmethod
    def seen(self) -> Seen:
        """Of the one connection there is."""

    @abstractmethod
    def left(self) -> bool:
        """Whether every client has gone."""

    @property
    @abstractmethod
    def retries(self) -> int:
        """Clients that were asked to prove their address."""


class Client(ABC):
    """An end that dials."""

    @abstractmethod
    async def open(self, server: Server) -> ByteStream:
        """An API stream."""

    @abstractmethod
    async def send_object(
        self, server: Server, data: bytes, *, lanes: int = 1, sign: bool = False
    ) -> None:
        """Returns when the server has all of it."""

    @abstractmethod
    async def hang_up(self) -> None:
        """Ends the connections, and returns when they are gone."""

    @abstractmethod
    def seen(self) -> Seen:
        """Of the one connection there is."""
