"""Crypto profiles of workloads, from the mesh and its policies. Pure."""

from collections.abc import Mapping, Sequence

from stoq.records.mesh import MeshConfigSpec, crypto_of
from stoq.records.policy import Effective, TransportPolicy, saying
from stoq.records.workload import Workload
from stoq.rules import CryptoRule


def rule(found: Effective) -> CryptoRule:
    """What holds for a workload, as it is told."""
    policy = found.encrypting
    return CryptoRule(
        profile=found.crypto.profile,
        mode=found.crypto.mode,
        policy=f"{policy.metadata.namespace}/{policy.metadata.name}" if policy else "",
    )


def required(
    mesh: MeshConfigSpec,
    pods: Mapping[str, Workload],
    transport: Mapping[str, Sequence[TransportPolicy]],
) -> dict[str, str]:
    """The profiles that pods require of whoever dials them, by uid; without those that require
    none.
    """
    everywhere = crypto_of(mesh)
    asking = {
        place: found
        for place, policies in transport.items()
        if (found := [policy for policy in policies if policy.spec.crypto is not None])
    }
    wanted: dict[str, str] = {}
    for uid, pod in pods.items():
        place = pod.metadata.namespace
        policy = None
        if place in asking:
            policy = saying("crypto", asking[place], place, pod.metadata.labels)
        crypto = (policy and policy.spec.crypto) or everywhere
        if crypto.mode == "require":
            wanted[uid] = crypto.profile
    return wanted
