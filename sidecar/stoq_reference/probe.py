"""Looks at an endpoint from outside: a handshake, what it says of itself, and whether it keeps the
rules that can be tried without doing anything to it.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from aioquic.quic.logger import QuicLogger

from stoq_reference.client import connect
from stoq_reference.codes import StreamCode
from stoq_reference.endpoint import Endpoint
from stoq_reference.head import Head, Kind
from stoq_reference.peer import Closed, Peer
from stoq_reference.stream import StreamFailed


@dataclass
class Findings:
    """What a probe has found."""

    answered: bool = False
    """Whether the endpoint proved to be a STOQ endpoint that we may trust."""
    handshake_seconds: float = 0.0
    spiffe_id: str = ""
    serial: str = ""
    not_after: int = 0
    signature: str = ""
    cipher: str = ""
    retried: bool = False
    revision: int = 0
    """0: it announced none, like a plain QUIC endpoint."""
    extensions: int = 0
    rules: dict[str, bool] = field(default_factory=dict)
    """Whether it keeps each of the rules that were tried."""
    closed: str = ""
    """Why it closed the connection, or the handshake failed; empty if neither."""


async def probe(
    host: str, port: int, endpoint: Endpoint, *, timeout: float, qlog: QuicLogger | None = None
) -> Findings:
    """Dials an endpoint, for `timeout` seconds at most."""
    findings = Findings()
    started = time.monotonic()
    try:
        async with asyncio.timeout(timeout), connect(host, port, endpoint, qlog=qlog) as peer:
            findings.handshake_seconds = time.monotonic() - started
            _describe(peer, findings)
            await _try_rules(peer, findings)
    except Closed as closed:
        findings.closed = closed.reason or str(closed)
    except TimeoutError:
        findings.closed = f"nothing came within {timeout:g} s"
    except OSError as error:
        findings.closed = str(error)
    return findings


def _describe(peer: Peer, findings: Findings) -> None:
    certificate = peer.certificate
    assert certificate is not None  # a server has one, or the handshake fails
    findings.answered = True
    findings.spiffe_id = certificate.spiffe_id
    findings.serial = f"{certificate.serial:x}"
    findings.not_after = certificate.not_after
    findings.signature = certificate.keys.scheme.name
    findings.cipher = peer.quic.cipher
    findings.retried = peer.quic.retried
    if peer.parameters is not None:
        findings.revision = peer.parameters.revision
        findings.extensions = peer.parameters.extensions


async def _try_rules(peer: Peer, findings: Findings) -> None:
    for name, rule in RULES.items():
        if peer.closed.done():
            raise peer.closed.result()
        trial = asyncio.ensure_future(rule(peer))
        await asyncio.wait((trial, peer.closed), return_when=asyncio.FIRST_COMPLETED)
        if peer.closed.done():
            trial.cancel()
            raise peer.closed.result()
        findings.rules[name] = trial.result()


async def _code_of(peer: Peer, first: bytes) -> int | None:
    head = Head(Kind.FRAMES, bytes(16))
    stream = peer.open_raw(first, head)
    try:
        await stream.recv()
    except StreamFailed as failed:
        return failed.code
    return None


async def _refuses_bad_heads(peer: Peer) -> bool:
    return await _code_of(peer, b"\xff") == StreamCode.BAD_HEAD


async def _denies_reserved_streams(peer: Peer) -> bool:
    head = Head(Kind.FRAMES, bytes(16))
    return await _code_of(peer, head.encode()) == StreamCode.DENIED


async def _follows_key_updates(peer: Peer) -> bool:
    await peer.update_keys()
    return True


RULES: dict[str, Callable[[Peer], Awaitable[bool]]] = {
    "S1 bad heads are reset": _refuses_bad_heads,
    "S5 reserved streams are denied": _denies_reserved_streams,
    "key updates are followed": _follows_key_updates,
}
