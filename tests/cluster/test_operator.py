"""The operator's own process against a real API server."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any
from uuid import uuid4

import pytest

from cluster.access import Cluster
from cluster.operators import (
    CRDS,
    TRUST_DOMAIN,
    Operator,
    condition,
    eventually,
    kubectl,
    secret,
    status,
)
from stoq.api.errors import Unavailable
from stoq.api.stream import StreamError
from stoq.constants import operator_spiffe_id
from stoq.engine import parse_certificate
from stoq.pem import certificates
from stoq.registry import WATCH, RegistryState, RevokedIdentity, WatchRequest, apply

RECORD: dict[str, Any] = {
    "apiVersion": "stoq.dev/v1alpha1",
    "kind": "ServiceRecord",
    "spec": {"ports": [{"port": 80}], "endpoints": [{"address": "fd00::1"}]},
}


def record(name: str, **spec: object) -> dict[str, Any]:
    return RECORD | {"metadata": {"name": name}, "spec": spec or RECORD["spec"]}


def pod(name: str) -> dict[str, Any]:
    """A pod that says it is meshed and holds a token for us; what runs in it does nothing."""
    container = {
        "image": "localhost/busybox:local",
        "imagePullPolicy": "Never",
        "command": ["sleep", "3600"],
    }
    own = {
        **container,
        "name": "stoq-sidecar",
        "volumeMounts": [{"name": "token", "mountPath": "/token"}],
    }
    source = {"serviceAccountToken": {"audience": "stoq.dev", "path": "token"}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {
            "terminationGracePeriodSeconds": 0,
            "containers": [{**container, "name": "app"}, own],
            "volumes": [{"name": "token", "projected": {"sources": [source]}}],
        },
    }


async def put(cluster: Cluster, *objects: dict[str, Any]) -> None:
    await asyncio.to_thread(cluster.apply, *objects)


@pytest.fixture(scope="module")
def crds(running: Cluster) -> None:
    running.kubectl("apply", "--server-side", "-f", str(CRDS))
    running.kubectl("wait", "--for=condition=Established", "--timeout=30s", "-f", str(CRDS))


@pytest.fixture
async def operator(
    crds: None, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Operator]:
    monkeypatch.setenv("KUBECONFIG", cluster.environment["KUBECONFIG"])
    async with Operator(cluster.namespace, "first").running() as found:
        yield found


async def bundle(cluster: Cluster) -> str:
    await kubectl(
        cluster, "label", "namespace", cluster.namespace, "stoq.dev/inject=enabled", "--overwrite"
    )

    async def written() -> str:
        found = await kubectl(
            cluster, "get", "configmap", "stoq-trust", "--ignore-not-found", "-ojson"
        )
        return json.loads(found)["data"]["bundle.pem"] if found else ""

    return str(await eventually(written))


async def token(cluster: Cluster, name: str) -> str:
    await asyncio.to_thread(cluster.ready, name)
    return (
        await kubectl(cluster, "exec", name, "-c", "stoq-sidecar", "--", "cat", "/token/token")
    ).strip()


async def joined(member, held: str):
    """The pod may be ahead of the operator's watch."""
    for _ in range(50):
        try:
            return await member.join(held)
        except Unavailable:
            await asyncio.sleep(0.1)
    raise AssertionError("the pod was never known")


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


@asynccontextmanager
async def revoke(cluster: Cluster, spiffe_id: str) -> AsyncIterator[RevokedIdentity]:
    """For as long as the block lasts: it holds for the whole cluster, other tests' too."""
    name = f"r-{uuid4().hex[:8]}"
    found: dict[str, Any] = {
        "apiVersion": "stoq.dev/v1alpha1",
        "kind": "Revocation",
        "metadata": {"name": name},
        "spec": {"spiffeId": spiffe_id},
    }
    await put(cluster, found)
    await eventually(lambda: condition(cluster, "stoqrv", name, "Ready"))
    written = await asyncio.to_thread(cluster.get, "stoqrv", name)
    moment = datetime.fromisoformat(written["metadata"]["creationTimestamp"])
    try:
        yield RevokedIdentity(spiffe_id, int(moment.timestamp()))
    finally:
        await kubectl(cluster, "delete", "stoqrv", name)


async def test_a_pod_whose_identity_is_revoked_is_cut_off_and_its_next_certificate_holds(
    operator: Operator, cluster: Cluster
) -> None:
    roots = await bundle(cluster)
    await put(cluster, pod("batch"))
    held = await token(cluster, "batch")
    request = WatchRequest(node=f"{cluster.namespace}/batch")
    async with operator.member(roots) as member, operator.member(roots) as again:
        answer = await joined(member, held)
        async with (
            member.client().stream(WATCH, request) as messages,
            revoke(cluster, answer.spiffe_id) as revoked,
        ):
            with pytest.raises(Unavailable, match="revoked"):
                async with asyncio.timeout(20):
                    while True:
                        await anext(messages)
            fresh = await joined(again, held)
            assert parse_certificate(fresh.certificate).not_before >= revoked.before
            async with again.client().stream(WATCH, request) as newer:
                state = apply(None, await anext(newer))
                assert revoked in state.trust.revoked_identities


async def test_the_operator_replaces_its_own_certificate_when_that_is_revoked(
    operator: Operator, cluster: Cluster
) -> None:
    roots = await bundle(cluster)
    await put(cluster, pod("cron"))
    held = await token(cluster, "cron")
    own = operator_spiffe_id(TRUST_DOMAIN)
    async with revoke(cluster, own) as revoked, operator.member(roots) as member:
        member.tls.set_trust(
            TRUST_DOMAIN,
            list(certificates(roots)),
            revoked_identities=[(revoked.spiffe_id, revoked.before)],
        )

        async def heard() -> bool:
            try:
                await member.join(held)
            except (Unavailable, StreamError):
                return False
            return True

        await eventually(heard)


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


async def test_deleted_roots_are_written_again_and_a_rotation_adds_one(
    operator: Operator, cluster: Cluster
) -> None:
    before = await eventually(lambda: secret(cluster, "stoq-ca"))
    await kubectl(cluster, "delete", "secret", "stoq-ca")
    assert await eventually(lambda: secret(cluster, "stoq-ca")) == before
    await kubectl(cluster, "annotate", "secret", "stoq-ca", "stoq.dev/rotate=now")

    async def rotated() -> bool:
        return len(json.loads((await secret(cluster, "stoq-ca"))["roots.json"])) == 2

    await eventually(rotated)
    assert (await bundle(cluster)).count("BEGIN CERTIFICATE") >= 1


async def test_the_webhook_has_a_certificate_that_is_made_again_when_it_is_gone(
    operator: Operator, cluster: Cluster
) -> None:
    first = await eventually(lambda: secret(cluster, "stoq-webhook-tls"))
    assert set(first) == {"tls.crt", "tls.key", "ca.crt"}
    await kubectl(cluster, "delete", "secret", "stoq-webhook-tls")
    again = await eventually(lambda: secret(cluster, "stoq-webhook-tls"))
    assert again["ca.crt"] != first["ca.crt"]
