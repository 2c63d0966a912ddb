"""The engine as the rest of the agent sees it: keys, trust, table, diallers."""

import asyncio
import logging
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from stoq import constants
from stoq.api.stream import ByteStream, ConnectionLost
from stoq.engine import Engine, HybridKey, Snapshot, TlsContext
from stoq.pem import certificates
from stoq.registry import RegistryState, TrustEntry
from stoq.sealing import Opener
from stoq.settings.kinds import join_host_and_port, split_host_and_port
from stoq_sidecar.adaptation import Adaptation
from stoq_sidecar.ca_client import SigningError, read_token
from stoq_sidecar.crypto import Crypto
from stoq_sidecar.engine_settings import Surroundings, engine_settings
from stoq_sidecar.identity import reset_secret
from stoq_sidecar.retired import Retired
from stoq_sidecar.settings import Settings
from stoq_sidecar.table import Parts, Pod, table

log = logging.getLogger("stoq.data_plane")


class DataPlane:
    """Owns the engine and its TLS context. Made inside the event loop that uses it.

    Raises OSError when the kernel refuses a socket and ValueError for settings that cannot be.
    """

    def __init__(self, settings: Settings, around: Surroundings, pod: Pod) -> None:
        self._settings = settings
        self._pod = pod
        self._next_key: HybridKey | None = None
        self._trust: TrustEntry | None = None
        self._retired = Retired()
        self._parts = Parts()
        self._over: asyncio.TimerHandle | None = None
        """When the first retired address is nobody's again."""
        self._tls = TlsContext(
            profile=settings.identity.profile,
            allow_classical=settings.identity.allow_classical,
            accept_other_degree=True,
            reset_secret=_reset_secret(settings),
            tokens=settings.frames.tokens,
            packet_reserve=settings.frames.packet_reserve,
            max_shard=settings.frames.max_shard or None,
            mirrors=settings.frames.mirrors,
            hops=settings.frames.hops,
            forwarded=settings.frames.forwarded,
            stripes=settings.frames.stripes,
            captured_udp=around.sockets is not None and bool(around.sockets.udp),
        )
        self.engine = Engine(engine_settings(settings, around), self._tls)
        window = settings.data.connection_window
        self.adaptation = Adaptation(self.engine, settings.adapt, window)
        control = constants.operator_spiffe_id(settings.identity.trust_domain)
        self.crypto = Crypto(self._tls, control)
        self.on_installed: Callable[[], None] = lambda: None
        """Called when another certificate is in force."""

    def trust_bundle(self) -> None:
        """Trusts the roots in the bundle file too, until the registry says whom to trust.

        Called at start and for a reload: a sidecar that slept through a change of roots can reach
        the registry again once its bundle is the new one. Revocations stay.

        Raises ValueError or OSError when the file has none.
        """
        file = self._settings.identity.bundle_file
        roots = certificates(Path(file).read_text(encoding="ascii"))
        known = self._trust or TrustEntry(roots=())
        together = list(dict.fromkeys([*known.roots, *roots]))
        self._set_trust(msgspec.structs.replace(known, roots=tuple(together)))

    def new_key(self) -> bytes:
        """Makes the next key pair and returns a CSR for it, DER."""
        self._next_key = HybridKey.generate(self._tls.profiles()[0])
        return self._next_key.csr()

    def install(self, certificate: bytes, roots: tuple[bytes, ...]) -> None:
        """Uses the last made key pair with `certificate` for handshakes from now on, and proves it
        on live connections. Raises ValueError when they do not belong together, or the mesh wants
        another crypto profile meanwhile.

        The roots are those the signing was verified with or their successors; the registry sends
        them too, and is the only one to replace trust while it is connected.
        """
        if self._next_key is None:
            raise ValueError("a certificate came before any key was made")
        self._tls.set_identity(self._next_key, certificate)
        self._next_key = None
        self.engine.prove_identity()
        if self._trust is None:
            self._tls.set_trust(self._settings.identity.trust_domain, list(roots))
        self.on_installed()

    def drop(self) -> None:
        """Forgets the identity; until the next `install` no peer is reached or let in."""
        self._tls.clear_identity()

    def use(self, state: RegistryState) -> None:
        """Puts what the registry said in force. Raises ValueError for what cannot be used."""
        if state.mesh.trust_domain != self._settings.identity.trust_domain:
            raise ValueError(
                f"the registry serves trust domain {state.mesh.trust_domain}, this sidecar is set "
                f"to {self._settings.identity.trust_domain} (STOQ_IDENTITY_TRUST_DOMAIN)"
            )
        looked_at = self.crypto.follow(state.mesh.crypto, state.workloads.values())
        if state.trust != self._trust:
            self._set_trust(state.trust)
            self._trust = state.trust
            looked_at = True
        if looked_at:
            self.engine.reauthorise()
        self._retired.follow(state.workloads, asyncio.get_running_loop().time())
        self._program(state)
        self.adaptation.follow(state.mesh.adaptation)

    def _program(self, state: RegistryState) -> None:
        """The engine's table, now and once fewer addresses are retired."""
        loop = asyncio.get_running_loop()
        if self._over is not None:
            self._over.cancel()
            self._over = None
        retired = self._retired.entries(loop.time())
        self.engine.set_table(table(state, self._pod, retired, self._parts))
        over = self._retired.ends()
        if over is not None:
            self._over = loop.call_at(over, self._program, state)

    def _set_trust(self, trust: TrustEntry) -> None:
        self._tls.set_trust(
            self._settings.identity.trust_domain,
            list(trust.roots),
            list(trust.revoked),
            federated={one.trust_domain: list(one.roots) for one in trust.federated},
            revoked_identities=[(r.spiffe_id, r.before) for r in trust.revoked_identities],
        )

    def opener(self) -> Opener:
        """Holds what the registry says against the control plane's signature."""
        signer = constants.operator_spiffe_id(self._settings.identity.trust_domain)
        required = self._settings.discovery.signed == "require"
        return Opener(self._tls.verify_statement, signer, required=required)

    def dialler(self) -> "ControlDialler":
        """A dialler of the control plane."""
        return ControlDialler(self.engine, self._settings)

    def snapshot(self) -> Snapshot:
        """Counters and gauges."""
        return self.engine.snapshot()

    def connections(self) -> list[dict[str, Any]]:
        """Connections with what was negotiated, as plain data."""
        found: list[dict[str, Any]] = msgspec.to_builtins(self.engine.connections())
        return found

    def set_level(self, level: str) -> None:
        """Changes the engine's log level."""
        self.engine.set_log_level(level)  # type: ignore[arg-type]


def _reset_secret(settings: Settings) -> bytes | None:
    """None when there is no token yet: then peers find out about a restart by silence."""
    try:
        token = read_token(settings.identity.token_file)
    except SigningError:
        return None
    return reset_secret(token, f"{settings.pod.namespace}/{settings.pod.name}")


class ControlDialler:
    """Opens streams to the control plane; its name is resolved at each dial, since a Service or a
    restarted process may have moved.
    """

    def __init__(self, engine: Engine, settings: Settings) -> None:
        self._engine = engine
        self._address = settings.control.address
        self._family = socket.AF_INET6 if settings.link.ipv6_only else socket.AF_UNSPEC
        self._expect = constants.operator_spiffe_id(settings.identity.trust_domain)

    async def open(self, *, wait: bool = True) -> ByteStream:
        """A new stream, once it is open if `wait`. Raises StreamError with the reason."""
        host, port = split_host_and_port(self._address)
        try:
            found = await asyncio.get_running_loop().getaddrinfo(
                host, port, family=self._family, type=socket.SOCK_DGRAM
            )
        except OSError as error:
            raise ConnectionLost(
                f"cannot resolve {host!r} (STOQ_CONTROL_ADDRESS): {error}"
            ) from error
        address = str(found[0][4][0])
        remote = join_host_and_port(address, port)
        return await self._engine.dialler(remote, self._expect).open(wait=wait)
