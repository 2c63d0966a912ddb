"""Handshakes that nobody means: `blast.py HARDWARE-ADDRESS IPV6-ADDRESS COUNT`, out of `eth0`.

So many first packets of STOQ connections go to a pod, each from an address in nobody's network and
each of the form that QUIC's have; what is in them is noise. They go past the kernel's stack, as
fast as it goes.
"""

import random
import socket
import struct
import sys
from ipaddress import IPv6Address

STOQ = 14008
SOURCE_PORT = 4433
"""By which they are told from others."""

UDP = 17


def initial(numbers: random.Random) -> bytes:
    """The form of a client's first packet (RFC 9000, 17.2.2), 1,200 bytes of it noise."""
    head = b"\xc0\0\0\0\x01\x08" + numbers.randbytes(8) + b"\0" + b"\0"
    length = 1200 - len(head) - 2
    return head + struct.pack("!H", 0x4000 | length) + numbers.randbytes(length)


def spoofed(numbers: random.Random, target: IPv6Address) -> bytes:
    """An IPv6 packet with it, from an address of the documentation's network (RFC 3849)."""
    payload = initial(numbers)
    source = IPv6Address((0x2001_0DB8 << 96) | numbers.getrandbits(96)).packed
    datagram = struct.pack("!HHHH", SOURCE_PORT, STOQ, 8 + len(payload), 0xFFFF) + payload
    head = struct.pack("!IHBB", 6 << 28, len(datagram), UDP, 64)
    return head + source + target.packed + datagram


def send(hardware: bytes, target: IPv6Address, count: int) -> None:
    """Sends `count` of them to a neighbour. Raises OSError."""
    numbers = random.Random(1)
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
        raw.bind(("eth0", 0))
        head = hardware + bytes(raw.getsockname()[4]) + b"\x86\xdd"
        for _ in range(count):
            raw.send(head + spoofed(numbers, target))


if __name__ == "__main__":
    send(bytes.fromhex(sys.argv[1].replace(":", "")), IPv6Address(sys.argv[2]), int(sys.argv[3]))
