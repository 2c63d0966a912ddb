"""What an enforcer does when the kernel has no room, or a link is gone; the kernel is made up here
(tests/netns has it for real).
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest

from stoq.capture.plan import PortRange
from stoq_node import enforce, links
from stoq_node._kernel import KernelError, NoInterface, Permission
from stoq_node.barred import Barred
from stoq_node.enforce import PROGRAMS, RETRY_SECONDS, Enforcer
from stoq_node.permissions import permissions
from stoq_node.pods import Pod
from stoq_node.shutter import Ajar, How, Shutter

WEB = Pod(namespace="shop", name="web", interface="veth1", inbound="strict", outbound="meshOnly")
DB = replace(WEB, name="db", interface="veth2")
OPEN = replace(WEB, inbound="permissive", outbound="allow")
HOST = replace(WEB, name="host", interface="", obstacle="on its node's network", linkless=True)
EVERYTHING = set(PROGRAMS)


class Kernel:
    """Maps with room for so many pods and permissions, links, and what is pinned on them: all three
    that an enforcer is given.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.interfaces = {"veth1": 1, "veth2": 2}
        self.gone: set[int] = set()
        self.stuck: set[int] = set()
        self.refusing: set[int] = set()
        self.uncounted: set[int] = set()
        self.unreadable = False
        self.shutter = Shutters()
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
        return Enforcer(self, strict, account, self.shutter)  # type: ignore[arg-type]


class Shutters(Shutter):
    """Links that are shut, without a kernel that shuts them."""

    def __init__(self) -> None:
        self.now: dict[int, How] = {}
        self.broken = False
        self.stuck: set[int] = set()

    @property
    def links(self) -> dict[int, How]:
        return dict(self.now)

    def find(self) -> frozenset[int]:
        return frozenset(self.now)

    def shut(self, index: int, name: str) -> How:
        if self.broken:
            raise Ajar("no nft, no link")
        self.now[index] = "rules"
        return "rules"

    def open(self, index: int) -> None:
        if index in self.stuck:
            raise Ajar(f"link {index} stays shut")
        self.now.pop(index, None)

    def keep(self, indexes: Iterable[int]) -> None:
        for index in self.now.keys() - set(indexes):
            del self.now[index]


class Programs:
    """Those of strict mode, or of accounts."""

    def __init__(self, kernel: Kernel, prefix: str) -> None:
        self.kernel = kernel
        self.names = {name for name in PROGRAMS if name.startswith(prefix)}

    def attach(self, index: int) -> bool:
        if index in self.kernel.gone:
            raise NoInterface(f"no network interface has index {index}")
        if index in self.kernel.uncounted and "account_to_pod" in self.names:
            raise KernelError("program account_to_pod: no memory")
        if index in self.kernel.refusing and "strict_to_pod" in self.names:
            raise KernelError("program strict_to_pod: too many programs")
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
        if self.kernel.unreadable:
            raise KernelError("map strict_ports cannot be read")
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


def test_a_pod_that_never_has_a_link_is_refused_and_nothing_waits_for_it(kernel: Kernel) -> None:
    kernel.enforcer().apply([WEB, DB])
    enforcer = kernel.enforcer()
    enforcer.apply([HOST, DB])
    assert enforcer.failed == {"shop/host": "on its node's network"}
    assert enforcer.waiting == ()
    assert list(kernel.pods) == [2], "what a predecessor enforced for nobody's pod is released"
    assert enforcer.settled


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


def test_a_strict_pod_that_takes_no_program_is_shut_until_it_does(kernel: Kernel) -> None:
    kernel.refusing = {1}
    enforcer = kernel.enforcer()
    enforcer.apply([WEB, DB])
    assert kernel.shutter.now == {1: "rules"}
    assert enforcer.shut == {"rules": 1}
    (why,) = enforcer.failed.values()
    assert why == "program strict_to_pod: too many programs; its link is shut"
    kernel.refusing = set()
    kernel.now += RETRY_SECONDS
    enforcer.apply([WEB, DB])
    assert (kernel.shutter.now, enforcer.failed, enforcer.in_force) == ({}, {}, 2)


def test_a_pod_that_is_not_strict_is_not_shut_and_opened_if_it_was_strict(kernel: Kernel) -> None:
    kernel.refusing = {1}
    enforcer = kernel.enforcer()
    enforcer.apply([OPEN])
    assert not kernel.shutter.now
    enforcer.apply([WEB])
    assert kernel.shutter.now == {1: "rules"}
    enforcer.apply([OPEN])
    assert not kernel.shutter.now


@pytest.mark.parametrize("left", ["its pod", "its link"])
def test_a_link_is_not_shut_longer_than_its_strict_pod_is_there(kernel: Kernel, left: str) -> None:
    kernel.refusing = {1}
    enforcer = kernel.enforcer()
    enforcer.apply([WEB])
    assert kernel.shutter.now == {1: "rules"}
    if left == "its pod":
        enforcer.apply([])
    else:
        del kernel.interfaces["veth1"]
        enforcer.apply([WEB])
    assert not kernel.shutter.now


def test_a_successor_opens_what_was_shut_once_it_has_put_strict_mode_on_it(kernel: Kernel) -> None:
    kernel.shutter.now = {1: "rules", 2: "down"}
    kernel.enforcer().apply([WEB])
    assert kernel.on[1] == EVERYTHING
    assert not kernel.shutter.now, "also that of a pod that is no more"


def test_a_pod_that_can_neither_be_enforced_nor_shut_is_named_as_open(kernel: Kernel) -> None:
    kernel.refusing, kernel.shutter.broken = {1}, True
    enforcer = kernel.enforcer()
    enforcer.apply([WEB, DB])
    assert "THE POD IS OPEN" in enforcer.failed["shop/web"]
    assert "no nft, no link" in enforcer.failed["shop/web"]
    assert kernel.on[2] == EVERYTHING, "the next one is enforced all the same"


def test_permissions_that_cannot_be_read_leave_no_pod_open(kernel: Kernel) -> None:
    kernel.unreadable = True
    enforcer = kernel.enforcer()
    enforcer.apply([WEB])
    assert enforcer.failed == {"shop/web": "map strict_ports cannot be read"}
    assert kernel.on[1] == EVERYTHING


def test_while_nothing_can_be_put_in_force_new_strict_pods_are_shut_and_old_ones_left(
    kernel: Kernel,
) -> None:
    enforcer = kernel.enforcer()
    enforcer.apply([WEB])
    enforcer.refuse([WEB, DB], "no bpffs")
    assert kernel.shutter.now == {2: "rules"}
    assert enforcer.failed == {"shop/db": "no bpffs; its link is shut"}
    enforcer.refuse([OPEN, replace(DB, inbound="permissive", outbound="allow")], "no bpffs")
    assert kernel.shutter.now == {2: "rules"}
    enforcer.apply([WEB, DB])
    assert (kernel.shutter.now, enforcer.failed) == ({}, {})


def test_what_a_predecessor_enforces_is_not_shut_while_a_successor_cannot_begin(
    kernel: Kernel,
) -> None:
    kernel.enforcer().apply([WEB])
    kernel.enforcer().refuse([WEB, DB], "no such map")
    assert kernel.shutter.now == {2: "rules"}


def test_a_pod_that_becomes_strict_is_shut_while_a_successor_cannot_begin(kernel: Kernel) -> None:
    kernel.enforcer().apply([OPEN, DB])
    successor = kernel.enforcer()
    successor.refuse([OPEN, DB], "no such map")
    assert (kernel.shutter.now, successor.failed) == ({}, {})
    successor.refuse([WEB, replace(DB, outbound="allow")], "no such map")
    assert kernel.shutter.now == {1: "rules"}, "that of the other is as strict as it was"
    assert successor.failed == {"shop/web": "no such map; its link is shut"}
    successor.apply([WEB, DB])
    assert (kernel.shutter.now, successor.failed) == ({}, {})


def test_a_pod_at_which_a_port_is_closed_is_shut_while_that_cannot_be_put_in_force(
    kernel: Kernel,
) -> None:
    port = (PortRange(9090, 9090),)
    enforcer = kernel.enforcer()
    enforcer.apply([replace(WEB, open_inbound_ports=port), replace(DB, open_outbound_ports=port)])
    enforcer.refuse([replace(WEB, open_inbound_ports=port, open_outbound_ports=port), OPEN], "no")
    assert kernel.shutter.now == {}, "nothing is open that shall not be"
    enforcer.refuse([WEB, replace(DB, outbound="allow")], "no")
    assert kernel.shutter.now == {1: "rules"}


def test_where_the_kernel_refuses_the_programs_new_strict_pods_are_shut(kernel: Kernel) -> None:
    kernel.enforcer().apply([WEB])
    kernel.interfaces["veth3"] = 3
    free = replace(OPEN, name="free", interface="veth3")
    barred = Barred(kernel, "the verifier: no", kernel.shutter)  # type: ignore[arg-type]
    barred.apply([WEB, DB, free])
    assert kernel.shutter.now == {2: "rules"}, "that of a predecessor goes on"
    assert barred.failed == {"shop/db": "the verifier: no; its link is shut"}
    assert barred.shut == {"rules": 1}
    barred.apply([WEB, replace(DB, interface="")])
    assert kernel.shutter.now, "it may be that of the pod whose link is not known"
    barred.apply([WEB, HOST, replace(free, interface="veth2")])
    assert (kernel.shutter.now, barred.failed) == ({}, {})


def test_a_pod_that_cannot_be_shut_either_keeps_no_other_open(kernel: Kernel) -> None:
    kernel.shutter.broken = True
    barred = Barred(kernel, "the verifier: no", kernel.shutter)  # type: ignore[arg-type]
    barred.apply([WEB, DB])
    assert ["THE POD IS OPEN" in why for why in barred.failed.values()] == [True, True]


def test_a_pod_whose_traffic_cannot_be_added_up_is_not_shut_for_it(kernel: Kernel) -> None:
    kernel.uncounted = {1}
    kernel.shutter.now = {1: "rules"}
    enforcer = kernel.enforcer()
    enforcer.apply([WEB])
    assert enforcer.failed == {"shop/web": "program account_to_pod: no memory"}
    assert kernel.on[1] == {"strict_to_pod", "strict_from_pod"}
    assert not kernel.shutter.now, "strict mode is on it"


def test_a_link_that_is_found_shut_when_all_is_in_force_is_opened(kernel: Kernel) -> None:
    enforcer = kernel.enforcer()
    enforcer.apply([WEB, DB])
    kernel.shutter.now = {1: "rules"}
    enforcer.apply([WEB, DB])
    assert (kernel.shutter.now, enforcer.in_force) == ({}, 2)


def test_a_link_that_stays_shut_keeps_no_other_shut(kernel: Kernel) -> None:
    kernel.shutter.now = {1: "rules", 2: "rules"}
    kernel.shutter.stuck = {1}
    barred = Barred(kernel, "the verifier: no", kernel.shutter)  # type: ignore[arg-type]
    with pytest.raises(Ajar, match="link 1"):
        barred.apply([])
    assert kernel.shutter.now == {1: "rules"}


def test_a_pod_that_becomes_strict_is_shut_where_a_predecessor_enforces_less(
    kernel: Kernel,
) -> None:
    kernel.enforcer().apply([OPEN])
    barred = Barred(kernel, "the verifier: no", kernel.shutter)  # type: ignore[arg-type]
    barred.apply([OPEN])
    assert (kernel.shutter.now, barred.failed) == ({}, {})
    barred.apply([WEB])
    assert kernel.shutter.now == {1: "rules"}
    assert barred.failed == {"shop/web": "the verifier: no; its link is shut"}
    barred.apply([OPEN])
    assert (kernel.shutter.now, barred.failed) == ({}, {})


def test_a_pod_that_a_predecessor_holds_more_strictly_than_is_wanted_is_not_shut(
    kernel: Kernel,
) -> None:
    kernel.enforcer().apply([WEB])
    barred = Barred(kernel, "the verifier: no", kernel.shutter)  # type: ignore[arg-type]
    for pod in (WEB, replace(WEB, outbound="allow"), OPEN, WEB):
        barred.apply([pod])
        assert (kernel.shutter.now, barred.failed) == ({}, {})
