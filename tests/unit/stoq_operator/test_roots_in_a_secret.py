"""A whole operator whose roots somebody brings in a Secret, right or wrong, while it runs."""

import asyncio
import base64
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest

from lab.ports import free_port
from stoq.engine import CertificateAuthority
from stoq.pem import certificates, encode
from stoq_operator import oncluster
from stoq_operator.clustersettings import read
from stoq_operator.rootfiles import LIST
from support.pages import page_if_up
from unit.stoq_operator.apiserver import ApiServer

DAY = 86400
PLACE = "/api/v1/namespaces/stoq-system"
SECRET = f"{PLACE}/secrets/stoq-ca"
BUNDLE = f"{PLACE}/configmaps/stoq-trust"
MESH = "/apis/stoq.dev/v1alpha1/meshconfigs/default"

Files = Mapping[str, bytes]


def brought(
    trust_domain: str = "cluster.local", begins: float = -DAY, ends: float = 900 * DAY
) -> dict[str, bytes]:
    """A root that somebody made; when its life begins and ends is in seconds from now."""
    now = int(time.time())
    made = CertificateAuthority.create(trust_domain, now + int(begins), now + int(ends))
    return {"own.key": made.key.to_bytes(), "own.crt": encode(made.root)}


class Operator:
    """One that runs, and the API server that it talks to."""

    def __init__(self, server: ApiServer) -> None:
        self.server = server
        self.stop = asyncio.Event()
        self.port = free_port()
        self.settings = read(
            {
                "STOQ_KUBERNETES_IDENTITY": "first",
                "STOQ_LISTEN_ADDRESS": f"[::1]:{free_port()}",
                "STOQ_LISTEN_METRICS": f"[::1]:{self.port}",
            }
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[asyncio.Task[None]]:
        task = asyncio.create_task(oncluster.serve(self.settings, self.stop))
        try:
            yield task
        finally:
            self.stop.set()
            await task

    def bring(self, files: Files) -> None:
        data = {name: base64.b64encode(content).decode() for name, content in files.items()}
        metadata = {"name": "stoq-ca", "namespace": "stoq-system"}
        self.server.put(SECRET, {"kind": "Secret", "metadata": metadata, "data": data})

    @property
    def secret(self) -> Files:
        data = self.server.objects.get(SECRET, {}).get("data") or {}
        return {name: base64.b64decode(content) for name, content in data.items()}

    @property
    def trusted(self) -> tuple[bytes, ...]:
        """The roots that newcomers are told of."""
        found = self.server.objects.get(BUNDLE)
        return certificates(found["data"]["bundle.pem"]) if found else ()

    @property
    def condition(self) -> tuple[str, str]:
        """`Ready` of the mesh: its reason and message."""
        status = self.server.objects.get(MESH, {}).get("status") or {}
        for found in status.get("conditions") or ():
            if found["type"] == "Ready":
                return found["reason"], found["message"]
        return "", ""

    @property
    def events(self) -> list[dict[str, Any]]:
        """Those about the Secret."""
        found = self.server.of("events")
        return [event for event in found if event["involvedObject"]["kind"] == "Secret"]

    async def page(self, path: str) -> str:
        return await page_if_up(self.port, path)

    async def ready(self) -> bool:
        return (await self.page("/healthz/ready")).startswith("200 ")

    async def refuses(self) -> bool:
        """As its metric says."""
        return "\nstoq_ca_roots_refused 1" in await self.page("/metrics")

    async def not_ready(self) -> str:
        """Why; empty while it is, or is not to be reached."""
        return (await self.page("/healthz/ready")).partition("not ready: ")[2]


async def eventually(ask: Callable[[], Awaitable[object]], beside: asyncio.Task[None]) -> Any:
    """Waits for something true, a minute at most, while the operator runs; returns it."""
    async with asyncio.timeout(60):
        while not (found := await ask()):
            if beside.done():
                beside.result()
            await asyncio.sleep(0.05)
    return found


@pytest.fixture
def operator(monkeypatch: pytest.MonkeyPatch) -> Operator:
    server = ApiServer()
    monkeypatch.setattr(oncluster, "ApiServer", lambda: server)
    return Operator(server)


def other_names() -> Files:
    files = brought()
    return {"ca.pem": files["own.crt"], "ca-key.pem": files["own.key"]}


def anothers_key() -> Files:
    return brought() | {"own.key": brought()["own.key"]}


WRONG: dict[str, tuple[Callable[[], Files], str, str]] = {
    "another trust domain": (
        lambda: brought("example.org"),
        "RootsOfAnotherMesh",
        "root own is of spiffe://example.org, the mesh is spiffe://cluster.local",
    ),
    "other names": (other_names, "RootsUnreadable", "has ca-key.pem, ca.pem and no key"),
    "another key": (anothers_key, "RootsRefused", "the key does not belong to it"),
    "over": (lambda: brought(ends=-60), "RootsExpired", "(notAfter); bring one that has not"),
    "to come": (lambda: brought(begins=DAY), "RootsNotYetValid", "(notBefore); bring one"),
}
"""How to make it wrong; the reason, and what it says."""


@pytest.mark.parametrize("wrong", WRONG)
async def test_roots_that_can_not_be_used_are_told_of_and_mended_while_the_operator_runs(
    operator: Operator, wrong: str
) -> None:
    make, reason, says = WRONG[wrong]
    files = make()
    operator.bring(files)
    async with operator.running() as task:

        async def told() -> bool:
            return operator.condition[0] == reason

        await eventually(told, task)
        text = operator.condition[1]
        assert says in text
        assert "Secret stoq-system/stoq-ca" in text
        assert text.endswith("; nothing is signed")
        assert text in await eventually(operator.not_ready, task)
        assert await operator.refuses()

        async def an_event() -> bool:
            return bool(operator.events)

        await eventually(an_event, task)
        (event,) = operator.events
        assert (event["reason"], event["message"]) == (reason, text)
        uid = operator.server.objects[SECRET]["metadata"]["uid"]
        assert event["involvedObject"]["uid"] == uid
        assert event["metadata"]["namespace"] == "stoq-system"
        assert operator.secret == files
        assert operator.trusted == ()

        mended = brought()
        operator.bring(mended)
        await eventually(operator.ready, task)

        async def in_force() -> bool:
            return operator.condition[0] == "InForce"

        await eventually(in_force, task)
        assert not await operator.refuses()
        assert operator.trusted == certificates(mended["own.crt"].decode())
        assert operator.secret == mended


async def test_roots_in_force_stay_so_when_the_secret_gets_others_that_can_not_be_used(
    operator: Operator,
) -> None:
    good = brought()
    operator.bring(good)
    async with operator.running() as task:
        await eventually(operator.ready, task)
        wrong = brought("example.org")
        operator.bring(wrong)

        async def told() -> bool:
            return operator.condition[0] == "RootsOfAnotherMesh"

        await eventually(told, task)
        assert operator.condition[1].endswith("; the roots before stay in force")
        assert await operator.ready()
        assert operator.secret == wrong
        assert operator.trusted == certificates(good["own.crt"].decode())

        operator.server.delete(SECRET)

        async def written_again() -> bool:
            return operator.condition[0] == "InForce" and "own.key" in operator.secret

        await eventually(written_again, task)
        assert {name: operator.secret[name] for name in good} == good
        assert operator.trusted == certificates(good["own.crt"].decode())


async def test_a_root_in_its_last_year_is_told_of_and_gets_a_successor(operator: Operator) -> None:
    operator.bring(brought(ends=100 * DAY))
    async with operator.running() as task:
        await eventually(operator.ready, task)

        async def told() -> bool:
            return bool(operator.events)

        await eventually(told, task)
        (event,) = operator.events
        assert event["reason"] == "RootEndsSoon"
        assert "root own ends on " in event["message"]

        async def two() -> bool:
            return len(operator.trusted) == 2

        await eventually(two, task)
        assert LIST in operator.secret
        assert not await operator.refuses()


async def test_an_operator_that_waits_for_a_root_ends_when_it_is_told_to(
    operator: Operator,
) -> None:
    operator.bring(brought("example.org"))
    async with operator.running() as task:
        await eventually(operator.not_ready, task)
        operator.stop.set()
        async with asyncio.timeout(60):
            await task
