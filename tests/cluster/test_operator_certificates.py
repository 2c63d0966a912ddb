"""Roots and certificates of the operator, against a real API server."""

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
    TRUST_DOMAIN,
    Operator,
    bundle,
    condition,
    eventually,
    joined,
    kubectl,
    pod,
    put,
    secret,
    token,
)
from stoq import constants
from stoq.api.errors import Unauthorised, Unavailable
from stoq.api.stream import StreamError
from stoq.constants import operator_spiffe_id
from stoq.engine import parse_certificate
from stoq.pem import certificates
from stoq.registry import WATCH, RevokedIdentity, WatchRequest, apply
from stoq_kube.kube import ApiServer
from stoq_operator.kept import StateError
from stoq_operator.lease import Election
from stoq_operator.oncluster import serve
from stoq_operator.secretroots import RETRY, SecretRoots
from stoqctl.verbs import rotate


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


EMPTY = ("patch", "--type=json", '--patch=[{"op": "remove", "path": "/data"}]')


@pytest.mark.parametrize("lose", [("delete",), EMPTY], ids=["deleted", "emptied"])
async def test_lost_roots_are_written_again(
    operator: Operator, cluster: Cluster, lose: tuple[str, ...]
) -> None:
    before = await eventually(lambda: secret(cluster, "stoq-ca"))
    verb, *options = lose
    await kubectl(cluster, verb, "secret", "stoq-ca", *options)
    assert await eventually(lambda: secret(cluster, "stoq-ca")) == before


@pytest.mark.parametrize("lose", [("delete",), EMPTY], ids=["deleted", "emptied"])
async def test_roots_that_nobody_remembers_are_not_replaced_unasked(
    operator: Operator, cluster: Cluster, lose: tuple[str, ...]
) -> None:
    assert await bundle(cluster)
    operator.stop.set()
    await eventually(lambda: ended(operator))
    verb, *options = lose
    await kubectl(cluster, verb, "secret", "stoq-ca", *options)
    other = Operator(cluster.namespace, "other")
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(serve(other.settings, other.stop))
        await eventually(lambda: leads(other))
        await asyncio.sleep(3 * RETRY)
        assert "there is no root" in await other.page("/healthz/ready")
        assert await secret(cluster, "stoq-ca") == {}
        await kubectl(cluster, "delete", "configmap", "stoq-trust")
        await eventually(other.ready)
        assert await secret(cluster, "stoq-ca")
        other.stop.set()


async def ended(operator: Operator) -> bool:
    return not await operator.page("/healthz/live")


async def leads(operator: Operator) -> bool:
    return "\nstoq_control_leader 1" in await operator.page("/metrics")


async def test_a_pod_that_asks_for_anothers_identity_is_refused_and_counted(
    operator: Operator, cluster: Cluster
) -> None:
    roots = await bundle(cluster)
    await put(cluster, pod("thief"), pod("safe"))
    held = await token(cluster, "thief")
    async with operator.member(roots) as member:
        await joined(member, held)
        refusals = 'stoq_ca_sign_refusals_total{reason="identity"}'
        for claims in (
            {"workload": f"{cluster.namespace}/safe"},
            {"spiffe_id": f"spiffe://{TRUST_DOMAIN}/ns/{cluster.namespace}/sa/safe"},
            {"spiffe_id": operator_spiffe_id(TRUST_DOMAIN)},
        ):
            with pytest.raises(Unauthorised, match="thief"):
                await member.sign(held, **claims)
        assert await operator.metric(refusals) == 3


async def annotations(cluster: Cluster) -> dict[str, str]:
    found = await asyncio.to_thread(cluster.get, "secret", "stoq-ca")
    return found["metadata"].get("annotations") or {}


async def ask_for_rotation(cluster: Cluster) -> None:
    patch = rotate.request("2026-01-31T12:00:00+00:00")
    patch["metadata"]["annotations"]["team"] = "platform"
    await kubectl(
        cluster, "patch", "secret", "stoq-ca", "--type=merge", f"--patch={json.dumps(patch)}"
    )


async def test_a_rotation_that_stoqctl_asks_for_adds_one_root_and_is_answered(
    operator: Operator, cluster: Cluster
) -> None:
    (first,) = json.loads((await eventually(lambda: secret(cluster, "stoq-ca")))["roots.json"])
    await ask_for_rotation(cluster)

    async def answered() -> bool:
        return constants.ROTATE_ANNOTATION not in await annotations(cluster)

    await eventually(answered)
    roots = json.loads((await secret(cluster, "stoq-ca"))["roots.json"])
    assert [(root["name"] == first["name"], root["phase"]) for root in roots] == [
        (True, "signing"),
        (False, "next"),
    ]
    assert await annotations(cluster) == {"team": "platform"}

    async def spread() -> bool:
        return (await bundle(cluster)).count("BEGIN CERTIFICATE") == 2

    await eventually(spread)


async def test_roots_that_were_changed_meanwhile_are_not_overwritten(
    operator: Operator, cluster: Cluster
) -> None:
    await eventually(lambda: secret(cluster, "stoq-ca"))
    operator.stop.set()
    client = ApiServer()
    store = SecretRoots(
        client, Election(client, cluster.namespace, "none", "third"), cluster.namespace
    )
    following = asyncio.create_task(store.run())

    async def read() -> bool:
        return bool(store.roots)

    await eventually(read, following)
    following.cancel()
    await ask_for_rotation(cluster)
    with pytest.raises(StateError, match="the roots are not written: put .*409"):
        await store.keep(store.roots)
    await client.close()
    assert constants.ROTATE_ANNOTATION in await annotations(cluster)
