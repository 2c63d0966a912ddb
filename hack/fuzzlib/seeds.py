"""Inputs for the engine's fuzz targets, from the test vectors: the same bytes each time.

libFuzzer finds its way by changing inputs that already reach somewhere. From nothing it would not
find a ClientHello with a post-quantum key share, nor a certificate with two signatures.
"""

import json
from collections.abc import Iterable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

Document = dict[str, Any]

_MESSAGES: Final = ("messages", "invalid_messages", "incomplete_messages")

SERVER: Final = b"\0"
"""First byte of an input of the target `handshake` whose pieces a server is sent."""

CLIENT: Final = b"\1"
"""The same of a client."""


def seeds(vectors: Path) -> dict[str, list[bytes]]:
    """The inputs of each target, from the files in docs/vectors."""

    def document(name: str) -> Document:
        read: Document = json.loads((vectors / f"{name}.json").read_text(encoding="utf-8"))
        return read

    certificates = document("certificates")
    ids = [case["value"]["spiffe_id"].encode() for case in certificates["valid"]]
    varints = document("varints")
    keys = document("certificate-verify")["keys"]
    return {
        "bare": list(_beside(document("forwarded"))),
        "handshake": list(_handshakes(document("handshakes"))),
        "certificate": _bytes(certificates, "roots", "valid", "invalid"),
        "control": _bytes(document("control-messages"), "valid", "invalid"),
        "datagram": _bytes(varints, "written", "read"),
        "frame": _bytes(document("frames"), "valid", "read", "invalid", "reserves"),
        "frame_stream": list(_transfers(document("shards"))),
        "falcon_key": [bytes.fromhex(key["falcon"]) for key in keys],
        "link_frame": list(_frames()),
        "spiffe_id": sorted(set(ids)),
        "stream_head": _bytes(document("stream-heads"), "valid", "invalid", "incomplete"),
        "stripe": list(_lanes(document("stripes"))),
        "token_stream": _bytes(document("tokens"), "streams", "invalid"),
        "udp": _bytes(document("udp"), "datagrams", "invalid_datagrams", *_MESSAGES),
        "transport_parameters": _bytes(document("transport-parameters"), "valid", "invalid"),
    }


def _frames() -> Iterator[bytes]:
    """A datagram of IPv6 and one of IPv4, whose sums a veth's sender has left to the device."""
    payload = bytes(range(0x40, 0x60))
    udp = b"\x9c\x40\x36\xb8" + (8 + len(payload)).to_bytes(2)
    six = bytes.fromhex("fd00" + 13 * "00" + "01" + "fd00" + 13 * "00" + "02")
    four = bytes([10, 0, 0, 1, 10, 0, 0, 2])
    for addresses in (six, four):
        length = 8 + len(payload)
        partial = _folded(addresses + bytes([0, 17]) + length.to_bytes(2)).to_bytes(2)
        if addresses is six:
            kind, head = b"\x86\xdd", b"\x60\0\0\0" + length.to_bytes(2) + b"\x11\x40"
        else:
            kind = b"\x08\0"
            head = b"\x45\0" + (20 + length).to_bytes(2) + b"\0\0\x40\0\x40\x11"
            head += (0xFFFF - _folded(head + addresses)).to_bytes(2)
        yield bytes(12) + kind + head + addresses + udp + partial + payload


def _folded(words: bytes) -> int:
    total = sum(int.from_bytes(words[at : at + 2]) for at in range(0, len(words), 2))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def _bytes(document: Document, *headings: str) -> list[bytes]:
    return [bytes.fromhex(case["hex"]) for heading in headings for case in document[heading]]


def _handshakes(document: Document) -> Iterator[bytes]:
    for case in document["handshakes"]:
        for side, peer in ((SERVER, "client"), (CLIENT, "server")):
            hello, flight = (bytes.fromhex(case[f"{peer}_{part}"]) for part in ("hello", "flight"))
            yield side + pieces([hello])
            yield side + pieces([hello, flight])


def _beside(document: Document) -> Iterator[bytes]:
    for case in document["packets"]:
        yield bytes.fromhex(case["bare"] or case["packet"])
    yield from _bytes(document, "probes", "neither")


def _transfers(document: Document) -> Iterator[bytes]:
    for case in document["transfers"]:
        yield b"".join(bytes.fromhex(frame["hex"]) for frame in case["frames"])


def _lanes(document: Document) -> Iterator[bytes]:
    yield from _bytes(document, "records", "read", "invalid", "incomplete")
    for flow in document["flows"]:
        yield b"".join(bytes.fromhex(record["hex"]) for record in flow["records"])


def pieces(parts: Iterable[bytes]) -> bytes:
    """Pieces as the target `handshake` takes them: each behind its length of two bytes."""
    return b"".join(len(part).to_bytes(2, "big") + part for part in parts)


def write(found: dict[str, list[bytes]], folder: Path) -> None:
    """Writes every input to `<folder>/<target>/seeds`, and nothing else is left there."""
    for target, inputs in found.items():
        seeds_of = folder / target / "seeds"
        seeds_of.mkdir(parents=True, exist_ok=True)
        names = {sha256(data).hexdigest()[:16]: data for data in inputs}
        for old in seeds_of.iterdir():
            if old.name not in names:
                old.unlink()
        for name, data in names.items():
            (seeds_of / name).write_bytes(data)
