"""The engine's table from the registry's state."""

import json
from ipaddress import ip_address
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from stoq.registry import (
    Endpoint,
    MeshEntry,
    MirrorRule,
    RegistryState,
    ServiceEntry,
    ServicePort,
    TrustEntry,
    WorkloadEntry,
)
from stoq.rules import PortModes
from stoq_sidecar import kept
from stoq_sidecar.table import Parts, Pod, table
from unit.stoq_sidecar.entries import workload


def service(name: str, vip: str) -> ServiceEntry:
    return ServiceEntry(
        name=name,
        namespace="shop",
        vips=(vip,),
        ports=(ServicePort(5432, 5433),),
        endpoints=(Endpoint("fd00::4"),),
    )


def made(
    workloads: list[WorkloadEntry],
    services: list[ServiceEntry],
    own: WorkloadEntry | None = None,
    node: str = "",
    retired: tuple[WorkloadEntry, ...] = (),
    mirrors: tuple[MirrorRule, ...] = (),
    mirrors_from: tuple[str, ...] | None = None,
    ports: tuple[PortModes, ...] = (),
    **said: Any,
) -> dict[str, object]:
    state = RegistryState(
        epoch="e",
        version=7,
        mesh=MeshEntry(
            trust_domain="td",
            inbound="strict",
            outbound="meshOnly",
            ports=ports,
            exempt_sources=("fd00::1/128",),
            probe_ports=(8080,),
            mirrors=mirrors,
            mirrors_from=mirrors_from,
            own=own,
        ),
        trust=TrustEntry(roots=(b"root",)),
        workloads={entry.uid: entry for entry in workloads},
        services={entry.key: entry for entry in services},
    )
    pod = Pod(
        "web-0",
        "shop",
        (ip_address("fd00::2"), ip_address("10.0.0.2")),
        node,
        probe_sources=(ip_address("fd00::1"), ip_address("10.0.0.1")),
        probe_ports=(8080, 8081),
        **said,
    )
    document: dict[str, object] = json.loads(table(state, pod, retired))
    return document


def services(*arguments: Any, **more: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = made(*arguments, **more)["services"]  # type: ignore[assignment]
    return found


def test_the_document_has_the_engines_shape() -> None:
    assert made([workload("a", "fd00::3")], [service("db", "fd53::10")]) == {
        "version": 7,
        "own": {"name": "web-0", "namespace": "shop", "addresses": ["fd00::2", "10.0.0.2"]},
        "inbound": "strict",
        "outbound": "meshOnly",
        "workloads": [
            {
                "uid": "a",
                "name": "a",
                "namespace": "shop",
                "spiffe_id": "spiffe://td/ns/shop/sa/web",
                "addresses": ["fd00::3"],
                "port": 14008,
            }
        ],
        "services": [
            {
                "name": "db",
                "namespace": "shop",
                "vips": ["fd53::10"],
                "ports": [{"port": 5432, "target": 5433}],
                "endpoints": [{"address": "fd00::4", "weight": 1}],
                "spiffe_ids": [],
            }
        ],
        "exempt_sources": ["fd00::1/128", "10.0.0.1/32"],
        "probe_ports": [8080, 8081],
        "access": [],
        "ipv6_only": False,
    }


def test_a_peer_has_lanes_if_the_registry_says_so_and_it_is_dialled_directly() -> None:
    def lanes(**said: Any) -> object:
        entry = replace(workload("a", "fd00::3"), **said)
        found: list[dict[str, object]] = made([entry], [])["workloads"]  # type: ignore[assignment]
        return found[0].get("lanes")

    assert (lanes(), lanes(lanes=2), lanes(lanes=8)) == (None, 2, 8)
    assert (lanes(lanes=1), lanes(lanes=9)) == (None, None)
    assert lanes(lanes=4, via=(("spiffe://td/ns/mesh/sa/gateway",),)) is None


def test_the_pods_own_word_on_plaintext_wins_over_the_registrys() -> None:
    document = made([], [], inbound="permissive")
    assert (document["inbound"], document["outbound"]) == ("permissive", "meshOnly")
    document = made([], [], outbound="allow")
    assert (document["inbound"], document["outbound"]) == ("strict", "allow")


def test_single_ports_have_the_modes_that_the_registry_says_unless_the_pod_has_a_word() -> None:
    ports = (
        PortModes(port=9090, inbound="permissive"),
        PortModes(port=5432, inbound="permissive", outbound="allow"),
    )
    assert made([], [], ports=ports)["ports"] == [
        {"port": 9090, "inbound": "permissive"},
        {"port": 5432, "inbound": "permissive", "outbound": "allow"},
    ]
    assert made([], [], ports=ports, inbound="strict")["ports"] == [
        {"port": 5432, "outbound": "allow"}
    ]


def test_a_conflict_over_an_address_leaves_the_later_uid_out() -> None:
    found = made([workload("b", "fd00::3", "fd00::5"), workload("a", "fd00::3")], [])
    assert [entry["uid"] for entry in found["workloads"]] == ["a"]  # type: ignore[index,attr-defined]


def test_a_workload_without_addresses_is_left_out() -> None:
    assert made([workload("a")], [])["workloads"] == []


def test_a_virtual_address_names_one_service_and_no_workload() -> None:
    found = made(
        [workload("a", "fd00::3")],
        [service("b", "fd53::1"), service("a", "fd53::1"), service("c", "fd00::3")],
    )
    assert [entry["name"] for entry in found["services"]] == ["a"]  # type: ignore[index,attr-defined]


def test_each_virtual_address_leads_to_the_ports_of_both_protocols() -> None:
    entry = ServiceEntry(
        name="dns",
        namespace="shop",
        vips=("fd53::1", "10.96.0.10"),
        ports=(ServicePort(53, 5353, "udp", "UDP"), ServicePort(53, 5354, "tcp")),
        endpoints=(Endpoint("fd00::4"),),
    )
    (found,) = services([], [entry])
    assert found["vips"] == ["fd53::1", "10.96.0.10"]
    assert found["ports"] == [
        {"port": 53, "target": 5353, "protocol": "udp"},
        {"port": 53, "target": 5354},
    ]


def test_target_ports_of_an_endpoint_are_in_the_order_of_the_ports() -> None:
    entry = ServiceEntry(
        name="dns",
        namespace="shop",
        vips=("fd53::1",),
        ports=(ServicePort(53, 5353, "udp", "UDP"), ServicePort(53, 5354, "tcp")),
        endpoints=(Endpoint("fd00::4", targets=(15353, 15354)),),
    )
    (found,) = services([], [entry])
    assert found["endpoints"] == [{"address": "fd00::4", "weight": 1, "targets": [15353, 15354]}]


def test_a_headless_service_is_no_route() -> None:
    entry = ServiceEntry(name="db", namespace="shop", vips=(), ports=(), endpoints=())
    assert services([], [entry]) == []


def test_endpoints_are_chosen_for_the_place_of_this_pod() -> None:
    near, far = Endpoint("fd00::4", node="n1"), Endpoint("fd00::5", node="n2")
    entry = replace(service("db", "fd53::1"), endpoints=(near, far), local_only=True)
    for own, node in ((replace(workload("me", "fd00::2"), node="n2"), ""), (None, "n2")):
        (found,) = services([], [entry], own=own, node=node)
        assert found["endpoints"] == [{"address": "fd00::5", "weight": 1}]


def test_affinity_chooses_among_those_with_an_identity_of_the_service() -> None:
    peer = workload("b", "fd00::5")
    entry = replace(
        service("db", "fd53::1"),
        endpoints=(Endpoint("fd00::4"), Endpoint("fd00::5"), Endpoint("fd00::6")),
        spiffe_ids=(peer.spiffe_id,),
        affinity=True,
    )
    (found,) = services([peer], [entry])
    assert found["endpoints"] == [{"address": "fd00::5", "weight": 1}]


def test_an_address_that_was_a_pods_a_moment_ago_is_still_its_own() -> None:
    retired = (workload("old@fd00::9", "fd00::9"), workload("old@fd00::4", "fd00::4"))
    document: Any = made([workload("web", "fd00::4")], [service("db", "fd00::9")], retired=retired)
    assert [found["uid"] for found in document["workloads"]] == ["web", "old@fd00::9"]
    assert document["services"] == [], "an address of a pod is no service's"


def test_the_pods_own_address_is_no_former_ones() -> None:
    assert made([], [], retired=(workload("old@fd00::2", "fd00::2"),))["workloads"] == []


def test_a_mirror_names_the_shadow_by_its_address() -> None:
    both = [service("db", "fd53::1"), service("shadow", "fd53::2")]
    rule = MirrorRule("shop/db", "shop/shadow", 100)
    db, shadow = services([], both, mirrors=(rule,))
    assert db["mirrors"] == [{"vip": "fd53::2", "share": 100}]
    assert "mirrors" not in shadow


def test_a_shadow_that_two_ask_for_gets_the_larger_share() -> None:
    both = [service("db", "fd53::1"), service("shadow", "fd53::2")]
    rules = tuple(MirrorRule("shop/db", "shop/shadow", share) for share in (100, 900, 500))
    assert services([], both, mirrors=rules)[0]["mirrors"] == [{"vip": "fd53::2", "share": 900}]


def test_a_mirror_whose_service_or_shadow_has_no_address_here_is_left_out() -> None:
    both = [service("db", "fd53::1"), replace(service("shadow", "fd53::2"), vips=())]
    rules = (
        MirrorRule("shop/db", "shop/shadow", 100),
        MirrorRule("shop/gone", "shop/db", 100),
        MirrorRule("shop/db", "shop/db", 100),
    )
    (db,) = services([], both, mirrors=rules)
    assert "mirrors" not in db


def test_whose_copies_a_shadow_takes_is_said_only_for_a_shadow() -> None:
    assert "mirrors_from" not in made([], [])
    assert made([], [], mirrors_from=())["mirrors_from"] == []
    assert made([], [], mirrors_from=("spiffe://td/ns/a/sa/b",))["mirrors_from"] == [
        "spiffe://td/ns/a/sa/b"
    ]


def test_a_pod_that_is_to_have_no_mirrors_sends_and_takes_no_copies() -> None:
    both = [service("db", "fd53::1"), service("shadow", "fd53::2")]
    rule = MirrorRule("shop/db", "shop/shadow", 100)
    document: Any = made([], both, mirrors=(rule,), mirrors_from=(), copies=False)
    assert all("mirrors" not in found for found in document["services"])
    assert "mirrors_from" not in document


def state_of(
    workloads: list[WorkloadEntry], services: list[ServiceEntry], zone: str
) -> RegistryState:
    return RegistryState(
        epoch="e",
        version=7,
        mesh=MeshEntry(trust_domain="td", own=replace(workload("me", "fd00::2"), zone=zone)),
        trust=TrustEntry(roots=(b"root",)),
        workloads={entry.uid: entry for entry in workloads},
        services={entry.key: entry for entry in services},
    )


def test_a_table_made_of_the_parts_of_the_last_one_is_the_same_as_a_new_one() -> None:
    db = workload("db", "fd00::4")
    other = replace(workload("other", "fd00::5"), spiffe_id="spiffe://td/ns/shop/sa/other")
    named = replace(service("named", "fd00::aa"), spiffe_ids=(db.spiffe_id,))
    near = replace(
        service("near", "fd00::bb"),
        endpoints=(Endpoint("fd00::4", zone="a"), Endpoint("fd00::5", zone="b")),
        prefer="zone",
    )
    moved = replace(db, addresses=("fd00::6",))
    steps = [
        state_of([db, other], [named, near], "a"),
        state_of([db, other], [near], "a"),
        state_of([db, other], [named, near], "b"),
        # The address of an endpoint becomes somebody else's, so that it may serve no more.
        state_of([moved, replace(other, addresses=("fd00::4",))], [named, near], "b"),
        # A workload has the virtual address.
        state_of([db, replace(other, addresses=("fd00::bb",))], [named, near], "b"),
        state_of([replace(db, port=14009), other], [replace(named, vips=("fd00::ac",))], "b"),
    ]
    pod = Pod("web-0", "shop", (ip_address("fd00::2"),))
    parts = Parts()
    again = [table(step, pod, (), parts) for step in steps]
    assert again == [table(step, pod) for step in steps]
    assert len(set(again)) == len(steps)


def test_what_has_not_changed_is_not_encoded_again(monkeypatch: pytest.MonkeyPatch) -> None:
    encoded: list[object] = []

    def encode(value: object) -> bytes:
        encoded.append(value)
        return msgspec.json.encode(value)

    monkeypatch.setattr(kept, "encode", encode)
    pod = Pod("web-0", "shop", (ip_address("fd00::2"),))
    db, one, two = workload("db", "fd00::4"), service("one", "fd00::aa"), service("two", "fd00::bb")
    parts = Parts()
    table(state_of([db], [one, two], "a"), pod, (), parts)
    assert len(encoded) == 3
    table(state_of([db], [one, replace(two, vips=("fd00::bc",))], "a"), pod, (), parts)
    assert len(encoded) == 4
