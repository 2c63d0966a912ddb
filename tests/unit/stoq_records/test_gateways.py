"""HopGateways, and the hops of service records."""

import pytest

from stoq.constants import STOQ_PORT
from stoq.records.errors import RecordError
from stoq.records.gateway import Forward, GatewayEndpoint
from support.records import gateway, service

WEST = "spiffe://example.org/ns/gateways/sa/west"


def refused(**spec):
    with pytest.raises(RecordError) as caught:
        gateway("west", **spec)
    return str(caught.value)


def hops(*ways):
    spec = {"hops": [{"gateways": list(way)} for way in ways]}
    return service("stock", "fd00::1", **spec).spec.hops


def test_a_gateway_may_have_an_identity_and_nothing_else():
    spec = gateway("west", spiffeId=WEST).spec
    assert (spec.endpoints, spec.networks, spec.forwards) == (None, (), ())


def test_its_addresses_and_networks_become_canonical():
    spec = gateway(
        "west",
        spiffeId=WEST,
        endpoints=[{"address": "FD00:0::7"}, {"address": "fd00::7", "port": 24008}],
        networks=["FD00:2::/48", "10.0.0.1"],
    ).spec
    assert spec.endpoints == (
        GatewayEndpoint("fd00::7", STOQ_PORT),
        GatewayEndpoint("fd00::7", 24008),
    )
    assert spec.networks == ("fd00:2::/48", "10.0.0.1/32")


def test_rules_are_about_everyone_a_trust_domain_or_one():
    spec = gateway(
        "west",
        spiffeId=WEST,
        forwards=[
            {"from": "*", "to": "spiffe://two.example"},
            {"from": WEST, "next": WEST, "to": WEST},
            {"from": WEST, "origin": "spiffe://one.example", "to": "*"},
        ],
    ).spec
    assert spec.forwards == (
        Forward("*", "spiffe://two.example"),
        Forward(WEST, WEST, WEST),
        Forward(WEST, "*", origin="spiffe://one.example"),
    )


@pytest.mark.parametrize(
    "name", ["", "everyone", "spiffe://", "spiffe://two.example/x", "two.example"]
)
@pytest.mark.parametrize("field", ["from", "to", "next", "origin"])
def test_a_rule_about_nobody_is_refused_by_its_field(field, name):
    if not name and field in ("next", "origin"):
        return  # as if it were left out
    text = refused(spiffeId=WEST, forwards=[{"from": "*", "to": "*"} | {field: name}])
    assert f"spec.forwards[0].{field}" in text
    assert repr(name) in text


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"spiffeId": "west"}, "spec.spiffeId"),
        ({"spiffeId": WEST, "networks": ["fd00::1/64"]}, "spec.networks[0]"),
        ({"spiffeId": WEST, "endpoints": [{"address": "::1"}]}, "spec.endpoints[0].address"),
        (
            {"spiffeId": WEST, "endpoints": [{"address": "fd00::7"}] * 2},
            "spec.endpoints[1].address",
        ),
        (
            {"spiffeId": WEST, "endpoints": [{"address": "fd00::7", "port": 0}]},
            "spec.endpoints[0].port",
        ),
        ({"spiffeId": WEST, "forwards": [{"from": "*", "to": "*"}] * 257}, "spec.forwards"),
    ],
)
def test_what_cannot_be_is_refused_by_its_field(spec, field):
    assert field in refused(**spec)


def test_a_gateway_is_of_the_whole_mesh():
    assert "whole mesh" in refused(spiffeId=WEST, namespace="shop")


def test_a_record_names_the_ways_to_its_endpoints():
    first, second = hops(["west", "far.west"], ["east"])
    assert (first.gateways, second.gateways) == (("west", "far.west"), ("east",))
    assert hops() == ()


@pytest.mark.parametrize(
    ("ways", "says"),
    [
        ([[]], "name the gateways"),
        ([["west", "west"]], "comes by it twice"),
        ([["west"], ["west", "east"]], "spec.hops[0] begins with it"),
        ([["West"]], "spec.hops[0].gateways[0]"),
        ([[f"g{number}" for number in range(9)]], "8 at most"),
        ([[f"g{number}"] for number in range(9)], "8 at most"),
    ],
)
def test_ways_that_cannot_be_gone_are_refused(ways, says):
    with pytest.raises(RecordError) as caught:
        hops(*ways)
    assert says in str(caught.value)
