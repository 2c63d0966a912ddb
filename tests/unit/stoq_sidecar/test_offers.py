"""With whom a sidecar agrees to be joined."""

import pytest

from stoq.engine import ConnectionInfo
from stoq.registry import (
    AccessRule,
    Endpoint,
    MeshEntry,
    RegistryState,
    ServiceEntry,
    ServicePort,
    TrustEntry,
    WorkloadEntry,
)
from stoq_sidecar.offers import Known, admits, offer

WEB, DB = "spiffe://td/ns/shop/sa/web", "spiffe://td/ns/shop/sa/db"


def workload(uid: str, spiffe_id: str, *addresses: str, node: str = "n1") -> WorkloadEntry:
    return WorkloadEntry(
        uid=uid, name=uid, namespace="shop", spiffe_id=spiffe_id, addresses=addresses, node=node
    )


ME = workload("db-0", DB, "fd00::d", "10.0.0.13")
PEER = workload("web-0", WEB, "fd00::a", "10.0.0.10")


def service(address: str, target: int, protocol: str = "TCP") -> ServiceEntry:
    return ServiceEntry(
        name=f"s{target}",
        namespace="shop",
        vips=(),
        ports=(ServicePort(80, target, protocol=protocol),),  # type: ignore[arg-type]
        endpoints=(Endpoint(address),),
    )


def connection(
    remote: str, spiffe_id: str | None = WEB, state: str = "established"
) -> ConnectionInfo:
    # What else there is to say of a connection says nothing here.
    values = dict.fromkeys(ConnectionInfo.__struct_fields__)
    about = {"initiator": "accepted", "state": state, "remote": remote, "spiffe_id": spiffe_id}
    return ConnectionInfo(**{**values, **about})  # type: ignore[arg-type]


def known(
    *services: ServiceEntry,
    others: tuple[WorkloadEntry, ...] = (PEER,),
    access: tuple[AccessRule, ...] = (),
    node_local: str = "splice",
) -> Known:
    mesh = MeshEntry(
        trust_domain="td",
        access=access,
        node_local=node_local,  # type: ignore[arg-type]
        own=ME,
    )
    return Known.of(
        RegistryState(
            epoch="e",
            version=1,
            mesh=mesh,
            trust=TrustEntry(roots=()),
            workloads={entry.uid: entry for entry in (ME, *others)},
            services={entry.key: entry for entry in services},
        )
    )


OWN = list(Known.of(known().state).workloads)[:2]
PORTS = (service("fd00::d", 5432), service("10.0.0.13", 5432), service("fd00::a", 8080))


def test_a_peer_that_is_connected_is_offered_its_ports_and_ours() -> None:
    made = offer(known(*PORTS), OWN, [connection("[fd00::a]:14008")])
    (peer,) = made.peers
    assert made.spiffe_id == DB
    assert (peer.spiffe_id, peer.addresses) == (WEB, ("fd00::a", "10.0.0.10"))
    assert (peer.dials, peer.admits) == ((8080,), (5432,))


def test_an_ipv4_peer_is_known_however_the_engine_writes_it() -> None:
    for remote in ("10.0.0.10:14008", "[::ffff:10.0.0.10]:14008"):
        assert offer(known(*PORTS), OWN, [connection(remote)]).peers


@pytest.mark.parametrize(
    "met",
    [
        [],
        [connection("[fd00::a]:14008", state="handshake")],
        [connection("[fd00::a]:14008", state="closing")],
        [connection("[fd00::a]:14008", None)],
        [connection("[fd00::a]:14008", DB)],
        [connection("[fd00::99]:14008")],
        [connection("[fd00::d]:14008", DB)],
    ],
)
def test_who_has_not_proven_to_be_whom_the_registry_has_there_is_not_offered(
    met: list[ConnectionInfo],
) -> None:
    assert offer(known(*PORTS), OWN, met).peers == ()


def test_without_the_policy_nobody_is_offered() -> None:
    held = known(*PORTS, node_local="encrypted")
    assert not held.wanted
    assert offer(held, OWN, [connection("[fd00::a]:14008")]).peers == ()


def test_pods_of_other_nodes_and_udp_are_not_offered() -> None:
    far = workload("web-0", WEB, "fd00::a", node="n2")
    met = [connection("[fd00::a]:14008")]
    assert offer(known(*PORTS, others=(far,)), OWN, met).peers == ()
    assert offer(known(service("fd00::d", 53, "UDP")), OWN, met).peers == ()
    unknown = workload("web-0", WEB, "fd00::a", node="")
    assert offer(known(*PORTS, others=(unknown,)), OWN, met).peers


def test_a_port_of_its_own_of_an_endpoint_is_the_one_that_counts() -> None:
    named = ServiceEntry(
        name="n",
        namespace="shop",
        vips=(),
        ports=(ServicePort(80, 0, name="a"), ServicePort(81, 0, name="b")),
        endpoints=(Endpoint("fd00::d", targets=(9000, 0)),),
    )
    (peer,) = offer(known(named), OWN, [connection("[fd00::a]:14008")]).peers
    assert peer.admits == (9000,)


def rule(action: str, **fields: object) -> AccessRule:
    return AccessRule(policy="shop/p", action=action, **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("rules", "admitted"),
    [
        ([], True),
        ([rule("deny", spiffe_ids=(WEB,))], False),
        ([rule("deny", spiffe_ids=(DB,))], True),
        ([rule("allow", spiffe_ids=(DB,))], False),
        ([rule("allow", spiffe_ids=(DB,), dry_run=True)], True),
        ([rule("allow", namespaces=("shop",))], True),
        ([rule("allow", service_accounts=("shop/web",), ports=((5000, 5999),))], True),
        ([rule("allow", service_accounts=("shop/web",), ports=((1, 80),))], False),
        ([rule("allow"), rule("deny", namespaces=("shop",))], False),
        ([rule("allow"), rule("deny", namespaces=("shop",), dry_run=True)], True),
    ],
)
def test_access_policies_admit_past_the_sidecar_whom_they_admit_through_it(
    rules: list[AccessRule], admitted: bool
) -> None:
    assert admits(rules, WEB, "td", 5432) is admitted
    held = known(*PORTS, access=tuple(rules))
    (peer,) = offer(held, OWN, [connection("[fd00::a]:14008")]).peers
    assert peer.admits == ((5432,) if admitted else ())


def test_a_namespace_of_another_trust_domain_is_another_one() -> None:
    stranger = "spiffe://other/ns/shop/sa/web"
    assert not admits([rule("allow", namespaces=("shop",))], stranger, "td", 5432)
    assert not admits([], "spiffe://td/gateway", "td", 5432), "it has no namespace"
