"""Which pods get a broker, and what is said of those that get none."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest

from stoq.capture.plan import Address
from stoq.records.mesh import MeshConfigSpec
from stoq_node import captures, namespaces
from stoq_node.captures import Captures, Placed
from stoq_node.enrolment import Meshed, Surround
from stoq_node.namespaces import Namespace, NotThere
from stoq_node.notices import NOT_CAPTURED, Notices
from support.patience import until
from unit.stoq_node.cluster import ApiServer
from unit.stoq_node.test_capturing import read, shown

AROUND = Surround(mesh=MeshConfigSpec(trust_domain=""))
Found = Mapping[int, Namespace | NotThere]


class Runtime:
    """Where namespaces are, by the index of the link that leads there."""

    def __init__(self) -> None:
        self.there: dict[int, Namespace | NotThere] = {}
        self.broken = ""
        self.asked: list[dict[int, tuple[Address, ...]]] = []

    def look(self, folder: str, wanted: Mapping[int, Iterable[Address]]) -> Found:
        assert folder == "/run/netns"
        if self.broken:
            raise OSError(self.broken)
        self.asked.append({index: tuple(addresses) for index, addresses in wanted.items()})
        return {index: self.there.get(index, NotThere("not yet")) for index in wanted}


class Watched:
    """Captures that run, and the API server that they write to."""

    def __init__(self, runtime: Runtime, patience: float) -> None:
        self.api = ApiServer()
        notices = Notices(self.api, NOT_CAPTURED)
        self.captures = Captures("/run/netns", notices, runtime.look, patience)

    def update(self, *placed: Placed) -> None:
        self.captures.update(placed, AROUND)

    def events(self) -> list[Any]:
        return [body for method, path, body in self.api.requests if path.endswith("/events")]


@asynccontextmanager
async def watching(runtime: Runtime, patience: float = 60.0) -> AsyncIterator[Watched]:
    found = Watched(runtime, patience)
    task = asyncio.create_task(found.captures.run())
    try:
        yield found
    finally:
        task.cancel()
        await asyncio.wait([task])


def pod(name: str = "web", **environment: str) -> Meshed:
    found = read(shown())
    own = {**found.environment, **environment}
    return dataclasses.replace(found, name=name, uid=f"uid-{name}", environment=own)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(captures, "AGAIN_SECONDS", 0.02)


async def test_a_pod_without_a_namespace_is_looked_for_until_it_goes() -> None:
    runtime = Runtime()
    async with watching(runtime) as found:
        found.update(Placed(pod(), 7))
        await until(lambda: len(runtime.asked) > 2)
        assert found.captures.failed == {"shop/web": "not yet"}
        assert found.events() == [], "it may still come"
        assert set(runtime.asked[0][7]) == set(pod().addresses)
        found.update()
        await until(lambda: not found.captures.failed)
        seen = len(runtime.asked)
        await asyncio.sleep(0.1)
        assert len(runtime.asked) == seen


async def test_a_pod_that_stays_refused_gets_one_event() -> None:
    async with watching(Runtime(), patience=0.05) as found:
        found.update(Placed(pod(), 7))
        await until(lambda: bool(found.events()))
        await asyncio.sleep(0.1)
        (event,) = found.events()
        assert event["involvedObject"]["uid"] == "uid-web"
        assert (event["reason"], event["type"]) == ("NotCaptured", "Warning")
        assert "not yet" in event["message"]


async def test_an_event_that_the_api_server_does_not_take_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with watching(Runtime(), patience=0.0) as found:
        found.api.broken = "events are forbidden"
        found.update(Placed(pod(), 7))
        await until(lambda: "events are forbidden" in caplog.text)


async def test_a_namespace_that_cannot_be_entered_is_a_refusal_too() -> None:
    runtime = Runtime()
    runtime.there[7] = Namespace("/run/netns/cni-gone")
    async with watching(runtime) as found:
        found.update(Placed(pod(), 7))
        await until(lambda: "cni-gone" in found.captures.failed.get("shop/web", ""))
        assert (found.captures.serving, found.captures.waiting) == (0, 0)
        assert len(runtime.asked) == 1, "it is known where it is"
        # The same pod in a new sandbox.
        found.update(Placed(pod(), 8))
        await until(lambda: found.captures.failed.get("shop/web") == "not yet")


async def test_a_pod_whose_wishes_cannot_be_read_does_not_hold_up_others() -> None:
    runtime = Runtime()
    runtime.there = {7: Namespace("/run/netns/cni-a"), 8: Namespace("/run/netns/cni-b")}
    async with watching(runtime) as found:
        bad = pod("bad", STOQ_CAPTURE_EXCLUDE_INBOUND_PORTS="none")
        found.update(Placed(bad, 7), Placed(pod("good"), 8))
        await until(lambda: len(found.captures.failed) == 2)
        assert "'none'" in found.captures.failed["shop/bad"]
        assert "cni-b" in found.captures.failed["shop/good"], "it was tried"


async def test_a_pod_of_capture_mode_init_is_none_of_the_agents() -> None:
    runtime = Runtime()
    async with watching(runtime) as found:
        found.update(Placed(pod(STOQ_CAPTURE_MODE="init"), 7))
        await asyncio.sleep(0.1)
        assert runtime.asked == []
        assert found.captures.waiting == 0


async def test_a_kernel_that_does_not_tell_is_the_reason() -> None:
    runtime = Runtime()
    runtime.broken = "no such folder"
    async with watching(runtime) as found:
        found.update(Placed(pod(), 7))
        await until(lambda: "no such folder" in found.captures.failed.get("shop/web", ""))


def test_this_machines_links_and_files_are_asked_for(tmp_path: Any) -> None:
    (tmp_path / "cni-not-one").touch()
    (found,) = namespaces.look(str(tmp_path), {1: ()}).values()
    assert isinstance(found, NotThere)
    assert "lo does not lead" in str(found)
