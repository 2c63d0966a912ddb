"""Alarms about plaintext past sidecars: who is asked, when one is raised, where it is told."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace
from http import HTTPStatus
from ipaddress import ip_address
from typing import Any

import pytest

from stoq.capture.plan import Address
from stoq.http import HttpServer, Request, Response
from stoq.plaintext import PATH, Figures, encode
from stoq_node import sidecars
from stoq_node._kernel import KernelError
from stoq_node.bypass import CLEAR_SECONDS, Bypasses
from stoq_node.ledger import Mute
from stoq_node.notices import BYPASSED, Notices
from stoq_node.pods import Pod
from stoq_node.tally import Tally
from support.patience import until
from unit.stoq_node.cluster import ApiServer

WEB = Pod(
    namespace="shop", name="web", interface="veth1", uid="u1", addresses=(ip_address("fd00::3"),)
)
NODE = ip_address("fd00::1")


class Kernel:
    """What an enforcer reads: TCP and UDP to these peers out of its pods."""

    def __init__(self) -> None:
        self.tally = Tally()
        self.pods: tuple[Pod, ...] = (WEB,)
        self.sent: dict[str, int] = {}
        self.datagrams: dict[str, int] = {}
        self.broken = ""

    def read(self) -> None:
        if self.broken:
            raise KernelError(self.broken)
        links = dict(enumerate(self.pods))
        for kind, sent in (("tcp", self.sent), ("udp", self.datagrams)):
            entries = [(0, to, "from_pod", kind, size, size) for to, size in sent.items()]
            self.tally.accounts(links, entries)


class Node:
    """A node whose sidecars say what a test has them say."""

    def __init__(self) -> None:
        self.kernel, self.api = Kernel(), ApiServer()
        self.said: Figures | Mute = figures()
        self.asked: list[tuple[Address, ...]] = []
        notices = Notices(self.api, BYPASSED)
        self.bypasses = Bypasses(self.kernel, 10.0, notices, self.ask, lambda: [NODE])  # type: ignore[arg-type]
        self.now = 0.0

    async def ask(self, addresses: Iterable[Address]) -> Figures | Mute:
        self.asked.append(tuple(addresses))
        return self.said

    async def looks(self, count: int = 2, seconds: float = 10.0) -> None:
        for _ in range(count):
            self.now += seconds
            await self.bypasses.look(self.now)

    def events(self) -> list[Any]:
        return [body for _, path, body in self.api.requests if path.endswith("/events")]


def figures(sent: int = 0, instance: str = "a", datagrams: int | None = 0) -> Figures:
    return Figures(
        instance=instance,
        sent_bytes=sent,
        connections=0,
        retransmitted_bytes=0,
        datagram_bytes=datagrams,
    )


async def test_an_alarm_is_raised_once_and_told_to_everybody(
    caplog: pytest.LogCaptureFixture,
) -> None:
    node = Node()
    await node.looks()
    assert node.asked == [WEB.addresses] * 2
    assert (node.bypasses.bytes, node.bypasses.alarms) == ({("shop", "web", "tcp"): 0}, {})
    for sent in (40, 90):
        node.kernel.sent = {"10.0.0.9": sent, str(NODE): 5_000}
        await node.looks()
    assert node.bypasses.bytes == {("shop", "web", "tcp"): 90}
    assert node.bypasses.states == {"accounted": 0, "bypassed": 1, "unknown": 0}
    assert "stoq-node trace --pod shop/web" in node.bypasses.alarms["shop/web"]
    (event,) = node.events()
    assert (event["reason"], event["type"]) == ("Bypassed", "Warning")
    assert event["involvedObject"]["uid"] == "u1"
    assert "past its sidecar" in event["message"]
    assert "among what went to 10.0.0.9." in event["message"]
    assert node.bypasses.alarms["shop/web"] == event["message"]
    assert [one.levelname for one in caplog.records] == ["ERROR"]


async def test_an_alarm_names_to_whom_plaintext_went_while_bytes_were_missing() -> None:
    node = Node()
    await node.looks()
    node.kernel.sent, node.said = {"10.0.0.8": 500}, figures(500)
    await node.looks()
    node.kernel.sent |= {f"10.0.0.{last}": last for last in range(20, 27)}
    await node.looks()
    most = "10.0.0.26, 10.0.0.25, 10.0.0.24, 10.0.0.23, 10.0.0.22 and 2 more"
    assert f"went to {most}." in node.bypasses.alarms["shop/web"]


async def test_an_alarm_names_to_whom_plaintext_went_while_a_sidecar_was_mute() -> None:
    node = Node()
    await node.looks()
    node.said, node.kernel.sent = Mute("no answer"), {"10.0.0.9": 500}
    await node.looks(3)
    assert not node.bypasses.alarms
    node.said = figures()
    await node.looks()
    assert "among what went to 10.0.0.9." in node.bypasses.alarms["shop/web"]


async def test_an_alarm_is_over_after_a_while_and_may_be_raised_again() -> None:
    node = Node()
    await node.looks()
    node.kernel.sent = {"10.0.0.9": 40}
    await node.looks(4)
    assert node.bypasses.alarms
    await node.looks(1, CLEAR_SECONDS)
    assert not node.bypasses.alarms
    assert node.bypasses.states["accounted"] == 1
    node.kernel.sent = {"10.0.0.9": 41}
    await node.looks(2)
    assert len(node.events()) == 2
    assert node.bypasses.bytes == {("shop", "web", "tcp"): 41}, "a counter never shrinks"


async def test_what_sidecars_sent_and_what_goes_to_the_node_raises_none() -> None:
    node = Node()
    await node.looks()
    node.kernel.sent, node.said = {"10.0.0.9": 7_000, str(NODE): 10_000}, figures(7_000)
    await node.looks(5)
    assert not node.bypasses.alarms
    assert not node.events()


async def test_a_pod_whose_sidecar_is_mute_is_unknown_and_said_so_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    node = Node()
    node.said = Mute("404 to /plaintext: its sidecar is older")
    node.kernel.sent = {"10.0.0.9": 7_000}
    await node.looks(3)
    assert node.bypasses.states == {"accounted": 0, "bypassed": 0, "unknown": 1}
    assert not node.bypasses.bytes, "nothing to go by"
    assert [one.message for one in caplog.records] == [
        "shop/web: what it sends in plaintext is not known: 404 to /plaintext: its sidecar is older"
    ]


async def test_datagrams_past_a_sidecar_that_captures_them_raise_an_alarm_of_their_own() -> None:
    node = Node()
    node.kernel.pods = (replace(WEB, udp=False),)
    await node.looks()
    node.kernel.datagrams, node.said = {"10.0.0.9": 700}, figures(datagrams=700)
    await node.looks(3)
    assert not node.bypasses.alarms
    node.kernel.datagrams |= {"10.0.0.8": 30}
    await node.looks()
    assert node.bypasses.bytes == {("shop", "web", "tcp"): 0, ("shop", "web", "udp"): 30}
    node.kernel.sent = {"10.0.0.7": 4}
    await node.looks()
    first, second = (event["message"] for event in node.events())
    assert first.startswith("UDP leaves the pod in plaintext past its sidecar")
    assert "went to 10.0.0.8." in first
    assert second.startswith("TCP leaves")
    assert second.endswith(first), "both are told while both stand"
    assert node.bypasses.alarms == {"shop/web": second}
    await node.looks(1, CLEAR_SECONDS)
    assert node.bypasses.states == {"accounted": 1, "bypassed": 0, "unknown": 0}


async def test_datagrams_are_not_judged_where_nobody_captures_them() -> None:
    node = Node()
    await node.looks()
    node.kernel.datagrams = {"10.0.0.9": 700}
    await node.looks(3)
    assert not node.bypasses.alarms
    assert node.bypasses.states["accounted"] == 1


async def test_a_sidecar_that_does_not_count_datagrams_is_not_held_to_them(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    node = Node()
    node.kernel.pods = (replace(WEB, udp=False),)
    node.said, node.kernel.datagrams = figures(datagrams=None), {"10.0.0.9": 700}
    await node.looks(3)
    assert not node.bypasses.alarms
    assert node.bypasses.states["unknown"] == 1
    (record,) = caplog.records
    assert "does not count the datagrams" in record.message


async def test_another_pod_of_the_same_name_begins_anew() -> None:
    node = Node()
    await node.looks()
    node.kernel.sent = {"10.0.0.9": 40}
    await node.looks()
    assert node.bypasses.alarms
    node.kernel.pods = (Pod(namespace="shop", name="web", interface="veth2", uid="u2"),)
    await node.looks()
    assert not node.bypasses.alarms
    node.kernel.pods = ()
    await node.looks()
    assert not node.bypasses.bytes
    assert set(node.bypasses.states.values()) == {0}


async def test_a_kernel_that_is_not_read_is_reported_once_and_raises_none(
    caplog: pytest.LogCaptureFixture,
) -> None:
    node = Node()
    await node.looks()
    node.kernel.broken = "account_peers: no such map"
    await node.looks(3)
    assert [one.message for one in caplog.records] == [
        "plaintext past sidecars is not looked for: account_peers: no such map"
    ]
    node.kernel.broken = ""
    node.kernel.sent = {"10.0.0.9": 40}
    await node.looks(3)
    assert node.bypasses.alarms


async def test_it_looks_again_and_again_until_it_is_cancelled() -> None:
    node = Node()
    bypasses = Bypasses(node.kernel, 0.01, None, node.ask, list)  # type: ignore[arg-type]
    running = asyncio.create_task(bypasses.run())
    await until(lambda: len(node.asked) > 2)
    running.cancel()
    await asyncio.wait([running])


@asynccontextmanager
async def answering(response: Response) -> AsyncIterator[int]:
    """A sidecar's pages, on the port that it gives."""

    async def page(_: Request) -> Response:
        return response

    listener = socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True)
    serving = asyncio.create_task(HttpServer("test", {("GET", PATH): page}).serve([listener]))
    try:
        yield listener.getsockname()[1]
    finally:
        serving.cancel()
        await asyncio.wait([serving])


async def test_a_sidecar_is_asked_over_http_at_the_first_address_that_answers() -> None:
    async with answering(Response(encode(figures(7)))) as port:
        assert await sidecars.ask(map(ip_address, ("::1", "127.0.0.1")), port) == figures(7)
        assert await sidecars.ask(map(ip_address, ("127.0.0.2",)), port) == figures(7)


@pytest.mark.parametrize(
    ("response", "why"),
    [
        (Response(b"", HTTPStatus.NOT_FOUND), "404 to /plaintext: its sidecar is older"),
        (Response(b"{}"), "missing required field"),
        (Response(b"x" * 5_000), "more than 4096 bytes"),
        (Response(encode(figures()).replace(b":0", b":-1")), "cannot be read"),
    ],
)
async def test_an_answer_that_is_none_is_named(response: Response, why: str) -> None:
    async with answering(response) as port:
        said = await sidecars.ask([ip_address("::1")], port)
    assert isinstance(said, Mute)
    assert why in said.why
    assert not said.absent


async def test_a_port_that_is_closed_is_told_from_one_that_is_silent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    listener = socket.create_server(("::1", 0), family=socket.AF_INET6)
    port = listener.getsockname()[1]
    monkeypatch.setattr(sidecars, "SECONDS", 0.05)
    silent = await sidecars.ask([ip_address("::1")], port)
    assert silent == Mute(f"no answer from port {port} of ::1 in 0.05 seconds")
    listener.close()
    closed = await sidecars.ask([ip_address("::1")], port)
    assert closed == Mute(f"nobody listens on port {port} of ::1", absent=True)
    assert await sidecars.ask([], port) == Mute("its addresses are not known")
