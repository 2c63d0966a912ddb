"""What the agent says of its node: the status of a NodeCapability. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

import msgspec

from stoq import constants
from stoq.records.meta import Condition
from stoq.records.node import Feature, NodeCapabilityStatus
from stoq_node.capabilities import Capability, Facts, lacking, supported

ENFORCED: Final = "Enforced"
ACCOUNTED: Final = "Accounted"
"""Types of conditions."""

MOST: Final = 1024
"""Characters of a reason; what a verifier writes goes on for pages."""

HEAD: Final = 256
"""Characters of its beginning, if it is too long."""

FEW: Final = 5
"""Pods that are named."""


@dataclass(frozen=True, slots=True)
class Known:
    """What the agent knows of itself."""

    facts: Facts
    found: tuple[Capability, ...]
    guard: Literal["native", "tc", "generic", "off"] = "off"
    guard_problem: str = ""
    """Why it is off although it should not be."""
    failed: Mapping[str, str] | None = None
    """Why, by pod that is not enforced as it should; None while the pods are not known."""
    bypassed: Mapping[str, str] | None = None
    """What is known, by pod whose plaintext goes past its sidecar; None where nobody looks."""


def status(known: Known) -> NodeCapabilityStatus:
    """The status, with a condition that has no time yet."""
    uplink = known.facts.uplink
    reasons = _reasons(known.found)
    if known.guard_problem:
        reasons.append(f"the guard is off: {known.guard_problem}")
    return NodeCapabilityStatus(
        version=constants.VERSION,
        kernel=known.facts.release,
        uplink=uplink.name if uplink else "",
        driver=uplink.driver if uplink else "",
        native_xdp=supported(known.found, "guard-native"),
        strict=_strict(known.found),
        guard=known.guard,
        reason=_short("; ".join(reasons)),
        features=tuple(
            Feature(name=one.name, supported=one.supported, reason=_short(one.reason))
            for one in known.found
        ),
        conditions=(_enforced(known), *_accounted(known)),
    )


def timed(
    wanted: NodeCapabilityStatus, before: Iterable[Condition], now: str, generation: int
) -> NodeCapabilityStatus:
    """`wanted` with the time (RFC 3339) at which each condition became what it is: `now`, unless it
    was so `before`.
    """
    last = {condition.type: condition for condition in before}
    conditions = []
    for condition in wanted.conditions:
        old = last.get(condition.type)
        same = old is not None and old.status == condition.status and old.last_transition_time
        since = old.last_transition_time if old is not None and same else now
        conditions.append(
            msgspec.structs.replace(
                condition, last_transition_time=since, observed_generation=generation
            )
        )
    return msgspec.structs.replace(wanted, conditions=tuple(conditions))


def _enforced(known: Known) -> Condition:
    if not _strict(known.found):
        why = next(one.reason for one in lacking(known.found))
        return Condition(type=ENFORCED, status="False", reason="NotSupported", message=_short(why))
    if known.failed is None:
        why = "the agent does not know the pods of this node yet"
        return Condition(type=ENFORCED, status="Unknown", reason="Starting", message=why)
    if known.failed:
        message = _named(known.failed)
        return Condition(type=ENFORCED, status="False", reason="PodsFailed", message=message)
    why = "every pod of the mesh on this node is enforced"
    return Condition(type=ENFORCED, status="True", reason="AllPods", message=why)


def _accounted(known: Known) -> tuple[Condition, ...]:
    if known.bypassed is None:
        return ()
    if known.bypassed:
        message = _named(known.bypassed)
        return (Condition(type=ACCOUNTED, status="False", reason="Bypassed", message=message),)
    why = "no plaintext is known to have gone past the sidecars of this node"
    return (Condition(type=ACCOUNTED, status="True", reason="AllPods", message=why),)


def _named(pods: Mapping[str, str]) -> str:
    """A few of the pods with what is said of them."""
    named = [f"{pod}: {why}" for pod, why in sorted(pods.items())]
    more = f" and {len(named) - FEW} more" if len(named) > FEW else ""
    return _short("; ".join(named[:FEW])) + more


def _reasons(found: tuple[Capability, ...]) -> list[str]:
    """Each once, its first line, headed by what is not there because of it."""
    names: dict[str, list[str]] = {}
    for one in lacking(found):
        names.setdefault(one.reason.partition("\n")[0], []).append(one.name)
    return [f"{', '.join(missing)}: {why}" for why, missing in names.items()]


def _strict(found: tuple[Capability, ...]) -> bool:
    """As the agent goes by it: strict mode is counted by the accounts."""
    return supported(found, "strict") and supported(found, "account")


def _short(text: str) -> str:
    """Of a text that is too long its beginning and its end, where a verifier comes to the point."""
    if len(text) <= MOST:
        return text
    return f"{text[:HEAD]}…{text[HEAD + 1 - MOST :]}"
