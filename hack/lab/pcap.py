"""Reading the capture files tcpdump writes on the "any" interface: pure, bytes in, frames out.

Layout: the classic libpcap file (draft-ietf-opsawg-pcap, section 4) with link type LINUX_SLL2.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

LINUX_SLL2: Final = 276
"""Link type of captures on "any": a 20-byte header in place of Ethernet's."""

OUTGOING: Final = 4
"""SLL2 packet type of what leaves through an interface; everything else came in through it."""

_FILE_HEADER: Final = struct.Struct("<IHHiIII")
_RECORD_HEADER: Final = struct.Struct("<IIII")
_SLL2: Final = struct.Struct(">HHIHBB8s")
_MAGIC_MICROSECONDS: Final = 0xA1B2C3D4


class CaptureError(ValueError):
    """The file is not a capture that this module reads; the message says what it found."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One captured packet from its network header on."""

    time: float
    """Seconds since the epoch."""
    protocol: int
    """EtherType."""
    interface: int
    outgoing: bool
    data: bytes


def frames(capture: bytes) -> Iterator[Frame]:
    """Every whole packet of a capture; a last packet that was cut short is left out.

    Raises CaptureError when the file is of another kind.
    """
    if not capture:
        return
    if len(capture) < _FILE_HEADER.size:
        raise CaptureError(f"{len(capture)} bytes are no capture file")
    magic, _, _, _, _, _, link_type = _FILE_HEADER.unpack_from(capture)
    if magic != _MAGIC_MICROSECONDS:
        raise CaptureError(f"magic number {magic:#x}: not a little-endian microsecond capture")
    if link_type != LINUX_SLL2:
        raise CaptureError(f"link type {link_type}: expected {LINUX_SLL2}, LINUX_SLL2")
    position = _FILE_HEADER.size
    while position + _RECORD_HEADER.size <= len(capture):
        seconds, micros, length, _ = _RECORD_HEADER.unpack_from(capture, position)
        position += _RECORD_HEADER.size
        record = capture[position : position + length]
        position += length
        if len(record) < length or length < _SLL2.size:
            continue
        protocol, _, interface, _, packet_type, _, _ = _SLL2.unpack_from(record)
        yield Frame(
            time=seconds + micros / 1e6,
            protocol=protocol,
            interface=interface,
            outgoing=packet_type == OUTGOING,
            data=record[_SLL2.size :],
        )
