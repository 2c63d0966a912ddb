"""Lending pods' interfaces: what the agent makes of what the kernel says."""

import fcntl
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from stoq.broker import channel
from stoq.broker.lending import Lent, NotLent
from stoq_node import lending, trial
from stoq_node._kernel import KernelError
from stoq_node.capabilities import Uplink
from stoq_node.measuring import NotMeasured
from stoq_node.speeds import Measured, Speed

OPENED: Any = SimpleNamespace(
    ring=2048, chunk=2048, scattered=False, left="", program=3, taken=4, queues=[(5, 6)]
)


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


def test_frames_of_several_chunks_are_told_of_and_why_there_are_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lending, "default_interface", lambda *_: "eth0")
    for scattered, left, told in (
        (True, "", ""),
        (False, "packets above 3,826 bytes", "eth0: packets above 3,826 bytes"),
    ):
        opened = SimpleNamespace(**vars(OPENED) | {"scattered": scattered, "left": left})
        lend = lending.lender("copy", lambda *_, opened=opened: opened)
        assert lend is not None
        lent = lend()
        assert (lent.scattered, lent.left) == (scattered, told)


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


def test_where_the_agent_chooses_it_lends_what_is_like_what_it_measured(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lending, "default_interface", lambda *_: "eth0")
    asked = []

    def opener(_interface: str, zero_copy: bool) -> Any:
        asked.append(zero_copy)
        return OPENED

    lend = lending.lender("auto", opener)
    assert lend is not None
    monkeypatch.setattr(lending, "described", lambda name: Uplink(name, "veth", ""))
    assert lend().interface == "eth0"
    assert asked == [False], "frames are copied"
    for driver, told in (("mlx5_core", "driven by mlx5_core"), ("", "nothing that says so")):
        other = Uplink("eth0", driver, "")
        monkeypatch.setattr(lending, "described", lambda _, other=other: other)
        with pytest.raises(NotLent, match=f"eth0: no AF_XDP: .*{told}; .* copy or zero-copy"):
            lend()
        explicit = lending.lender("copy", lambda *_: OPENED)
        assert explicit is not None
        assert explicit().interface == "eth0"


def speeds(bulk: float) -> Measured:
    return Measured(sockets=Speed(bulk=1e9, trips=100), af_xdp=Speed(bulk=bulk, trips=100))


def test_the_agent_measures_where_it_is_to_choose_and_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fcntl, "ioctl", lambda *_: 0)
    monkeypatch.setattr(trial, "run_in_new", lambda function: function())
    monkeypatch.setattr(channel, "close", lambda _: None)

    def chosen(bulk: float, mode: str = "auto") -> trial.Choice:
        return trial.choice(mode, str(tmp_path), lambda *_: OPENED, lambda: speeds(bulk))

    faster, slower = chosen(2e9), chosen(0.5e9)
    assert (faster.lacking, slower.measured) == ("", speeds(0.5e9))
    assert faster.chosen.startswith("measured over a veth: 16.00 Gbit/s and 100 requests")
    assert slower.chosen == ""
    assert slower.lacking is not None
    assert slower.lacking.startswith("sockets are the better choice: measured over a veth: 4.00")
    # Who has said what is lent is not asked again.
    assert chosen(0.5e9, "copy") == chosen(0.5e9, "zero-copy") == trial.Choice("")
    assert chosen(2e9, "off") == trial.Choice(None)


def test_what_cannot_be_lent_or_measured_is_left_to_sockets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fcntl, "ioctl", lambda *_: 0)
    monkeypatch.setattr(trial, "run_in_new", lambda function: function())
    monkeypatch.setattr(channel, "close", lambda _: None)

    def failing() -> Measured:
        raise NotMeasured("no figures in 30 s")

    unlike = trial.choice("auto", str(tmp_path), lambda *_: OPENED, failing)
    assert unlike.lacking == "it could not be measured, so sockets are used: no figures in 30 s"
    refused = trial.choice("auto", str(tmp_path), refusing, failing)
    assert refused == trial.Choice("lo: no AF_XDP: zero copy False")
    alone = trial.choice("auto", "", refusing, failing)
    assert "capture.mode=node" in (alone.lacking or "")


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
