"""A folder of pins is held by one agent, and moved from when its path leads elsewhere."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from stoq_node._kernel import KernelError
from stoq_node.kernel import Kernel
from stoq_node.pinned import AgentError, Folder
from stoq_node.programs import Programs

PINNED = ["account_to_pod@7", "strict_to_pod@7", "xdp_guard@2"]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "stoq"


@pytest.fixture
def folder(place: Path) -> Iterator[Folder]:
    found = Folder(str(place))
    for name in PINNED:
        (place / "links" / name).touch()
    yield found
    found.close()


def pinned(place: Path) -> list[str]:
    return sorted(path.name for path in (place / "links").iterdir())


def replaced(place: Path) -> Path:
    """As if another file system was mounted there; gives where the first one is now."""
    hidden = place.with_name("hidden")
    place.rename(hidden)
    return hidden


def test_a_second_agent_is_refused_until_the_first_lets_go(place: Path, folder: Folder) -> None:
    with pytest.raises(AgentError, match="another agent holds"):
        Folder(str(place))
    folder.close()
    folder.close()
    Folder(str(place)).close()


def test_a_folder_is_hidden_when_its_path_leads_elsewhere_or_nowhere(
    place: Path, folder: Folder
) -> None:
    assert not folder.hidden
    replaced(place)
    assert folder.hidden
    place.mkdir()
    assert folder.hidden


def test_what_is_pinned_in_a_hidden_folder_is_taken_off(place: Path, folder: Folder) -> None:
    hidden = replaced(place)
    folder.unpin("xdp_guard")
    assert pinned(hidden) == PINNED[:2]
    folder.unpin()
    assert pinned(hidden) == []
    (hidden / "links").rmdir()
    folder.unpin()


def test_links_are_taken_off_one_by_one_and_maps_of_one_object_only(
    place: Path, folder: Folder
) -> None:
    (place / "links" / "account_to_pod@77").touch()
    folder.unpin("account_to_pod", 7)
    assert pinned(place) == ["account_to_pod@77", *PINNED[1:]]
    for version in ("tc_guard-01", "tc_guard-02", "xdp_guard-01"):
        (place / "maps" / version).mkdir()
        (place / "maps" / version / "guard_buckets").touch()
    folder.forget("tc_guard")
    assert [path.name for path in (place / "maps").iterdir()] == ["xdp_guard-01"]
    shutil.rmtree(place / "maps")
    folder.forget("xdp_guard")


class Parts:
    """An enforcer and a guard that note what is done with them, and a kernel of both."""

    def __init__(self, folder: Folder) -> None:
        self.done: list[Any] = []
        self.enforcer = SimpleNamespace(
            settled=False,
            fronted={7},
            apply=lambda pods: self.done.append(("pods", pods)),
            refuse=lambda pods, why: self.done.append(("refused", pods, why)),
            move=lambda pins, strict, account: self.done.append(("moved", strict, account)),
        )
        self.uplink = SimpleNamespace(
            apply=lambda: self.done.append("guard"),
            move=lambda fresh: self.done.append(("guard moved", fresh.path)),
        )
        self.splicer = SimpleNamespace(
            lead=lambda links: self.done.append(("lead", set(links))),
            move=lambda pins, splice: self.done.append(("splice moved", splice)),
        )
        self.loaded: Any = Programs("strict", "account", "splice")  # type: ignore[arg-type]
        self.filesystem = "bpf"
        self.kernel = Kernel(
            folder,
            self.enforcer,  # type: ignore[arg-type]
            self.uplink,  # type: ignore[arg-type]
            self.splicer,  # type: ignore[arg-type]
            lambda pins: self.loaded,
            lambda path: self.filesystem,
        )


def test_everything_is_pinned_anew_before_the_old_pins_go(place: Path, folder: Folder) -> None:
    parts = Parts(folder)
    parts.kernel.apply(())
    assert parts.done == [("pods", ()), "guard", ("lead", {7})]
    assert not parts.enforcer.fronted
    hidden = replaced(place)
    parts.done.clear()
    parts.kernel.apply(())
    moved = [("moved", "strict", "account"), ("splice moved", "splice")]
    moved.append(("guard moved", str(place)))
    assert parts.done == [*moved, ("pods", ()), "guard", ("lead", set())]
    assert pinned(hidden) == PINNED[:2], "one program of XDP at a time; the rest stays in force"
    parts.kernel.apply(())
    assert pinned(hidden) == PINNED[:2], "a pod is still missing"
    parts.enforcer.settled = True
    parts.kernel.apply(())
    assert pinned(hidden) == []
    assert parts.done.count(moved[0]) == 1
    with pytest.raises(AgentError):
        Folder(str(place))
    parts.kernel.close()
    Folder(str(place)).close()


def test_without_a_bpffs_what_is_in_force_stays_and_the_way_out_is_named(
    place: Path, folder: Folder
) -> None:
    parts = Parts(folder)
    hidden = replaced(place)
    parts.filesystem = "sysfs"
    for _ in range(2):
        with pytest.raises(KernelError, match="no longer on a bpffs.*mount -t bpf"):
            parts.kernel.apply(())
    assert pinned(hidden) == PINNED
    assert not place.exists()
    assert [done[0] for done in parts.done] == ["refused"] * 2, "new strict pods are shut"
    parts.filesystem = "bpf"
    parts.enforcer.settled = True
    parts.kernel.apply(())
    assert pinned(hidden) == []


@pytest.mark.parametrize(
    "refused",
    [
        Programs(None, None, refused={"tc_strict": "no memory"}),
        Programs("strict", "account", None, {"tc_splice": "no memory"}),  # type: ignore[arg-type]
    ],
)
def test_programs_that_are_refused_there_leave_everything_as_it_is(
    place: Path, folder: Folder, refused: Programs
) -> None:
    parts = Parts(folder)
    hidden = replaced(place)
    good, parts.loaded = parts.loaded, refused
    with pytest.raises(KernelError, match="no memory"):
        parts.kernel.apply(())
    assert [done[0] for done in parts.done] == ["refused"], "nothing has moved"
    assert pinned(hidden) == PINNED
    parts.loaded = good
    parts.kernel.apply(())
    assert ("moved", "strict", "account") in parts.done


def test_what_fails_about_pods_holds_up_no_guard_and_leaves_no_pod_open(folder: Folder) -> None:
    def failing(_: object) -> None:
        raise KernelError("no such map")

    parts = Parts(folder)
    parts.enforcer.apply = failing
    with pytest.raises(KernelError, match="no such map"):
        parts.kernel.apply(())
    assert parts.done == [("refused", (), "no such map"), "guard"]


def test_where_programs_are_refused_nothing_that_is_pinned_is_taken_off(
    place: Path, folder: Folder
) -> None:
    parts = Parts(folder)
    failed: dict[str, str] = {}
    barred: Any = SimpleNamespace(apply=parts.enforcer.apply, failed=failed)
    kernel = Kernel(
        folder,
        None,
        parts.uplink,  # type: ignore[arg-type]
        None,
        lambda _: Programs(None, None),
        lambda _: "bpf",
        barred,
    )
    hidden = replaced(place)
    kernel.apply(())
    assert ("pods", ()) in parts.done
    assert pinned(hidden) == PINNED[:2], "of a predecessor, and all that is in force"
    assert kernel.failed is failed
    kernel.close()
