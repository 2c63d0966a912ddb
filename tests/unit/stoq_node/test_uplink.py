"""The guard of an uplink: which is loaded, kept and let go; what the kernel says is made up here
(tests/netns has it for real).
"""

from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path

import pytest

from stoq_node import links, uplink
from stoq_node._kernel import KernelError, Pins
from stoq_node.pinned import Folder
from stoq_node.settings import read
from stoq_node.uplink import RETRY_SECONDS, Mode, Uplink

SETTINGS = replace(
    read({}).guard, allow=(ip_network("fd00::/64"),), deny=(ip_network("10.0.0.0/8"),)
)


class Node:
    """Interfaces, and a kernel that takes guards except those in `refused` and modes in `fails`."""

    def __init__(self, folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.interfaces = {"eth0": 2}
        self.now = 1_000.0
        self.refused: set[str] = set()
        self.fails: set[str] = set()
        self.loads: list[str] = []
        self.held: list[str] = []
        monkeypatch.setattr(links, "names", lambda: self.interfaces)
        monkeypatch.setattr(uplink, "monotonic", lambda: self.now)

    def guarded(self, *modes: Mode) -> Uplink:
        return Uplink(self.folder, "eth0", modes, SETTINGS, self.load)  # type: ignore[arg-type]

    def load(self, program: str, _: Pins) -> "Guard":
        self.loads.append(program)
        if program in self.refused:
            raise KernelError(f"the kernel refuses program {program}")
        return Guard(self, program)

    def path(self, kind: str) -> Path:
        return Path(self.folder.path) / kind

    def pinned(self, kind: str) -> list[str]:
        return sorted(path.name for path in self.path(kind).iterdir())


class Guard:
    """One that is loaded; its maps are pinned meanwhile, and its links."""

    def __init__(self, node: Node, program: str) -> None:
        self.node, self.program = node, program
        self.limits: object = None
        self.lists: dict[str, str] = {"192.0.2.0/24": "of a predecessor"}
        node.held.append(program)
        (node.path("maps") / f"{program}-01").mkdir(exist_ok=True)

    def __del__(self) -> None:
        self.node.held.remove(self.program)

    def configure(self, **limits: object) -> None:
        self.limits = limits

    def allow(self, network: str) -> None:
        self.lists[network] = "allowed"

    def deny(self, network: str) -> None:
        self.lists[network] = "denied"

    def listed(self) -> list[str]:
        return list(self.lists)

    def unlist(self, network: str) -> None:
        del self.lists[network]

    def attach(self, index: int, mode: str) -> bool:
        assert self.limits
        assert self.lists == {"fd00::/64": "allowed", "10.0.0.0/8": "denied"}
        if mode in self.node.fails:
            raise KernelError("not supported")
        (self.node.path("links") / f"{self.program}@{index}").touch()
        return True

    def sweep(self) -> None:
        pass

    def counts(self) -> list[tuple[str, int, int]]:
        return [("stoq", 3, 300)]


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Node]:
    folder = Folder(str(tmp_path / "stoq"))
    yield Node(folder, monkeypatch)
    folder.close()


def test_only_the_guard_that_runs_is_loaded_and_has_maps(node: Node) -> None:
    guarded = node.guarded("native", "tc")
    for _ in range(3):
        guarded.apply()
    assert guarded.mode == "native"
    assert node.loads == node.held == ["xdp_guard"]
    assert node.pinned("maps") == ["xdp_guard-01"]
    assert guarded.counts() == [("stoq", 3, 300)]


def test_a_driver_that_refuses_has_the_next_guard_and_the_first_is_let_go(node: Node) -> None:
    node.fails = {"native"}
    guarded = node.guarded("native", "tc")
    guarded.apply()
    assert (guarded.mode, guarded.problem) == ("tc", "")
    assert node.held == ["tc_guard"]
    assert node.pinned("maps") == ["tc_guard-01"]
    assert node.pinned("links") == ["tc_guard@2"]


def test_what_a_predecessor_left_goes_when_another_takes_its_place(node: Node) -> None:
    for program in ("xdp_guard", "tc_guard"):
        (node.path("maps") / f"{program}-00").mkdir()
        (node.path("links") / f"{program}@2").touch()
    node.refused = {"tc_guard"}
    guarded = node.guarded("tc")
    guarded.apply()
    assert "the kernel refuses program tc_guard" in guarded.problem
    assert node.pinned("links") == ["tc_guard@2", "xdp_guard@2"], "better than none"
    assert len(node.pinned("maps")) == 2
    node.refused, node.now = set(), node.now + RETRY_SECONDS
    guarded.apply()
    assert (guarded.mode, guarded.problem) == ("tc", "")
    assert node.pinned("links") == ["tc_guard@2"]
    assert "xdp_guard-00" not in node.pinned("maps")


def test_where_it_is_off_nothing_is_loaded_and_nothing_stays(node: Node) -> None:
    (node.path("maps") / "tc_guard-00").mkdir()
    (node.path("links") / "tc_guard@2").touch()
    guarded = node.guarded()
    guarded.apply()
    assert (guarded.mode, guarded.problem, guarded.counts()) == ("off", "", [])
    assert not node.loads
    assert not node.pinned("links") + node.pinned("maps")


def test_an_interface_that_takes_none_is_tried_again_after_a_while_and_a_new_one_at_once(
    node: Node, caplog: pytest.LogCaptureFixture
) -> None:
    node.fails = {"native", "tc"}
    guarded = node.guarded("native", "tc")
    for _ in range(3):
        guarded.apply()
    assert guarded.problem == "native: not supported; tc: not supported"
    assert node.loads == ["xdp_guard", "tc_guard"]
    assert not node.held + node.pinned("maps")
    node.now += RETRY_SECONDS
    guarded.apply()
    assert len(node.loads) == 4
    assert len(caplog.records) == 1, "said once"
    node.fails, node.interfaces = {"native"}, {"eth0": 3}
    guarded.apply()
    assert guarded.mode == "tc"
    assert node.pinned("links") == ["tc_guard@3"]


def test_an_interface_that_goes_takes_its_guard_along_until_it_is_back(node: Node) -> None:
    guarded = node.guarded("tc")
    guarded.apply()
    node.interfaces = {}
    guarded.apply()
    assert (guarded.mode, guarded.problem) == ("off", "there is no interface eth0")
    assert not node.held + node.pinned("links") + node.pinned("maps")
    node.interfaces = {"eth0": 9}
    guarded.apply()
    assert (guarded.mode, guarded.problem) == ("tc", "")
    assert node.pinned("links") == ["tc_guard@9"]


def test_it_moves_with_its_folder(node: Node, tmp_path: Path) -> None:
    guarded = node.guarded("tc")
    guarded.apply()
    node.folder = Folder(str(tmp_path / "fresh"))
    guarded.move(node.folder)
    assert not node.held
    guarded.apply()
    assert (guarded.mode, node.held) == ("tc", ["tc_guard"])
    assert node.pinned("links") == ["tc_guard@2"]
    node.folder.close()
