"""The IPv6-only switch: IPv4 is refused at once, in both directions."""

from functools import partial

import pytest

from lab.plan import Plan as Lab
from netns.sockets import SIDECAR_UID, Responder, ask, connect
from stoq import constants
from stoq.capture import nft
from stoq.capture.netns import run_in
from stoq.capture.plan import Plan
from support.patience import quickly


@pytest.fixture(scope="module")
def lab(make_pods: "partial[Lab]") -> Lab:
    made: Lab = make_pods("app", "peer")
    run_in(f"/run/netns/{made.pod('app').netns}", partial(nft.apply, Plan(ipv6_only=True)))
    return made


@pytest.mark.parametrize("uid", [1000, SIDECAR_UID])
def test_ipv4_out_of_the_pod_is_refused_with_an_error_at_once(lab: Lab, uid: int) -> None:
    refused = pytest.raises(OSError, match=r"Permission denied|No route|unreachable|refused")
    for attempt in quickly(1):
        with attempt, refused:
            connect(lab.pod("app").netns, lab.pod("peer").ipv4, 80, uid)


def test_ipv4_into_the_pod_is_dropped(lab: Lab) -> None:
    with pytest.raises(TimeoutError):
        connect(lab.pod("peer").netns, lab.pod("app").ipv4, 80, timeout=0.5)


def test_ipv4_on_loopback_and_ipv6_work_as_before(lab: Lab) -> None:
    app, peer = lab.pod("app"), lab.pod("peer")
    with Responder(app.netns, "itself", 8080):
        assert ask(app.netns, "127.0.0.1", 8080).startswith("itself ")
    with Responder(app.netns, "sidecar", constants.OUTBOUND_PORT):
        assert ask(app.netns, peer.ipv6, 80).startswith("sidecar ")
