"""Addresses stay their pods' for a while after the registry has forgotten them."""

from stoq.registry import WorkloadEntry
from stoq_sidecar.retired import RETIRED_SECONDS, Retired
from unit.stoq_sidecar.entries import workload


def by_uid(*entries: WorkloadEntry) -> dict[str, WorkloadEntry]:
    return {entry.uid: entry for entry in entries}


def test_the_address_of_a_pod_that_is_gone_stays_its_own_until_the_time_is_over() -> None:
    retired = Retired()
    web = workload("web", "fd00::1", "10.0.0.1")
    retired.follow(by_uid(web), 100.0)
    assert retired.entries(100.0) == ()
    assert retired.ends() is None
    retired.follow({}, 200.0)
    found = retired.entries(200.0)
    assert [(entry.uid, entry.addresses) for entry in found] == [
        ("web@fd00::1", ("fd00::1",)),
        ("web@10.0.0.1", ("10.0.0.1",)),
    ]
    assert {entry.spiffe_id for entry in found} == {web.spiffe_id}
    assert retired.ends() == 200.0 + RETIRED_SECONDS
    assert len(retired.entries(200.0 + RETIRED_SECONDS - 0.1)) == 2
    assert retired.entries(200.0 + RETIRED_SECONDS) == ()
    assert retired.ends() is None


def test_a_pod_that_moves_retires_the_address_that_it_had() -> None:
    retired = Retired()
    retired.follow(by_uid(workload("web", "fd00::1", "10.0.0.1")), 0.0)
    retired.follow(by_uid(workload("web", "fd00::2", "10.0.0.1")), 1.0)
    assert [entry.addresses for entry in retired.entries(1.0)] == [("fd00::1",)]


def test_what_is_told_again_is_not_retired() -> None:
    retired = Retired()
    retired.follow(by_uid(workload("web", "fd00::1"), workload("db", "fd00::2")), 0.0)
    retired.follow(by_uid(workload("db", "fd00::2"), workload("web", "fd00::1")), 1.0)
    assert retired.entries(1.0) == ()


def test_an_address_that_goes_twice_is_the_last_ones_and_for_the_whole_time() -> None:
    retired = Retired()
    retired.follow(by_uid(workload("web", "fd00::1")), 0.0)
    retired.follow(by_uid(workload("db", "fd00::1")), 1.0)
    retired.follow({}, 20.0)
    (entry,) = retired.entries(20.0)
    assert (entry.name, retired.ends()) == ("db", 20.0 + RETIRED_SECONDS)
