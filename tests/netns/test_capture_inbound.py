"""Where plaintext that arrives at a captured pod goes."""

from collections.abc import Iterator
from functools import partial

import pytest

from lab.plan import Plan as Lab
from netns.sockets import Responder, ask, connect
from stoq import constants
from stoq.capture import nft
from stoq.capture.netns import run_in
from stoq.capture.plan import Plan, parse_ports

PORT = 8080


@pytest.fixture(scope="module")
def lab(make_pods: "partial[Lab]") -> Lab:
    made: Lab = make_pods("app", "client")
    plan = Plan(exclude_inbound_ports=parse_ports("22"))
    run_in(f"/run/netns/{made.pod('app').netns}", partial(nft.apply, plan))
    return made


@pytest.fixture
def application(lab: Lab) -> Iterator[Responder]:
    with Responder(lab.pod("app").netns, "application", PORT) as responder:
        yield responder


@pytest.fixture
def sidecar(lab: Lab) -> Iterator[Responder]:
    with Responder(lab.pod("app").netns, "sidecar", constants.INBOUND_PORT) as responder:
        yield responder


@pytest.mark.parametrize("family", ["ipv6", "ipv4"])
def test_plaintext_reaches_the_sidecar_with_its_destination(
    lab: Lab, application: Responder, sidecar: Responder, family: str
) -> None:
    address = getattr(lab.pod("app"), family)
    assert ask(lab.pod("client").netns, address, PORT) == f"sidecar {address} {PORT}"


@pytest.mark.parametrize(
    "port", [constants.OUTBOUND_PORT, constants.INBOUND_PORT, constants.ADMIN_PORT]
)
def test_our_own_ports_dialled_from_outside_end_at_the_inbound_listener(
    lab: Lab, sidecar: Responder, port: int
) -> None:
    # ... which sees what was dialled and refuses it; the outbound listener never sees it.
    with Responder(lab.pod("app").netns, "outbound", constants.OUTBOUND_PORT):
        found = ask(lab.pod("client").netns, lab.pod("app").ipv6, port)
    assert found == f"sidecar {lab.pod('app').ipv6} {port}"


@pytest.mark.parametrize("port", [constants.METRICS_PORT, 22])
def test_metrics_and_excluded_ports_are_reached_directly(
    lab: Lab, sidecar: Responder, port: int
) -> None:
    with Responder(lab.pod("app").netns, "direct", port):
        assert ask(lab.pod("client").netns, lab.pod("app").ipv6, port).startswith("direct ")


@pytest.mark.parametrize("family", ["ipv6", "ipv4"])
def test_a_dead_sidecar_means_refused_though_the_application_listens(
    lab: Lab, application: Responder, family: str
) -> None:
    with pytest.raises(ConnectionRefusedError):
        connect(lab.pod("client").netns, getattr(lab.pod("app"), family), PORT)


def test_the_sidecar_reaches_the_application_at_the_pods_address(
    lab: Lab, application: Responder, sidecar: Responder
) -> None:
    app = lab.pod("app")
    assert ask(app.netns, app.ipv6, PORT, uid=14008).startswith("application ")
