"""Objects of the API server as records."""

from typing import Any

from stoq.registry import Endpoint, ServicePort
from stoq_operator.endpointslices import ServiceTable
from stoq_operator.translate.pod import workload
from stoq_operator.translate.service import cluster_service, reduce_slice


def pod(
    spec: dict[str, Any] | None = None,
    status: dict[str, Any] | None = None,
    **metadata: object,
) -> dict[str, Any]:
    return {
        "metadata": {"name": "web-0", "namespace": "shop", "uid": "u1"} | metadata,
        "spec": {
            "serviceAccountName": "web",
            "nodeName": "n0",
            "initContainers": [{"name": "stoq-sidecar"}, {"name": "stoq-init"}],
            "containers": [{"name": "app"}],
        }
        | (spec or {}),
        "status": {
            "phase": "Running",
            "podIP": "fd00::2",
            "podIPs": [{"ip": "fd00::2"}, {"ip": "10.0.0.2"}],
            "conditions": [{"type": "Ready", "status": "True"}],
        }
        | (status or {}),
    }


def test_a_pod_with_our_sidecar_is_a_workload():
    found = workload(pod(labels={"app": "web", "topology.kubernetes.io/zone": "z0"}))
    assert found is not None
    assert found.uid == "u1"
    assert found.spec.addresses == ("fd00::2", "10.0.0.2")
    assert (found.spec.node, found.spec.zone, found.spec.service_account) == ("n0", "z0", "web")
    assert found.spec.ready
    assert not found.spec.terminating
    assert found.metadata.labels["app"] == "web"


def test_a_gateways_pod_is_a_workload_without_a_sidecar():
    found = workload(pod({"initContainers": [], "containers": [{"name": "stoq-gateway"}]}))
    assert found is not None
    assert found.spec.service_account == "web"


def test_pods_that_are_not_meshed_or_have_ended_are_none():
    assert workload(pod({"initContainers": []})) is None
    assert workload(pod({"hostNetwork": True})) is None
    assert workload(pod(status={"phase": "Succeeded"})) is None
    assert workload(pod(status={"phase": "Failed"})) is None


def test_a_pod_without_address_can_already_ask_for_its_identity():
    found = workload(pod(status={"podIP": "", "podIPs": [], "conditions": []}))
    assert found is not None
    assert found.spec.addresses == ()
    assert not found.spec.ready


def test_a_pod_on_its_way_out_is_marked():
    found = workload(pod(deletionTimestamp="2026-01-31T12:00:00Z"))
    assert found is not None
    assert found.spec.terminating


def service(name: str = "web", **spec: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "namespace": "shop", "uid": "s1"},
        "spec": {
            "clusterIPs": ["fd00:ff::7"],
            "ports": [{"name": "http", "port": 80, "targetPort": "http"}],
        }
        | spec,
    }


def slice_of(
    *endpoints: dict[str, Any], name: str = "web-1", port: int = 8080, of: str = "web"
) -> dict[str, Any]:
    return {
        "metadata": {
            "name": name,
            "namespace": "shop",
            "labels": {"kubernetes.io/service-name": of},
        },
        "addressType": "IPv6",
        "ports": [{"name": "http", "port": port, "protocol": "TCP"}],
        "endpoints": list(endpoints),
    }


def end(address: str, **conditions: object) -> dict[str, Any]:
    return {"addresses": [address], "nodeName": "n0", "zone": "z0", "conditions": conditions}


def assembled(raw: dict[str, Any], *slices: dict[str, Any]) -> Any:
    return cluster_service(raw, [found for item in slices if (found := reduce_slice(item))])


def test_a_named_target_port_is_the_number_that_the_slices_say():
    found = assembled(service(), slice_of(end("fd00::1"), end("fd00::2")))
    assert found.vips == ("fd00:ff::7",)
    assert found.ports == (ServicePort(80, 8080, "http"),)
    assert found.endpoints == (
        Endpoint("fd00::1", 1, "n0", "z0"),
        Endpoint("fd00::2", 1, "n0", "z0"),
    )


def test_an_endpoint_with_another_number_for_the_port_keeps_it():
    found = assembled(
        service(),
        slice_of(end("fd00::1"), end("fd00::2")),
        slice_of(end("fd00::3"), name="web-2", port=9090),
    )
    assert found.ports[0].target == 8080
    assert [item.targets for item in found.endpoints] == [(), (), (9090,)]


def test_endpoints_that_do_not_serve_are_left_out_and_leaving_ones_marked():
    found = assembled(
        service(),
        slice_of(
            end("fd00::1", ready=False, serving=False),
            end("fd00::2", ready=False, serving=True, terminating=True),
            end("fd00::3", ready=False),
            end("fd00::4", ready=True),
        ),
    )
    assert [(item.address, item.terminating) for item in found.endpoints] == [
        ("fd00::2", True),
        ("fd00::4", False),
    ]


def test_an_address_in_two_slices_is_one_endpoint():
    found = assembled(
        service(),
        slice_of(end("fd00::1", serving=True, terminating=True)),
        slice_of(end("fd00::1"), name="web-2"),
    )
    assert [(item.address, item.terminating) for item in found.endpoints] == [("fd00::1", False)]


def test_headless_services_and_policies_of_traffic_are_kept():
    found = assembled(
        service(
            clusterIPs=["None"],
            sessionAffinity="ClientIP",
            internalTrafficPolicy="Local",
            trafficDistribution="PreferSameNode",
        )
    )
    assert found.vips == ()
    assert (found.affinity, found.local_only, found.prefer) == (True, True, "node")
    assert assembled(service(trafficDistribution="PreferClose")).prefer == "zone"


def test_ports_without_endpoints_udp_and_sctp():
    ports = [
        {"port": 53, "protocol": "UDP"},
        {"port": 80, "targetPort": 8080},
        {"port": 9, "protocol": "SCTP"},
    ]
    assert assembled(service(ports=ports)).ports == (
        ServicePort(53, 53, "", "UDP"),
        ServicePort(80, 8080),
    )


def test_an_external_name_is_only_a_name():
    assert assembled(service(type="ExternalName")) is None


def test_a_slice_of_no_service_or_of_host_names_is_none():
    assert reduce_slice(slice_of() | {"addressType": "FQDN"}) is None
    assert reduce_slice({"metadata": {"name": "x"}, "addressType": "IPv6"}) is None


def test_services_and_slices_may_come_in_any_order_and_go():
    table = ServiceTable()
    assert table.put_slice(slice_of(end("fd00::1"))) == []
    _, found = table.put_service(service())
    assert found is not None
    assert len(found.endpoints) == 1
    ((_, grown),) = table.put_slice(slice_of(end("fd00::2"), name="web-2"))
    assert grown is not None
    assert len(grown.endpoints) == 2
    ((_, moved),) = table.put_slice(slice_of(end("fd00::2"), name="web-2", of="db"))
    assert moved is not None
    assert len(moved.endpoints) == 1
    ((_, empty),) = table.drop_slice(("shop", "web-1"))
    assert empty is not None
    assert empty.endpoints == ()
    assert table.drop_slice(("shop", "never")) == []
    assert table.drop_service(service())[1] is None


def test_what_a_new_list_lacks_is_gone():
    table = ServiceTable()
    table.put_service(service())
    table.put_service(service("db"))
    table.put_slice(slice_of(end("fd00::1")))
    gone = table.keep_services({("shop", "web")})
    assert [(str(key), record) for key, record in gone] == [("Service shop/db", None)]
    ((_, found),) = table.keep_slices(set())
    assert found is not None
    assert found.endpoints == ()
