"""Lending pods' interfaces: what the agent makes of what the kernel says."""

import fcntl
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from stoq.broker.lending import Lent, NotLent
from stoq_node import lending, trial
from stoq_node._kernel import KernelError

OPENED: Any = SimpleNamespace(ring=2048, chunk=2048, program=3, taken=4, queues=[(5, 6)])


def refusing(interface: str, zero_copy: bool) -> Any:
    raise KernelError(f"{interface}: no AF_XDP: zero copy {zero_copy}")


def test_nothing_is_lent_where_it_is_off() -> None:
    assert lending.lender("off", refusing) is None


def test_the_interface_of_the_default_route_is_lent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lending, "default_interface", lambda *_: "eth7")
    asked = []

    def opener(interface: str, zero_copy: bool) -> Any:
        asked.append((interface, zero_copy))
        return OPENED

    for mode, zero_copy in (("copy", False), ("zero-copy", True)):
        lend = lending.lender(mode, opener)
        assert lend is not None
        assert lend() == Lent("eth7", 2048, 2048, 3, 4, ((5, 6),))
        assert asked.pop() == ("eth7", zero_copy)


def test_a_pod_without_a_default_route_and_a_kernel_that_refuses_say_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lend = lending.lender("zero-copy", refusing)
    assert lend is not None
    monkeypatch.setattr(lending, "default_interface", lambda *_: "")
    with pytest.raises(NotLent, match="no interface has a default route"):
        lend()
    monkeypatch.setattr(lending, "default_interface", lambda *_: "eth0")
    with pytest.raises(NotLent, match="eth0: no AF_XDP: zero copy True"):
        lend()


def test_what_is_not_asked_for_is_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "run_in_new", None)
    assert trial.lacking_af_xdp("off", "/run/netns") is None
    without = trial.lacking_af_xdp("copy", "")
    assert without is not None
    assert "capture.mode=node" in without


def test_what_the_kernel_refuses_is_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def beside(function: Callable[[], object]) -> object:
        return function()

    monkeypatch.setattr(fcntl, "ioctl", lambda *_: 0)
    monkeypatch.setattr(trial, "run_in_new", beside)
    why = trial.lacking_af_xdp("copy", str(tmp_path), refusing)
    assert why == "lo: no AF_XDP: zero copy False"
