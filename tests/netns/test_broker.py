"""The socket broker in a real pod: who may ask, what is passed, what happens in between."""

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable
from functools import partial

import pytest

from lab.plan import Plan as Lab
from lab.plan import Pod as LabPod
from netns.sockets import SIDECAR_UID, connect, in_pod, listen, original_destination
from stoq import constants
from stoq.broker import client
from stoq.broker.protocol import NAME, VERSION, Operation, Request, encode_request
from stoq.broker.server import Broker, Pod
from stoq.broker.sockets import IP_TRANSPARENT
from stoq.capture import nft
from stoq.capture.netns import run_in
from stoq.capture.plan import Plan


@pytest.fixture
def lab(make_pods: "partial[Lab]") -> Lab:
    made: Lab = make_pods("app", "peer")
    return made


async def served(
    lab: Lab,
    body: Callable[[LabPod], Awaitable[None]],
    uid: int = SIDECAR_UID,
    plan: Plan | None = None,
    patience: float = 10.0,
) -> None:
    """Runs `body` while a broker serves the pod `app`."""
    app = lab.pod("app")
    pod = Pod("app", "shop", f"/run/netns/{app.netns}", plan or Plan())
    broker = Broker(pod, "tests", allowed_uid=uid, patience=patience)
    ready = asyncio.Event()
    task = asyncio.create_task(broker.serve(ready))
    try:
        async with asyncio.timeout(20):
            await ready.wait()
        await body(app)
    finally:
        task.cancel()
        await asyncio.wait([task])


async def ask(
    app: LabPod,
    workers: int,
    uid: int = SIDECAR_UID,
    *,
    transparent: bool = False,
    udp: bool = False,
) -> client.Sockets:
    asked = partial(client.sockets, workers, timeout=20.0, transparent=transparent, udp=udp)
    return await asyncio.to_thread(in_pod, app.netns, asked, uid)


async def test_hello_names_the_pod_and_capture_is_in_force(lab: Lab) -> None:
    async def body(app: LabPod) -> None:
        said = await asyncio.to_thread(in_pod, app.netns, client.hello, SIDECAR_UID)
        assert (said.server, said.pod, said.namespace, said.captured) == (
            "tests", "app", "shop", True,
        )  # fmt: skip
        assert run_in(f"/run/netns/{app.netns}", partial(nft.verify, Plan())) == []

    await served(lab, body)


async def test_the_passed_listener_receives_captured_connections(lab: Lab) -> None:
    async def body(app: LabPod) -> None:
        passed = await ask(app, workers=2)
        with socket.socket(fileno=passed.outbound) as listener:
            listener.settimeout(30)
            with connect(app.netns, lab.pod("peer").ipv6, 8080):
                accepted = listener.accept()[0]
                with accepted:
                    assert original_destination(accepted) == (str(lab.pod("peer").ipv6), 8080)
        for descriptor in (passed.inbound, *passed.stoq):
            os.close(descriptor)

    await served(lab, body)


async def test_a_transparent_listener_is_passed_to_who_asks_where_answers_come_back(
    lab: Lab,
) -> None:
    async def body(app: LabPod) -> None:
        without = await ask(app, workers=1)
        assert without.transparent is None
        without.close()
        for _ in range(2):  # a successor gets the same one
            passed = await ask(app, workers=1, transparent=True)
            assert passed.transparent is not None
            with socket.socket(fileno=os.dup(passed.transparent)) as listener:
                assert listener.getsockname()[0] == "127.0.0.1"
                assert listener.getsockopt(socket.IPPROTO_IP, IP_TRANSPARENT) == 1
            passed.close()

    await served(lab, body, plan=Plan(client_address=True))


async def test_no_transparent_listener_is_passed_where_answers_would_not_come_back(
    lab: Lab,
) -> None:
    async def body(app: LabPod) -> None:
        passed = await ask(app, workers=1, transparent=True)
        assert passed.transparent is None
        passed.close()

    await served(lab, body)


async def test_who_injects_datagrams_can_not_leave_the_pod_with_them(lab: Lab) -> None:
    async def body(app: LabPod) -> None:
        passed = await ask(app, workers=2, udp=True)
        assert (len(passed.udp), len(passed.inject), len(passed.emit)) == (2, 2, 2)

        def rebound(descriptor: int) -> None:
            with socket.socket(fileno=os.dup(descriptor)) as raw:
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"")

        def marked(descriptor: int) -> None:
            with socket.socket(fileno=os.dup(descriptor)) as raw:
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, 0)

        for attempt, descriptors in ((rebound, passed.inject), (marked, passed.emit)):
            for descriptor in descriptors:
                trying = partial(attempt, descriptor)
                with pytest.raises(PermissionError):
                    await asyncio.to_thread(in_pod, app.netns, trying, SIDECAR_UID)
        passed.close()

    await served(lab, body, plan=Plan(udp=True))


async def test_one_udp_socket_per_worker_shares_the_stoq_port(lab: Lab) -> None:
    async def body(app: LabPod) -> None:
        passed = await ask(app, workers=3)
        assert len(passed.stoq) == 3
        for descriptor in passed.stoq:
            with socket.socket(fileno=os.dup(descriptor)) as udp:
                assert udp.type == socket.SOCK_DGRAM
                assert udp.getsockname()[1] == constants.STOQ_PORT
                assert udp.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT) == 1
        passed.close()

    await served(lab, body)


async def test_connections_wait_while_a_sidecar_restarts(lab: Lab) -> None:
    async def body(app: LabPod) -> None:
        (await ask(app, workers=1)).close()  # the first sidecar has died
        with connect(app.netns, lab.pod("peer").ipv6, 8080) as waiting:
            successor = await ask(app, workers=2)
            with socket.socket(fileno=successor.outbound) as listener:
                listener.settimeout(30)
                with listener.accept()[0] as accepted:
                    accepted.sendall(b"late, but here")
                    assert waiting.recv(100) == b"late, but here"
            for descriptor in (successor.inbound, *successor.stoq):
                os.close(descriptor)

    await served(lab, body)


async def test_another_user_of_the_pod_is_refused(lab: Lab) -> None:
    async def body(app: LabPod) -> None:
        with pytest.raises(client.BrokerError, match=r"forbidden.*uid 1000 may not ask"):
            await ask(app, workers=1, uid=1000)

    await served(lab, body)


async def test_handover_is_reserved(lab: Lab) -> None:
    async def body(app: LabPod) -> None:
        request = Request(op=Operation.HANDOVER)
        with pytest.raises(client.BrokerError, match=r"unsupported.*reserved"):
            await asyncio.to_thread(
                in_pod, app.netns, partial(client._ask, request, 0, NAME, 20.0), SIDECAR_UID
            )

    await served(lab, body)


async def test_a_silent_asker_holds_up_nobody_for_long(lab: Lab) -> None:
    async def body(app: LabPod) -> None:
        def silent() -> socket.socket:
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            connection.connect(NAME)
            return connection

        with await asyncio.to_thread(in_pod, app.netns, silent, SIDECAR_UID):
            (await ask(app, workers=1)).close()

    await served(lab, body, patience=1.0)


@pytest.mark.parametrize(
    "message", [b"\xff", b"\x80", encode_request(Request(v=VERSION + 1, op=Operation.HELLO))]
)
async def test_garbage_gets_a_reason_and_the_broker_goes_on(lab: Lab, message: bytes) -> None:
    async def body(app: LabPod) -> None:
        def exchange() -> bytes:
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
                connection.settimeout(30)
                connection.connect(NAME)
                connection.send(message)
                return connection.recv(1000)

        answer = await asyncio.to_thread(in_pod, app.netns, exchange, SIDECAR_UID)
        assert b"malformed" in answer or b"version" in answer
        (await ask(app, workers=1)).close()

    await served(lab, body)


async def test_a_port_that_a_container_took_is_named(lab: Lab) -> None:
    async def body(app: LabPod) -> None:
        with (
            listen(app.netns, constants.OUTBOUND_PORT),
            pytest.raises(client.BrokerError, match=r"tcp port 14001.*belongs to STOQ"),
        ):
            await ask(app, workers=1)

    await served(lab, body)


def test_without_a_broker_the_error_says_what_to_look_at(lab: Lab) -> None:
    with pytest.raises(client.BrokerError, match=r"@stoq-broker.*node agent.*CAPTURE_MODE=init"):
        in_pod(lab.pod("app").netns, partial(client.hello, timeout=1.0), SIDECAR_UID)


def test_a_name_taken_by_an_application_is_not_believed(lab: Lab) -> None:
    app = lab.pod("app")

    def squat() -> socket.socket:
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        listener.bind(NAME)
        listener.listen(1)
        return listener

    with (
        in_pod(app.netns, squat),
        pytest.raises(client.BrokerError, match="uid 1000, not 0: a container of this pod"),
    ):
        in_pod(app.netns, client.hello, SIDECAR_UID)


async def test_a_second_broker_for_a_pod_is_refused(lab: Lab) -> None:
    async def body(app: LabPod) -> None:
        second = Broker(Pod("app", "shop", f"/run/netns/{app.netns}"), "tests")
        with pytest.raises(OSError, match=r"cannot bind @stoq-broker.*another broker"):
            await second.serve()

    await served(lab, body)
