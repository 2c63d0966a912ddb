"""Captured UDP between an engine and the reference: real datagrams of an application at one end, at
the other what docs/wire-format.md says.
"""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import replace
from ipaddress import ip_address

import pytest

from lab import netns
from stoq import constants
from stoq.broker import sockets
from stoq.broker.protocol import Role
from stoq.capture.netns import run_in
from stoq.capture.udp import UDP_EMIT_MARK, UDP_INJECT_MARK
from stoq.engine import CertificateAuthority, Engine, EngineSettings, Listener, TlsContext, Udp
from stoq_reference.carriers import Extension
from stoq_reference.client import connect
from stoq_reference.endpoint import Endpoint
from stoq_reference.flows import Flow
from stoq_reference.head import Address, Kind
from stoq_reference.parameters import Parameters
from stoq_reference.peer import Peer
from stoq_reference.server import Server, serve
from support import engines, reference
from support.patience import PATIENCE

from .conftest import MakePods

ENGINE, REFERENCE = "fd05::1", "fd05::2"
PORT = 9000
FIRST = b"first"
SIZES = (0, 1, 1000, 1500, 9000, 65_000)
OFFER = Parameters(extensions=Extension.CAPTURED_UDP)

RULES = f"""
table inet captured {{
 chain to_engine {{
  type filter hook prerouting priority -150
  meta l4proto != udp return
  meta mark {{ {UDP_INJECT_MARK}, {UDP_EMIT_MARK} }} return
  udp dport {constants.STOQ_PORT} return
  udp sport {constants.STOQ_PORT} return
  ip6 saddr {ENGINE} meta l4proto udp tproxy ip6 to :{constants.OUTBOUND_PORT} accept
 }}
}}
"""
"""What the engine's application sends is led to the engine. Every address is local here, so that no
route has to bring it back.
"""

TABLE = json.dumps(
    {
        "version": 1,
        "own": {"name": "engine", "namespace": "shop", "addresses": [ENGINE]},
        "inbound": "strict",
        "outbound": "meshOnly",
        "workloads": [
            {
                "uid": name,
                "name": name,
                "namespace": "shop",
                "spiffe_id": spiffe_id,
                "addresses": [address],
                "port": constants.STOQ_PORT,
            }
            for name, spiffe_id, address in (
                ("engine", engines.SERVER, ENGINE),
                ("reference", engines.CLIENT, REFERENCE),
            )
        ],
    }
)


@pytest.fixture(scope="module")
def pod(make_pods: MakePods) -> str:
    """The namespace of a pod that has both addresses."""
    made = make_pods("both").pods[0].netns
    for address in (ENGINE, REFERENCE):
        netns.run_in(made, ["ip", "addr", "add", f"{address}/128", "dev", "lo", "nodad"])
    netns.run_in(made, ["nft", "-f", "-"], stdin=RULES)
    return made


@asynccontextmanager
async def capturing(ca: CertificateAuthority) -> AsyncIterator[Engine]:
    """An engine whose application's UDP is captured."""
    descriptors: dict[Role, list[int]] = {}
    for opened in sockets.open_udp(1):
        descriptors.setdefault(opened.info.role, []).append(opened.socket.detach())
    settings = EngineSettings(
        workers=1,
        stoq=Listener(listen=f"[{ENGINE}]:{constants.STOQ_PORT}"),
        udp=Udp(
            capture=tuple(descriptors[Role.UDP]),
            inject=tuple(descriptors[Role.INJECT]),
            emit=tuple(descriptors[Role.EMIT]),
        ),
        log_level="error",
    )
    tls = TlsContext(captured_udp=True)
    tls.set_trust(engines.TRUST_DOMAIN, [ca.root])
    engines.give_identity(tls, ca, engines.SERVER)
    async with Engine(settings, tls) as engine:
        engine.set_table(TABLE)
        yield engine


def application(port: int) -> socket.socket:
    """A socket at the engine's address."""
    made = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    made.setblocking(False)
    made.bind((ENGINE, port))
    return made


def own_end(ca: CertificateAuthority) -> Endpoint:
    """The reference's workload."""
    addresses = frozenset({ip_address(REFERENCE)})
    own = reference.endpoint(ca, engines.CLIENT)
    return replace(own, parameters=OFFER, addresses=addresses)


def run(pod: str, scenario: Callable[[CertificateAuthority], Awaitable[None]]) -> None:
    """Runs it with every socket in the pod."""

    async def whole() -> None:
        async with asyncio.timeout(PATIENCE):
            await scenario(engines.authority())

    run_in(f"/run/netns/{pod}", lambda: asyncio.run(whole()))


async def both_ways(app: socket.socket, peer: tuple[str, int], flow: Flow) -> None:
    """Payloads of every size, from the reference to the application and back."""
    loop = asyncio.get_running_loop()
    for size in SIZES:
        flow.send(bytes(size))
        received, source = await loop.sock_recvfrom(app, 1 << 16)
        assert (received, source[:2]) == (bytes(size), peer)
        await loop.sock_sendto(app, bytes(size), peer)
        while (back := await flow.recv()) == FIRST:
            pass
        assert back == bytes(size)


async def begun(app: socket.socket, server: Server) -> Peer:
    """The peer that carries what the application sends, which may have to say it more than once: a
    datagram that comes before the engine's table is in force is lost.
    """
    while True:
        await asyncio.get_running_loop().sock_sendto(app, FIRST, (REFERENCE, PORT))
        with suppress(TimeoutError):
            return await asyncio.wait_for(server.accepted.get(), 2)


def test_the_reference_speaks_to_the_application_of_an_engine(pod: str) -> None:
    async def scenario(ca: CertificateAuthority) -> None:
        with closing(application(PORT)) as app:
            async with (
                capturing(ca) as engine,
                connect(ENGINE, constants.STOQ_PORT, own_end(ca)) as peer,
            ):
                source, destination = Address.of(REFERENCE, 5353), Address.of(ENGINE, PORT)
                flow = peer.flow(peer.open(Kind.UDP, source, destination))
                await both_ways(app, (REFERENCE, 5353), flow)
                assert engine.snapshot().counters.captured_udp_inbound == 1
                flow.end()

    run(pod, scenario)


def test_the_application_of_an_engine_speaks_to_the_reference(pod: str) -> None:
    async def scenario(ca: CertificateAuthority) -> None:
        with closing(application(0)) as app:
            async with (
                serve(REFERENCE, constants.STOQ_PORT, own_end(ca)) as server,
                capturing(ca) as engine,
            ):
                peer = await begun(app, server)
                stream = await peer.accepted.get()
                assert stream.head.source == Address.of(ENGINE, app.getsockname()[1])
                assert stream.head.destination == Address.of(REFERENCE, PORT)
                flow = peer.flow(stream)
                assert await flow.recv() == FIRST
                await both_ways(app, (REFERENCE, PORT), flow)
                assert engine.snapshot().counters.captured_udp_outbound == 1

    run(pod, scenario)
