"""The latest of many values is put in force, for a small share of the time."""

import asyncio

import pytest

from stoq_sidecar.paced import LONGEST, SHARE, Paced
from support.hours import in_no_time, set_forward


class World:
    """Putting a value in force takes `cost` seconds."""

    def __init__(self, cost: float) -> None:
        self.cost = cost
        self.used: list[tuple[int, float]] = []
        self.began = asyncio.get_running_loop().time()
        self.paced = Paced(self.use)

    def use(self, value: int) -> None:
        self.used.append((value, round(asyncio.get_running_loop().time() - self.began, 6)))
        set_forward(self.cost)


@in_no_time
async def test_the_first_value_is_used_at_once_and_the_next_when_the_share_allows() -> None:
    world = World(cost=0.01)
    world.paced.offer(1)
    world.paced.offer(2)
    assert world.used == [(1, 0.0)]
    await asyncio.sleep(10)
    assert world.used == [(1, 0.0), (2, pytest.approx(0.01 / SHARE))]


@in_no_time
async def test_of_those_that_come_meanwhile_only_the_last_is_used() -> None:
    world = World(cost=0.01)
    for value in range(100):
        world.paced.offer(value)
        await asyncio.sleep(0.01)
    await asyncio.sleep(1)
    assert world.used[-1][0] == 99
    spent = world.cost * len(world.used)
    assert spent <= SHARE * (world.used[-1][1] + world.cost / SHARE) + 1e-9
    assert len(world.used) > 4


@in_no_time
async def test_a_value_that_comes_after_a_rest_is_used_at_once() -> None:
    world = World(cost=0.01)
    world.paced.offer(1)
    await asyncio.sleep(1)
    world.paced.offer(2)
    assert [value for value, _ in world.used] == [1, 2]


@in_no_time
async def test_none_waits_longer_than_a_second_however_dear_it_is() -> None:
    world = World(cost=5.0)
    world.paced.offer(1)
    world.paced.offer(2)
    await asyncio.sleep(10)
    assert world.used == [(1, 0.0), (2, 5.0 + LONGEST)]


@in_no_time
async def test_what_must_be_at_once_waits_for_nothing_and_what_waited_is_not_used() -> None:
    world = World(cost=0.01)
    for value in (1, 2):
        world.paced.offer(value)
    world.paced.offer(3, at_once=True)
    await asyncio.sleep(10)
    assert [value for value, _ in world.used] == [1, 3]


@in_no_time
async def test_after_a_failure_the_next_one_is_used_in_its_time() -> None:
    failed: list[int] = []

    def fail(value: int) -> None:
        failed.append(value)
        set_forward(0.01)
        if value == 2:
            raise ValueError(value)

    told: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    paced = Paced(fail)
    for value in (1, 2):
        paced.offer(value)
    await asyncio.sleep(1)
    paced.offer(3)
    assert failed == [1, 2, 3]
    assert [type(context["exception"]) for context in told] == [ValueError]


@in_no_time
async def test_once_stopped_what_waits_is_not_used() -> None:
    world = World(cost=0.01)
    for value in (1, 2):
        world.paced.offer(value)
    world.paced.stop()
    await asyncio.sleep(10)
    assert [value for value, _ in world.used] == [1]
