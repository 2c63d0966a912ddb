"""Who is dialled over gateways, from where a pod stands."""

import json
from ipaddress import ip_address
from typing import Any

from msgspec.structs import replace

from stoq.registry import (
    ForwardRule,
    GatewayEntry,
    GatewayReplica,
    MeshEntry,
    RegistryState,
    TrustEntry,
)
from stoq_sidecar.table import Pod, table
from unit.stoq_sidecar.entries import workload

NEAR = "spiffe://td/ns/gateways/sa/near"
FAR = "spiffe://td/ns/gateways/sa/far"
OTHER = "spiffe://td/ns/gateways/sa/other"

WAYS = ((NEAR, FAR), (OTHER,))
BEHIND = replace(workload("db", "fd00:2::3"), via=WAYS)

GATEWAYS = (
    GatewayEntry(
        spiffe_id=NEAR, replicas=(GatewayReplica("fd00:1::a"), GatewayReplica("fd00:1::b", 24008))
    ),
    GatewayEntry(spiffe_id=FAR, networks=("10.2.0.0/16", "fd00:2::/32")),
    GatewayEntry(
        spiffe_id=OTHER, replicas=(GatewayReplica("fd00:1::a"),), networks=("fd00:2::/32",)
    ),
)


def made(*addresses: str, identity: str = "", **more: Any) -> dict[str, Any]:
    """The table of a pod with these addresses."""
    own = replace(workload("own", *addresses), spiffe_id=identity) if identity else None
    state = RegistryState(
        epoch="e",
        version=1,
        mesh=MeshEntry(trust_domain="td", gateways=GATEWAYS, own=own, **more),
        trust=TrustEntry(roots=(b"root",)),
        workloads={BEHIND.uid: BEHIND},
        services={},
    )
    pod = Pod("web-0", "shop", tuple(map(ip_address, addresses)))
    found: dict[str, Any] = json.loads(table(state, pod))
    return found


def ways(*addresses: str, identity: str = "") -> Any:
    (peer,) = made(*addresses, identity=identity)["workloads"]
    return peer.get("via")


def test_a_workload_behind_gateways_is_dialled_over_them() -> None:
    assert ways("fd00:1::1") == [[NEAR, FAR], [OTHER]]


def test_from_behind_the_same_gateway_it_is_dialled_directly() -> None:
    assert ways("fd00:2::1") is None
    assert ways("fd00:1::1", "10.2.3.4") is None, "any of its addresses will do"


def test_the_last_gateway_dials_it_directly_and_the_one_before_does_not() -> None:
    assert ways("fd00:1::a", identity=FAR) is None
    assert ways("fd00:1::a", identity=NEAR) == [[NEAR, FAR], [OTHER]]


def test_gateways_have_the_engines_shape_and_an_address_is_one_gateways() -> None:
    assert made("fd00:1::1")["gateways"] == [
        {"spiffe_id": NEAR, "address": "fd00:1::a", "port": 14008},
        {"spiffe_id": NEAR, "address": "fd00:1::b", "port": 24008},
    ]


def test_a_gateway_is_told_what_it_forwards() -> None:
    rules = (
        ForwardRule("*", "spiffe://td"),
        ForwardRule(FAR, "*", NEAR),
        ForwardRule(FAR, "*", origin="*"),
    )
    assert made("fd00:1::a", forwards=rules)["forwards"] == [
        {"from": "*", "to": "spiffe://td"},
        {"from": FAR, "to": "*", "next": NEAR},
        {"from": FAR, "to": "*", "origin": "*"},
    ]
    assert "forwards" not in made("fd00:1::1")
