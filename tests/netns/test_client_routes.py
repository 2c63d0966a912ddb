"""The way back of answers to a client's address, in a real namespace: who may make it, who may see
it, and what remains where it cannot be made.
"""

from collections.abc import Callable
from functools import partial
from typing import TypeVar

import pytest

from lab import netns
from lab.plan import Plan as Lab
from lab.plan import Pod as LabPod
from netns.sockets import APPLICATION_UID, SIDECAR_UID, in_pod
from stoq.broker.client import Sockets
from stoq.capture import force, nft, routes
from stoq.capture.nft import CaptureError
from stoq.capture.plan import Plan
from stoq_sidecar import client_address, init
from stoq_sidecar.settings import read

T = TypeVar("T")
KEPT = Plan(client_address=True)
WITHOUT = "the application sees this pod's address instead of the client's"


@pytest.fixture
def pod(make_pods: "partial[Lab]") -> LabPod:
    return make_pods("app").pod("app")


def as_root(pod: LabPod, function: Callable[..., T], *arguments: object) -> T:
    return in_pod(pod.netns, partial(function, *arguments), uid=0)


def shown(
    pod: LabPod, uid: int, mode: str, wanted: str, transparent: int | None
) -> dict[str, bool]:
    """What a sidecar of that user would tell its engine."""
    capture = read("", {"STOQ_CAPTURE_MODE": mode, "STOQ_CAPTURE_CLIENT_ADDRESS": wanted}).capture
    passed = Sockets(1, 2, (3,), transparent) if mode == "node" else None
    return in_pod(pod.netns, partial(client_address.found, capture, passed, ipv6=True), uid)


def test_it_is_applied_verified_and_undone_as_a_whole(pod: LabPod) -> None:
    assert as_root(pod, force.apply, KEPT)
    assert not as_root(pod, force.apply, KEPT)
    assert as_root(pod, force.verify, KEPT) == []
    netns.run_in(pod.netns, ["ip", "-6", "rule", "del", "priority", "14008"])
    netns.run_in(pod.netns, ["ip", "-4", "route", "flush", "table", "14008"])
    assert as_root(pod, force.verify, KEPT) == [
        "no IPv6 rule leads mark 0x36b9 to table 14008",
        "IPv4 table 14008 has no local route for everything",
    ]
    assert as_root(pod, force.apply, KEPT)
    assert as_root(pod, force.undo)
    assert not as_root(pod, force.undo)
    assert len(as_root(pod, routes.verify)) == 4


@pytest.mark.parametrize("family", ["-6", "-4"])
def test_ip_sees_the_rule_and_the_route_as_they_are_meant(pod: LabPod, family: str) -> None:
    as_root(pod, force.apply, KEPT)
    rule = netns.run_in(pod.netns, ["ip", family, "rule", "show", "priority", "14008"])
    assert rule.split() == ["14008:", "from", "all", "fwmark", "0x36b9", "lookup", "14008"]
    route = netns.run_in(pod.netns, ["ip", family, "route", "show", "table", "14008"])
    assert route.startswith("local default dev lo")


def test_who_may_not_change_routes_is_told_so_and_may_read_them(pod: LabPod) -> None:
    with pytest.raises(CaptureError, match="the rule|the route.*CAP_NET_ADMIN"):
        in_pod(pod.netns, routes.add, APPLICATION_UID)
    assert len(in_pod(pod.netns, routes.verify, APPLICATION_UID)) == 4
    as_root(pod, force.apply, KEPT)
    assert in_pod(pod.netns, routes.verify, APPLICATION_UID) == []


def test_a_pod_whose_ipv6_is_switched_off_has_it_for_ipv4(pod: LabPod) -> None:
    netns.run_in(pod.netns, ["sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1"])
    assert as_root(pod, force.settle, KEPT) == force.Settled(KEPT, changed=True)
    assert as_root(pod, force.verify, KEPT) == []


def test_where_it_cannot_be_made_capture_is_in_force_without_it(
    pod: LabPod, capsys: pytest.CaptureFixture[str]
) -> None:
    # Somebody else's route stands where ours would.
    netns.run_in(pod.netns, ["ip", "route", "add", "unreachable", "default", "table", "14008"])
    assert as_root(pod, init.run, [], {"STOQ_CAPTURE_CLIENT_ADDRESS": "on"}) == 1
    assert "the kernel refuses the route of IPv4 table 14008: File exists" in (
        capsys.readouterr().err
    )
    assert as_root(pod, init.run, [], {}) == 0
    assert f"{WITHOUT}: the kernel refuses the route" in capsys.readouterr().err
    assert as_root(pod, init.run, ["--verify"], {}) == 0
    assert f"capture is in force; {WITHOUT}: " in capsys.readouterr().err
    text = as_root(pod, nft.read)
    assert text is not None
    assert "client-address" not in text
    assert not any(shown(pod, SIDECAR_UID, "init", "auto", None).values())
    netns.run_in(pod.netns, ["nft", "delete", "chain", "inet", "stoq", "guard"])
    assert as_root(pod, init.run, ["--verify"], {}) == 1


def test_a_sidecar_shows_what_capture_and_its_sockets_permit(pod: LabPod) -> None:
    neither, both = {"ipv6": False, "ipv4": False}, {"ipv6": True, "ipv4": True}
    for mode in ("init", "node"):
        assert shown(pod, SIDECAR_UID, mode, "on", 4) == neither
    as_root(pod, force.apply, KEPT)
    assert shown(pod, SIDECAR_UID, "node", "auto", 4) == both
    assert shown(pod, SIDECAR_UID, "node", "auto", None) == {"ipv6": True, "ipv4": False}
    assert shown(pod, SIDECAR_UID, "init", "auto", None) == {"ipv6": True, "ipv4": False}
    assert shown(pod, 0, "init", "auto", None) == both
    for mode, wanted in (("init", "off"), ("none", "on")):
        assert shown(pod, 0, mode, wanted, None) == neither
    as_root(pod, force.apply, Plan())
    assert shown(pod, SIDECAR_UID, "node", "auto", 4) == neither
