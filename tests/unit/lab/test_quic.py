"""Connections between the same sockets, told apart by somebody who holds no key."""

from ipaddress import IPv6Address

from lab.packets import UDP, Packet
from lab.quic import connections

CLIENT, SERVER = IPv6Address("fd00::a"), IPv6Address("fd00::b")
FIRST, ONE, TWO, OTHER = b"f" * 8, b"1" * 8, b"2" * 8, b"o" * 8
"""Connection ids: the client's first guess, the server's of two connections, the client's."""


def long(destination: bytes, source: bytes, first: int = 0xC3) -> bytes:
    ids = bytes([len(destination)]) + destination + bytes([len(source)]) + source
    return bytes([first]) + b"\0\0\0\1" + ids + b"rest"


def short(connection_id: bytes, size: int = 100) -> bytes:
    return b"\x4f" + connection_id + b"x" * (size - 9)


def there(payload: bytes, port: int = 14008, own: int = 40000) -> Packet:
    return Packet(CLIENT, SERVER, UDP, own, port, payload, "")


def back(payload: bytes, port: int = 14008, own: int = 40000) -> Packet:
    return Packet(SERVER, CLIENT, UDP, port, own, payload, "")


def timed(*packets: Packet) -> list[tuple[float, Packet]]:
    return [(float(number), packet) for number, packet in enumerate(packets)]


def dialled(server: bytes, client: bytes) -> list[Packet]:
    return [there(long(FIRST, client)), back(long(client, server)), there(long(server, client))]


def test_what_two_connections_of_the_same_sockets_carry_is_kept_apart() -> None:
    seen = timed(
        *dialled(ONE, b"a" * 8),
        *dialled(TWO, b"b" * 8),
        there(short(ONE, 1000)),
        there(short(TWO, 50)),
        back(short(b"a" * 8, 4000)),
        there(short(ONE, 200)),
    )
    one, two = connections(seen, 14008)

    assert (one.to_listener, one.opened) == (ONE, 1.0)
    assert (one.dialler, one.listener) == (CLIENT, SERVER)
    assert one.sent == [(6.0, 1000), (9.0, 200)]
    assert one.bytes_until(9.0) == 1000
    assert [size for _, size in two.sent] == [50]


def test_both_ends_may_use_the_same_port() -> None:
    packets = [
        there(long(FIRST, OTHER), own=14008),
        back(long(OTHER, ONE), own=14008),
        there(short(ONE, 70), own=14008),
    ]
    (found,) = connections(timed(*packets), 14008)

    assert (found.dialler, found.to_listener) == (CLIENT, ONE)
    assert found.bytes_until(99.0) == 70


def test_what_is_dialled_to_another_port_or_never_answered_is_no_connection() -> None:
    elsewhere = [
        there(long(FIRST, OTHER), port=14012, own=14008),
        back(long(OTHER, ONE), port=14012, own=14008),
        there(long(FIRST, b"b" * 8)),
    ]
    assert connections(timed(*elsewhere), 14008) == []


def test_a_retry_has_no_id_of_the_connection() -> None:
    packets = [
        there(long(FIRST, OTHER)),
        back(long(OTHER, TWO, first=0xF0)),
        there(long(TWO, OTHER)),
        back(long(OTHER, ONE)),
    ]
    (found,) = connections(timed(*packets), 14008)

    assert found.to_listener == ONE


def test_packets_that_are_cut_short_are_passed_over() -> None:
    whole = long(OTHER, ONE)
    packets = [there(long(FIRST, OTHER)), *(back(whole[:cut]) for cut in range(len(whole) - 4))]

    assert connections(timed(*packets), 14008) == []
