"""What the sidecar makes of the sockets it was passed."""

import pytest

from stoq.broker.client import BrokerError, _sorted
from stoq.broker.protocol import Role, SocketInfo

OUTBOUND = SocketInfo(Role.OUTBOUND, 14001, transparent=True)
INBOUND = SocketInfo(Role.INBOUND, 14006, transparent=True)
TRANSPARENT = SocketInfo(Role.TRANSPARENT, 40000, transparent=True)

INJECT = SocketInfo(Role.INJECT, 0)
EMIT = SocketInfo(Role.EMIT, 0)


def udp(worker: int) -> SocketInfo:
    return SocketInfo(Role.UDP, 14001, worker, transparent=True)


def stoq(worker: int) -> SocketInfo:
    return SocketInfo(Role.STOQ, 14008, worker)


def test_stoq_sockets_are_put_in_the_order_of_workers() -> None:
    found = _sorted((stoq(1), OUTBOUND, stoq(0), INBOUND), [10, 11, 12, 13], 2)
    assert (found.outbound, found.inbound, found.stoq) == (11, 13, (12, 10))
    assert found.transparent is None


def test_the_transparent_listener_may_be_there() -> None:
    found = _sorted((OUTBOUND, TRANSPARENT, INBOUND, stoq(0)), [4, 5, 6, 7], 1)
    assert (found.outbound, found.inbound, found.stoq, found.transparent) == (4, 6, (7,), 5)


def test_the_sockets_of_captured_udp_come_together() -> None:
    infos = (OUTBOUND, INBOUND, stoq(0), stoq(1), INJECT, EMIT, INJECT, EMIT, udp(1), udp(0))
    found = _sorted(infos, list(range(20, 30)), 2)
    assert (found.udp, found.inject, found.emit) == ((29, 28), (24, 26), (25, 27))


@pytest.mark.parametrize(
    "infos",
    [
        (OUTBOUND, INBOUND),
        (OUTBOUND, stoq(0), stoq(1)),
        (OUTBOUND, INBOUND, stoq(0), stoq(0)),
        (OUTBOUND, OUTBOUND, INBOUND, stoq(0), stoq(1)),
        (OUTBOUND, INBOUND, stoq(0), stoq(7)),
        (OUTBOUND, INBOUND, stoq(0), stoq(1), TRANSPARENT, TRANSPARENT),
        (OUTBOUND, INBOUND, stoq(0), stoq(1), udp(0), INJECT, EMIT),
        (OUTBOUND, INBOUND, stoq(0), stoq(1), udp(0), udp(1), INJECT),
        (OUTBOUND, INBOUND, stoq(0), stoq(1), EMIT),
    ],
)
def test_an_incomplete_set_is_refused(infos: tuple[SocketInfo, ...]) -> None:
    with pytest.raises(BrokerError, match="needed are one outbound, one inbound and 2 stoq"):
        _sorted(infos, list(range(len(infos))), 2)


def test_descriptors_without_description_are_refused() -> None:
    with pytest.raises(BrokerError, match="describes 2 sockets and passed 3"):
        _sorted((OUTBOUND, INBOUND), [1, 2, 3], 1)
