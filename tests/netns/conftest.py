"""Fixtures of the ring on one machine: pods as network namespaces. Needs root."""

from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest

from lab import netns, plan
from lab.state import State
from netns.alone import on_the_machine

LOCKS = Path(__file__).parents[2] / ".stoq" / "netns"

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


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """A test marked as `alone` measures time, or takes the whole machine: none runs beside it.

    Around everything, pytest-timeout too: waiting for its turn is not a test's own time.
    """
    with on_the_machine(LOCKS, alone=item.get_closest_marker("alone") is not None):
        return (yield)
