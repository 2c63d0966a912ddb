"""The operator's own process against a real API server."""

import asyncio
from typing import Any

from cluster.access import Cluster
from cluster.operators import (
    Operator,
    bundle,
    condition,
    eventually,
    joined,
    kubectl,
    pod,
    put,
    secret,
    status,
    token,
)
from stoq.engine import parse_certificate
from stoq.registry import WATCH, RegistryState, WatchRequest, apply

RECORD: dict[str, Any] = {
    "apiVersion": "stoq.dev/v1alpha1",
    "kind": "ServiceRecord",
    "spec": {"ports": [{"port": 80}], "endpoints": [{"address": "fd00::1"}]},
}


def record(name: str, **spec: object) -> dict[str, Any]:
    return RECORD | {"metadata": {"name": name}, "spec": spec or RECORD["spec"]}


async def test_a_record_gets_an_address_and_says_that_it_is_in_force(
    operator: Operator, cluster: Cluster
) -> None:
    await put(cluster, record("trustchain"))
    ready = await eventually(lambda: condition(cluster, "stoqsr", "trustchain", "Ready"))
    assert (ready["status"], ready["reason"], ready["observedGeneration"]) == ("True", "InForce", 1)
    assert (await status(cluster, "stoqsr", "trustchain"))["vip"].startswith("fd53:746f:7100:")


async def test_what_only_the_operator_can_see_becomes_a_condition_and_an_event(
    operator: Operator, cluster: Cluster
) -> None:
    await put(cluster, record("front", ports=[{"port": 80}], serviceRef={"name": "web"}))
    ready = await eventually(lambda: condition(cluster, "stoqsr", "front", "Ready"))
    assert (ready["status"], ready["reason"]) == ("False", "ServiceNotFound")

    async def told() -> bool:
        events = await kubectl(cluster, "get", "events", "-ojson")
        return "there is no Service" in events and "ServiceNotFound" in events

    await eventually(told)
    service: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web"},
        "spec": {"ports": [{"port": 80}], "selector": {"app": "web"}},
    }
    await put(cluster, service)

    async def mended() -> bool:
        found = await condition(cluster, "stoqsr", "front", "Ready")
        return found["reason"] == "NoEndpoints"

    await eventually(mended)


async def test_a_cluster_without_configuration_gets_the_default_one(
    operator: Operator, cluster: Cluster
) -> None:
    accepted = await eventually(lambda: condition(cluster, "stoqmc", "default", "Accepted"))
    assert accepted["status"] == "True"


async def test_a_pod_gets_its_identity_and_follows_the_registry(
    operator: Operator, cluster: Cluster
) -> None:
    roots = await bundle(cluster)
    await put(cluster, pod("web"))
    async with operator.member(roots) as member:
        answer = await joined(member, await token(cluster, "web"))
        expected = f"spiffe://cluster.local/ns/{cluster.namespace}/sa/default"
        assert answer.spiffe_id == expected
        assert parse_certificate(answer.certificate).spiffe_id == expected
        request = WatchRequest(node=f"{cluster.namespace}/web")
        state: RegistryState | None = None
        async with member.client().stream(WATCH, request) as messages:
            state = apply(state, await anext(messages))
            assert state.mesh.own is not None
            assert list(state.mesh.own.addresses) == cluster.addresses("web")
            assert state.mesh.own.node
            assert "service/default/kubernetes" in state.services
            await put(cluster, record("hypermesh"))
            async with asyncio.timeout(20):
                while f"{cluster.namespace}/hypermesh" not in state.services:
                    state = apply(state, await anext(messages))


async def test_a_second_replica_shares_the_roots_and_takes_over(
    operator: Operator, cluster: Cluster
) -> None:
    assert await eventually(lambda: operator.metric("stoq_control_leader"))
    before = await secret(cluster, "stoq-ca")
    async with Operator(cluster.namespace, "second").running() as second:
        assert await second.metric("stoq_control_leader") == 0
        operator.stop.set()
        await eventually(lambda: second.metric("stoq_control_leader"))
        assert await secret(cluster, "stoq-ca") == before
        await put(cluster, record("caesar"))
        await eventually(lambda: condition(cluster, "stoqsr", "caesar", "Ready"))


async def test_the_webhook_has_a_certificate_that_is_made_again_when_it_is_gone(
    operator: Operator, cluster: Cluster
) -> None:
    first = await eventually(lambda: secret(cluster, "stoq-webhook-tls"))
    assert set(first) == {"tls.crt", "tls.key", "ca.crt"}
    await kubectl(cluster, "delete", "secret", "stoq-webhook-tls")
    again = await eventually(lambda: secret(cluster, "stoq-webhook-tls"))
    assert again["ca.crt"] != first["ca.crt"]


async def test_the_keys_of_session_tickets_are_made_by_the_leader_and_kept_by_the_next(
    operator: Operator, cluster: Cluster
) -> None:
    first = await eventually(lambda: secret(cluster, "stoq-tickets"))
    assert [name.isdigit() for name in first] == [True]
    async with Operator(cluster.namespace, "second").running() as second:
        operator.stop.set()
        await eventually(lambda: second.metric("stoq_control_leader"))
        assert await secret(cluster, "stoq-tickets") == first
        await kubectl(cluster, "delete", "secret", "stoq-tickets")
        assert await eventually(lambda: secret(cluster, "stoq-tickets")) != first


async def test_a_namespace_in_which_no_meshed_pod_can_start_says_so_while_that_is_so(
    operator: Operator, cluster: Cluster
) -> None:
    name = f"{cluster.namespace}-refusing"
    level = "pod-security.kubernetes.io/enforce"

    async def said() -> list[str]:
        found = await asyncio.to_thread(cluster.get, "namespace", name)
        conditions = found["status"].get("conditions", [])
        return [one["reason"] for one in conditions if one["type"] == "stoq.dev/PodsAdmitted"]

    async def told() -> bool:
        return await said() == ["PodSecurityRefuses"]

    async def over() -> bool:
        return await said() == []

    await kubectl(cluster, "create", "namespace", name)
    await kubectl(
        cluster, "label", "namespace", name, "stoq.dev/inject=enabled", f"{level}=baseline"
    )
    await eventually(told)
    await kubectl(cluster, "label", "--overwrite", "namespace", name, f"{level}=privileged")
    await eventually(over)
    await kubectl(cluster, "delete", "namespace", name, "--wait=false")


async def test_a_namespace_made_anew_gets_the_bundle_again(
    operator: Operator, cluster: Cluster
) -> None:
    again = Cluster(cluster.name, f"{cluster.namespace}-again")
    for _ in range(2):
        await kubectl(cluster, "create", "namespace", again.namespace)
        assert await bundle(again)
        await kubectl(cluster, "delete", "namespace", again.namespace)
