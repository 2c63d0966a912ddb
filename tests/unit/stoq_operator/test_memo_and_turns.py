"""What keeps the costs of a large mesh down: memory of what was made, and turns."""

import asyncio

from stoq.records.mesh import MeshConfigSpec
from stoq_operator.derive import derive
from stoq_operator.memo import Memo
from stoq_operator.turns import Turns
from support.patience import PATIENCE
from support.records import TRUST_DOMAIN, by_key, record, service, workload

MESH = MeshConfigSpec(trust_domain=TRUST_DOMAIN)
VIPS = {"shop/web": "fd53::1", "shop/db": "fd53::2"}
LABELS = {"app": "web"}
WEB, DB = workload("web", "fd00::2", uid="w", labels=LABELS), workload("db", "fd00::3", uid="d")
RECORDS = by_key(
    WEB,
    DB,
    service("web", selector={"matchLabels": {"app": "web"}}),
    service("db", "fd00::3"),
    record("TransportPolicy", "all", {"inbound": "strict"}),
)


def test_what_did_not_change_is_not_made_again():
    memo = Memo()
    first = derive(RECORDS, MESH, VIPS, memo)
    again = derive(dict(RECORDS), MeshConfigSpec(trust_domain=TRUST_DOMAIN), dict(VIPS), memo)
    assert again == first
    for name in ("workloads", "services", "meshes"):
        before, after = getattr(first, name), getattr(again, name)
        assert before
        assert all(after[key] is entry for key, entry in before.items())


def test_what_changed_is_made_again_with_all_that_it_touches():
    memo = Memo()
    first = derive(RECORDS, MESH, VIPS, memo)
    moved = workload("web", "fd00::9", uid="w", labels=LABELS)
    changed = derive(RECORDS | by_key(moved), MESH, VIPS, memo)
    assert changed == derive(RECORDS | by_key(moved), MESH, VIPS)
    assert changed.workloads["d"] is first.workloads["d"]
    assert changed.services["shop/db"] is first.services["shop/db"]
    assert changed.services["shop/web"] != first.services["shop/web"]
    permissive = record("TransportPolicy", "all", {"inbound": "permissive"})
    other = derive(RECORDS | by_key(permissive), MESH, VIPS, memo)
    assert {entry.inbound for entry in other.meshes.values()} == {"permissive"}
    assert derive(RECORDS, MESH, {}, memo).services == {}


def test_what_was_not_asked_for_is_forgotten():
    memo = Memo()
    made = []

    def make():
        made.append(object())
        return made[-1]

    for rounds in (1, 1, 2):
        memo.begin()
        if len(made) < rounds:
            memo.get("key", (WEB,), make)
    memo.begin()
    memo.get("key", (WEB,), make)
    assert len(made) == 2


async def test_turns_are_given_to_so_many_at_once():
    turns = Turns(2, 60.0)
    running = most = 0

    async def work():
        nonlocal running, most
        async with turns.one():
            running += 1
            most = max(most, running)
            await asyncio.sleep(0.01)
            running -= 1

    await asyncio.gather(*(work() for _ in range(7)))
    assert most == 2


async def test_whoever_takes_too_long_holds_up_nobody_and_gives_nothing_back_twice():
    turns = Turns(1, 0.01)
    async with turns.one(), asyncio.timeout(PATIENCE), turns.one():
        pass
    async with turns.one():
        waiting = asyncio.create_task(turns.one().__aenter__())
        await asyncio.sleep(0)
        assert not waiting.done()
        await waiting
