"""Takes bytes of the wire apart, field by field, by what the reference reads in them.

Each function gives the fields in order: their bytes, a name, and what they say. Joined, the bytes
are those that came; each value is the reference's, written again as the bytes that are beside it.
"""

from collections.abc import Iterator

from stoq_reference import bare, frames, head, hop_frames, key_exchange, parameters, tokens
from stoq_reference.composite import ED25519_SIGNATURE, FALCON_SIGNATURE, Scheme
from stoq_reference.frames import PacketToken
from stoq_reference.head import Address
from stoq_reference.reader import Reader, varint

Field = tuple[bytes, str, str]

MESSAGES = {1: "client_hello", 2: "server_hello", 8: "encrypted_extensions"} | {
    11: "certificate",
    13: "certificate_request",
    15: "certificate_verify",
    20: "finished",
}
EXTENSIONS = {
    5: "status_request",
    10: "supported_groups",
    11: "ec_point_formats",
    13: "signature_algorithms",
    16: "application_layer_protocol_negotiation",
    23: "extended_master_secret",
    43: "supported_versions",
    45: "psk_key_exchange_modes",
    51: "key_share",
    57: "quic_transport_parameters",
}
PARAMETERS = {
    0x00: "original_destination_connection_id",
    0x01: "max_idle_timeout",
    0x02: "stateless_reset_token",
    0x03: "max_udp_payload_size",
    0x04: "initial_max_data",
    0x05: "initial_max_stream_data_bidi_local",
    0x06: "initial_max_stream_data_bidi_remote",
    0x07: "initial_max_stream_data_uni",
    0x08: "initial_max_streams_bidi",
    0x09: "initial_max_streams_uni",
    0x0A: "ack_delay_exponent",
    0x0B: "max_ack_delay",
    0x0E: "active_connection_id_limit",
    0x0F: "initial_source_connection_id",
    0x11: "version_information",
    0x20: "max_datagram_frame_size",
    0x2AB2: "grease_quic_bit",
    0xFF04DE1B: "min_ack_delay",
    parameters.REVISION: "revision",
    parameters.EXTENSIONS: "extensions",
    parameters.KEY_ID: "FALCON key id",
}
NO_INTEGERS = {0x00, 0x02, 0x0F, 0x11, 0x2AB2, parameters.KEY_ID}


def _rest(count: int) -> str:
    return f"{count} bytes"


def messages(data: bytes) -> Iterator[Field]:
    """The handshake messages of a flight (RFC 8446, section 4)."""
    reader = Reader(data, "flight")
    while reader.left:
        kind, length = reader.take(1), reader.take(3)
        body = reader.take(int.from_bytes(length))
        yield kind, "message", f"{MESSAGES[kind[0]]} ({kind[0]})"
        yield length, "length", str(len(body))
        match MESSAGES[kind[0]]:
            case "client_hello" | "server_hello" as name:
                yield from _hello(Reader(body, name), client=name == "client_hello")
            case "encrypted_extensions":
                yield from _extensions(Reader(body, "extensions"), client=False)
            case "certificate_request":
                request = Reader(body, "certificate_request")
                yield request.take(1), "context", "empty"
                yield from _extensions(request, client=True)
            case "certificate":
                yield from _certificate(Reader(body, "certificate"))
            case "certificate_verify":
                yield from _verify(Reader(body, "certificate_verify"))
            case _:
                yield body, "verify data", _rest(len(body))


def _hello(reader: Reader, *, client: bool) -> Iterator[Field]:
    yield reader.take(2), "legacy version", "0x0303"
    yield reader.take(32), "random", _rest(32)
    yield reader.take(1), "session id", "empty"
    if client:
        size = reader.take(2)
        suites = reader.take(int.from_bytes(size))
        yield size + suites, "cipher suites", f"0x{suites.hex()}"
        yield reader.take(2), "compression", "null"
    else:
        yield (suite := reader.take(2)), "cipher suite", f"0x{suite.hex()}"
        yield reader.take(1), "compression", "null"
    yield from _extensions(reader, client=client)


def _extensions(reader: Reader, *, client: bool) -> Iterator[Field]:
    yield reader.take(2), "extensions", _rest(reader.left)
    while reader.left:
        kind, size = reader.take(2), reader.take(2)
        body = reader.take(int.from_bytes(size))
        name = EXTENSIONS[int.from_bytes(kind)]
        yield kind + size, name, _rest(len(body))
        if name == "key_share":
            yield from _share(Reader(body, name), client=client)
        elif name == "quic_transport_parameters":
            yield from transport_parameters(body)
        elif body:
            yield body, "", _said(name, body, client=client)


def _said(name: str, body: bytes, *, client: bool) -> str:
    match name:
        case "supported_groups" | "signature_algorithms":
            return f"0x{body[2:].hex()}"
        case "application_layer_protocol_negotiation":
            return body[3:].decode()
        case "supported_versions":
            return f"0x{body[client:].hex()}"
        case "psk_key_exchange_modes":
            return {b"\1": "psk_dhe_ke"}[body[1:]]
        case _:
            return body.hex(" ")


def _share(reader: Reader, *, client: bool) -> Iterator[Field]:
    if client:
        yield reader.take(2), "shares", _rest(reader.left)
    yield (group := reader.take(2)), "group", f"0x{group.hex()}"
    assert int.from_bytes(group) == key_exchange.GROUP
    lattice = key_exchange.ENCAPSULATION_KEY if client else key_exchange.CIPHERTEXT
    yield reader.take(2), "length", str(reader.left)
    yield reader.take(lattice), "ML-KEM-768", _rest(lattice)
    yield reader.take(key_exchange.X25519_KEY), "X25519", _rest(key_exchange.X25519_KEY)
    reader.end()


def _certificate(reader: Reader) -> Iterator[Field]:
    yield reader.take(1), "context", "empty"
    yield reader.take(3), "list", _rest(reader.left)
    length = reader.take(3)
    yield length, "length", str(int.from_bytes(length))
    yield reader.take(int.from_bytes(length)), "leaf", "DER"
    yield reader.take(2), "extensions", "none"
    reader.end()


def _verify(reader: Reader) -> Iterator[Field]:
    yield (scheme := reader.take(2)), "scheme", f"0x{scheme.hex()}"
    yield (length := reader.take(2)), "length", str(int.from_bytes(length))
    yield reader.take(ED25519_SIGNATURE), "Ed25519", _rest(ED25519_SIGNATURE)
    falcon = FALCON_SIGNATURE[Scheme(int.from_bytes(scheme))]
    yield reader.take(falcon), "FALCON", _rest(falcon)
    reader.end()


def transport_parameters(block: bytes) -> Iterator[Field]:
    """A block of them; those that nobody knows are there to be passed over."""
    reader = Reader(block, "transport parameters")
    while reader.left:
        start = reader.position
        id_, length = reader.varint(), reader.varint()
        value = reader.take(length)
        raw = block[start : reader.position]
        if id_ not in PARAMETERS:
            yield raw, f"0x{id_:x}", _rest(length)
        elif id_ in NO_INTEGERS:
            yield raw, PARAMETERS[id_], _rest(length) if length else "empty"
        else:
            number = Reader(value, PARAMETERS[id_]).varint()
            bits = id_ == parameters.EXTENSIONS
            yield raw, PARAMETERS[id_], f"0x{number:x}" if bits else str(number)


def stream_frame(data: bytes) -> Iterator[Field]:
    """A STREAM frame with a length (RFC 9000, section 19.8) which begins its stream."""
    reader = Reader(data, "STREAM")
    yield (kind := reader.take(1)), "type", f"STREAM (0x{kind.hex()}), with a length"
    yield varint(stream := reader.varint()), "stream", str(stream)
    yield varint(length := reader.varint()), "length", str(length)
    body = reader.take(length)
    reader.end()
    _, used = head.decode(body)
    yield from stream_head(body[:used])
    if body[used:]:
        yield body[used:], "data", body[used:].decode()


def stream_head(data: bytes) -> Iterator[Field]:
    """Section 5."""
    found, used = head.decode(data)
    assert used == len(data)
    flags = head.RESUME * found.resume | head.TOKENS * found.tokens
    yield bytes([head.VERSION]), "version", str(head.VERSION)
    yield bytes([found.kind]), "kind", f"{found.kind}, {found.kind.name}"
    yield bytes([flags]), "flags", str(flags)
    yield found.flow_id, "flow id", _rest(len(found.flow_id))
    yield varint(found.sent), "sent", str(found.sent)
    yield varint(found.received), "received", str(found.received)
    yield from _address("source", found.source)
    yield from _address("destination", found.destination)


def _address(name: str, address: Address) -> Iterator[Field]:
    yield bytes([address.host.version]), f"{name}: family", f"IPv{address.host.version}"
    yield address.port.to_bytes(2), "port", str(address.port)
    yield address.host.packed, "address", str(address.host)


def frame(data: bytes) -> Iterator[Field]:
    """The TOKEN of a packet, or a HOP."""
    found, used = frames.decode(data)
    assert used == len(data)
    type_ = frames.type_of(found)
    yield data[:8], "type", f"{type_.name} (0x{type_:x})"
    match found:
        case PacketToken():
            yield bytes([found.form]), "form", f"{found.form}"
            yield found.tag, "tag", _rest(len(found.tag))
        case hop_frames.Open():
            yield from _open(found)
        case hop_frames.Inner():
            yield b"\1", "form", "1, packet"
            yield varint(found.tunnel), "tunnel", str(found.tunnel)
            yield varint(len(found.data)), "length", str(len(found.data))
            yield found.data, "inner packet", _rest(len(found.data))
        case _:
            raise AssertionError(f"{found} is on no page")


def _open(route: hop_frames.Open) -> Iterator[Field]:
    yield b"\0", "form", "0, open"
    yield route.route, "route", _rest(len(route.route))
    yield bytes([route.position]), "position", str(route.position)
    yield bytes([len(route.gateways)]), "count", str(len(route.gateways))
    for name in route.gateways:
        yield varint(len(name)), "gateway: length", str(len(name))
        yield name.encode(), "identity", name
    yield from _address("destination", route.destination)
    yield varint(len(route.identity)), "workload: length", str(len(route.identity))
    yield route.identity.encode(), "identity", route.identity


def payload(plain: bytes, reserve: int) -> Iterator[Field]:
    """What the AEAD of a 1-RTT packet gives: a PING, a STREAM frame, a reserve with a TOKEN."""
    end = len(plain) - reserve
    yield plain[:1], "type", f"PING (0x{plain[:1].hex()})"
    yield from stream_frame(plain[1:end])
    found, used = frames.decode(plain[end:])
    assert isinstance(found, PacketToken)
    yield from frame(plain[end : end + used])
    yield plain[end + used :], "zeros", _rest(reserve - used)


def token_covers(plain: bytes, number: int, reserve: int, exporter: bytes) -> bool:
    """Whether the token of a client's packet is that of its payload (section 12)."""
    before = plain[: len(plain) - reserve]
    found, _ = frames.decode(plain[len(before) :])
    key = tokens.Keys.of(exporter).client
    return found == tokens.of_packet(key, number, before)


def beside(datagram: bytes) -> Iterator[Field]:
    """A packet beside its tunnel, or a probe."""
    found = bare.read(datagram)
    assert found is not None
    first, last = datagram[:1], datagram[bare.BEHIND_ID :]
    yield first, "first byte", f"short header (0x{first.hex()})"
    yield found.id, "id", _rest(len(found.id))
    name = "nonce" if isinstance(found, bare.Probe) else "rest"
    yield last, name, _rest(len(last))
