"""Packets beside a tunnel (docs/wire-format.md, section 14, G13 to G18): bytes in, values out."""

from dataclasses import dataclass

from stoq_reference.hop_frames import BARE_ID, NONCE

BEHIND_ID = 1 + BARE_ID
PROBE = BEHIND_ID + NONCE
"""Bytes of a probe; every packet has more."""

LONG_HEADER = 0x80
"""Bit of the first byte of packets that stay in the tunnel (RFC 8999, section 5.1)."""

SHORT_HEADER = b"\x40"
"""The first byte of a probe: QUIC's fixed bit alone."""


@dataclass(frozen=True)
class BarePacket:
    """An inner packet that came under `id`: all of it but its destination connection ID."""

    id: bytes
    first: int
    rest: bytes

    def restored(self, connection_id: bytes) -> bytes:
        """The inner packet, to be handled as one that came in the tunnel (G14)."""
        return bytes([self.first]) + connection_id + self.rest


@dataclass(frozen=True)
class Probe:
    """Asks whether such packets get through (G15)."""

    id: bytes
    nonce: bytes

    def encode(self) -> bytes:
        """The datagram."""
        return SHORT_HEADER + self.id + self.nonce


def beside(packet: bytes, connection_id: bytes, id_: bytes) -> bytes | None:
    """An inner packet as it goes beside its tunnel under `id_`; None of one that stays in it: its
    header is long, or has another destination connection ID (G14)."""
    if not packet or packet[0] & LONG_HEADER or not packet[1:].startswith(connection_id):
        return None
    return packet[:1] + id_ + packet[1 + len(connection_id) :]


def read(datagram: bytes) -> BarePacket | Probe | None:
    """What came beside a tunnel; None of what is too short for it or has a long header, which is
    dropped without an answer (G16)."""
    if len(datagram) < PROBE or datagram[0] & LONG_HEADER:
        return None
    id_, rest = datagram[1:BEHIND_ID], datagram[BEHIND_ID:]
    if len(rest) == NONCE:
        return Probe(id_, rest)
    return BarePacket(id_, datagram[0], rest)
