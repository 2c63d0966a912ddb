"""Capture as a whole: what `nft` and `routes` do, and what remains where the kernel lacks a
part.
"""

from dataclasses import dataclass, replace

from stoq.capture import nft, routes
from stoq.capture.nft import CaptureError
from stoq.capture.plan import Plan


@dataclass(frozen=True, slots=True)
class Settled:
    """What `settle` came to. `lacking` says why it is less than was asked for; empty: it is not."""

    plan: Plan
    changed: bool
    lacking: str = ""


def apply(plan: Plan) -> bool:
    """Puts `plan` in force; returns False when it was already. Raises CaptureError."""
    # The rules between the routes that they need and those that they no longer do: what is marked
    # and finds no route is dropped. And the sidecar, which may read routes but no rules, looks for
    # them as soon as a connection has come back by the rules.
    wanted = routes.marks(plan)
    added = routes.add(wanted)
    ruled = nft.apply(plan)
    return routes.prune(wanted) or added or ruled


def settle(plan: Plan) -> Settled:
    """As `apply`, but does without the client's address where it cannot be kept: traffic is worth
    more. Raises CaptureError when the rest is not possible either.
    """
    try:
        return Settled(plan, apply(plan))
    except CaptureError as error:
        if not plan.client_address:
            raise
        less = replace(plan, client_address=False)
        # Before its rules: a sidecar that finds these takes routes for what they need.
        pruned = routes.prune(routes.marks(less))
        return Settled(less, apply(less) or pruned, str(error))


def verify(plan: Plan) -> list[str]:
    """What is not in force as planned, one sentence each. Raises CaptureError."""
    wanted = routes.marks(plan)
    return nft.verify(plan) + (routes.verify(wanted) if wanted else [])


def undo() -> bool:
    """Removes capture; returns False when there was none. Raises CaptureError."""
    ruled = nft.undo()
    routed = routes.prune()
    return ruled or routed
