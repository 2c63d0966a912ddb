"""Joining and parting, in order. Kernel and pods are made up here (tests/netns has real ones)."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterable
from ipaddress import ip_address
from typing import Any

import pytest

from stoq.broker.protocol import Offer
from stoq.capture.nft import CaptureError
from stoq_node import inpods, splicing
from stoq_node._kernel import KernelError
from stoq_node.consents import Member
from stoq_node.flows import Flow
from stoq_node.splicing import GRACE_SECONDS, HOLD_SECONDS, RETRY_SECONDS, Entry, Splicer
from support.patience import until
from unit.stoq_node.test_consents import MEMBERS, from_web, to_db

ENTRY = (7, "fd00::a", 9, "fd00::d", 5432)
OPEN = Flow(ip_address("fd00::a"), 40_000, ip_address("fd00::d"), 5432)
OTHER = Flow(ip_address("fd00::a"), 40_000, ip_address("fd00::d"), 5433)


class World:
    """A kernel, its pins, the pods, and a clock."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        self.members: dict[str, Member] = dict(MEMBERS)
        self.held: dict[Entry, int] = {}
        self.on: list[int] = []
        self.done: list[Any] = []
        self.full = self.closed = ""
        self.told: dict[str, int] = {}
        """Until when each pod has been told of its pairs."""
        self.slow: dict[str, threading.Event] = {}
        """Pods that take nothing before somebody says so."""
        self.counted = [(7, 0, 0)]
        monkeypatch.setattr(splicing, "monotonic", lambda: self.now)
        monkeypatch.setattr(splicing, "LOOK_SECONDS", 0.01)
        monkeypatch.setattr(inpods, "program", self.program)
        monkeypatch.setattr(inpods, "reset", self.reset)

    def attached(self, program: str) -> list[int]:
        assert program == "splice_from_pod"
        return list(self.on)

    def attach(self, link: int) -> bool:
        self.done.append(("attach", link))
        if link not in self.on:
            self.on.append(link)
        return True

    def detach(self, link: int) -> bool:
        self.done.append(("detach", link))
        there = link in self.on
        self.on = [one for one in self.on if one != link]
        return there

    def join(self, entry: Entry, until_ns: int) -> None:
        if self.full:
            raise KernelError(self.full)
        if entry not in self.held:
            self.done.append("join")
        self.held[entry] = until_ns

    def part(self, entry: Entry) -> bool:
        self.done.append("part")
        return self.held.pop(entry, None) is not None

    def pairs(self) -> list[tuple[Entry, int]]:
        return list(self.held.items())

    def counts(self) -> list[tuple[int, int, int]]:
        return self.counted

    def forget(self, link: int) -> bool:
        return link > 0

    def sweep(self) -> None:
        self.done.append("sweep")

    def program(self, netns: str, out: Iterable[Any], into: Iterable[Any], seconds: int) -> None:
        assert 0 < seconds <= HOLD_SECONDS
        if slow := self.slow.get(netns[-3:]):
            slow.wait(10)
        self.told[netns[-3:]] = int((self.now + seconds) * 1e9)
        if self.closed:
            raise CaptureError(self.closed)
        self.done.append(
            (netns[-3:], tuple(port for _, port in out), tuple(port for _, port in into))
        )

    def reset(self, netns: str, over: Callable[[Flow], bool]) -> int:
        assert over(OPEN)
        assert not over(OTHER)
        self.done.append(("reset", netns[-3:]))
        return 1

    def splicer(self) -> Splicer:
        return Splicer(self, self, lambda: self.members)  # type: ignore[arg-type]


@pytest.fixture
async def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return World(monkeypatch)


@pytest.fixture
async def splicer(world: World) -> AsyncIterator[Splicer]:
    made = world.splicer()
    task = asyncio.create_task(made.run())
    yield made
    task.cancel()
    await asyncio.wait([task])


def offered(splicer: Splicer) -> None:
    splicer.join("w", to_db())
    splicer.join("d", from_web())


async def test_packets_have_their_way_before_connections_are_opened_and_lose_it_after(
    world: World, splicer: Splicer
) -> None:
    offered(splicer)
    await until(lambda: splicer.pairs == 1)
    assert world.done[:3] == [("attach", 7), ("attach", 9), "join"]
    heard = [one for one in world.done[3:] if one[1] or one[2]]
    assert heard[0] == ("/db", (), (5432,)), "who dials is told last"
    assert set(heard[1:]) == {("/db", (), (5432,)), ("web", (5432,), ())}
    assert splicer.join("w", to_db()).pairs == 1
    world.done.clear()
    splicer.join("d", Offer(spiffe_id=from_web().spiffe_id))
    await until(lambda: splicer.pairs == 0 and "sweep" in world.done)
    first, last = set(world.done[:2]), set(world.done[2:4])
    assert first == {("/db", (), (5432,)), ("web", (), ())}, "who dials forgets it first"
    assert last == {("/db", (), ()), ("web", (), ())}
    assert world.done[4] == "part"
    assert sorted(world.done[5:7]) == [("reset", "/db"), ("reset", "web")]
    assert world.on == []
    assert splicer.resets == 2


async def test_what_is_joined_is_held_on_to_while_the_offers_are_made_again(
    world: World, splicer: Splicer
) -> None:
    offered(splicer)
    await until(lambda: bool(world.held))
    first = world.held[ENTRY]
    assert first == int((world.now + HOLD_SECONDS) * 1e9)
    for _ in range(2):
        world.now += 3
        offered(splicer)
    await until(lambda: world.held[ENTRY] > first)
    world.now += 6
    await until(lambda: not world.held)


async def test_no_pod_is_told_of_a_way_for_longer_than_packets_have_it(
    world: World, splicer: Splicer
) -> None:
    offered(splicer)
    await until(lambda: splicer.pairs == 1)
    world.now += 3
    splicer.join("w", to_db(dials=(5432, 9000)))
    splicer.join("d", from_web())
    await until(lambda: splicer.pairs == 2)
    await until(lambda: world.told["web"] > int((world.now + HOLD_SECONDS / 2) * 1e9))
    assert world.held[ENTRY] >= world.told["web"]


async def test_a_pod_that_cannot_be_programmed_is_left_encrypted_and_tried_again(
    world: World, splicer: Splicer
) -> None:
    world.closed = "nft is not in PATH"
    offered(splicer)
    await until(lambda: "shop/web" in splicer.failed and not world.held)
    world.closed = ""
    world.now += RETRY_SECONDS
    offered(splicer)
    await until(lambda: ENTRY in world.held and not splicer.failed)


async def test_a_pod_that_is_slow_keeps_no_other_waiting(world: World, splicer: Splicer) -> None:
    world.slow = {"web": threading.Event()}
    offered(splicer)
    await until(lambda: ("/db", (), (5432,)) in world.done)
    world.slow["web"].set()
    await until(lambda: splicer.pairs == 1)


async def test_who_is_told_too_late_is_told_of_no_way(world: World, splicer: Splicer) -> None:
    offered(splicer)
    await until(lambda: splicer.pairs == 1)
    world.slow = {"web": threading.Event()}
    world.done.clear()
    more = to_db(dials=(5432, 9000))
    splicer.join("w", more)
    await until(lambda: any(one[0] == "/db" for one in world.done))
    world.now += HOLD_SECONDS
    splicer.join("w", more)
    splicer.join("d", from_web())
    world.slow["web"].set()
    await until(lambda: ("web", (), ()) in world.done)
    await until(lambda: world.done[-1] != ("web", (), ()) and splicer.pairs == 2)
    assert world.held[ENTRY] >= world.told["web"]


async def test_a_full_map_joins_nobody_and_says_so(world: World, splicer: Splicer) -> None:
    world.full = "map splice_pairs is full"
    offered(splicer)
    await until(lambda: splicer.failed.get("shop/db") == world.full)
    await until(lambda: "sweep" in world.done)
    assert splicer.pairs == 0
    assert "part" in world.done, "half of it may be there"
    told = [one for one in world.done if one[0] in {"/db", "web"}]
    assert told == [], "nobody may speak past the sidecars where no way is"


async def test_the_program_leads_again_where_another_was_put_in_front(
    world: World, splicer: Splicer
) -> None:
    offered(splicer)
    await until(lambda: splicer.pairs == 1)
    world.done.clear()
    splicer.lead({7, 8})
    assert world.done == [("detach", 7), ("attach", 7)]


async def test_a_link_that_lost_the_program_gets_it_again(world: World, splicer: Splicer) -> None:
    offered(splicer)
    await until(lambda: splicer.pairs == 1)
    world.on.remove(9)
    await until(lambda: sorted(world.on) == [7, 9])


async def test_a_successor_keeps_what_is_agreed_again_in_time_and_parts_the_rest(
    world: World,
) -> None:
    gone = (3, "fd00::3", 9, "fd00::d", 5432)
    world.held = dict.fromkeys((ENTRY, gone), int((world.now + 1) * 1e9))
    world.on = [3, 7, 9]
    made = world.splicer()
    task = asyncio.create_task(made.run())
    await until(lambda: made.pairs == 1)
    assert world.held.keys() == {ENTRY, gone}
    assert "part" not in world.done
    offered(made)
    world.now += 4.9
    offered(made)
    world.now += 0.2
    await until(lambda: gone not in world.held)
    assert made.pairs == 1
    await until(lambda: world.on == [7, 9])
    world.now += 5
    await until(lambda: made.pairs == 0 and not world.held)
    task.cancel()
    await asyncio.wait([task])


async def test_what_nobody_confirms_a_successor_holds_no_longer_than_it_waits_for_that(
    world: World,
) -> None:
    most = int((world.now + GRACE_SECONDS) * 1e9)
    world.held = {ENTRY: int((world.now + 9) * 1e9)}
    world.on = [7, 9]
    made = world.splicer()
    task = asyncio.create_task(made.run())
    await until(lambda: world.told.keys() == {"web", "/db"})
    world.now += 4.9
    await asyncio.sleep(0.05)
    assert max(*world.told.values(), world.held[ENTRY]) <= most, "also if it ends now"
    offered(made)
    world.now += 0.2
    await until(lambda: min(*world.told.values(), world.held[ENTRY]) > most)
    task.cancel()
    await asyncio.wait([task])


async def test_a_successor_revives_nothing_that_was_over_before_it_knew_the_pods(
    world: World,
) -> None:
    world.held = {ENTRY: int((world.now + 1) * 1e9)}
    world.on, world.members = [7, 9], {}
    made = world.splicer()
    task = asyncio.create_task(made.run())
    world.now += 2
    await until(lambda: world.held == {})
    world.members = dict(MEMBERS)
    await until(lambda: world.on == [])
    assert made.pairs == 0
    assert world.told == {}
    task.cancel()
    await asyncio.wait([task])


async def test_a_successor_revives_nothing_whose_whose_time_was_over_when_it_came(
    world: World,
) -> None:
    world.held = {ENTRY: int((world.now - 1) * 1e9)}
    world.on = [7, 9]
    made = world.splicer()
    assert world.held == {}
    task = asyncio.create_task(made.run())
    await until(lambda: world.on == [])
    assert made.pairs == 0
    assert not any(isinstance(one, tuple) and one[1] for one in world.done if one[0] == "web")
    task.cancel()
    await asyncio.wait([task])


async def test_a_successor_parts_at_once_what_a_side_does_not_offer_any_more(
    world: World,
) -> None:
    world.held = {ENTRY: int((world.now + 9) * 1e9)}
    world.on = [7, 9]
    made = world.splicer()
    made.join("d", from_web(admits=(80,)))
    task = asyncio.create_task(made.run())
    await until(lambda: ("reset", "/db") in world.done)
    assert world.held == {}
    task.cancel()
    await asyncio.wait([task])


async def test_counts_outlive_a_link_that_another_pod_gets(world: World, splicer: Splicer) -> None:
    offered(splicer)
    await until(lambda: splicer.pairs == 1)
    world.counted = [(7, 10, 1000), (5, 1, 1)]
    splicer.read()
    world.counted = [(7, 2, 50)]
    splicer.read()
    assert (splicer.packets["shop/web"], splicer.bytes["shop/web"]) == (12, 1050)
    assert splicer.bytes.keys() == {"shop/web"}


async def test_what_was_counted_goes_with_the_pod(world: World, splicer: Splicer) -> None:
    offered(splicer)
    await until(lambda: splicer.pairs == 1)
    world.counted = [(7, 10, 1000), (9, 1, 1)]
    splicer.read()
    del world.members["w"]
    await until(lambda: splicer.packets.keys() == splicer.bytes.keys() == {"shop/db"})
