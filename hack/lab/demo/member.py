"""A program that is a member of the mesh by itself, without a sidecar: it sends or takes objects.

    python -m lab.demo.member take ADDRESS RESULT
    python -m lab.demo.member send ADDRESS SPIFFE-ID RESULT FILE

It joins as a sidecar does, by the same settings (STOQ_POD_NAME and so on): with its token it gets
a certificate for a key of its own. RESULT is a file that it writes when an object has come, or was
sent.
"""

import asyncio
import hashlib
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from stoq import signing
from stoq.api.client import ApiClient
from stoq.api.errors import ApiError
from stoq.api.objects import ReceivedObject, serve_objects
from stoq.api.stream import Opened
from stoq.constants import operator_spiffe_id
from stoq.engine import (
    Adapt,
    Engine,
    EngineSettings,
    HybridKey,
    Listener,
    TlsContext,
    Transport,
)
from stoq.pem import certificates

SHARD_SIZE: Final = 65_536
"""Bytes of each shard."""

LANES: Final = 3
"""Connections that share them out."""

RATE: Final = 10_000_000
"""Bits per second that each may send at: nothing else here makes the way of an object long enough
to be interrupted."""

TRANSPORT: Final = Transport(
    send_window=4 * SHARD_SIZE, idle_timeout_ms=2000, keep_alive_ms=400, dial_timeout_ms=1000
)
"""A lane takes another shard when it has room for it, so those that are left take over early; and
who hears nothing for 2 seconds knows that the connection is lost."""


@dataclass(frozen=True, slots=True)
class Membership:
    """What a program needs to join the mesh."""

    name: str
    namespace: str
    domain: str
    control: str
    """Address and port of the certificate authority."""
    roots: tuple[bytes, ...]
    token: str

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> "Membership":
        """By the settings of a sidecar."""
        bundle = Path(environment["STOQ_IDENTITY_BUNDLE_FILE"]).read_text(encoding="ascii")
        token = Path(environment["STOQ_IDENTITY_TOKEN_FILE"]).read_text(encoding="ascii")
        return cls(
            name=environment["STOQ_POD_NAME"],
            namespace=environment["STOQ_POD_NAMESPACE"],
            domain=environment["STOQ_IDENTITY_TRUST_DOMAIN"],
            control=environment["STOQ_CONTROL_ADDRESS"],
            roots=certificates(bundle),
            token=token.strip(),
        )


@asynccontextmanager
async def member(of: Membership, listen: str | None) -> AsyncIterator[Engine]:
    """An engine with an identity of the mesh; with `listen`, address and port, others may dial."""
    tls = TlsContext(max_shard=SHARD_SIZE if listen else 0)
    tls.set_trust(of.domain, list(of.roots))
    settings = EngineSettings(
        name=of.name,
        namespace=of.namespace,
        workers=1,
        stoq=Listener(listen=listen) if listen else None,
        transport=TRANSPORT,
        adapt=Adapt(max_rate=RATE),
        log_level="warn",
    )
    async with Engine(settings, tls) as engine:
        key = HybridKey.generate()
        tls.set_identity(key, await _signed(engine, of, key.csr()))
        if listen:
            engine.set_table(_table(of, listen))
        yield engine


async def _signed(engine: Engine, of: Membership, csr: bytes) -> bytes:
    """The certificate for a request."""
    stream = await engine.dialler(of.control, operator_spiffe_id(of.domain)).open()
    request = signing.SignRequest(
        csr=csr,
        token=of.token,
        binding=signing.binding(of.token, stream.exporter(signing.BINDING_LABEL)),
        workload=f"{of.namespace}/{of.name}",
    )
    return (await ApiClient(Opened(stream)).call(signing.SIGN, request)).certificate


def _table(of: Membership, listen: str) -> str:
    """Who we are. It routes nothing: no application's traffic is captured here."""
    address = listen.rpartition(":")[0].strip("[]")
    own = {"name": of.name, "namespace": of.namespace, "addresses": [address]}
    return json.dumps({"version": 1, "own": own, "inbound": "strict", "outbound": "meshOnly"})


async def take(of: Membership, listen: str, result: Path) -> None:
    """Takes objects until it is stopped."""
    async with member(of, listen) as engine:

        async def keep(received: ReceivedObject) -> None:
            counters = engine.snapshot().counters
            said = {
                "sender": received.sender,
                "bytes": len(received.data),
                "digest": hashlib.sha256(received.data).hexdigest(),
                "shards": counters.shards_taken,
                "repeated": counters.shards_repeated,
                "connections": msgspec.to_builtins(engine.connections()),
            }
            await asyncio.to_thread(_write, result, said)

        receiver = engine.object_receiver()
        print("ready", flush=True)
        await serve_objects(receiver, keep)


async def send(of: Membership, remote: str, expect: str, result: Path, data: bytes) -> int:
    """Sends one object; the exit status."""
    async with member(of, None) as engine:
        sender = engine.object_sender(remote, expect, shard_size=SHARD_SIZE, lanes=LANES)
        client = ApiClient(engine.dialler(remote, expect), objects=sender)
        began, why = time.time(), ""
        try:
            await client.send_object(data)
        except ApiError as error:
            why = f"{type(error).__name__}: {error}"
        said = {
            "why": why,
            "began": began,
            "ended": time.time(),
            "connections": msgspec.to_builtins(engine.connections()),
        }
        await asyncio.to_thread(_write, result, said)
        return 1 if why else 0


def _write(result: Path, said: Mapping[str, Any]) -> None:
    fresh = result.with_suffix(".new")
    fresh.write_text(json.dumps(said))
    fresh.replace(result)


def main(what: str, *rest: str) -> int:
    """What the arguments say."""
    membership = Membership.read(os.environ)
    if what == "take":
        listen, result = rest
        asyncio.run(take(membership, listen, Path(result)))
        return 0
    remote, expect, result, file = rest
    data = Path(file).read_bytes()
    return asyncio.run(send(membership, remote, expect, Path(result), data))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
