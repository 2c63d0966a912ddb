"""An interface's AF_XDP sockets, from the broker to the sidecar."""

import asyncio
import fcntl
import os
import socket
import threading
from uuid import uuid4

import pytest

from stoq.broker import channel, server
from stoq.broker.channel import MAX_DESCRIPTORS
from stoq.broker.lending import BURST, Allowance, Lender, Lent, NotLent, sorted_out
from stoq.broker.protocol import (
    MAX_QUEUES,
    MAX_WORKERS,
    AfXdp,
    Operation,
    Request,
    Role,
    decode_reply,
    encode_request,
)
from support.descriptors import opened

LENT = Lent(
    interface="eth0",
    ring=1024,
    chunk=4096,
    program=5,
    taken=6,
    queues=((7, 8), (9, 10)),
    scattered=True,
    left="some are left",
)


def by_role(*passed: tuple[Role, int, int]) -> dict[Role, list[tuple[int, int]]]:
    found: dict[Role, list[tuple[int, int]]] = {role: [] for role in Role}
    for role, number, descriptor in passed:
        found[role].append((number, descriptor))
    return found


def test_what_is_described_is_sorted_out_in_whatever_order_it_comes() -> None:
    told, described = LENT.described()
    passed = [(info.role, info.worker, descriptor) for info, descriptor in described]
    assert sorted_out(told, by_role(*reversed(passed))) == LENT
    assert LENT.descriptors == [5, 6, 7, 8, 9, 10]


def test_nothing_that_was_passed_is_nothing_lent() -> None:
    assert sorted_out(None, by_role()) is None
    assert sorted_out(AfXdp(refused="no driver"), by_role()) is None


@pytest.mark.parametrize("missing", range(6))
def test_what_is_not_whole_is_refused(missing: int) -> None:
    told, described = LENT.described()
    passed = [(info.role, info.worker, descriptor) for info, descriptor in described]
    del passed[missing]
    with pytest.raises(ValueError, match="xsk-program"):
        sorted_out(told, by_role(*passed))
    with pytest.raises(ValueError, match="2 xsk"):
        sorted_out(None, by_role(*((i.role, i.worker, d) for i, d in described)))


def test_all_there_can_be_fits_a_message() -> None:
    most = 2 * MAX_WORKERS + 7 + 2 * MAX_QUEUES + 2
    assert most == MAX_DESCRIPTORS
    assert most <= 253, "SCM_MAX_FD of the kernel"


class Served:
    """A broker of the test's own namespace, asked once."""

    def __init__(self, lender: Lender | None) -> None:
        self._name = f"\0stoq-test-{uuid4()}"
        pod = server.Pod("web-0", "shop", "/proc/self/ns/net")
        self._broker = server.Broker(pod, "test", os.getuid(), name=self._name, lender=lender)

    async def asked(self, request: Request, times: int = 1) -> tuple[AfXdp | None, list[int]]:
        """The last answer, and all descriptors."""
        ready = asyncio.Event()
        serving = asyncio.create_task(self._broker.serve(ready))
        bound = asyncio.create_task(ready.wait())
        await asyncio.wait([serving, bound], return_when="FIRST_COMPLETED")
        try:
            answers = [await asyncio.to_thread(self._ask, request) for _ in range(times)]
            return answers[-1][0], [one for _, passed in answers for one in passed]
        finally:
            serving.cancel()

    async def stopped(self, request: Request, lending: threading.Event) -> None:
        """Asks, and stops the broker when `lending` is set."""
        ready = asyncio.Event()
        serving = asyncio.create_task(self._broker.serve(ready))
        await ready.wait()
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
            connection.connect(self._name)
            channel.send(connection, encode_request(request), [])
            await asyncio.to_thread(lending.wait)
            serving.cancel()
            await asyncio.wait([serving])

    def _ask(self, request: Request) -> tuple[AfXdp | None, list[int]]:
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
            connection.connect(self._name)
            channel.send(connection, encode_request(request), [])
            message, descriptors = channel.receive(connection)
        reply = decode_reply(message)
        roles = [info.role for info in reply.sockets]
        found = [fd for role, fd in zip(roles, descriptors, strict=True) if "xsk" in role]
        channel.close([fd for fd in descriptors if fd not in found])
        return reply.af_xdp, found


NAME = f"stoq-test-{uuid4()}"
"""Of every file that is lent, so that those of other tests of the process are not counted."""

SIZE = 1 << 20


def still_open() -> int:
    return opened(f"/memfd:{NAME} (deleted)")


def one_queue() -> Lent:
    fds = [os.memfd_create(NAME, os.MFD_ALLOW_SEALING) for _ in range(4)]
    os.pwrite(fds[3], b"x" * SIZE, 0)
    # As stoq-bpf seals it (crates/stoq-bpf/src/xsk.rs).
    fcntl.fcntl(fds[3], fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW)
    return Lent("eth0", 2048, 2048, fds[0], fds[1], ((fds[2], fds[3]),))


def refusing() -> Lent:
    raise NotLent("another XDP program has it")


def test_a_broker_passes_what_is_lent_and_keeps_none_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "run_in", lambda _, function: function())
    request = Request(op=Operation.SOCKETS, af_xdp=True)
    told, passed = asyncio.run(Served(one_queue).asked(request))
    assert told == AfXdp(interface="eth0", ring=2048, chunk=2048)
    assert len(passed) == 4
    assert still_open() == 4
    channel.close(passed)
    assert still_open() == 0


def test_what_is_lent_again_takes_the_memory_of_before_from_who_keeps_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(server, "run_in", lambda _, function: function())
    request = Request(op=Operation.SOCKETS, af_xdp=True)
    _, passed = asyncio.run(Served(one_queue).asked(request, times=3))
    memories = passed[3::4]
    assert [os.fstat(memory).st_size for memory in memories] == [SIZE] * 3
    assert [os.fstat(memory).st_blocks * 512 for memory in memories] == [0, 0, SIZE]
    assert still_open() == len(passed)
    channel.close(passed)
    assert still_open() == 0


def test_who_asks_again_and_again_is_lent_nothing_for_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(server, "run_in", lambda _, function: function())
    lent: list[Lent] = []

    def counted() -> Lent:
        lent.append(one_queue())
        return lent[-1]

    request = Request(op=Operation.SOCKETS, af_xdp=True)
    told, passed = asyncio.run(Served(counted).asked(request, times=BURST + 3))
    channel.close(passed)
    assert len(lent) == BURST
    assert told is not None
    assert "lent 4 times lately, and is again in 15 s" in told.refused


def test_what_is_lent_comes_back_one_after_another() -> None:
    now = 100.0
    allowance = Allowance(lambda: now)
    spent = []
    for second in (0, 0, 0, 0, 0, 14.9, 15, 15, 30, 1000, 1000, 1000, 1000, 1000):
        now = 100.0 + second
        try:
            allowance.spend()
        except NotLent:
            spent.append(False)
        else:
            spent.append(True)
    fifth = [True] * 4 + [False]
    assert spent == [*fifth, False, True, False, True, *fifth]


def test_without_room_for_descriptors_nothing_is_lent_and_nothing_stays_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(_: int) -> int:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(server, "run_in", lambda _, function: function())
    monkeypatch.setattr("stoq.broker.lending.os.dup", full)
    request = Request(op=Operation.SOCKETS, af_xdp=True)
    told, passed = asyncio.run(Served(one_queue).asked(request))
    assert told is not None
    assert "Too many open files" in told.refused
    assert (passed, still_open()) == ([], 0)


def test_what_is_opened_when_the_broker_has_ended_is_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(server, "run_in", lambda _, function: function())
    lending, go_on = threading.Event(), threading.Event()

    made: list[Lent] = []

    def late() -> Lent:
        lending.set()
        go_on.wait()
        made.append(one_queue())
        return made[0]

    async def over() -> None:
        await Served(late).stopped(Request(op=Operation.SOCKETS, af_xdp=True), lending)
        go_on.set()
        await asyncio.wait(asyncio.all_tasks() - {asyncio.current_task()})
        await asyncio.sleep(0)
        for descriptor in made[0].descriptors:
            with pytest.raises(OSError, match="Bad file descriptor"):
                os.fstat(descriptor)

    asyncio.run(over())


@pytest.mark.parametrize("lender", [None, refusing])
def test_a_broker_that_lends_nothing_passes_the_rest(
    lender: Lender | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "run_in", lambda _, function: function())
    request = Request(op=Operation.SOCKETS, af_xdp=True)
    told, passed = asyncio.run(Served(lender).asked(request))
    assert told == (None if lender is None else AfXdp(refused="another XDP program has it"))
    assert passed == []


def test_who_does_not_ask_is_lent_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "run_in", lambda _, function: function())
    told, passed = asyncio.run(Served(one_queue).asked(Request(op=Operation.SOCKETS)))
    assert (told, passed) == (None, [])
