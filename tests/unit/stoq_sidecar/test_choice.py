"""Which endpoints of a service a pod uses."""

from collections import Counter
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from stoq.registry import Endpoint, ServiceEntry, ServicePort
from stoq_sidecar.choice import Place, usable

HERE = Place("fd00::2", node="n1", zone="z1")


def entry(*endpoints: Endpoint, **more: Any) -> ServiceEntry:
    return ServiceEntry(
        name="db",
        namespace="shop",
        vips=("fd53::1",),
        ports=(ServicePort(5432, 5432),),
        endpoints=endpoints,
        **more,
    )


def addresses(found: tuple[Endpoint, ...]) -> list[str]:
    return [end.address for end in found]


NEAR = Endpoint("fd00::a", node="n1", zone="z1")
SAME_ZONE = Endpoint("fd00::b", node="n2", zone="z1")
FAR = Endpoint("fd00::c", node="n3", zone="z2")


def test_without_wishes_all_are_used_in_their_order() -> None:
    assert usable(entry(FAR, NEAR, SAME_ZONE), HERE) == (FAR, NEAR, SAME_ZONE)


def test_an_endpoint_without_weight_takes_nothing() -> None:
    assert usable(entry(Endpoint("fd00::a", weight=0), FAR), HERE) == (FAR,)


def test_one_that_terminates_is_used_only_when_no_other_is_left() -> None:
    leaving = Endpoint("fd00::d", terminating=True)
    assert usable(entry(leaving, FAR), HERE) == (FAR,)
    assert usable(entry(leaving), HERE) == (leaving,)
    # One that may take nothing is not another that is left.
    assert usable(entry(leaving, Endpoint("fd00::e", weight=0)), HERE) == (leaving,)


def test_local_only_never_leaves_the_node() -> None:
    assert usable(entry(NEAR, SAME_ZONE, FAR, local_only=True), HERE) == (NEAR,)
    assert usable(entry(SAME_ZONE, FAR, local_only=True), HERE) == ()
    leaving = Endpoint("fd00::d", node="n1", terminating=True)
    assert usable(entry(leaving, FAR, local_only=True), HERE) == (leaving,)


def test_a_preferred_zone_is_left_only_when_it_has_none() -> None:
    assert usable(entry(NEAR, SAME_ZONE, FAR, prefer="zone"), HERE) == (NEAR, SAME_ZONE)
    assert usable(entry(FAR, prefer="zone"), HERE) == (FAR,)


def test_a_preferred_node_falls_back_to_the_zone_and_then_to_all() -> None:
    assert usable(entry(NEAR, SAME_ZONE, FAR, prefer="node"), HERE) == (NEAR,)
    assert usable(entry(SAME_ZONE, FAR, prefer="node"), HERE) == (SAME_ZONE,)
    assert usable(entry(FAR, prefer="node"), HERE) == (FAR,)


def test_an_unknown_place_is_near_to_nothing() -> None:
    unplaced = Endpoint("fd00::d")
    nowhere = Place("fd00::2")
    assert usable(entry(unplaced, NEAR, prefer="zone"), nowhere) == (unplaced, NEAR)
    assert usable(entry(unplaced, NEAR, local_only=True), nowhere) == ()


def test_affinity_prefers_an_endpoint_that_may_serve() -> None:
    sticky = entry(NEAR, SAME_ZONE, FAR, affinity=True)
    assert usable(sticky, HERE, lambda end: end is FAR) == (FAR,)
    # None may: the engine then refuses with that reason, not for want of an endpoint.
    assert len(usable(sticky, HERE, lambda _: False)) == 1


ENDPOINTS = st.lists(
    st.builds(lambda n, w: Endpoint(f"fd00::{n:x}", weight=w), st.integers(1, 99), st.just(1)),
    min_size=1, max_size=8, unique_by=lambda end: end.address,
)  # fmt: skip


@given(ENDPOINTS, st.integers(0, 7))
def test_affinity_keeps_its_endpoint_when_another_goes(ends: list[Endpoint], index: int) -> None:
    chosen = usable(entry(*ends, affinity=True), HERE)
    assert len(chosen) == 1
    gone = ends[index % len(ends)]
    left = [end for end in ends if end is not gone]
    if gone != chosen[0]:
        assert usable(entry(*left, affinity=True), HERE) == chosen


def test_affinity_spreads_pods_by_weight() -> None:
    light, heavy = Endpoint("fd00::a", weight=1), Endpoint("fd00::b", weight=3)
    sticky = entry(light, heavy, affinity=True)
    picked = Counter(
        address
        for n in range(2000)
        for address in addresses(usable(sticky, Place(f"fd00:1::{n:x}")))
    )
    assert 2.5 < picked["fd00::b"] / picked["fd00::a"] < 3.6
