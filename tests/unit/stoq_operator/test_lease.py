"""Who holds the Lease, on an API server's word: leases with versions, and pods that come and go."""

import asyncio
import copy
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any, cast

import pytest

from stoq_kube.apiserver import ApiError, Client
from stoq_operator.lease import DURATION, RENEW, SILENT, Election, may_take, orphaned, seen
from support.hours import in_no_time

PLACE = "/apis/coordination.k8s.io/v1/namespaces/stoq-system/leases"
PODS = "/api/v1/namespaces/stoq-system/pods"


class ApiServer:
    """Leases and pods of one namespace. Replicas are its users, who may lose their rights."""

    def __init__(self, *pods: str) -> None:
        self.pods = set(pods)
        self.lease: dict[str, Any] | None = None
        self.version = 0
        self.without_rights: set[str] = set()
        self.asked_for_pods = 0

    @property
    def holder(self) -> str:
        return self.lease["spec"]["holderIdentity"] if self.lease else ""

    def request(self, user: str, method: str, path: str, body: Any) -> dict[str, Any]:
        if user in self.without_rights:
            raise ApiError("forbidden", HTTPStatus.FORBIDDEN)
        if (method, path) == ("get", PODS):
            self.asked_for_pods += 1
            return {"items": [{"metadata": {"name": name}} for name in sorted(self.pods)]}
        assert path.startswith(PLACE)
        if method == "get":
            if self.lease is None:
                raise ApiError("not found", HTTPStatus.NOT_FOUND)
            return copy.deepcopy(self.lease)
        known = self.lease["metadata"]["resourceVersion"] if self.lease else None
        if body["metadata"].get("resourceVersion") != known:
            raise ApiError("conflict", HTTPStatus.CONFLICT)
        self.version += 1
        self.lease = copy.deepcopy(body)
        self.lease["metadata"]["resourceVersion"] = str(self.version)
        return copy.deepcopy(self.lease)


class User:
    """A `Client` of the API server that watches nothing."""

    def __init__(self, server: ApiServer, name: str) -> None:
        self.server, self.name = server, name

    async def request(
        self, method: str, path: str, body: object = None, *, media: str = "application/json"
    ) -> dict[str, Any]:
        assert media == "application/json"
        return self.server.request(self.name, method, path, body)


@asynccontextmanager
async def taking_part(server: ApiServer, name: str):
    client = cast("Client", User(server, name))
    election = Election(client, "stoq-system", "stoq-operator", name)
    task = asyncio.create_task(election.run())
    try:
        yield election
    finally:
        task.cancel()
        await asyncio.wait([task])


async def until(condition) -> None:
    """Waits no longer than for three looks: far less than a Lease lasts."""
    async with asyncio.timeout(3 * RENEW):
        while not condition():  # noqa: ASYNC110 - nobody tells of a leader
            await asyncio.sleep(0.1)


@in_no_time
async def test_a_holder_that_ends_lets_go_and_the_other_begins():
    server = ApiServer("a", "b")
    async with taking_part(server, "a") as first:
        await until(lambda: first.leads)
        async with taking_part(server, "b") as second:
            await asyncio.sleep(DURATION + 5)
            assert (first.leads, second.leads, server.holder) == (True, False, "a")
    assert server.holder == ""


@in_no_time
async def test_the_lease_of_a_holder_that_was_uninstalled_is_taken_at_once():
    """Its rights went before it did, so it could not let go."""
    server = ApiServer("old")
    async with taking_part(server, "old") as old:
        await until(lambda: old.leads)
        server.without_rights.add("old")
    assert server.holder == "old"
    server.pods = {"new"}
    async with taking_part(server, "new") as new:
        await until(lambda: new.leads)
    assert server.lease is not None
    assert server.lease["spec"]["leaseTransitions"] == 1


@in_no_time
async def test_a_pod_that_is_removed_while_it_holds_the_lease_is_noticed_by_its_silence():
    server = ApiServer("a", "b")
    async with taking_part(server, "a") as first:
        await until(lambda: first.leads)
        async with taking_part(server, "b") as second:
            server.without_rights.add("a")
            await asyncio.sleep(SILENT + RENEW)
            assert not second.leads, "the pod is there, so it may come back"
            server.pods.remove("a")
            await until(lambda: second.leads)


@in_no_time
async def test_a_holder_that_renews_is_not_asked_about_again():
    server = ApiServer("a", "b")
    async with taking_part(server, "a") as first:
        await until(lambda: first.leads)
        async with taking_part(server, "b"):
            await asyncio.sleep(DURATION + 5)
    assert server.asked_for_pods == 1


@in_no_time
async def test_a_holder_removed_by_force_stops_when_it_cannot_renew():
    server = ApiServer("a", "b")
    async with taking_part(server, "a") as first:
        await until(lambda: first.leads)
        server.pods = {"b"}
        async with taking_part(server, "b") as second:
            await until(lambda: second.leads)
            await until(lambda: not first.leads)
            assert server.holder == "b"


@in_no_time
async def test_a_replica_that_is_no_pod_waits_for_the_whole_duration():
    """Its fellows are no pods either: that there is none of their names says nothing."""
    server = ApiServer("somebody")
    async with taking_part(server, "laptop-1") as first:
        await until(lambda: first.leads)
        async with taking_part(server, "laptop-2") as second:
            server.without_rights.add("laptop-1")
            await asyncio.sleep(DURATION - RENEW)
            assert not second.leads
            await until(lambda: second.leads)


def held(holder: str, renewed: str) -> dict[str, Any]:
    return {"spec": {"holderIdentity": holder, "renewTime": renewed}}


def test_a_lease_is_respected_until_it_did_not_move_for_its_whole_duration():
    first = seen(held("a", "1"), None, 100.0)
    still = seen(held("a", "1"), first, 110.0)
    assert still.at == 100.0
    assert not may_take(still, "b", 100.0 + DURATION)
    assert may_take(still, "b", 100.1 + DURATION)
    moved = seen(held("a", "2"), still, 114.0)
    assert not may_take(moved, "b", 101.0 + DURATION)
    assert may_take(moved, "a", 114.0)
    assert may_take(seen(held("", "3"), moved, 115.0), "b", 115.0)


@pytest.mark.parametrize(
    ("pods", "expected"), [({"b"}, True), ({"a", "b"}, False), ({"c"}, False), (set(), False)]
)
def test_only_a_pod_may_say_that_another_is_gone(pods, expected):
    found = {"items": [{"metadata": {"name": name}} for name in pods]}
    assert orphaned("a", "b", found) == expected
