"""Short ways to write records, and what follows from them."""

from stoq.records.manifest import decode
from stoq.records.meta import API_VERSION
from stoq_operator.derive import derive

TRUST_DOMAIN = "example.org"


def record(kind, name, spec, *, namespace="shop", labels=None):
    metadata = {"name": name, "labels": labels or {}}
    if namespace:
        metadata["namespace"] = namespace
    return decode({"apiVersion": API_VERSION, "kind": kind, "metadata": metadata, "spec": spec})


def workload(name, *addresses, namespace="shop", labels=None, **spec):
    spec = {"addresses": list(addresses), "serviceAccount": name} | spec
    return record("Workload", name, spec, namespace=namespace, labels=labels)


def service(name, *addresses, namespace="shop", port=80, **spec):
    if "selector" not in spec and "serviceRef" not in spec:
        spec["endpoints"] = [{"address": address} for address in addresses]
    return record("ServiceRecord", name, {"ports": [{"port": port}]} | spec, namespace=namespace)


def mesh(name="mesh", **spec):
    return record("MeshConfig", name, {"trustDomain": TRUST_DOMAIN} | spec, namespace="")


def revocation(name, **spec):
    return record("Revocation", name, spec, namespace="")


def gateway(name, *, namespace="", **spec):
    return record("HopGateway", name, spec, namespace=namespace)


def by_key(*records):
    return {item.key: item for item in records}


def derived(*records, memo=None):
    """What sidecars are told of these, each record with one virtual address."""
    vips = {
        f"{item.key.namespace}/{item.key.name}": f"fd53::{number:x}"
        for number, item in enumerate(records, 16)
        if item.KIND == "ServiceRecord"
    }
    return derive(by_key(*records), mesh().spec, vips, memo)
