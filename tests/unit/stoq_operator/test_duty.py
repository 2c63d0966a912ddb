"""When the replica that leads looks after its duties."""

import asyncio
from collections.abc import Iterable
from contextlib import asynccontextmanager
from typing import Any, cast

from stoq_kube.apiserver import ApiError
from stoq_operator.duty import Duty
from stoq_operator.lease import Election
from support.hours import in_no_time

INTERVAL = 30.0


class Leadership:
    """Who leads is who a test says."""

    def __init__(self) -> None:
        self.leads = False
        self.on_change: list[Any] = []

    def becomes(self, *, leads: bool) -> None:
        self.leads = leads
        for told in self.on_change:
            told(leads)


class Looks:
    """Times of looks, by the loop's clock; they last so many seconds, and some of them fail."""

    def __init__(self, *, failing: Iterable[bool] = (), lasting: float = 0) -> None:
        self.at: list[float] = []
        self.failing = iter(failing)
        self.lasting = lasting

    async def look(self) -> None:
        self.at.append(asyncio.get_running_loop().time())
        await asyncio.sleep(self.lasting)
        if next(self.failing, False):
            raise ApiError("the API server is away", 503)


@asynccontextmanager
async def on_duty(leadership: Leadership, looks: Looks):
    duty = Duty(cast("Election", leadership), "the watch", looks.look, INTERVAL)
    task = asyncio.create_task(duty.run())
    try:
        yield duty
    finally:
        task.cancel()
        await asyncio.wait([task])


@in_no_time
async def test_who_does_not_lead_never_looks() -> None:
    looks = Looks()
    async with on_duty(Leadership(), looks) as duty:
        await asyncio.sleep(10 * INTERVAL)
        duty.wake()
        await asyncio.sleep(1)
    assert looks.at == []


@in_no_time
async def test_a_leader_looks_when_it_begins_to_lead_and_at_every_interval_until_it_does_not() -> (
    None
):
    leadership, looks = Leadership(), Looks()
    async with on_duty(leadership, looks):
        await asyncio.sleep(7)
        leadership.becomes(leads=True)
        await asyncio.sleep(2 * INTERVAL + 1)
        leadership.becomes(leads=False)
        await asyncio.sleep(10 * INTERVAL)
    assert looks.at == [7, 7 + INTERVAL, 7 + 2 * INTERVAL]


@in_no_time
async def test_who_is_woken_looks_at_once_and_again_an_interval_later() -> None:
    leadership, looks = Leadership(), Looks()
    leadership.leads = True
    async with on_duty(leadership, looks) as duty:
        await asyncio.sleep(5)
        duty.wake()
        await asyncio.sleep(INTERVAL + 1)
    assert looks.at == [0, 5, 5 + INTERVAL]


@in_no_time
async def test_who_is_woken_during_a_look_looks_again_after_it() -> None:
    leadership, looks = Leadership(), Looks(lasting=2)
    leadership.leads = True
    async with on_duty(leadership, looks) as duty:
        await asyncio.sleep(1)
        duty.wake()
        await asyncio.sleep(INTERVAL)
    assert looks.at == [0, 2]


@in_no_time
async def test_what_the_api_server_refuses_is_tried_again_at_the_next_look(caplog) -> None:
    leadership, looks = Leadership(), Looks(failing=[True])
    leadership.leads = True
    async with on_duty(leadership, looks):
        await asyncio.sleep(INTERVAL + 1)
    assert looks.at == [0, INTERVAL]
    assert [record.getMessage() for record in caplog.records] == [
        "the watch: the API server is away; trying again"
    ]
