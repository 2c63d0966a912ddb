"""Statuses, enrolment and the webhook's certificate: the decisions, without a cluster."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from stoq.records.cluster import ClusterService, Namespace
from stoq.records.manifest import decode
from stoq.records.mesh import MeshConfigSpec
from stoq.records.meta import Key, Metadata, Status
from stoq_operator.clusterstore import namespace
from stoq_operator.conditions import Rejected, wanted
from stoq_operator.derive import derive
from stoq_operator.enrolment import (
    default_mesh,
    enrolled,
    event,
    judged_namespaces,
    obstacles,
    trust_maps,
)
from stoq_operator.problem import Problem
from stoq_operator.recordvips import RecordVips
from stoq_operator.webhookpki import LIFE, RENEW_BEFORE, make, usable
from stoq_operator.webhooktls import trusting
from stoq_operator.world import World, world
from support.records import TRUST_DOMAIN, by_key, gateway, mesh, record, service, workload

FIXED = MeshConfigSpec(trust_domain=TRUST_DOMAIN)
NOW = "2026-01-31T12:00:00Z"
LATER = "2026-01-31T13:00:00Z"
VIPS = {"shop/web": "fd53:746f:7100::77"}
WEB = Key("ServiceRecord", "shop", "web")


def known(*records: Any) -> World:
    return world(by_key(*records), FIXED)


def judged(*records: Any, now: str = NOW, rejected: dict[Key, Rejected] | None = None) -> Any:
    found = known(*records)
    return wanted(found, derive(found.records, found.mesh, VIPS), rejected or {}, VIPS, now)


def conditions(manifest: dict[str, Any]) -> dict[str, tuple[str, str]]:
    return {
        item["type"]: (item["status"], item["reason"]) for item in manifest["status"]["conditions"]
    }


def with_status(item: Any, manifest: dict[str, Any]) -> Any:
    return decode(
        {
            "apiVersion": "stoq.dev/v1alpha1",
            "kind": item.KIND,
            "metadata": msgspec.to_builtins(item.metadata),
            "spec": msgspec.to_builtins(item.spec),
            "status": manifest["status"],
        }
    )


def test_a_record_in_force_says_so_once():
    first = judged(service("web", "fd00::1"))[WEB]
    assert first["status"]["vip"] == VIPS["shop/web"]
    assert conditions(first) == {"Accepted": ("True", "Accepted"), "Ready": ("True", "InForce")}
    again = with_status(service("web", "fd00::1"), first)
    assert judged(again, now=LATER) == {}


def test_a_condition_that_changes_has_the_time_of_the_change_and_the_other_keeps_its_own():
    ready = with_status(service("web", "fd00::1"), judged(service("web", "fd00::1"))[WEB])
    empty = msgspec.structs.replace(
        ready, spec=service("web", selector={"matchLabels": {"a": "b"}}).spec
    )
    found = judged(empty, now=LATER)[WEB]
    assert conditions(found)["Ready"] == ("False", "NoEndpoints")
    times = {item["type"]: item["lastTransitionTime"] for item in found["status"]["conditions"]}
    assert times == {"Accepted": NOW, "Ready": LATER}


def test_a_gateway_is_ready_while_one_of_its_pods_is():
    spiffe_id = f"spiffe://{TRUST_DOMAIN}/ns/shop/sa/west"
    key = Key("HopGateway", "", "west")
    found = judged(gateway("west", spiffeId=spiffe_id))[key]
    assert conditions(found) == {
        "Accepted": ("True", "Accepted"),
        "Ready": ("False", "NoEndpoints"),
    }
    assert "namespace" not in found["metadata"]
    found = judged(gateway("west", spiffeId=spiffe_id), workload("west", "fd00::a"))[key]
    assert conditions(found)["Ready"] == ("True", "InForce")


def test_a_problem_that_only_the_operator_sees_is_the_reason():
    found = judged(service("web", serviceRef={"name": "nobody"}))[WEB]
    assert conditions(found)["Ready"] == ("False", "ServiceNotFound")


def test_a_record_for_which_no_address_is_left_says_so():
    key = Key("ServiceRecord", "shop", "db")
    found = judged(service("db", "fd00::1"))[key]
    assert conditions(found)["Ready"] == ("False", "AddressesExhausted")
    assert "vip" not in found["status"]


def test_an_object_that_is_no_record_is_told_why_and_what_was_before_stays():
    rejected = Rejected("spec.ports is []: name at least one port", 4, ())
    found = judged(service("web", "fd00::1"), rejected={WEB: rejected})[WEB]
    assert conditions(found) == {"Accepted": ("False", "Invalid"), "Ready": ("False", "Invalid")}
    assert found["status"]["conditions"][0]["observedGeneration"] == 4


def test_another_trust_domain_needs_a_restart():
    found = judged(mesh(trustDomain="other.org"))
    assert conditions(found[Key("MeshConfig", "", "mesh")])["Ready"][1] == "RestartNeeded"


def test_a_pod_has_no_status_of_ours():
    assert judged(workload("web", "fd00::1")) == {}


def test_addresses_in_force_are_those_written_in_the_records():
    written = with_status(service("web", "fd00::1"), judged(service("web", "fd00::1"))[WEB])
    assert RecordVips().of(known(written, service("db", "fd00::2"))) == VIPS


INJECT = {"stoq.dev/inject": "enabled"}


def test_namespaces_are_enrolled_by_label_or_by_a_meshed_pod():
    found = known(
        Namespace(metadata=Metadata("bank", labels=INJECT)),
        Namespace(metadata=Metadata("kube-system")),
        workload("web", "fd00::1"),
    )
    assert enrolled(found) == ("bank", "shop")
    (first,) = trust_maps(["bank"], "PEM")
    assert first["metadata"]["namespace"] == "bank"
    assert first["data"] == {"bundle.pem": "PEM"}


def test_a_namespace_whose_pod_security_refuses_capture_is_named():
    level = {"pod-security.kubernetes.io/enforce": "restricted"}
    there = known(
        Namespace(metadata=Metadata("bank", labels=INJECT | level)),
        Namespace(metadata=Metadata("shop", labels=INJECT)),
        Namespace(metadata=Metadata("else", labels=level)),
    )
    assert obstacles(there, "node") == {}
    found = obstacles(there)
    assert list(found) == [Key("Namespace", "", "bank")]
    assert found[Key("Namespace", "", "bank")].reason == "PodSecurityRefuses"


def obstructed(*conditions: Any, level: str = "restricted") -> World:
    """A namespace that enforces a level, as it is once it has these conditions of ours."""
    labels = INJECT | {"pod-security.kubernetes.io/enforce": level}
    status = msgspec.convert({"conditions": list(conditions)}, Status)
    return known(Namespace(metadata=Metadata("bank", labels=labels), status=status))


def test_a_namespace_in_which_no_meshed_pod_can_start_has_a_condition_while_that_is_so():
    there = obstructed()
    (first,) = judged_namespaces(there, obstacles(there), NOW)
    assert first["metadata"] == {"name": "bank"}
    (condition,) = first["status"]["conditions"]
    assert (condition["type"], condition["status"]) == ("stoq.dev/PodsAdmitted", "False")
    assert condition["reason"] == "PodSecurityRefuses"
    assert condition["lastTransitionTime"] == NOW
    assert "capture.mode=node" in condition["message"]

    told = obstructed(condition)
    assert judged_namespaces(told, obstacles(told), LATER) == []
    other = obstructed(condition, level="baseline")
    (second,) = judged_namespaces(other, obstacles(other), LATER)
    assert "baseline" in second["status"]["conditions"][0]["message"]
    assert second["status"]["conditions"][0]["lastTransitionTime"] == NOW

    (over,) = judged_namespaces(told, obstacles(told, "node"), LATER)
    assert over["status"] == {}
    fine = obstructed(level="privileged")
    assert judged_namespaces(fine, obstacles(fine), NOW) == []


def test_of_a_namespaces_conditions_only_ours_is_read():
    theirs = {"type": "NamespaceContentRemaining", "status": "True", "reason": "A"}
    ours = theirs | {"type": "stoq.dev/PodsAdmitted", "status": "False"}
    raw = {
        "metadata": {"name": "bank"},
        "status": {"phase": "Active", "conditions": [theirs, ours]},
    }
    assert [one.type for one in namespace(raw).status.conditions] == ["stoq.dev/PodsAdmitted"]
    assert namespace({"metadata": {"name": "bank"}}).status.conditions == ()


@pytest.mark.parametrize("wrong", [{"reason": None}, {"status": "No"}, {"lastTransitionTime": 1}])
def test_a_condition_of_ours_that_somebody_else_has_written_stops_nobody(wrong: dict[str, Any]):
    ours = {"type": "stoq.dev/PodsAdmitted", "status": "False", "reason": "Why"} | wrong
    raw = {"metadata": {"name": "bank"}, "status": {"conditions": [ours]}}
    assert namespace(raw).metadata.name == "bank"
    assert namespace(raw).status.conditions == ()


@pytest.mark.parametrize(
    ("vips", "spec"),
    [
        ((), {"trustDomain": TRUST_DOMAIN}),
        (("fd00::1", "10.0.0.1"), {"trustDomain": TRUST_DOMAIN}),
        (("10.0.0.1",), {"trustDomain": TRUST_DOMAIN, "vipRange": "240.0.0.0/4"}),
    ],
)
def test_the_default_configuration_fits_the_clusters_addresses(vips, spec):
    services = [ClusterService(metadata=Metadata("a", "b"), vips=vips, ports=())]
    found = default_mesh(MeshConfigSpec(trust_domain=TRUST_DOMAIN), services)
    assert found["spec"] == spec
    decode(found)


def test_the_default_configuration_keeps_the_profile_that_the_operator_began_with():
    found = default_mesh(MeshConfigSpec(trust_domain=TRUST_DOMAIN, profile="hybrid-512"), ())
    assert found["spec"] == {"trustDomain": TRUST_DOMAIN, "profile": "hybrid-512"}
    decode(found)


def test_an_event_is_beside_what_it_tells_of():
    found = event(WEB, "u1", "stoq.dev/v1alpha1", Problem("A", "b" * 2000), "web.1", NOW)
    assert found["metadata"]["namespace"] == found["involvedObject"]["namespace"] == "shop"
    assert len(found["message"]) == 1024
    cluster = event(Key("Namespace", "", "bank"), "", "v1", Problem("A", "b"), "bank.1", NOW)
    assert cluster["metadata"]["namespace"] == "default"


NAMES = ("stoq-webhook.stoq-system.svc", "stoq-webhook.stoq-system")
START = datetime(2026, 1, 31, tzinfo=UTC)


def test_a_serving_certificate_is_used_until_its_renewal_is_due():
    files = make(NAMES, START).files
    assert usable(files, NAMES, START)
    assert usable(files, NAMES, START + LIFE - RENEW_BEFORE - timedelta(days=1))
    assert not usable(files, NAMES, START + LIFE - RENEW_BEFORE)


def test_a_certificate_that_does_not_fit_is_made_anew():
    files, other = make(NAMES, START).files, make(NAMES, START).files
    assert not usable(files, (*NAMES, "other"), START)
    assert not usable({}, NAMES, START)
    assert not usable(files | {"tls.crt": b"junk"}, NAMES, START)
    assert not usable(files | {"tls.key": other["tls.key"]}, NAMES, START)
    assert not usable(files | {"ca.crt": other["ca.crt"]}, NAMES, START)


def test_the_patch_touches_nothing_but_the_bundle_of_the_hooks_it_has_seen():
    assert trusting([{"name": "a"}], "Qg==") == [
        {"op": "test", "path": "/webhooks/0/name", "value": "a"},
        {"op": "add", "path": "/webhooks/0/clientConfig/caBundle", "value": "Qg=="},
    ]


def test_a_policy_has_conditions_too():
    found = judged(record("AccessPolicy", "ap", {"action": "allow", "rules": [{}]}))
    assert conditions(found[Key("AccessPolicy", "shop", "ap")])["Ready"] == ("True", "InForce")
