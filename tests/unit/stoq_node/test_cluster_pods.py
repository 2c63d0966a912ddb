"""Pods as the API server knows them, followed together with the links that they are behind."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from ipaddress import ip_address

import pytest

from stoq.capture.plan import Address
from stoq.records.mesh import MeshConfigSpec
from stoq_kube.apiserver import PODS, RECORDS, Changed
from stoq_node import clusterpods
from stoq_node.clusterpods import ClusterPods, Network
from stoq_node.enrolment import Surround
from stoq_node.netlink import Link, Neighbour, Route
from stoq_node.placing import Surroundings
from stoq_node.pods import Pod
from support.patience import PATIENCE, until
from unit.stoq_node.cluster import ApiServer, Object, on_node

MESHES, POLICIES = RECORDS["MeshConfig"], RECORDS["TransportPolicy"]

HARDWARE = b"\x02\0\0\0\0\1"
BRIDGE = Link(4, "cni0", "bridge", 0, across=False)


class Node:
    """Links by index, and routes to addresses over them."""

    def __init__(self) -> None:
        self.links: dict[int, Link] = {}
        self.routes: dict[Address, int] = {}
        self.neighbours: list[Neighbour] = []
        self.sought: list[tuple[Address, int]] = []
        self.looked = 0

    def link(self, index: int, *addresses: str) -> None:
        self.links[index] = Link(index, f"veth{index}", "veth", 0, across=True)
        self.routes.update({ip_address(address): index for address in addresses})

    def look(self, addresses: Iterable[Address]) -> Surroundings:
        self.looked += 1
        routes = {
            address: Route(self.routes[address], direct=True) if address in self.routes else None
            for address in addresses
        }
        return Surroundings(dict(self.links), routes, tuple(self.neighbours))

    def names(self) -> dict[str, int]:
        return {link.name: index for index, link in self.links.items()}

    @property
    def network(self) -> Network:
        return Network(self.look, self.sought.extend, self.names)


def policy(name: str, **spec: object) -> Object:
    return {"metadata": {"name": name, "namespace": "shop"}, "spec": spec}


@asynccontextmanager
async def following(server: ApiServer, node: Node) -> AsyncIterator["Lists"]:
    around = Surround(mesh=MeshConfigSpec(trust_domain=""))
    source = ClusterPods(server, "node-1", around, node.network)
    running = asyncio.create_task(source.run())
    try:
        yield Lists(source)
    finally:
        running.cancel()
        await asyncio.wait([running])


class Lists:
    """What the source brings."""

    def __init__(self, source: ClusterPods) -> None:
        self.source = source
        self._lists = source.watch()

    async def next(self) -> tuple[Pod, ...]:
        return await asyncio.wait_for(anext(self._lists), PATIENCE)

    async def interfaces(self) -> dict[str, str]:
        return {pod.name: pod.interface for pod in await self.next()}


@pytest.fixture
def server() -> ApiServer:
    found = ApiServer()
    found.list(MESHES, {"metadata": {"name": "default"}, "spec": {"trustDomain": "x.test"}})
    found.list(POLICIES)
    return found


async def test_a_pod_comes_with_the_link_that_its_address_is_behind(server: ApiServer) -> None:
    node = Node()
    node.link(7, "10.9.0.2", "fd99::2")
    server.list(PODS, on_node("web-0", "10.9.0.2", "fd99::2"))
    async with following(server, node) as lists:
        (web,) = await lists.next()
        assert (web.key, web.interface, web.inbound) == ("shop/web-0", "veth7", "permissive")
    assert server.watched["pods"] == "node-1"


async def test_nothing_is_said_before_pods_configuration_and_policies_are_all_read() -> None:
    server, node = ApiServer(), Node()
    node.link(7, "10.9.0.2")
    server.list(PODS, on_node("web-0", "10.9.0.2"))
    server.list(MESHES)
    async with following(server, node) as lists:
        first = asyncio.create_task(lists.next())
        await asyncio.wait([first], timeout=0.1)
        assert not first.done()
        server.list(POLICIES, policy("p", inbound="strict"))
        (web,) = await first
        assert web.inbound == "strict"


async def test_a_link_that_comes_after_the_address_is_found(server: ApiServer) -> None:
    node = Node()
    server.list(PODS, on_node("web-0", "10.9.0.2"))
    async with following(server, node) as lists:
        assert await lists.interfaces() == {"web-0": ""}
        node.link(7, "10.9.0.2")
        assert await lists.interfaces() == {"web-0": "veth7"}


async def test_a_link_made_anew_is_found_again(server: ApiServer) -> None:
    node = Node()
    node.link(7, "10.9.0.2")
    server.list(PODS, on_node("web-0", "10.9.0.2"))
    async with following(server, node) as lists:
        assert await lists.interfaces() == {"web-0": "veth7"}
        node.links.clear()
        node.link(9, "10.9.0.2")
        assert await lists.interfaces() == {"web-0": "veth9"}


async def test_a_link_once_found_stays_the_pods_when_the_kernel_forgets(server: ApiServer) -> None:
    node = Node()
    node.link(7, "10.9.0.2")
    server.list(PODS, on_node("web-0", "10.9.0.2"))
    async with following(server, node) as lists:
        assert await lists.interfaces() == {"web-0": "veth7"}
        node.routes.clear()
        server.tell(PODS, Changed(on_node("db-0")))
        assert await lists.interfaces() == {"db-0": "", "web-0": "veth7"}


async def test_behind_a_bridge_the_pod_is_looked_for_until_it_is_heard(server: ApiServer) -> None:
    node, address = Node(), ip_address("10.8.0.2")
    node.links[4] = BRIDGE
    node.routes[address] = 4
    server.list(PODS, on_node("web-0", "10.8.0.2"))
    async with following(server, node) as lists:
        assert await lists.interfaces() == {"web-0": ""}
        assert node.sought == [(address, 4)]
        node.links[5] = Link(5, "veth5", "veth", 4, across=True)
        node.neighbours = [Neighbour(4, address, HARDWARE, 0), Neighbour(5, None, HARDWARE, 4)]
        assert await lists.interfaces() == {"web-0": "veth5"}


async def test_a_pod_whose_link_is_not_found_in_time_says_why(
    server: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clusterpods, "PATIENCE", 0.3)
    server.list(PODS, on_node("web-0", "10.9.0.2"), on_node("db-0"))
    async with following(server, Node()) as lists:
        assert [pod.obstacle for pod in await lists.next()] == ["", ""]
        db, web = await lists.next()
        assert (web.obstacle, db.obstacle) == ("no route leads to 10.9.0.2", "")


async def test_a_pod_on_its_nodes_network_says_so_at_once_and_no_link_is_taken_for_its_own(
    server: ApiServer,
) -> None:
    node, host = Node(), on_node("host-0", "10.9.0.1")
    host["spec"]["hostNetwork"] = True
    node.link(7, "10.9.0.1")
    node.link(8, "10.9.0.2")
    server.list(PODS, host, on_node("web-0", "10.9.0.2"))
    async with following(server, node) as lists:
        host_pod, web = await lists.next()
    assert "hostNetwork: true" in host_pod.obstacle
    assert (host_pod.interface, host_pod.addresses) == ("", ())
    assert (web.interface, web.obstacle) == ("veth8", "")


async def test_modes_follow_policies_and_pods_go_when_they_are_deleted(server: ApiServer) -> None:
    node, web = Node(), on_node("web-0", "10.9.0.2")
    node.link(7, "10.9.0.2")
    server.list(PODS, web)
    async with following(server, node) as lists:
        assert [pod.outbound for pod in await lists.next()] == ["allow"]
        server.tell(POLICIES, Changed(policy("p", outbound="meshOnly")))
        assert [pod.outbound for pod in await lists.next()] == ["meshOnly"]
        server.delete(POLICIES, policy("p"))
        assert [pod.outbound for pod in await lists.next()] == ["allow"]
        server.delete(PODS, web)
        assert await lists.next() == ()


async def test_what_was_deleted_during_a_gap_is_gone_after_it(server: ApiServer) -> None:
    server.list(PODS, on_node("web-0"), on_node("db-0"))
    async with following(server, Node()) as lists:
        assert await lists.interfaces() == {"db-0": "", "web-0": ""}
        server.list(PODS, on_node("db-0"))
        assert await lists.interfaces() == {"db-0": ""}


async def test_what_came_after_a_list_and_was_deleted_during_a_gap_is_gone_after_it(
    server: ApiServer,
) -> None:
    server.list(PODS, on_node("db-0"))
    async with following(server, Node()) as lists:
        assert await lists.interfaces() == {"db-0": ""}
        server.tell(PODS, Changed(on_node("web-0")))
        assert await lists.interfaces() == {"db-0": "", "web-0": ""}
        server.list(PODS, on_node("db-0"))
        assert await lists.interfaces() == {"db-0": ""}


async def test_without_configuration_the_last_one_holds(server: ApiServer) -> None:
    mesh = {"metadata": {"name": "default"}, "spec": {"trustDomain": "x", "inbound": "strict"}}
    server.list(MESHES, mesh)
    server.list(PODS, on_node("web-0"))
    async with following(server, Node()) as lists:
        assert [pod.inbound for pod in await lists.next()] == ["strict"]
        server.delete(MESHES, mesh)
        server.tell(PODS, Changed(on_node("db-0")))
        assert [pod.inbound for pod in await lists.next()] == ["strict", "strict"]


async def test_an_object_that_cannot_be_read_stays_what_it_was(server: ApiServer) -> None:
    server.list(POLICIES, policy("p", inbound="strict"))
    server.list(PODS, on_node("web-0"))
    async with following(server, Node()) as lists:
        assert [pod.inbound for pod in await lists.next()] == ["strict"]
        server.tell(POLICIES, Changed(policy("p", inbound="lax")))
        server.tell(PODS, Changed(on_node("db-0")))
        assert [pod.inbound for pod in await lists.next()] == ["strict", "strict"]


async def test_while_the_api_server_is_away_the_source_says_so(server: ApiServer) -> None:
    server.list(PODS, on_node("web-0"))
    async with following(server, Node()) as lists:
        await lists.next()
        assert lists.source.problem == ""
        server.tell(PODS, "pods can not be watched: nobody answers")
        await until(lambda: bool(lists.source.problem))
        assert lists.source.problem == "pods can not be watched: nobody answers"
        server.tell(PODS, Changed(on_node("db-0")))
        await lists.next()
        assert lists.source.problem == ""


async def test_links_that_cannot_be_read_are_tried_again(server: ApiServer) -> None:
    node, fails = Node(), [OSError("no buffer space")]
    node.link(7, "10.9.0.2")

    def look(addresses: Iterable[Address]) -> Surroundings:
        if fails:
            raise fails.pop()
        return node.look(addresses)

    server.list(PODS, on_node("web-0", "10.9.0.2"))
    source = ClusterPods(
        server, "node-1", Surround(mesh=MeshConfigSpec(trust_domain="")),
        Network(look, node.sought.extend, node.names),
    )  # fmt: skip
    running = asyncio.create_task(source.run())
    lists = Lists(source)
    assert await lists.interfaces() == {"web-0": ""}
    assert await lists.interfaces() == {"web-0": "veth7"}
    running.cancel()
    await asyncio.wait([running])
