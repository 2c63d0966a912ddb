"""The compiled engine (crate `stoq-python`). Use it through `stoq.engine` and `stoq.falcon`.

Wrong arguments raise `ValueError` and the text names the field and the value; what the kernel
refuses raises `OSError`. No object here calls back into Python, all of them may be used from any
thread, and whatever takes longer than microseconds runs without the interpreter's lock."""

from typing import final

class StreamClosed(Exception):
    """The API stream does not exist, has failed, or cannot be opened now; the text says which."""

@final
class FalconVerifyingKey:
    """A FALCON public key (round 3, see docs/decisions/0003-falcon.md)."""

    @staticmethod
    def from_bytes(encoded: bytes) -> FalconVerifyingKey:
        """Reads 897 (FALCON-512) or 1793 bytes (FALCON-1024)."""

    def to_bytes(self) -> bytes:
        """The encoded key."""

    @property
    def degree(self) -> int:
        """512 or 1024."""

    @property
    def key_id(self) -> bytes:
        """SHA-256 of the encoded key."""

    def verify(self, message: bytes, signature: bytes) -> bool:
        """Whether `signature`, padded format, is this key's over `message`; about 15 µs."""

    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...

@final
class FalconSigningKey:
    """A FALCON key pair; `repr` shows the public key's id only."""

    @staticmethod
    def generate(degree: int = 1024) -> FalconSigningKey:
        """A new pair from the kernel's randomness; about 10 ms for 1024."""

    @staticmethod
    def from_bytes(encoded: bytes) -> FalconSigningKey:
        """Reads 1281 (FALCON-512) or 2305 bytes (FALCON-1024)."""

    def to_bytes(self) -> bytes:
        """The encoded private key. Python cannot overwrite the copy: keep it short-lived."""

    @property
    def degree(self) -> int:
        """512 or 1024."""

    @property
    def verifying_key(self) -> FalconVerifyingKey:
        """The public key."""

    def sign(self, message: bytes) -> bytes:
        """A padded signature of 666 or 1280 bytes; about 0.3 ms for 1024. Never twice the same."""

@final
class HybridKey:
    """An Ed25519 and a FALCON key pair together; `repr` shows public parts only."""

    @staticmethod
    def generate(profile: str = "hybrid-1024") -> HybridKey:
        """A new pair of the profile's FALCON degree: `hybrid-1024` or `hybrid-512`."""

    @staticmethod
    def from_bytes(encoded: bytes) -> HybridKey:
        """Reads what `to_bytes` wrote."""

    def to_bytes(self) -> bytes:
        """32 bytes of Ed25519 seed and the FALCON private key, to be stored with care."""

    @property
    def ed25519_public(self) -> bytes:
        """The Ed25519 public key, 32 bytes."""

    @property
    def falcon_public(self) -> bytes:
        """The FALCON public key, encoded."""

    def csr(self) -> bytes:
        """A certificate request (PKCS #10, DER), signed with both keys; about 3.3 KB."""

@final
class Certificate:
    """What a certificate says; only its form was checked (and a root's own signatures)."""

    @property
    def kind(self) -> str:
        """`leaf` or `root`."""

    @property
    def spiffe_id(self) -> str:
        """The workload's id; of a root `spiffe://<trust domain>`."""

    @property
    def serial(self) -> str:
        """Serial number, lower-case hexadecimal, without leading zero bytes."""

    @property
    def not_before(self) -> int:
        """First second of its life, Unix time."""

    @property
    def not_after(self) -> int:
        """Last second of its life, Unix time."""

    @property
    def falcon(self) -> str:
        """`FALCON-1024` or `FALCON-512`."""

    @property
    def falcon_key_id(self) -> bytes:
        """SHA-256 of the subject's FALCON public key."""

def parse_certificate(der: bytes) -> Certificate:
    """Reads a leaf or a root."""

@final
class CertificateAuthority:
    """A dual root: an Ed25519 and a FALCON key that both sign every certificate."""

    @staticmethod
    def create(
        trust_domain: str, not_before: int, not_after: int, profile: str = "hybrid-1024"
    ) -> CertificateAuthority:
        """A new key and root, valid between two Unix times, both inclusive."""

    @staticmethod
    def from_parts(key: HybridKey, root: bytes) -> CertificateAuthority:
        """An authority from a stored key and its root (DER)."""

    @property
    def key(self) -> HybridKey:
        """The root's key."""

    @property
    def root(self) -> bytes:
        """The root certificate, DER."""

    @property
    def certificate(self) -> Certificate:
        """What the root says."""

    def issue(self, csr: bytes, spiffe_id: str, not_before: int, not_after: int) -> bytes:
        """A leaf (DER) for a request, which is verified. The caller has attested `spiffe_id`."""

@final
class TlsContext:
    """Identity and trust of a process, shared by all connections; replaced at any time."""

    def __new__(
        cls,
        *,
        profile: str = "hybrid-1024",
        allow_classical: bool = False,
        accept_other_degree: bool = False,
        aead: str = "AES-256-GCM",
        tickets: bool = True,
        max_tickets: int = 4096,
        reset_secret: bytes | None = None,
        tokens: str = "off",
        packet_reserve: int = 0,
        captured_udp: bool = False,
        max_shard: int | None = None,
        mirrors: bool = False,
        hops: bool = False,
        forwarded: bool = False,
        stripes: bool = False,
    ) -> TlsContext:
        """A context without identity and trust, which refuses everybody.

        `profile`: `hybrid-1024`, `hybrid-512`, or `classical` (interop tests) if `allow_classical`.
        `accept_other_degree`: let peers use the other hybrid profile. `aead`: `AES-256-GCM` or
        `AES-128-GCM`. `tickets`: resume sessions; `max_tickets` are kept, about 4 KB each.
        `reset_secret`: 32 bytes that a later process has too, for stateless resets; None: random.
        `tokens`: `packet` offers peers a token in every packet, `stream` before what is relayed;
        `packet_reserve`: bytes at the end of each that are asked for, 0 to 256, a token's at least.
        `captured_udp` needs the engine's sockets. `max_shard`: offer shards, signed too, of as many
        bytes (to 1048576). `mirrors`: copies of flows; `hops`: routes over gateways, signed too;
        `forwarded`: packets beside those; `stripes`: flows over lanes."""

    def set_identity(self, key: HybridKey, leaf: bytes) -> None:
        """Uses `key` and its certificate (DER) for handshakes from now on."""

    def clear_identity(self) -> None:
        """Forgets the identity; only the bootstrap call is possible then."""

    def set_trust(
        self,
        trust_domain: str,
        roots: list[bytes],
        revoked: list[str] = ...,
        federated: dict[str, list[bytes]] = ...,
        revoked_identities: list[tuple[str, int]] = ...,
    ) -> None:
        """Replaces roots (DER), revoked serial numbers (hexadecimal), federated domains' roots, and
        identities with the Unix time to which they are revoked. Forgets tickets that are listed."""

    def set_profile(self, profile: str) -> None:
        """Of later identities, asked of peers first. ValueError: to `classical`, or from it."""

    def set_required(
        self, everyone: str = "", dialled: dict[str, str] = ..., except_for: str = ""
    ) -> None:
        """Replaces the profiles that policies require: of every peer, and of both ends towards whom
        we dial, by SPIFFE id; not of `except_for`. What is no profile lets nobody in."""

    def profiles(self) -> tuple[str, str | None]:
        """That of later identities, and that of the one in force; None without one."""

    def set_ticket_keys(self, keys: list[tuple[int, bytes]]) -> None:
        """For tickets of the bootstrap listener: the newest, by Unix time, seals; all open."""

    def sign_statement(self, digest: bytes, until: int) -> tuple[bytes, bytes] | None:
        """Our certificate and FALCON_SIGNATURE of subject 3, 0.3 ms; None without an identity."""

    def verify_statement(self, leaf: bytes, signature: bytes, digest: bytes) -> str:
        """The SPIFFE id of who signed a digest, whom the trust lets in; ValueError: nobody did."""

    def ticket_counts(self) -> tuple[int, int]:
        """Tickets at hand, each for one dial; sessions that could be resumed as server (listed)."""

@final
class StreamPeer:
    """The other end of an API stream, as its handshake proved it; None where nothing is proven."""

    @property
    def remote(self) -> str:
        """Address and port, such as `[fd00::1]:14012`."""

    @property
    def spiffe_id(self) -> str | None:
        """Its SPIFFE id; None for a client without a certificate."""

    @property
    def serial(self) -> str | None:
        """Serial number of its certificate, lower-case hexadecimal."""

    @property
    def not_after(self) -> int | None:
        """End of its certificate's life, Unix time."""

    @property
    def key_exchange(self) -> str | None:
        """Such as `X25519MLKEM768`."""

    @property
    def peer_signature(self) -> str | None:
        """Such as `Ed25519+FALCON-1024`."""

    @property
    def local_signature(self) -> str | None:
        """What this endpoint signed with."""

    @property
    def cipher(self) -> str | None:
        """Such as `AES-256-GCM`."""

    @property
    def profile(self) -> str | None:
        """Such as `hybrid-1024`."""

    @property
    def resumed(self) -> bool:
        """Whether an earlier session was resumed."""

@final
class ApiStreams:
    """API streams of an engine, named by numbers. No call waits for the network."""

    @property
    def event_fd(self) -> int:
        """Readable while `poll_events` has something. Belongs to the engine."""

    def poll_events(self) -> list[tuple[str, int, str | None, int | None]]:
        """What happened since: kind, stream, reason, code. Kinds: `opened`, `accepted` (by a peer),
        `readable`, `writable`, `finished` (what came before can be read), `failed` (reason, code of
        a reset). Of `object` (has come), `sent` and some `failed` the number is an object's."""

    def open(self, remote: str, expect: str | None = None) -> int:
        """Opens a stream to `remote`, which must prove to be `expect`, or anybody of the mesh;
        `opened` or `failed` follows. Raises StreamClosed when too many are open."""

    def send(self, stream: int, data: bytes, offset: int = 0, end: bool = False) -> int:
        """Queues `data` from `offset` on, returns how many bytes were taken; `writable` follows if
        not all. `end` finishes our direction then. Raises StreamClosed."""

    def recv(self, stream: int, most: int) -> bytes | None:
        """Up to `most` bytes that have come; None when there are none now. Raises StreamClosed."""

    def reset(self, stream: int, code: int) -> None:
        """Abandons both directions with a stream code of docs/wire-format.md, section 6."""

    def close(self, stream: int) -> None:
        """Forgets the stream; what was queued and its end are still sent. Idempotent."""

    def exporter(self, stream: int, label: str, context: bytes) -> bytes:
        """32 bytes of keying material (RFC 8446, section 7.5), within two seconds. StreamClosed."""

    def peer(self, stream: int) -> StreamPeer | None:
        """The other end; None before the handshake is complete."""

@final
class Objects:
    """Objects in shards, named by numbers. No call waits for the network."""

    def accept(
        self, accepting: bool, mirrors_from: list[str] | None = None, signer: str | None = None
    ) -> None:
        """Takes objects or none, copies from these (empty: everyone), only what `signer` signed."""

    def fetch(self, token: int) -> tuple[bytes, str, bytes, str | None, str | None] | None:
        """Transfer, sender, bytes, whom a copy's original is for, signer; None the second time."""

    def send(
        self,
        remote: str,
        data: bytes,
        expect: str | None = None,
        shard_size: int = 65536,
        lanes: int = 1,
        shadows: list[tuple[str, str, int]] = ...,
        sign: bool = False,
    ) -> int:
        """Sends `data`; `sent` or `failed` follows. Hashes and copies it first, 2 ms per MB, and
        signs it, in 0.3 ms. The rest is as for `stoq.engine.Engine.object_sender`."""

    def cancel(self, token: int) -> None:
        """Gives up on an object that is sent or asked for; no event follows. Idempotent."""

    def hold(self, most: int, askers: list[str]) -> None:
        """Keeps the latest objects, `most` bytes, for these who ask (empty: everyone)."""

    def ask(
        self, transfer: bytes, remote: str, expect: str | None = None, signer: str | None = None
    ) -> int:
        """Asks a peer for what it holds and `signer` signed; `object` or `failed` follows."""

@final
class Engine:
    """A running data plane."""

    def __new__(cls, settings: str, tls: TlsContext) -> Engine:
        """Opens the sockets and starts the workers, by `stoq.engine.EngineSettings` in JSON."""

    def set_table(self, table: str) -> None:
        """Replaces the routing table, in JSON (crate `stoq-core`, module `table`)."""

    def snapshot(self) -> str:
        """Counters and gauges, as JSON (`stoq.engine.Snapshot`)."""

    def connections(self) -> str:
        """Connections, as JSON (a list of `stoq.engine.ConnectionInfo`)."""

    def settings(self) -> str:
        """What the engine was started with, defaults filled in, as JSON."""

    def reauthorise(self) -> None:
        """Closes live connections whose peer trust or profiles would not let in any more."""

    def prove_identity(self) -> None:
        """Proves the present identity to the peers of live connections: after `set_identity`."""

    def set_adaptation(self, policy: str) -> None:
        """Has live and later connections adapt within `stoq.engine.Adapt`, in JSON."""

    def adapt_now(self) -> None:
        """Judges the path of every connection at once."""

    def drain(self, seconds: float) -> None:
        """Takes nothing new, and ends with the last flow or after `seconds`. `join` waits."""

    def join(self) -> None:
        """Waits until the workers have ended, after a drain or a shutdown."""

    def shutdown(self) -> None:
        """Closes everything and waits until the workers have ended."""

    def local_port(self, listener: str) -> int | None:
        """The port of `stoq`, `bootstrap`, `outbound` or `inbound`; None if there is none."""

    def set_transparent(self, transparent: bool) -> None:
        """Whether the application is dialled from the client's own address."""

    def set_log_level(self, level: str) -> None:
        """`error`, `warn`, `info`, `debug` or `trace`."""

    @property
    def streams(self) -> ApiStreams:
        """The engine's API streams."""

    @property
    def objects(self) -> Objects:
        """The engine's objects."""
