"""A Service leads to a meshed pod only where slice and pod agree on its address."""

from typing import Any

import pytest

from stoq_operator.endpointslices import Change, ServiceTable

SERVICE = {
    "metadata": {"name": "web", "namespace": "shop"},
    "spec": {"clusterIPs": ["fd00:1::1"], "ports": [{"port": 80, "targetPort": 8080}]},
}


def slice_of(*ends: tuple[str, str], name: str = "web-1") -> dict[str, Any]:
    """Of addresses and the pods that have them."""
    return {
        "metadata": {
            "name": name,
            "namespace": "shop",
            "labels": {"kubernetes.io/service-name": "web"},
        },
        "addressType": "IPv6",
        "ports": [{"name": "", "port": 8080}],
        "endpoints": [
            {"addresses": [address], "targetRef": {"kind": "Pod", "uid": uid}}
            for address, uid in ends
        ],
    }


@pytest.fixture
def table() -> ServiceTable:
    made = ServiceTable()
    made.put_service(SERVICE)
    return made


def ends(*changes: Change) -> list[str]:
    ((_, found),) = changes
    assert found is not None
    return [endpoint.address for endpoint in found.endpoints]


def test_the_slice_may_be_ahead_of_the_pod(table: ServiceTable):
    assert table.put_pod("u1", ()) == []
    assert ends(*table.put_slice(slice_of(("fd00::1", "u1")))) == []
    assert ends(*table.put_pod("u1", ("10.0.0.1", "fd00::1"))) == ["fd00::1"]


def test_a_pod_between_two_sandboxes_is_nowhere(table: ServiceTable):
    table.put_pod("u1", ("fd00::1",))
    table.put_slice(slice_of(("fd00::1", "u1"), ("fd00::2", "outside")))
    assert ends(*table.put_pod("u1", ())) == ["fd00::2"]
    assert ends(*table.put_pod("u1", ("fd00::3",))) == ["fd00::2"]
    assert ends(*table.put_slice(slice_of(("fd00::3", "u1")))) == ["fd00::3"]


def test_a_slice_may_outlive_its_pod(table: ServiceTable):
    table.put_pod("u1", ("fd00::1",))
    table.put_slice(slice_of(("fd00::1", "u1")))
    assert ends(*table.drop_pod("u1")) == []
    assert table.drop_pod("u1") == []
    assert ends(*table.put_slice(slice_of(("fd00::1", "u1"), ("fd00::2", "u2")))) == ["fd00::2"]


def test_a_pod_is_forgotten_with_the_last_slice_that_names_it(table: ServiceTable):
    table.put_pod("u1", ("fd00::1",))
    table.put_slice(slice_of(("fd00::1", "u1")))
    table.put_slice(slice_of(("fd00::1", "u1"), name="web-2"))
    table.drop_pod("u1")
    assert ends(*table.drop_slice(("shop", "web-1"))) == []
    assert ends(*table.put_slice(slice_of(name="web-2"))) == []
    # Nobody knows it any more, as nobody knows a pod without our sidecar.
    assert ends(*table.put_slice(slice_of(("fd00::1", "u1")))) == ["fd00::1"]


def test_a_pod_that_is_back_is_led_to_again(table: ServiceTable):
    table.put_slice(slice_of(("fd00::1", "u1")))
    table.put_pod("u1", ("fd00::1",))
    table.drop_pod("u1")
    assert ends(*table.put_pod("u1", ("fd00::1",))) == ["fd00::1"]
    assert ends(*table.put_slice(slice_of())) == []
    assert table.drop_pod("u1") == []


def test_an_endpoint_that_is_no_pod_is_as_its_slice_says(table: ServiceTable):
    found = slice_of(("fd00::1", "u1"))
    found["endpoints"].append({"addresses": ["fd00::9"]})
    found["endpoints"].append(
        {"addresses": ["fd00::8"], "targetRef": {"kind": "Node", "uid": "u1"}}
    )
    table.put_pod("u1", ())
    assert ends(*table.put_slice(found)) == ["fd00::8", "fd00::9"]
