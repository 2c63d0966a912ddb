"""Pods for a test or a module: made before it, and gone after it however it ends."""

from collections.abc import Iterator
from contextlib import contextmanager

from lab import netns, plan
from lab.state import State


@contextmanager
def pods(*names: str, ipv4: bool = True) -> Iterator[tuple[plan.Plan, State]]:
    """Pods that reach each other, with no program in them."""
    layout = plan.make(plan.new_run_id("t"), list(names), ipv4=ipv4)
    state = State.create(layout.run, "test")
    try:
        netns.build(layout, state)
        yield layout, state
    finally:
        state.remove()
