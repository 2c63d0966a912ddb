"""What an enforcer does when the kernel has no room, or a link is gone; the kernel is made up here
(tests/netns has it for real).
"""

from dataclasses import replace
from typing import Any

import pytest

from stoq.capture.plan import PortRange
from stoq_node import enforce, links
from stoq_node._kernel import KernelError, NoInterface, Permission
from stoq_node.enforce import PROGRAMS, RETRY_SECONDS, Enforcer
from stoq_node.permissions import permissions
from stoq_node.pods import Pod

WEB = Pod(namespace="shop", name="web", interface="veth1", inbound="strict", outbound="meshOnly")
DB = replace(WEB, name="db", interface="veth2")
OPEN = replace(WEB, inbound="permissive", outbound="allow")
EVERYTHING = set(PROGRAMS)


class Kernel:
    """Maps with room for so many pods and permissions, links, and what is pinned on them: all three
    that an enforcer is given.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.interfaces = {"veth1": 1, "veth2": 2}
        self.gone: set[int] = set()
        self.stuck: set[int] = set()
        self.room_for_pods = self.room = 1_000
        self.pods: dict[int, dict[str, Any]] = {}
        self.permitted: dict[int, set[Permission]] = {}
        self.on: dict[int, set[str]] = {}
        self.swept = 0
        self.now = 0.0
        monkeypatch.setattr(links, "names", lambda: self.interfaces)
        monkeypatch.setattr(enforce, "monotonic", lambda: self.now)

    def programs(self, prefix: str) -> "Programs":
        return Programs(self, prefix)

    def attached(self, program: str) -> list[int]:
        return [index for index, programs in self.on.items() if program in programs]

    def enforcer(self) -> Enforcer:
        strict, account = self.programs("strict"), self.programs("account")
        return Enforcer(self, strict, account)  # type: ignore[arg-type]


class Programs:
    """Those of strict mode, or of accounts."""

    def __init__(self, kernel: Kernel, prefix: str) -> None:
        self.kernel = kernel
        self.names = {name for name in PROGRAMS if name.startswith(prefix)}

    def attach(self, index: int) -> bool:
        if index in self.kernel.gone:
            raise NoInterface(f"no network interface has index {index}")
        there = self.kernel.on.setdefault(index, set())
        new = not there & self.names
        there |= self.names
        return new

    def detach(self, index: int) -> None:
        if index in self.kernel.stuck:
            raise KernelError("is a bpffs mounted there?")
        self.kernel.on.get(index, set()).difference_update(self.names)

    def enrol(self, index: int, **words: object) -> None:
        if index not in self.kernel.pods and len(self.kernel.pods) >= self.kernel.room_for_pods:
            raise KernelError("map strict_pods is full")
        self.kernel.pods[index] = words

    def withdraw(self, index: int) -> None:
        self.kernel.pods.pop(index, None)
        self.kernel.permitted.pop(index, None)

    def enrolled(self) -> list[int]:
        return list(self.kernel.pods)

    def permissions(self, index: int) -> list[Permission]:
        return list(self.kernel.permitted.get(index, ()))

    def permit(self, index: int, permission: Permission) -> None:
        if sum(map(len, self.kernel.permitted.values())) >= self.kernel.room:
            raise KernelError("map strict_ports is full")
        self.kernel.permitted.setdefault(index, set()).add(permission)

    def forbid(self, index: int, permission: Permission) -> None:
        self.kernel.permitted[index].remove(permission)

    def counts(self, _: int) -> None:
        return None

    def read(self) -> list[tuple[int, str, str, str, int, int]]:
        return []

    def sweep(self) -> None:
        self.kernel.swept += 1


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Kernel:
    return Kernel(monkeypatch)


def test_a_strict_pod_that_does_not_fit_is_shut_and_tried_again_after_a_while(
    kernel: Kernel,
) -> None:
    kernel.room_for_pods = 1
    enforcer = kernel.enforcer()
    enforcer.apply([WEB, DB])
    assert enforcer.failed == {"shop/db": "map strict_pods is full"}
    assert kernel.on == {1: EVERYTHING, 2: EVERYTHING}, "a link without an entry is shut"
    assert kernel.swept == 0, "the maps of a predecessor may still be of use"
    kernel.room_for_pods = 2
    enforcer.apply([WEB, DB])
    assert enforcer.failed, "what does not fit takes thousands of calls to find out"
    kernel.now += RETRY_SECONDS
    enforcer.apply([WEB, DB])
    assert (enforcer.failed, enforcer.in_force, enforcer.settled) == ({}, 2, True)


def test_a_pod_that_is_not_strict_keeps_its_connections_when_it_does_not_fit(
    kernel: Kernel,
) -> None:
    kernel.room_for_pods = 0
    enforcer = kernel.enforcer()
    enforcer.apply([OPEN])
    assert enforcer.failed == {"shop/web": "map strict_pods is full"}
    assert not kernel.on


def test_what_is_freed_makes_room_for_what_comes_at_the_same_time(kernel: Kernel) -> None:
    many = replace(WEB, exclude_outbound_ports=(PortRange(1, 600),))
    kernel.room_for_pods = 1
    enforcer = kernel.enforcer()
    enforcer.apply([many])
    fresh = replace(many, name="web-1", interface="veth2")
    enforcer.apply([fresh])
    assert (enforcer.failed, list(kernel.pods)) == ({}, [2])
    assert kernel.permitted == {2: permissions(fresh)}
    assert kernel.on == {1: set(), 2: EVERYTHING}


def test_permissions_that_do_not_fit_take_the_room_of_nobody(kernel: Kernel) -> None:
    kernel.room = 500
    enforcer = kernel.enforcer()
    enforcer.apply([replace(WEB, exclude_outbound_ports=(PortRange(1, 600),)), DB])
    assert enforcer.failed == {"shop/web": "map strict_ports is full"}
    assert kernel.on == {1: EVERYTHING, 2: EVERYTHING}
    assert kernel.permitted == {1: set(), 2: permissions(DB)}


def test_a_pod_that_goes_while_it_is_enrolled_is_forgotten_without_a_word(
    kernel: Kernel, caplog: pytest.LogCaptureFixture
) -> None:
    kernel.gone = {1}
    enforcer = kernel.enforcer()
    enforcer.apply([WEB, DB])
    assert (enforcer.failed, enforcer.in_force) == ({}, 1)
    assert not [record for record in caplog.records if record.levelname == "ERROR"]
    del kernel.interfaces["veth1"]
    enforcer.apply([WEB, DB])
    assert list(kernel.pods) == list(kernel.permitted) == [2]
    assert enforcer.waiting == (WEB,)


def test_a_link_that_cannot_be_released_keeps_no_other_pod_open(kernel: Kernel) -> None:
    enforcer = kernel.enforcer()
    enforcer.apply([WEB])
    kernel.stuck = {1}
    for _ in range(2):
        with pytest.raises(KernelError, match="is a bpffs mounted"):
            enforcer.apply([DB])
    assert kernel.on[2] == EVERYTHING
    assert kernel.pods[2]["outbound"] == "strict"
    kernel.stuck = set()
    enforcer.apply([DB])
    assert kernel.on[1] == set()
    assert list(kernel.pods) == [2]
