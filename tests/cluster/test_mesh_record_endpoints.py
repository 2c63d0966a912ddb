"""Which endpoint of a record answers, what else its name says, and who gets a copy."""

import re
from typing import Any

import pytest

from cluster.access import Cluster, stoqctl, url
from cluster.mesh import eventually, sidecar_page
from cluster.pods import WAIT, pod, serve
from cluster.test_mesh_records import record

pytestmark = pytest.mark.timeout(600)

PORT = {"name": "web", "port": 80, "targetPort": 8080}
ASKED = 100


@pytest.fixture(scope="module")
def town(shop: Cluster) -> Cluster:
    """Two that answer, one that does not, and one that writes down what it is asked."""
    first, second = shop.nodes()[:2]
    hears = ["sh", "-c", serve("shadow")[2].replace("httpd -f", "httpd -f -v")]
    shop.apply(
        pod("client", WAIT, first),
        pod("one", serve("one"), second),
        pod("two", serve("two"), second),
        pod("deaf", WAIT, second),
        pod("shadow", hears, second),
    )
    shop.ready("client", "one", "two", "deaf", "shadow")
    return shop


def leading_to(town: Cluster, name: str, weights: dict[str, int], **spec: Any) -> str:
    """A record with these pods as its endpoints: its URL, which the client knows."""
    ends = [
        {"address": town.addresses(each)[0], "weight": weight} for each, weight in weights.items()
    ]
    town.apply(record(name, ports=[PORT], endpoints=ends, **spec))

    def known() -> bool:
        services = sidecar_page(town, "client", "config")["registry"]["services"]
        return f"{town.namespace}/{name}" in services

    eventually(known)
    return url(town.get("stoqsr", name)["status"]["vip"], 80)


def test_connections_follow_the_weights(town: Cluster) -> None:
    target = leading_to(town, "weighed", {"one": 4, "two": 1})
    answers = town.answers("client", target, ASKED)
    # Of a hundred 80 are expected; by chance it is outside of this once in ten billion times.
    assert 50 < answers["one"] < ASKED
    assert answers["one"] + answers["two"] == ASKED


def test_no_request_fails_when_one_of_two_targets_does_not_answer(town: Cluster) -> None:
    target = leading_to(town, "half", {"deaf": 1, "one": 1})
    asked = f"{town.namespace}/client"

    def left_out() -> bool:
        assert town.answers("client", target, 10) == {"one": 10}
        status, said = stoqctl(town, "status", asked, "--json")
        return status == 0 and town.addresses("deaf")[0] in said.partition('"ejected"')[2]

    eventually(left_out)


def test_a_records_port_is_found_by_its_name(town: Cluster) -> None:
    leading_to(town, "found", {"one": 1})
    name = f"found.{town.namespace}.stoq"
    said = eventually(lambda: town.execute("client", "nslookup", "-type=srv", f"_web._tcp.{name}"))
    assert re.search(rf"service = \d+ \d+ 80 {re.escape(name)}\.?\s", said)


def test_a_shadow_hears_what_the_record_is_asked_and_answers_nobody(town: Cluster) -> None:
    town.apply(record("shadow", ports=[PORT], selector={"matchLabels": {"app": "shadow"}}))
    mirrors = [{"to": "shadow", "share": 10_000}]
    target = leading_to(town, "original", {"one": 1}, mirrors=mirrors)

    def heard() -> bool:
        assert town.fetch("client", target) == "one"
        return "response:200" in town.kubectl("logs", "shadow", "-c", "main")

    eventually(heard)
