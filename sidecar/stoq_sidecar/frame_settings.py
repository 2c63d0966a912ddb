"""The groups of settings that are about STOQ's frames."""

from dataclasses import dataclass

from stoq.settings.kinds import choice, flag, integer, number
from stoq.settings.options import option


@dataclass(frozen=True, slots=True, kw_only=True)
class Frames:
    """What of STOQ's frames is offered to peers; in use is what both sides offer."""

    tokens: str = option(
        "off",
        choice(("off", "packet", "stream")),
        "packet: an HMAC over each packet; stream: over what is relayed, as it was read; the AEAD "
        "protects packets either way",
    )
    packet_reserve: int = option(
        0,
        integer(0, 256, "bytes"),
        "kept free in each packet; for tokens at least what one takes",
    )
    max_shard: int = option(
        0,
        integer(0, 1_048_576, "bytes"),
        "largest shard of an object that is taken from peers; 0: shards are not offered",
    )
    mirrors: bool = option(
        default=True,
        kind=flag(),
        why="send the copies that records and policies ask for, and take those that this pod is "
        "the shadow for",
    )
    hops: bool = option(
        default=True,
        kind=flag(),
        why="dial over gateways where the registry says so; a gateway cannot do without",
    )
    forwarded: bool = option(
        default=True,
        kind=flag(),
        why="let packets over gateways go without the leg's encryption around their own, where "
        "they get through",
    )
    stripes: bool = option(
        default=True,
        kind=flag(),
        why="carry TCP connections over several STOQ connections where the policy of the dialled "
        "pod asks for it; not with tokens on streams, nor what is copied to a shadow",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """What a gateway forwards at most, all workers together; the registry says what it forwards."""

    enabled: bool = option(
        default=False,
        kind=flag(),
        why="forward routes of others, and capture nothing; the command stoq-gateway sets it",
    )
    routes: int = option(
        1024,
        integer(1, 1_048_576),
        "at once; each that ends here has a socket, so mind the limit on open files",
    )
    routes_per_peer: int = option(
        64, integer(1, 1_048_576), "of one identity: each of its workers has one to each peer"
    )
    gateways: int = option(4, integer(1, 8), "of a route; more are refused")
    queue_bytes: int = option(
        262_144,
        integer(16_384, 67_108_864, "bytes"),
        "that wait in each direction of a route; what does not fit is dropped",
    )
    idle_seconds: float = option(
        60.0, number(1, 86_400, "seconds"), "a route that forwards nothing for so long is ended"
    )
