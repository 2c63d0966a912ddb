"""Round trips counted from what a stranger on the wire sees."""

from ipaddress import IPv6Address

from lab.handshakes import Form, forms, handshakes
from lab.packets import UDP, Packet

CLIENT, SERVER = IPv6Address("fd00::a"), IPv6Address("fd00::b")
V1 = b"\x00\x00\x00\x01"


def initial(body: int = 1162, token: bytes = b"") -> bytes:
    ids = b"\x08" + b"d" * 8 + b"\x08" + b"s" * 8
    length = (0x4000 | body).to_bytes(2)
    return b"\xc3" + V1 + ids + bytes([len(token)]) + token + length + b"i" * body


def handshake(body: int = 900) -> bytes:
    return b"\xe3" + V1 + b"\x08" + b"d" * 8 + b"\x00" + (0x4000 | body).to_bytes(2) + b"h" * body


def retry() -> bytes:
    return b"\xf0" + V1 + b"\x00\x08" + b"s" * 8 + b"token" + b"t" * 16


ONE_RTT = b"\x4f" + b"d" * 8 + b"protected"


def to_server(payload: bytes) -> Packet:
    return Packet(CLIENT, SERVER, UDP, 40000, 14008, payload, "")


def to_client(payload: bytes) -> Packet:
    return Packet(SERVER, CLIENT, UDP, 14008, 40000, payload, "")


def count(*packets: Packet) -> list[int]:
    timed = [(float(number), packet) for number, packet in enumerate(packets)]
    return [seen.round_trips for seen in handshakes(timed, (14008,))]


def test_coalesced_packets_are_told_apart() -> None:
    assert forms(initial(100) + handshake(50) + ONE_RTT) == [
        Form.INITIAL,
        Form.HANDSHAKE,
        Form.ONE_RTT,
    ]


def test_garbage_and_truncation_end_the_reading_quietly() -> None:
    assert forms(b"") == []
    for cut in range(1, 40):
        assert forms(initial()[:cut])[0] is Form.INITIAL
    assert forms(b"\xc3\xff\xff\xff\xff" + b"x" * 50) == [Form.INITIAL]


def test_a_handshake_in_one_round_trip_counts_one() -> None:
    assert count(
        to_server(initial()),
        to_server(initial()),
        to_client(initial(200) + handshake(900)),
        to_client(handshake(1300)),
        to_server(initial(100) + handshake(200) + ONE_RTT),
        to_client(ONE_RTT),
    ) == [1]


def test_a_server_that_had_to_wait_for_credit_counts_two() -> None:
    assert count(
        to_server(initial()),
        to_client(initial(200) + handshake(900)),
        to_server(initial(100)),
        to_client(handshake(1300)),
        to_server(handshake(200) + ONE_RTT),
    ) == [2]


def test_a_retry_costs_a_round_trip() -> None:
    assert count(
        to_server(initial()),
        to_client(retry()),
        to_server(initial(token=b"token")),
        to_client(initial(200) + handshake(900)),
        to_server(handshake(200) + ONE_RTT),
    ) == [2]


def test_a_handshake_that_never_ended_is_not_counted() -> None:
    assert count(to_server(initial()), to_client(initial() + handshake())) == []


def test_packets_of_a_connection_that_was_there_before_are_no_handshake() -> None:
    assert count(to_server(ONE_RTT), to_client(ONE_RTT)) == []


def test_the_flights_are_measured() -> None:
    flight = initial(200) + handshake(900)
    packets = [to_server(initial()), to_client(flight), to_server(ONE_RTT)]
    (seen,) = handshakes([(1.0, packets[0]), (1.1, packets[1]), (1.25, packets[2])], (14008,))

    assert seen.server_bytes == len(flight)
    assert seen.client_bytes == len(initial()) + len(ONE_RTT)
    assert seen.seconds == 0.25
