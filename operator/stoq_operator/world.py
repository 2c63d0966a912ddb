"""The records in force, sorted by what they are for. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from stoq.records.mesh import MeshConfigSpec
from stoq.records.meta import Key
from stoq.records.revocation import Revocation
from stoq.records.workload import Workload
from stoq_operator.attest import holders
from stoq_operator.derive import mesh_of
from stoq_operator.store import Known


@dataclass(frozen=True, slots=True)
class World:
    """What the control process goes by at one moment."""

    records: Mapping[Key, Known]
    mesh: MeshConfigSpec
    workloads: tuple[Workload, ...]
    """All pods, in order of their keys."""
    pods: Mapping[str, Workload]
    """The same by uid."""
    tokens: Mapping[str, tuple[Workload, ...]]
    """The pods by the hash of their join token."""
    revocations: tuple[Revocation, ...]


def world(records: Mapping[Key, Known], fixed: MeshConfigSpec) -> World:
    """The records with the mesh configuration that they contain.

    Trust domain and profile are those of `fixed`, whatever the records say: roots and certificates
    that exist carry them, so only a restart can change them. Without a MeshConfig `fixed` holds.
    """
    found = mesh_of(records)
    mesh = fixed
    if found is not None:
        mesh = msgspec.structs.replace(
            found.spec, trust_domain=fixed.trust_domain, profile=fixed.profile
        )
    pods = ((key, record) for key, record in records.items() if isinstance(record, Workload))
    workloads = tuple(record for _, record in sorted(pods, key=lambda item: item[0]))
    return World(
        records,
        mesh,
        workloads,
        {workload.uid: workload for workload in reversed(workloads)},
        holders(workloads),
        tuple(record for record in records.values() if isinstance(record, Revocation)),
    )
