"""Fixtures of the ring on one machine: pods as network namespaces. Needs root."""

from collections.abc import Callable, Iterator

import pytest

from lab import netns, plan
from lab.state import State

MakePods = Callable[..., plan.Plan]


@pytest.fixture(scope="module")
def make_pods() -> Iterator[MakePods]:
    """Makes pods that can reach each other; all are removed after the module's tests."""
    states: list[State] = []

    def make(*names: str, mtu: int = 1500, ipv4: bool = True) -> plan.Plan:
        laid_out = plan.make(plan.new_run_id("t"), list(names), mtu=mtu, ipv4=ipv4)
        state = State.create(laid_out.run, "test")
        states.append(state)
        netns.build(laid_out, state)
        return laid_out

    yield make
    for state in states:
        state.remove()
