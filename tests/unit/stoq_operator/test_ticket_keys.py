"""Keys of session tickets: when there are which, who writes them, and who is told."""

import asyncio
import itertools
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any, cast

import pytest

from stoq_kube.apiserver import SECRETS, ApiError, Client
from stoq_operator.lease import Election
from stoq_operator.secrettickets import NAME, SecretTickets
from stoq_operator.ticketkeys import AHEAD, LIFE, ROTATE, TicketKey, advanced, pack, unpack
from support.patience import until
from unit.stoq_node.cluster import ApiServer

START = 1_767_225_600
PATH = SECRETS.path(NAME, "stoq-system")


COUNT = itertools.count(1)


def draw(size: int) -> bytes:
    return next(COUNT).to_bytes(size)


def times(keys: tuple[TicketKey, ...]) -> list[int]:
    return [key.since - START for key in keys]


def test_a_key_is_there_before_it_is_used_and_until_none_of_its_tickets_can_be_taken():
    keys = advanced((), START, draw)
    assert times(keys) == [0]
    due = START + ROTATE - AHEAD
    assert advanced(keys, due - 1, draw) == keys
    both = advanced(keys, due, draw)
    assert times(both) == [0, ROTATE]
    assert both[0] == keys[0]
    assert both[1].secret != keys[0].secret
    assert advanced(both, due + AHEAD, draw) == both
    over = START + ROTATE + LIFE
    assert 0 in times(advanced(both, over, draw))
    assert 0 not in times(advanced(both, over + 1, draw))


def test_there_are_few_keys_however_long_it_goes_on():
    keys: tuple[TicketKey, ...] = ()
    for hour in range(24 * 14):
        keys = advanced(keys, START + hour * 3600, draw)
        assert any(key.since <= START + hour * 3600 for key in keys)
    assert len(keys) <= 4


def test_after_a_long_absence_the_old_key_goes_once_another_has_taken_over():
    later = START + 30 * LIFE
    keys = advanced(advanced((), START, draw), later, draw)
    assert times(keys) == [0, 30 * LIFE + AHEAD]


def test_a_key_of_a_clock_that_was_wrong_stops_no_others_from_being_replaced():
    keys = advanced((), START, draw)
    wrong = advanced((), START + 365 * LIFE, draw)
    assert advanced((*keys, *wrong), START, draw) == keys
    assert times(advanced(wrong, START, draw)) == [0]
    ahead = advanced(keys, START + ROTATE, draw)
    assert advanced(ahead, START + AHEAD, draw) == ahead, "one that is due soon stays"


def test_a_secret_has_them_and_what_is_none_is_passed_over():
    keys = advanced((), START, draw)
    assert unpack(pack(keys)) == keys
    assert unpack(pack(keys) | {"note": "aGk=", "17": "not base64", "18": "aGk="}) == keys
    assert repr(keys[0]) == f"TicketKey({START})"


class Leader:
    """Who leads, or not."""

    def __init__(self, *, leads: bool) -> None:
        self.leads = leads
        self.on_change: list[Any] = []


class Secrets(ApiServer):
    """One Secret, with versions."""

    secret: dict[str, Any] | None = None

    async def request(self, method, path, body=None, *, media="application/json"):
        self.requests.append((method, path, body))
        if method == "get":
            if self.secret is None:
                raise ApiError("none", 404)
            return self.secret
        known = self.secret["metadata"]["resourceVersion"] if self.secret else None
        if body["metadata"].get("resourceVersion") != known:
            raise ApiError("conflict", 409)
        version = str(int(known or 0) + 1)
        self.secret = {**body, "metadata": {**body["metadata"], "resourceVersion": version}}
        self.list(SECRETS, self.secret)
        return self.secret


@asynccontextmanager
async def replica(server: Secrets, clock: SimpleNamespace, *, leads: bool):
    leader = Leader(leads=leads)
    told: list[tuple[TicketKey, ...]] = []
    tickets = SecretTickets(
        cast("Client", server), cast("Election", leader), "stoq-system", lambda: clock.now
    )
    tickets.tell(lambda keys: told.append(tuple(keys)))
    task = asyncio.create_task(tickets.run())
    try:
        yield SimpleNamespace(leader=leader, told=told)
    finally:
        task.cancel()
        await asyncio.wait([task])


@pytest.mark.asyncio
async def test_the_leader_makes_keys_and_adds_the_next_beside_the_last():
    server, clock = Secrets(), SimpleNamespace(now=START)
    async with replica(server, clock, leads=True) as one:
        await until(lambda: one.told)
        assert times(one.told[-1]) == [0]
        clock.now = START + ROTATE
        for changed in one.leader.on_change:
            changed(True)
        await until(lambda: len(one.told) > 1)
        assert times(one.told[-1]) == [0, ROTATE + AHEAD]
        assert one.told[-1][0] == one.told[0][0]
    assert server.secret is not None
    assert [method for method, _, _ in server.requests] == ["get", "post", "get", "put"]


@pytest.mark.asyncio
async def test_a_secret_that_somebody_else_made_keeps_its_type_which_cannot_be_changed():
    server, clock = Secrets(), SimpleNamespace(now=START)
    server.secret = {
        "metadata": {"name": "stoq-tickets", "resourceVersion": "1"},
        "type": "example.com/keys",
    }
    server.list(SECRETS, server.secret)
    async with replica(server, clock, leads=True) as one:
        await until(lambda: any(one.told))
    assert server.secret["type"] == "example.com/keys"
    assert times(one.told[-1]) == [0]


@pytest.mark.asyncio
async def test_who_does_not_lead_follows_and_writes_nothing():
    server, clock = Secrets(), SimpleNamespace(now=START)
    keys = advanced((), START, draw)
    server.list(
        SECRETS, {"metadata": {"name": "stoq-tickets", "resourceVersion": "1"}, "data": pack(keys)}
    )
    async with replica(server, clock, leads=False) as other:
        await until(lambda: other.told)
        assert other.told == [keys]
    assert server.requests == []


@pytest.mark.asyncio
async def test_keys_that_were_deleted_are_made_anew_and_meanwhile_nobody_is_told_of_none():
    server, clock = Secrets(), SimpleNamespace(now=START)
    async with replica(server, clock, leads=True) as one:
        await until(lambda: one.told)
        gone, server.secret = server.secret, None
        server.delete(SECRETS, cast("dict[str, Any]", gone))
        await until(lambda: len(one.told) > 1)
        assert one.told[1] != one.told[0]
        assert all(one.told)
