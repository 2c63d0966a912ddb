from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stoq.registry import (
    Endpoint,
    Gap,
    MeshEntry,
    Removed,
    ServiceEntry,
    TrustEntry,
    WatchMessage,
    WorkloadEntry,
    apply,
    digests,
)
from stoq_operator.derive import Derived
from stoq_operator.index import Index

TRUST = TrustEntry(roots=(b"root",))


def pod(uid, address):
    return WorkloadEntry(
        uid=uid, name=uid, namespace="shop", spiffe_id=f"spiffe://e/ns/shop/sa/{uid}",
        addresses=(address,),
    )  # fmt: skip


def service(name, address):
    return ServiceEntry(
        name=name, namespace="shop", vips=("fd53::1",), ports=(), endpoints=(Endpoint(address),)
    )


def state(pods, services=(), inbound="permissive"):
    """A state from {uid: address}; the watcher `me` is always there."""
    entries = {uid: pod(uid, address) for uid, address in {"me": "fd00::1", **dict(pods)}.items()}
    return Derived(
        workloads=entries,
        services={f"shop/{n}": service(n, a) for n, a in dict(services).items()},
        meshes={
            uid: MeshEntry(trust_domain="e", inbound=inbound, own=entry)
            for uid, entry in entries.items()
        },
    )


def told(index: Index, *at: Any, packed: bool = False) -> WatchMessage:
    message = index.message("me", *at, packed=packed)
    assert message is not None
    return message


def caught_up(index, known, *, packed=False):
    """What `me` knows once it was told everything it lacks."""
    at = ("", 0) if known is None else (known.epoch, known.version)
    return apply(known, told(index, *at, packed=packed))


names = st.sampled_from("abcdef")
tables = st.dictionaries(names, st.sampled_from(["fd00::a", "fd00::b", "fd00::c"]), max_size=6)
states = st.builds(state, tables, tables, st.sampled_from(["permissive", "strict"]))
trusts = st.builds(lambda serials: TrustEntry(roots=(b"r",), revoked=serials), st.tuples(names))


@given(
    st.lists(st.tuples(states, trusts, st.booleans()), min_size=1, max_size=12),
    st.integers(0, 4),
    st.booleans(),
)
def test_deltas_in_order_always_equal_the_snapshot(steps, max_deletions, packed):
    """Whichever changes a watcher misses between two reads, it ends where a new one begins."""
    index = Index("epoch", 1000, max_deletions=max_deletions)
    index.update(*steps[0][:2])
    known = caught_up(index, None, packed=packed)
    for derived, trust, reads in steps[1:]:
        index.update(derived, trust)
        if reads:
            known = caught_up(index, known, packed=packed)
    known = caught_up(index, known, packed=packed)
    assert known == caught_up(index, None, packed=packed)
    assert dict(known.workloads) == dict(steps[-1][0].workloads)
    assert dict(known.services) == dict(steps[-1][0].services)
    assert known.trust == steps[-1][1]


@given(states, st.lists(states, min_size=1, max_size=3), trusts, st.booleans())
def test_a_watcher_of_another_process_is_brought_to_the_same_state(before, after, trust, packed):
    first = Index("first", 1000)
    first.update(before, TRUST)
    known = caught_up(first, None, packed=packed)
    second = Index("second", 5000)
    for derived in after:
        second.update(derived, trust)
    message = told(second, known.epoch, known.version, digests(known), packed=packed)
    assert message.type == "resync"
    assert apply(known, message) == caught_up(second, None)


def test_a_watcher_of_another_process_is_told_only_what_differs():
    pods = {f"p{number}": f"fd00::{number:x}" for number in range(2, 1002)}
    first, second = Index("first", 1000), Index("second", 5000)
    first.update(state(pods), TRUST)
    known = caught_up(first, None)
    second.update(state(pods), TRUST)
    same = second.message("me", "first", known.version, digests(known))
    assert (same.type, same.buckets, same.workloads) == ("resync", (), ())
    second.update(state(pods | {"p7": "fd00::ffff"}), TRUST)
    other = second.message("me", "first", known.version, digests(known))
    assert len(other.buckets) == 1
    assert pod("p7", "fd00::ffff") in other.workloads
    assert len(other.workloads) < 20


def test_watchers_of_one_version_are_told_the_very_same_bytes():
    """Packing costs the registry once, however many sidecars there are."""
    index = Index("epoch", 1000)
    index.update(state({"a": "fd00::a"}, {"db": "fd00::b"}), TRUST)
    index.update(state({"a": "fd00::a", "b": "fd00::c"}, {"db": "fd00::b"}), TRUST)
    asked: list[tuple[str, int, list[bytes]]] = [
        ("", 0, []),
        ("epoch", 1001, []),
        ("other", 1001, [b""] * 256),
    ]
    for epoch, version, held in asked:
        one = index.message("me", epoch, version, tuple(held), packed=True)
        other = index.message("b", epoch, version, tuple(held), packed=True)
        assert one.packed
        assert (one.workloads, one.services) == ((), ())
        assert all(a is b for a, b in zip(one.packed, other.packed, strict=True))


def test_a_change_packs_anew_only_what_lies_beside_it():
    pods = {f"p{number}": f"fd00::{number:x}" for number in range(2, 1002)}
    index = Index("epoch", 1000)
    index.update(state(pods), TRUST)
    before = index.message("me", "", 0, packed=True).packed
    index.update(state(pods | {"p7": "fd00::ffff"}), TRUST)
    after = index.message("me", "", 0, packed=True).packed
    assert len(before) == len(after) == 64
    assert sum(a is not b for a, b in zip(before, after, strict=True)) == 1


def test_digests_of_another_make_are_answered_by_a_snapshot():
    index = Index("epoch", 1000)
    index.update(state({"a": "fd00::a"}), TRUST)
    assert index.message("me", "other", 1001, (b"x",)).type == "snapshot"


def test_a_resync_of_another_state_is_a_gap():
    index = Index("epoch", 1000)
    index.update(state({"a": "fd00::a"}), TRUST)
    known = caught_up(index, None)
    second = Index("second", 5000)
    second.update(state({}), TRUST)
    resync = told(second, known.epoch, known.version + 1, digests(known))
    with pytest.raises(Gap, match="not on ours"):
        apply(known, resync)
    with pytest.raises(Gap):
        apply(None, resync)


def test_a_state_that_does_not_differ_makes_no_version():
    index = Index("epoch", 1000)
    assert index.update(state({"a": "fd00::a"}), TRUST)
    assert index.version == 1001
    assert not index.update(state({"a": "fd00::a"}), TRUST)
    assert index.version == 1001


def test_a_delta_names_only_what_changed():
    index = Index("epoch", 1000)
    index.update(state({"a": "fd00::a", "b": "fd00::b"}), TRUST)
    index.update(state({"b": "fd00::c"}), TRUST)
    assert index.message("me", "epoch", 1001) == WatchMessage(
        type="delta",
        epoch="epoch",
        version=1002,
        base=1001,
        workloads=(pod("b", "fd00::c"),),
        removed=Removed(workloads=("a",)),
    )


def test_a_watcher_that_is_current_gets_an_empty_delta():
    index = Index("epoch", 1000)
    index.update(state({}), TRUST)
    message = index.message("me", "epoch", 1001)
    assert message == WatchMessage(type="delta", epoch="epoch", version=1001, base=1001)


@pytest.mark.parametrize(
    ("epoch", "version"), [("", 0), ("other", 1001), ("epoch", 999), ("epoch", 5000)]
)
def test_a_watcher_that_can_not_resume_gets_a_snapshot(epoch, version):
    index = Index("epoch", 1000)
    index.update(state({"a": "fd00::a"}), TRUST)
    assert index.message("me", epoch, version).type == "snapshot"


def test_a_watcher_from_before_a_forgotten_deletion_gets_a_snapshot():
    index = Index("epoch", 1000, max_deletions=1)
    index.update(state({"a": "fd00::a", "b": "fd00::b"}), TRUST)
    index.update(state({"a": "fd00::a"}), TRUST)
    index.update(state({}), TRUST)
    assert index.message("me", "epoch", 1001).type == "snapshot"
    assert index.message("me", "epoch", 1002).type == "delta"


def test_a_workload_that_comes_back_is_not_reported_as_removed():
    index = Index("epoch", 1000)
    index.update(state({"a": "fd00::a"}), TRUST)
    index.update(state({}), TRUST)
    index.update(state({"a": "fd00::b"}), TRUST)
    message = index.message("me", "epoch", 1001)
    assert message.removed == Removed()
    assert message.workloads == (pod("a", "fd00::b"),)


def test_a_watcher_that_is_unknown_is_told_nothing():
    index = Index("epoch", 1000)
    assert index.message("me", "", 0) is None
    index.update(state({}), TRUST)
    assert index.message("stranger", "", 0) is None
    assert index.workload("stranger") is None
    assert index.named("shop", "stranger") is None
    assert index.named("shop", "me") == index.workload("me")
    assert index.counts == {"workloads": 1, "services": 0}


def delta(base, version=9, epoch="epoch"):
    return WatchMessage(type="delta", epoch=epoch, version=version, base=base)


def test_a_delta_that_does_not_fit_is_a_gap():
    index = Index("epoch", 1000)
    index.update(state({}), TRUST)
    known = caught_up(index, None)
    with pytest.raises(Gap, match="before any snapshot"):
        apply(None, delta(1001))
    with pytest.raises(Gap, match="builds on version 7"):
        apply(known, delta(7))
    with pytest.raises(Gap, match="other"):
        apply(known, delta(1001, epoch="other"))
    with pytest.raises(Gap, match="lacks mesh or trust"):
        apply(None, WatchMessage(type="snapshot", epoch="epoch", version=1))
