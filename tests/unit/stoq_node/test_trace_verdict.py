"""What is seen on a pod's device is STOQ, allowed by a setting, or a bypass."""

from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest

from stoq.capture.plan import PortRange
from stoq.constants import CONTROL_PORT, METRICS_PORT, SIDECAR_UID, STOQ_PORT
from stoq_node.pods import Pod
from stoq_node.trace.records import TCP, UDP, Event, Flow, Owner
from stoq_node.trace.verdict import judge

HERE, THERE = ip_address("fd00::10"), ip_address("fd00::20")
POD = Pod(
    namespace="shop",
    name="web-0",
    interface="veth0",
    udp=False,
    exclude_outbound_ports=(PortRange(5000, 5999),),
    exclude_inbound_ports=(PortRange(6000, 6000),),
    exclude_outbound_udp_ports=(PortRange(123, 123),),
    exclude_inbound_udp_ports=(PortRange(5060, 5060),),
    exclude_outbound_networks=(ip_network("10.9.0.0/16"),),
    exclude_inbound_networks=(ip_network("10.8.0.0/16"),),
    probe_ports=(PortRange(8086, 8086),),
    nameservers=(ip_address("10.96.0.10"),),
    api_servers=((ip_address("10.96.0.1"), 443),),
)


def opened(
    port: int,
    *,
    protocol: int = TCP,
    uid: int | None = 1000,
    local: int = 40000,
    to: object = THERE,
) -> Event:
    """By the pod, to a port of somebody."""
    flow = Flow(1, protocol, HERE, local, ip_address(str(to)), port)
    return Event(flow, Owner(uid, 7, "app"), opened_here=True)


def came(port: int, *, protocol: int = TCP, source: object = THERE) -> Event:
    """By somebody, to a port of the pod."""
    flow = Flow(1, protocol, HERE, port, ip_address(str(source)), 40000)
    return Event(flow, Owner(), opened_here=False)


@pytest.mark.parametrize(
    ("event", "kind", "why"),
    [
        (opened(80), "bypass", "left past the sidecar"),
        (opened(80, uid=None), "bypass", "left past the sidecar"),
        (opened(80, uid=SIDECAR_UID), "bypass", "the sidecar passed it on in the clear"),
        (opened(5432), "allowed", "exclude_outbound_ports has 5000-5999"),
        (opened(80, to="10.9.1.1"), "allowed", "exclude_outbound_networks has 10.9.0.0/16"),
        (opened(443, to="10.96.0.1"), "allowed", "the API server"),
        (opened(444, to="10.96.0.1"), "bypass", "left past"),
        (opened(53, to="10.96.0.10"), "allowed", "a name server"),
        (opened(53, to="10.96.0.10", protocol=UDP), "allowed", "a name server"),
        (opened(53, protocol=UDP), "bypass", "left past"),
        (opened(5432, protocol=UDP), "allowed", "exclude_outbound_ports has 5000-5999"),
        (opened(123, protocol=UDP), "allowed", "exclude_outbound_udp_ports has 123"),
        (opened(123), "bypass", "left past the sidecar"),
        (opened(9060, protocol=UDP), "bypass", "left past"),
        (came(80), "bypass", "came in the clear"),
        (came(6000), "allowed", "exclude_inbound_ports has 6000"),
        (came(5060, protocol=UDP), "allowed", "exclude_inbound_udp_ports has 5060"),
        (came(5060), "bypass", "came in the clear"),
        (came(80, source="10.8.0.1"), "allowed", "exclude_inbound_networks has 10.8.0.0/16"),
        (came(8086), "allowed", "the node probes"),
        (came(8086, protocol=UDP), "bypass", "came in the clear"),
        (came(METRICS_PORT), "allowed", "the sidecar's own pages"),
    ],
)
def test_plaintext_is_a_bypass_unless_a_setting_allows_it(
    event: Event, kind: str, why: str
) -> None:
    verdict = judge(event, POD)
    assert verdict.kind == kind
    assert why in verdict.why


@pytest.mark.parametrize(
    "event",
    [
        opened(STOQ_PORT, protocol=UDP, uid=SIDECAR_UID),
        opened(STOQ_PORT, protocol=UDP, uid=0, local=STOQ_PORT),
        opened(CONTROL_PORT, protocol=UDP, uid=SIDECAR_UID),
        came(STOQ_PORT, protocol=UDP),
    ],
)
def test_stoq_is_the_mesh(event: Event) -> None:
    assert judge(event, POD).kind == "mesh"


def test_an_application_that_sends_to_the_port_of_stoq_bypasses_the_mesh() -> None:
    verdict = judge(opened(STOQ_PORT, protocol=UDP, uid=1000), POD)
    assert verdict.kind == "bypass"
    assert "not from the sidecar" in verdict.why
    assert judge(opened(STOQ_PORT, protocol=TCP, uid=SIDECAR_UID), POD).kind == "bypass"


def test_udp_is_allowed_while_it_is_not_captured() -> None:
    pod = replace(POD, udp=True)
    assert judge(opened(7777, protocol=UDP), pod).kind == "allowed"
    assert judge(came(7777, protocol=UDP), pod).kind == "allowed"
    assert judge(opened(7777, protocol=TCP), pod).kind == "bypass"


def test_each_direction_is_as_strict_as_the_pod_is_there() -> None:
    assert not judge(opened(80), POD).strict
    assert judge(opened(80), replace(POD, outbound="meshOnly")).strict
    assert not judge(came(80), replace(POD, outbound="meshOnly")).strict
    assert judge(came(80), replace(POD, inbound="strict")).strict
    assert not judge(opened(5432), replace(POD, outbound="meshOnly")).strict
