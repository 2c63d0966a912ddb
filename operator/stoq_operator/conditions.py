"""The status that a record deserves. Pure.

Every record has two conditions: `Accepted`, whether its spec can be read, and `Ready`, whether what
it says is in force. The time in a condition is that of its last change, so a status that says the
same is the same, and is not written again.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import msgspec

from stoq.records.gateway import HopGateway
from stoq.records.manifest import AnyRecord
from stoq.records.mesh import MeshConfig, MeshConfigSpec
from stoq.records.meta import API_VERSION, Condition, Key
from stoq.records.service import ServiceRecord
from stoq_operator.derive import Derived
from stoq_operator.problem import Problem
from stoq_operator.world import World

MAX_MESSAGE: Final = 1024
"""Characters of a message; CRDs allow more, people read less."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """An object that is no record, and why."""

    text: str
    generation: int
    conditions: tuple[Condition, ...]
    """As the object has them."""


IN_FORCE: Final = Problem("InForce", "")


def wanted(
    world: World,
    derived: Derived,
    rejected: Mapping[Key, Rejected],
    vips: Mapping[str, str],
    now: str,
) -> dict[Key, dict[str, Any]]:
    """The manifests to apply to the status of records: those whose status says something else.

    `vips` are the addresses that service records shall have, by `<namespace>/<name>`; `now` is the
    time in RFC 3339.
    """
    found: dict[Key, dict[str, Any]] = {}
    for key, record in world.records.items():
        if not isinstance(record, AnyRecord) or key.kind == "Workload" or key in rejected:
            continue
        vip = vips.get(f"{key.namespace}/{key.name}", "")
        conditions = _judged(
            record.metadata.generation,
            None,
            derived.problems.get(key) or _unready(record, world.mesh, derived, vip),
            record.status.conditions,
            now,
        )
        status: dict[str, Any] = {"conditions": conditions}
        same = conditions == record.status.conditions
        if isinstance(record, ServiceRecord):
            same = same and vip == record.status.vip
            if vip:
                status["vip"] = vip
        if not same:
            found[key] = _manifest(key, status)
    for key, item in rejected.items():
        conditions = _judged(
            item.generation, item.text, Problem("Invalid", item.text), item.conditions, now
        )
        if conditions != item.conditions:
            found[key] = _manifest(key, {"conditions": conditions})
    return found


def _unready(record: AnyRecord, mesh: MeshConfigSpec, derived: Derived, vip: str) -> Problem | None:
    """Why the record is not in force although nothing is wrong with it."""
    if isinstance(record, MeshConfig):
        fixed = (mesh.trust_domain, mesh.profile)
        if (record.spec.trust_domain, record.spec.profile) != fixed:
            return Problem(
                "RestartNeeded",
                f"roots and certificates are of {mesh.trust_domain} with {mesh.profile}; another "
                "trust domain or profile needs new roots and a restart of the operator",
            )
    if isinstance(record, ServiceRecord):
        key = f"{record.metadata.namespace}/{record.metadata.name}"
        if not vip:
            return Problem("AddressesExhausted", "spec.vipRange of the mesh is full; widen it")
        entry = derived.services.get(key)
        if entry is not None and not entry.endpoints:
            return Problem("NoEndpoints", "no endpoint is ready; connections are refused")
    if isinstance(record, HopGateway):
        gateway = derived.gateways.get(record.metadata.name)
        if gateway is not None and not gateway.replicas:
            return Problem(
                "NoEndpoints",
                f"no pod of this mesh is {gateway.spiffe_id} and ready; nobody is reached over it. "
                "Start stoq-gateway there, or list spec.endpoints",
            )
    return None


def _judged(
    generation: int,
    invalid: str | None,
    problem: Problem | None,
    before: tuple[Condition, ...],
    now: str,
) -> tuple[Condition, ...]:
    accepted = Problem("Accepted", "") if invalid is None else Problem("Invalid", invalid)
    return (
        _condition("Accepted", accepted, generation, before, now, good=invalid is None),
        _condition("Ready", problem or IN_FORCE, generation, before, now, good=problem is None),
    )


def _condition(
    kind: str,
    why: Problem,
    generation: int,
    before: tuple[Condition, ...],
    now: str,
    *,
    good: bool,
) -> Condition:
    status: Literal["True", "False"] = "True" if good else "False"
    known = next((item for item in before if item.type == kind), None)
    since = known.last_transition_time if known is not None and known.status == status else now
    return Condition(
        type=kind,
        status=status,
        reason=why.reason,
        message=why.text[:MAX_MESSAGE],
        last_transition_time=since,
        observed_generation=generation,
    )


def _manifest(key: Key, status: Mapping[str, Any]) -> dict[str, Any]:
    place = {"namespace": key.namespace} if key.namespace else {}
    found: dict[str, Any] = msgspec.to_builtins(status)
    return {
        "apiVersion": API_VERSION,
        "kind": key.kind,
        "metadata": {"name": key.name, **place},
        "status": found,
    }
