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
    # Rules before routes: what is marked and finds no route is dropped, not sent to the client. And
    # the sidecar, which may read routes but no rules, knows by the ones that the others are there.
    ruled = nft.apply(plan)
    routed = routes.apply(routes.marks(plan))
    return ruled or routed


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
        return Settled(less, apply(less), str(error))


def verify(plan: Plan) -> list[str]:
    """What is not in force as planned, one sentence each. Raises CaptureError."""
    wanted = routes.marks(plan)
    return nft.verify(plan) + (routes.verify(wanted) if wanted else [])


def undo() -> bool:
    """Removes capture; returns False when there was none. Raises CaptureError."""
    ruled = nft.undo()
    routed = routes.undo()
    return ruled or routed
