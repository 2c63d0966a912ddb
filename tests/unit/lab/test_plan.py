"""Names and addresses of a laboratory."""

import ipaddress

import pytest

from lab import plan


def test_the_same_run_id_gives_the_same_addresses_and_another_gives_others() -> None:
    first, again, other = (plan.make(run, ["a", "b"]) for run in ("r1", "r1", "r2"))

    assert first == again
    assert first.pods[0].ipv6 != other.pods[0].ipv6


def test_pods_have_unique_local_addresses_in_one_network() -> None:
    laid_out = plan.make("r1", ["a", "b", "c"])
    addresses = [pod.ipv6 for pod in laid_out.pods]

    assert len(set(addresses)) == 3
    assert all(address in laid_out.network6 for address in addresses)
    assert laid_out.network6.subnet_of(ipaddress.IPv6Network("fd00::/8"))
    assert laid_out.gateway6 not in addresses


def test_ipv4_is_there_only_when_asked_for() -> None:
    assert plan.make("r1", ["a"]).pods[0].addresses == (plan.make("r1", ["a"]).pods[0].ipv6,)
    pod = plan.make("r1", ["a"], ipv4=True).pods[0]
    assert pod.ipv4 is not None
    assert pod.ipv4.is_private


def test_interface_names_fit_the_kernel_for_as_many_pods_as_there_may_be() -> None:
    laid_out = plan.make("r1", [f"pod-{number}" for number in range(plan.MAX_PODS)])

    assert all(len(pod.port) <= 15 for pod in laid_out.pods)
    assert len({pod.netns for pod in laid_out.pods}) == plan.MAX_PODS


@pytest.mark.parametrize(
    ("run", "names", "mtu", "said"),
    [
        ("Run", ["a"], 1500, "run id 'Run'"),
        ("r" * 13, ["a"], 1500, "1 to 12"),
        ("r1", ["a"], 1279, "mtu 1279: 1280 to 65535"),
        ("r1", ["a"], 65536, "mtu 65536"),
        ("r1", [], 1500, "0 pods"),
        ("r1", ["a", "a"], 1500, "must differ"),
    ],
)
def test_a_plan_that_cannot_be_is_refused_by_value(
    run: str, names: list[str], mtu: int, said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        plan.make(run, names, mtu=mtu)


def test_asking_for_a_pod_that_is_not_there_names_those_that_are() -> None:
    with pytest.raises(KeyError, match="there are a, b"):
        plan.make("r1", ["a", "b"]).pod("c")


def test_run_ids_differ() -> None:
    assert plan.new_run_id("t") != plan.new_run_id("t")
