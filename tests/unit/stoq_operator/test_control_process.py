"""The whole control process over real engines on loopback."""

import asyncio
import gc

import pytest

from stoq.api.client import ApiClient
from stoq.api.errors import BadRequest, NotFound, Unauthorised, Unavailable
from stoq.api.stream import Opened, StreamError
from stoq.engine import parse_certificate
from stoq.registry import WATCH, WatchMessage, WatchRequest, apply
from stoq.sealing import Opener
from stoq.signing import BINDING_LABEL, SIGN, SignRequest, binding
from stoq_operator import join
from stoq_operator.endpoint import STREAMS
from stoq_sidecar.identity import refused_by_peer
from support.control import OPERATOR, eventually
from support.patience import PATIENCE, quickly
from support.records import mesh, record, revocation, service, workload

WEB_ID = "spiffe://example.org/ns/shop/sa/web"

SHORT_LIFE = 12
"""Seconds of a certificate that a test sees renewed, half of them before: time enough to renew it,
and for a handshake with it, on a machine that has none to spare.
"""


class Watcher:
    """Follows the registry as a sidecar does."""

    def __init__(self, member, *, packed=True, opener=None, **resume):
        self.member = member
        self.opener = opener
        self.request = WatchRequest(
            node="shop/web", packed=packed, signed=opener is not None, **resume
        )
        self.state = None
        self.types = []
        self.moved = asyncio.Condition()

    async def follow(self):
        async with self.member.client().stream(WATCH, self.request) as messages:
            async for said in messages:
                async with self.moved:
                    message = self.opener.open(said, "shop/web") if self.opener else said
                    self.types.append(message.type)
                    self.state = apply(self.state, message)
                    self.moved.notify_all()

    async def until(self, holds):
        async with asyncio.timeout(PATIENCE), self.moved:
            await self.moved.wait_for(lambda: self.state is not None and holds(self.state))


@pytest.fixture
async def web(control, member):
    """A joined member whose entry the registry has."""
    await joined(member, control.token("web"))
    return member


async def joined(member, token):
    """Joins as soon as the store has the token."""
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                return await member.join(token)
            except Unauthorised:
                await asyncio.sleep(0.05)


@pytest.fixture
async def watching(web):
    watcher = Watcher(web)
    task = asyncio.create_task(watcher.follow())
    await watcher.until(lambda state: True)
    yield watcher
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_workload_with_a_token_gets_its_identity(control, member):
    answer = await joined(member, control.token("web"))
    assert answer.spiffe_id == WEB_ID
    certificate = parse_certificate(answer.certificate)
    assert certificate.spiffe_id == WEB_ID
    assert certificate.not_after == answer.expires
    assert len(answer.roots) == 1
    assert await control.metric("stoq_ca_certificates_issued_total") == 1


async def test_a_workload_that_asks_for_another_ones_identity_is_refused_and_counted(
    control, member
):
    token = control.token("web")
    await joined(member, token)
    with pytest.raises(Unauthorised, match="may not become"):
        await member.sign(token, spiffe_id="spiffe://example.org/ns/shop/sa/db")
    assert await control.metric('stoq_ca_sign_refusals_total{reason="identity"}') == 1


async def test_a_token_of_another_workload_is_refused_on_a_certified_connection(control, member):
    await joined(member, control.token("web"))
    token = control.token("db", "fd00::3")
    with pytest.raises(Unauthorised, match="sent the token of workload shop/db"):
        async with asyncio.timeout(PATIENCE):
            while True:
                try:
                    await member.sign(token)
                except Unauthorised as error:
                    if "no workload has this token" not in str(error):
                        raise
                    await asyncio.sleep(0.05)


async def test_a_token_bound_to_another_connection_is_refused(control, member):
    token = control.token("web")
    request = SignRequest(csr=b"x", token=token, binding=bytes(32))
    await joined(member, token)
    with pytest.raises(Unauthorised, match="not bound to this connection"):
        await member.client().call(SIGN, request)


async def test_a_request_without_proof_of_the_keys_is_a_bad_request(control, member):
    token = control.token("web")
    await joined(member, token)
    stream = await member.engine.dialler(control.address, OPERATOR).open()
    proof = binding(token, stream.exporter(BINDING_LABEL))
    request = SignRequest(csr=b"no csr", token=token, binding=proof)
    with pytest.raises(BadRequest, match="CSR is refused"):
        await ApiClient(Opened(stream)).call(SIGN, request)


async def test_the_registry_is_closed_to_callers_without_certificate(member):
    with pytest.raises(Unauthorised, match="client certificate"):
        async with member.client().stream(WATCH, WatchRequest(node="shop/web")) as messages:
            await anext(messages)


@pytest.mark.parametrize(
    ("node", "error"), [("web", BadRequest), ("shop/nobody", NotFound), ("shop/db", Unauthorised)]
)
async def test_a_watcher_must_be_the_workload_it_says_it_is(control, web, node, error):
    control.write(workload("db", "fd00::3"))

    async def refused():
        with pytest.raises((BadRequest, NotFound, Unauthorised)) as raised:
            async with web.client().stream(WATCH, WatchRequest(node=node)) as messages:
                await anext(messages)
        # Until its file has been read the other workload is none.
        return raised.type is error

    await eventually(refused)


async def test_a_watcher_hears_of_new_records_within_a_second(control, watching):
    for attempt in quickly(1):
        name, address = f"db-{attempt.number}", f"fd00::{attempt.number + 3}"
        known = {"web", *(f"db-{number}" for number in range(attempt.number + 1))}
        with attempt:
            control.write(workload(name, address), service(name, address))
            await watching.until(
                lambda state, name=name, known=known: (
                    f"shop/{name}" in state.services
                    and {entry.name for entry in state.workloads.values()} == known
                )
            )
    assert watching.types[0] == "snapshot"
    assert set(watching.types[1:]) == {"delta"}


async def test_a_sidecar_of_the_release_before_is_told_the_same(control, web, watching):
    """It does not know packed entries, and so does not say that it takes them."""
    older = Watcher(web, packed=False)
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(older.follow())
        control.write(workload("db", "fd00::3"), service("db", "fd00::3"))
        for watcher in (older, watching):
            await watcher.until(lambda state: "shop/db" in state.services)
        task.cancel()
    assert older.state == watching.state


async def test_what_the_registry_says_is_signed_by_the_control_plane(control, web, watching):
    opener = Opener(web.tls.verify_statement, OPERATOR, required=True)
    signed = Watcher(web, opener=opener)
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(signed.follow())
        await signed.until(lambda state: True)
        control.write(workload("db", "fd00::3"), service("db", "fd00::3"))
        for watcher in (signed, watching):
            await watcher.until(lambda state: "shop/db" in state.services)
        task.cancel()
    assert signed.state == watching.state
    assert signed.types[0] == "snapshot"
    assert set(signed.types[1:]) == {"delta"}


async def test_a_watcher_hears_what_policy_holds_for_it(control, watching):
    assert watching.state.mesh.inbound == "permissive"
    control.write(record("TransportPolicy", "strict", {"inbound": "strict"}))
    await watching.until(lambda state: state.mesh.inbound == "strict")
    assert watching.state.mesh.own.name == "web"


async def test_more_calls_than_a_connection_takes_are_answered_all_the_same(web):
    """A further connection is made for them."""
    watchers = [Watcher(web) for _ in range(2 * STREAMS)]
    tasks = [asyncio.create_task(watcher.follow()) for watcher in watchers]
    for watcher in watchers:
        await watcher.until(lambda state: True)
    # The third is the one that it joined by.
    assert sorted(info.streams for info in web.engine.connections()) == [0, STREAMS, STREAMS]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_watcher_resumes_where_it_was(control, web, watching):
    resumed = Watcher(web, resume_epoch=watching.state.epoch, resume_version=watching.state.version)
    resumed.state = watching.state
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(resumed.follow())
        control.write(workload("db", "fd00::3"))
        await resumed.until(lambda state: len(state.workloads) == 2)
        task.cancel()
    assert set(resumed.types) == {"delta"}


async def test_a_workload_that_leaves_the_store_loses_its_stream(control, web):
    watcher = Watcher(web)
    following = asyncio.create_task(watcher.follow())
    await watcher.until(lambda state: True)
    (control.store / "workload-shop-web.yaml").unlink()
    with pytest.raises(NotFound, match="no longer in the registry"):
        await asyncio.wait_for(following, PATIENCE)


async def test_revoking_an_identity_closes_its_live_connection_and_keeps_it_out(control, member):
    token = control.token("web")
    await joined(member, token)
    watcher = Watcher(member)
    following = asyncio.create_task(watcher.follow())
    await watcher.until(lambda state: True)
    control.write(revocation("web", spiffeId=WEB_ID))
    with pytest.raises((Unavailable, Unauthorised), match="revoked"):
        await asyncio.wait_for(following, PATIENCE)
    async with control.member() as fresh:
        with pytest.raises(Unauthorised, match="is revoked"):
            await fresh.sign(token)


async def test_a_workload_whose_certificate_is_revoked_joins_again_as_a_newcomer(control, member):
    token = control.token("web")
    lost = parse_certificate((await joined(member, token)).certificate).serial
    control.write(revocation("web", serial=lost))

    async def refused():
        try:
            await member.sign(token)
        # The refusal may arrive while the call runs or before it has begun.
        except (Unavailable, StreamError) as error:
            return refused_by_peer(str(error))
        return False

    await eventually(refused)
    member.tls.clear_identity()
    assert parse_certificate((await member.join(token)).certificate).serial != lost


async def test_a_renewal_leaves_the_certificate_before_it_alone(control, web, watching):
    token = control.token("db", "fd00::3")
    async with control.member() as db:
        serials = [parse_certificate((await joined(db, token)).certificate).serial]
        for _ in range(3):
            serials.append(parse_certificate((await db.join(token)).certificate).serial)
        control.write(service("db", "fd00::3"))
        await watching.until(lambda state: "shop/db" in state.services)
    assert len(set(serials)) == 4
    assert not set(serials) & set(watching.state.trust.revoked)


async def test_a_token_used_a_second_time_ends_the_identity_that_it_gave_first(control, watching):
    token = control.token("db", "fd00::3")
    async with control.member() as first, control.member() as second:
        lost = parse_certificate((await joined(first, token)).certificate).serial
        kept = parse_certificate((await joined(second, token)).certificate).serial
    await watching.until(lambda state: lost in state.trust.revoked)
    assert kept not in watching.state.trust.revoked


async def test_a_pod_can_not_use_the_token_of_another_pod_of_its_service_account(control, member):
    token = control.token("web")
    await joined(member, token)
    twin = join.issue(
        control.store, "shop", "web-1", addresses=["fd00::9"], service_account="web", netns="",
        output=None,
    )  # fmt: skip
    async with control.member() as other:
        await joined(other, twin)
        with pytest.raises(Unauthorised, match="workload shop/web-1 sent the token of workload"):
            await other.sign(token)


async def test_a_control_process_that_stops_tells_its_watchers(control, web):
    watcher = Watcher(web)
    following = asyncio.create_task(watcher.follow())
    await watcher.until(lambda state: True)
    control.stop.set()
    with pytest.raises(Unavailable):
        await asyncio.wait_for(following, PATIENCE)


async def test_a_restart_changes_neither_roots_nor_addresses_nor_identities(stopped):
    async with stopped.running(), stopped.member() as member:
        token = stopped.token("web")
        stopped.write(service("db", "fd00::2"))
        first = await joined(member, token)
        watcher = Watcher(member)
        following = asyncio.create_task(watcher.follow())
        await watcher.until(lambda state: "shop/db" in state.services)
        stopped.stop.set()
        with pytest.raises(Unavailable):
            await following
        async with stopped.running():
            again = Watcher(member, resume_epoch=watcher.state.epoch, resume_version=2)
            following = asyncio.create_task(again.follow())
            await again.until(lambda state: "shop/db" in state.services)
            assert again.types == ["snapshot"]
            assert again.state.services == watcher.state.services
            assert again.state.trust.roots == first.roots
            assert again.state.version > watcher.state.version
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)


async def _reads(control, name, value):
    return await control.metric(name) == value


async def _beyond(control, name, value):
    return await control.metric(name) > value


async def test_health_and_metrics_are_served(control):
    assert await control.get("/healthz/live") == (200, "live\n")
    assert await control.get("/healthz/ready") == (200, "ready\n")
    assert await control.metric("stoq_store_problems") == 0
    (control.store / "broken.yaml").write_text("kind: [")
    await eventually(lambda: _reads(control, "stoq_store_problems", 1))


async def test_a_rotation_asked_for_puts_a_second_root_into_the_bundle(control, watching):
    (control.folder / "state" / "ca" / "rotate").touch()
    await watching.until(lambda state: len(state.trust.roots) == 2)
    bundle = (control.folder / "bundle.pem").read_text()
    assert bundle.count("BEGIN CERTIFICATE") == 2


async def test_a_bundle_that_can_not_be_written_stops_nothing_and_is_tried_again(
    control, watching, caplog
):
    bundle = control.folder / "bundle.pem"
    bundle.unlink()
    bundle.mkdir()
    (control.folder / "state" / "ca" / "rotate").touch()
    await watching.until(lambda state: len(state.trust.roots) == 2)
    assert "new sidecars can not join" in caplog.text
    bundle.rmdir()

    async def written():
        return bundle.exists()

    await eventually(written)


async def test_a_short_life_renews_the_control_processes_own_identity(stopped):
    stopped.write(mesh(svidTtlSeconds=SHORT_LIFE), name="meshconfig-mesh")
    async with stopped.running():
        before = await stopped.metric("stoq_control_svid_expiration")
        await eventually(lambda: _beyond(stopped, "stoq_control_svid_expiration", before))
        async with stopped.member() as member:
            assert (await joined(member, stopped.token("web"))).spiffe_id == WEB_ID


async def test_a_mesh_of_the_small_degree_takes_sidecars_that_begin_with_the_other(stopped):
    stopped.write(mesh(profile="hybrid-512"), name="meshconfig-mesh")
    async with stopped.running(), stopped.member() as member:
        assert (await joined(member, stopped.token("web"))).spiffe_id == WEB_ID
        opener = Opener(member.tls.verify_statement, OPERATOR, required=True)
        watcher = Watcher(member, opener=opener)
        task = asyncio.create_task(watcher.follow())
        await watcher.until(lambda state: state.mesh.crypto.profile == "hybrid-512")
        found = {(one.signature, one.local_signature) for one in member.engine.connections()}
        assert ("Ed25519+FALCON-512", "Ed25519+FALCON-1024") in found
        task.cancel()


async def test_what_is_said_again_is_signed_with_the_certificate_that_is_in_force(stopped):
    """That it was signed with before may have ended, long before the signature would."""
    stopped.write(mesh(svidTtlSeconds=SHORT_LIFE), name="meshconfig-mesh")

    async def said(member) -> WatchMessage:
        request = WatchRequest(node="shop/web", packed=True, signed=True)
        async with member.client().stream(WATCH, request) as messages:
            return await anext(aiter(messages))

    async with stopped.running(), stopped.member() as member:
        token = stopped.token("web")
        await joined(member, token)
        first = await said(member)
        renewed = await stopped.metric("stoq_control_svid_expiration")
        await eventually(lambda: _beyond(stopped, "stoq_control_svid_expiration", renewed))
        await member.join(token)
        second = await said(member)
    assert second.sealed == first.sealed
    assert second.certificate != first.certificate


async def test_what_is_there_at_the_start_is_not_looked_through_for_garbage_again(control):
    assert gc.get_freeze_count() > 0
