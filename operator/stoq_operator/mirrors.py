"""Who sends copies of what to whom, from service records and policies. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from stoq.records.meta import Key
from stoq.records.mirror import Mirror, PolicyMirror
from stoq.records.policy import TransportPolicy, mirroring
from stoq.records.service import ServiceRecord
from stoq.registry import MirrorRule, ServiceEntry, WorkloadEntry, service_key
from stoq_operator.problem import Problem
from stoq_operator.store import Known

Rules = tuple[MirrorRule, ...]


@dataclass(frozen=True, slots=True)
class Mirrors:
    """All mirrors, seen from both ends."""

    everyones: Rules = ()
    """Those of service records: every client follows them."""
    own: Mapping[str, Rules] = field(default_factory=dict)
    """Those of policies, by uid of the workload that follows them."""
    expected: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Whose copies a shadow takes, by its uid: SPIFFE ids; empty: everyone's."""
    problems: Mapping[Key, Problem] = field(default_factory=dict)


def mirrors(
    records: Mapping[Key, Known],
    policies: Mapping[str, Sequence[TransportPolicy]],
    services: Mapping[str, ServiceEntry],
    workloads: Mapping[str, WorkloadEntry],
    labels: Mapping[str, Mapping[str, str]],
) -> Mirrors:
    """The mirrors of `records` and of `policies`, these by namespace; `labels` are those of the
    workloads, by uid. One whose service or shadow is not there is a problem of who asks for it.
    """
    problems: dict[Key, Problem] = {}
    everyones = tuple(_of_records(records.values(), services, problems))
    asking = {place: found for place, each in policies.items() if (found := _asking(each))}
    rules = {
        policy.key: tuple(_of_policy(policy, services, problems))
        for each in asking.values()
        for policy in each
    }
    own: dict[str, Rules] = {}
    senders: dict[str, set[str]] = {}
    for uid, entry in workloads.items() if asking else ():
        chosen = mirroring(asking.get(entry.namespace, ()), entry.namespace, labels[uid])
        if chosen is not None and rules[chosen.key]:
            own[uid] = rules[chosen.key]
            for rule in own[uid]:
                senders.setdefault(rule.to, set()).add(entry.spiffe_id)
    from_all = {rule.to for rule in everyones}
    expected = _expected(from_all, senders, services, workloads.values())
    return Mirrors(everyones, own, expected, problems)


def _asking(policies: Iterable[TransportPolicy]) -> list[TransportPolicy]:
    return [policy for policy in policies if policy.spec.mirrors is not None]


def _of_records(
    records: Iterable[Known],
    services: Mapping[str, ServiceEntry],
    problems: dict[Key, Problem],
) -> Iterable[MirrorRule]:
    for record in records:
        if not isinstance(record, ServiceRecord) or not record.spec.mirrors:
            continue
        place = record.metadata.namespace
        of = service_key("record", place, record.metadata.name)
        if of not in services:
            continue  # what is wrong with it is said already
        asked = ((of, mirror) for mirror in record.spec.mirrors)
        yield from _found(record.key, place, asked, services, problems)


def _of_policy(
    policy: TransportPolicy, services: Mapping[str, ServiceEntry], problems: dict[Key, Problem]
) -> Iterable[MirrorRule]:
    place = policy.metadata.namespace
    mirrors = policy.spec.mirrors or ()
    asked = ((service_key("record", *mirror.dialled(place)), mirror) for mirror in mirrors)
    return _found(policy.key, place, asked, services, problems)


def _found(
    asker: Key,
    place: str,
    asked: Iterable[tuple[str, Mirror | PolicyMirror]],
    services: Mapping[str, ServiceEntry],
    problems: dict[Key, Problem],
) -> Iterable[MirrorRule]:
    """The mirrors that `asker`, of the namespace `place`, wants of services by their keys."""
    for of, mirror in asked:
        to = service_key("record", place, mirror.to)
        problem = _wrong(of, to, services, f"{asker}: spec.mirrors")
        if problem is None:
            yield MirrorRule(of, to, mirror.share)
        else:
            problems[asker] = problem


def _wrong(of: str, to: str, services: Mapping[str, ServiceEntry], where: str) -> Problem | None:
    if of == to:
        return Problem("MirrorOfItself", f"{where}: {of} cannot be its own shadow; name another")
    for key in (of, to):
        if key not in services:
            return Problem(
                "MirrorNotFound",
                f"{where}: there is no ServiceRecord {key}; make it, or mend the name",
            )
    return None


def _expected(
    from_all: Iterable[str],
    senders: Mapping[str, set[str]],
    services: Mapping[str, ServiceEntry],
    workloads: Iterable[WorkloadEntry],
) -> dict[str, tuple[str, ...]]:
    """What shadows take. A workload of another namespace than the shadow record's is never one:
    whoever writes a record may list any address in it.
    """
    everyone = set(from_all)
    if not everyone and not senders:
        return {}
    owners = {address: entry for entry in workloads for address in entry.addresses}
    found: dict[str, set[str] | None] = {}
    for key in everyone | senders.keys():
        service = services[key]
        for endpoint in service.endpoints:
            owner = owners.get(endpoint.address)
            if owner is None or owner.namespace != service.namespace:
                continue
            ids = found.get(owner.uid, set())
            found[owner.uid] = None if key in everyone or ids is None else ids | senders[key]
    return {uid: tuple(sorted(ids or ())) for uid, ids in found.items()}
