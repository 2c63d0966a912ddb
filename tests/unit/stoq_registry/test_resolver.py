"""Endpoints of a name by what the registry says."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from stoq.api.balance import Target
from stoq.api.client import ApiClient
from stoq.api.errors import BadRequest, Unavailable
from stoq.api.server import ApiServer
from stoq.api.stream import Peer
from stoq.registry import (
    WATCH,
    Endpoint,
    MeshEntry,
    RegistryState,
    ServiceEntry,
    ServicePort,
    TrustEntry,
    WatchMessage,
    WatchRequest,
    WorkloadEntry,
)
from stoq.resolver import RegistryResolver
from support.patience import PATIENCE
from support.streams import Network

WEB = "spiffe://td/ns/shop/sa/web"
OTHER = "spiffe://td/ns/shop/sa/other"
HTTP, CALLS = ServicePort(80, 8080, "http"), ServicePort(14100, 14200, "calls")
MESH, TRUST = MeshEntry(trust_domain="td"), TrustEntry(roots=())


def service(*endpoints: Endpoint, **fields: Any) -> ServiceEntry:
    given = {"name": "web", "namespace": "shop", "vips": (), "ports": (HTTP, CALLS)} | fields
    return ServiceEntry(endpoints=endpoints, **given)


def workload(address: str, spiffe_id: str = WEB) -> WorkloadEntry:
    return WorkloadEntry(
        uid=address, name="w", namespace="shop", spiffe_id=spiffe_id, addresses=(address,)
    )


async def resolved(name: str, entry: ServiceEntry, *workloads: WorkloadEntry) -> tuple[Target, ...]:
    resolver = RegistryResolver()
    resolver.update(
        RegistryState(
            epoch="e",
            version=1,
            mesh=MESH,
            trust=TRUST,
            workloads={w.uid: w for w in workloads},
            services={entry.key: entry},
        )
    )
    return await resolver.resolve(name)


@pytest.mark.parametrize("port", ["calls", "14100"])
async def test_a_port_is_found_by_name_and_by_number(port: str) -> None:
    found = await resolved(f"shop/web:{port}", service(Endpoint("fd00::1")), workload("fd00::1"))
    assert found == (Target("[fd00::1]:14200", WEB),)


async def test_an_endpoint_may_have_a_port_of_its_own() -> None:
    entry = service(Endpoint("fd00::1", targets=(1, 2), weight=3))
    found = await resolved("shop/web:calls", entry, workload("fd00::1"))
    assert found == (Target("[fd00::1]:2", WEB, 3),)


async def test_an_endpoint_that_lacks_the_port_is_not_used_for_it() -> None:
    entry = service(Endpoint("fd00::1", targets=(1, 0)), Endpoint("fd00::2"))
    found = await resolved("shop/web:calls", entry, workload("fd00::1"), workload("fd00::2"))
    assert [target.address for target in found] == ["[fd00::2]:14200"]


async def test_the_only_port_needs_no_name_and_a_service_has_its_own_prefix() -> None:
    entry = service(Endpoint("fd00::1"), ports=(CALLS,), kind="service")
    found = await resolved("service/shop/web", entry, workload("fd00::1"))
    assert [target.address for target in found] == ["[fd00::1]:14200"]


@pytest.mark.parametrize("name", ["shop/web", "shop/web:admin"])
async def test_a_port_that_is_not_there_is_a_bad_request_that_lists_those_that_are(
    name: str,
) -> None:
    with pytest.raises(BadRequest, match="http, calls"):
        await resolved(name, service(Endpoint("fd00::1")), workload("fd00::1"))


async def test_endpoints_on_their_way_out_are_used_only_when_no_other_is_left() -> None:
    leaving = Endpoint("fd00::1", terminating=True)
    pods = workload("fd00::1"), workload("fd00::2")
    both = await resolved("shop/web:calls", service(leaving, Endpoint("fd00::2")), *pods)
    assert [target.address for target in both] == ["[fd00::2]:14200"]
    alone = await resolved("shop/web:calls", service(leaving), *pods)
    assert [target.address for target in alone] == ["[fd00::1]:14200"]


@pytest.mark.parametrize(
    ("allowed", "owner", "expected"),
    [
        ((), WEB, [WEB]),
        ((WEB, OTHER), WEB, [WEB]),
        ((OTHER,), WEB, []),
        ((OTHER,), None, [OTHER]),
        ((WEB, OTHER), None, []),
        ((), None, []),
    ],
)
async def test_an_endpoint_is_used_only_as_whom_it_is_known_to_be(
    allowed: tuple[str, ...], owner: str | None, expected: list[str]
) -> None:
    entry = service(Endpoint("fd00::1"), spiffe_ids=allowed)
    pods = [workload("fd00::1", owner)] if owner else []
    found = await resolved("shop/web:calls", entry, *pods)
    assert [target.spiffe_id for target in found] == expected


async def test_the_registry_is_followed_and_asked_again_when_it_ends() -> None:
    asked: list[WatchRequest] = []
    thrice = asyncio.Event()

    async def watch(request: WatchRequest, _: Any) -> AsyncIterator[WatchMessage]:
        asked.append(request)
        if len(asked) == 1:
            yield WatchMessage(
                type="snapshot",
                epoch="e",
                version=1,
                mesh=MESH,
                trust=TRUST,
                workloads=(workload("fd00::1"),),
                services=(service(Endpoint("fd00::1")),),
            )
            raise Unavailable("a restart")
        if len(asked) == 2:
            # What builds on another version has the resolver ask for everything.
            yield WatchMessage(type="delta", epoch="e", version=9, base=8)
        else:
            thrice.set()
        await asyncio.sleep(60)

    server, network, resolver = ApiServer(), Network(Peer(WEB)), RegistryResolver()
    server.server_stream(WATCH, watch)
    serving = asyncio.create_task(server.serve(network))
    following = asyncio.create_task(resolver.run(ApiClient(network), "shop/w"))
    assert len(await resolver.resolve("shop/web:calls")) == 1
    await asyncio.wait_for(thrice.wait(), PATIENCE)
    assert [request.resume_version for request in asked] == [0, 1, 0]
    for task in (following, serving):
        task.cancel()
    await asyncio.gather(following, serving, return_exceptions=True)
    network.close()
