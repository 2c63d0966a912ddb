"""Entries of the registry, as tests of what the sidecar makes of them need them."""

from stoq.registry import WorkloadEntry


def workload(uid: str, *addresses: str) -> WorkloadEntry:
    """A pod of the namespace shop."""
    return WorkloadEntry(
        uid=uid,
        name=uid,
        namespace="shop",
        spiffe_id="spiffe://td/ns/shop/sa/web",
        addresses=addresses,
    )
