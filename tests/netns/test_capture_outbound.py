"""Where an application's outbound connections go once capture is in force."""

from collections.abc import Iterator
from functools import partial

import pytest

from lab.plan import Plan as Lab
from netns.sockets import SIDECAR_UID, Responder, ask, connect
from netns.witness import Witness
from stoq import constants
from stoq.capture import nft
from stoq.capture.netns import run_in
from stoq.capture.plan import Plan, parse_networks, parse_ports

PORT = 8080


@pytest.fixture(scope="module")
def lab(make_pods: "partial[Lab]") -> Lab:
    return make_pods("app", "peer", "other")


@pytest.fixture
def capture(lab: Lab) -> Iterator[None]:
    plan = Plan(
        exclude_outbound_ports=parse_ports("8443,9000-9010,9005-9020"),
        exclude_outbound_networks=parse_networks(
            f"{lab.pod('other').ipv6},{lab.pod('other').ipv4}"
        ),
        direct_endpoints=((lab.pod("peer").ipv6, 7070),),
    )
    run_in(f"/run/netns/{lab.pod('app').netns}", partial(nft.apply, plan))
    yield
    run_in(f"/run/netns/{lab.pod('app').netns}", nft.undo)


@pytest.fixture
def sidecar(lab: Lab, capture: None) -> Iterator[Responder]:
    with Responder(lab.pod("app").netns, "sidecar", constants.OUTBOUND_PORT) as responder:
        yield responder


@pytest.mark.parametrize("family", ["ipv6", "ipv4"])
def test_an_application_reaches_the_sidecar_with_its_destination(
    lab: Lab, sidecar: Responder, family: str
) -> None:
    address = getattr(lab.pod("peer"), family)
    assert ask(lab.pod("app").netns, address, PORT) == f"sidecar {address} {PORT}"


def test_an_address_that_nobody_has_is_captured_too(lab: Lab, sidecar: Responder) -> None:
    assert ask(lab.pod("app").netns, "fd53::10", PORT) == f"sidecar fd53::10 {PORT}"


@pytest.mark.parametrize("family", ["ipv6", "ipv4"])
def test_the_sidecar_itself_goes_out_directly(lab: Lab, sidecar: Responder, family: str) -> None:
    address = getattr(lab.pod("peer"), family)
    with Responder(lab.pod("peer").netns, "peer", PORT):
        assert ask(lab.pod("app").netns, address, PORT, SIDECAR_UID).startswith("peer ")


@pytest.mark.parametrize("host", ["::1", "127.0.0.1", "own-ipv6", "own-ipv4"])
def test_loopback_and_own_addresses_stay_direct(lab: Lab, sidecar: Responder, host: str) -> None:
    own = {"own-ipv6": str(lab.pod("app").ipv6), "own-ipv4": str(lab.pod("app").ipv4)}
    with Responder(lab.pod("app").netns, "itself", PORT):
        assert ask(lab.pod("app").netns, own.get(host, host), PORT).startswith("itself ")


@pytest.mark.parametrize("port", [8443, 9000, 9015])
def test_an_excluded_port_goes_out_directly(lab: Lab, sidecar: Responder, port: int) -> None:
    with Responder(lab.pod("peer").netns, "peer", port):
        assert ask(lab.pod("app").netns, lab.pod("peer").ipv6, port).startswith("peer ")


@pytest.mark.parametrize("family", ["ipv6", "ipv4"])
def test_an_excluded_network_is_reached_directly(lab: Lab, sidecar: Responder, family: str) -> None:
    with Responder(lab.pod("other").netns, "other", PORT):
        found = ask(lab.pod("app").netns, getattr(lab.pod("other"), family), PORT)
    assert found.startswith("other ")


def test_a_direct_endpoint_is_direct_on_its_port_only(lab: Lab, sidecar: Responder) -> None:
    peer = lab.pod("peer")
    with Responder(peer.netns, "peer", 7070), Responder(peer.netns, "peer", 7071):
        assert ask(lab.pod("app").netns, peer.ipv6, 7070).startswith("peer ")
        assert ask(lab.pod("app").netns, peer.ipv6, 7071).startswith("sidecar ")


@pytest.mark.parametrize("uid", [1000, SIDECAR_UID])
@pytest.mark.parametrize("host", ["::1", "127.0.0.1"])
def test_the_probe_reaches_the_outbound_listener_for_every_user(
    lab: Lab, sidecar: Responder, host: str, uid: int
) -> None:
    found = ask(lab.pod("app").netns, host, constants.PROBE_PORT, uid)
    assert found == f"sidecar {host} {constants.PROBE_PORT}"


@pytest.mark.parametrize("family", ["ipv6", "ipv4"])
def test_a_dead_sidecar_means_refused_and_no_packet_leaves(
    lab: Lab, capture: None, family: str
) -> None:
    with (
        Responder(lab.pod("peer").netns, "peer", PORT),
        Witness(lab.pod("app").netns) as witness,
    ):
        with pytest.raises(ConnectionRefusedError):
            connect(lab.pod("app").netns, getattr(lab.pod("peer"), family), PORT)
        assert witness.tcp() == []
