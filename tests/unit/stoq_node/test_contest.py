"""The choice between sockets and AF_XDP: what is measured, and what is made of it."""

import sys
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any

import msgspec
import pytest

from stoq_node import netlink
from stoq_node.contest import ROUNDS, compete
from stoq_node.measuring import NotMeasured, measured
from stoq_node.speeds import Measured, Speed, faster, middle, told
from stoq_node.stretch import Stretch

SOCKETS = Speed(bulk=1e9, trips=10_000)


def past(bulk: float, trips: float) -> Measured:
    """So many times as fast as sockets."""
    speed = Speed(bulk=bulk * SOCKETS.bulk, trips=trips * SOCKETS.trips)
    return Measured(sockets=SOCKETS, af_xdp=speed)


@pytest.mark.parametrize(
    ("bulk", "trips", "chosen"),
    [
        (1.2, 1.2, True),
        (1.2, 1.0, True),
        (1.0, 1.2, True),
        (1.09, 1.09, False),
        (1.0, 1.0, False),
        (0.5, 3.0, False),
        (3.0, 0.99, False),
    ],
)
def test_sockets_are_left_for_what_is_faster_by_a_margin_and_slower_in_nothing(
    bulk: float, trips: float, chosen: bool
) -> None:
    assert faster(past(bulk, trips)) is chosen


def test_a_round_that_was_disturbed_does_not_decide() -> None:
    rounds = [Speed(bulk=each, trips=10 * each) for each in (5.0, 4.0, 0.1)]
    assert middle(rounds) == Speed(bulk=4.0, trips=40.0)


def test_the_figures_are_told_with_their_units() -> None:
    assert told(past(0.5, 1.25)) == (
        "measured over a veth: 4.00 Gbit/s and 12500 requests a second past the stack, 8.00 and "
        "10000 by sockets"
    )


@dataclass
class Way:
    """A stretch that has its figures already."""

    speed: Speed
    sent: tuple[int, int]
    asked: int = field(default=0)

    def once(self) -> Speed:
        self.asked += 1
        return self.speed


def competing(sockets: tuple[int, int], lent: tuple[int, int]) -> tuple[Any, Any]:
    fast = Speed(bulk=2e9, trips=20_000)
    return Way(SOCKETS, sockets), Way(fast, lent)


def test_both_ways_are_measured_equally_often() -> None:
    by, over = competing((900, 0), (900, 900))
    assert compete(by, over) == past(2, 2)
    assert by.asked == over.asked == ROUNDS + 1


@pytest.mark.parametrize(
    ("sockets", "lent"), [((900, 0), (900, 0)), ((900, 5), (900, 900)), ((0, 0), (9, 9))]
)
def test_figures_of_another_way_than_they_should_be_are_none(
    sockets: tuple[int, int], lent: tuple[int, int]
) -> None:
    ways: tuple[Stretch, Stretch] = competing(sockets, lent)
    with pytest.raises(NotMeasured, match=f"{lent[1]} frames went past the stack"):
        compete(*ways)


def test_the_process_that_measures_says_its_figures_or_why_there_are_none() -> None:
    def program(text: str) -> tuple[str, ...]:
        return sys.executable, "-c", text

    found = past(2, 2)
    document = msgspec.json.encode(found).decode()
    assert measured(words=program(f"print({document!r})")) == found
    for text, why in (
        ("import sys; sys.exit('first\\nno IPC_LOCK')", "^no IPC_LOCK$"),
        ("import os; os._exit(7)", "^exit status 7$"),
        ("print('{}')", "sockets"),
    ):
        with pytest.raises(NotMeasured, match=why):
            measured(words=program(text))
    with pytest.raises(NotMeasured, match="no figures in 0.2 s"):
        measured(0.2, words=program("import time; time.sleep(60)"))
    with pytest.raises(NotMeasured, match="No such file"):
        measured(words=("/nowhere/python",))


def test_a_veth_is_asked_for_with_its_other_end_elsewhere() -> None:
    asked = netlink.veth("eth0", 77)
    (kind, content), *more = netlink.messages(asked)
    assert not more
    made = netlink.link(kind, content)
    assert made is not None
    assert (made.name, made.kind) == ("eth0", "veth")
    about = netlink.attributes(netlink.attributes(content[16:])[18])
    peer = netlink.attributes(netlink.attributes(about[2])[1][16:])
    assert peer[3] == b"eth0\0"
    assert int.from_bytes(peer[28], sys.byteorder) == 77


@pytest.mark.parametrize("address", ["fd00:10::1", "10.1.2.3"])
def test_an_address_is_given_to_an_interface(address: str) -> None:
    (kind, content), *more = netlink.messages(netlink.address_added(3, ip_address(address)))
    assert not more
    assert netlink.address(kind, content) == (3, ip_address(address))
