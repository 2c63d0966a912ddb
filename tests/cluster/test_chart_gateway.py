"""What the chart makes of its values for gateways."""

from typing import Any

import pytest

from stoq_operator.translate.pod import GATEWAY, workload
from stoq_sidecar import settings
from stoq_sidecar.gateway import ROLE
from support.helm import Objects, Refused, rendered

ON = "gateway.enabled=true"
DEPLOYMENT = ("Deployment", "stoq-gateway")


def gateways_parts(objects: Objects) -> set[str]:
    return {kind for kind, name in objects if name == "stoq-gateway"}


def template(*values: str) -> dict[str, Any]:
    found: dict[str, Any] = rendered(ON, *values)[DEPLOYMENT]["spec"]["template"]
    return found


def environment(*values: str) -> dict[str, str]:
    (container,) = template(*values)["spec"]["containers"]
    return {item["name"]: item.get("value", "x") for item in container["env"]}


def test_without_the_value_nothing_of_it_is_there() -> None:
    assert gateways_parts(rendered("networkPolicy.enabled=true")) == set()
    parts = {"ServiceAccount", "Deployment", "Service", "PodDisruptionBudget"}
    assert gateways_parts(rendered(ON)) == parts
    alone = rendered(ON, "gateway.replicas=1", "networkPolicy.enabled=true")
    assert gateways_parts(alone) == parts - {"PodDisruptionBudget"} | {"NetworkPolicy"}


def test_the_gateway_accepts_the_settings_it_is_given() -> None:
    given = environment("gateway.routes=7", "gateway.routesPerPeer=3", "mesh.trustDomain=td")
    found = settings.read("", given | ROLE)
    assert settings.required(found) == []
    assert (found.gateway.routes, found.gateway.routes_per_peer) == (7, 3)
    assert found.identity.trust_domain == "td"
    assert "STOQ_LINK_IPV6_ONLY" not in given
    assert found.discovery.signed == "prefer"
    small = environment("mesh.profile=hybrid-512")
    assert settings.read("", small | ROLE).identity.profile == "hybrid-512"
    required = environment("injection.discoverySigned=require")
    assert settings.read("", required | ROLE).discovery.signed == "require"
    assert environment("injection.ipv6Only=true")["STOQ_LINK_IPV6_ONLY"] == "true"


def test_the_operator_takes_its_pods_for_workloads_of_its_identity() -> None:
    made = template()
    name = {"name": "stoq-gateway-x", "namespace": "stoq-system", "uid": "u"}
    found = workload({"metadata": name, "spec": made["spec"], "status": {"podIP": "fd00::2"}})
    assert found is not None
    assert found.spiffe_id("td") == "spiffe://td/ns/stoq-system/sa/stoq-gateway"
    assert [item["name"] for item in made["spec"]["containers"]] == [GATEWAY]


def test_its_pod_passes_the_restricted_standard_and_has_no_token_of_the_api_server() -> None:
    spec = template()["spec"]
    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"]["runAsNonRoot"]
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    (container,) = spec["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def test_other_meshes_reach_it_as_its_service_says() -> None:
    values = ("gateway.service.type=LoadBalancer", "gateway.service.annotations.a=b")
    service = rendered(ON, *values)["Service", "stoq-gateway"]
    assert service["spec"]["type"] == "LoadBalancer"
    assert service["metadata"]["annotations"] == {"a": "b"}
    (port,) = service["spec"]["ports"]
    assert (port["port"], port["protocol"]) == (14008, "UDP")


@pytest.mark.parametrize("value", ["replicas=0", "service.type=Ingress", "routes=0", "logLevel=x"])
def test_a_value_that_can_not_be_is_refused_by_name(value: str) -> None:
    with pytest.raises(Refused, match=value.partition("=")[0].rpartition(".")[2]):
        rendered(ON, f"gateway.{value}")
