"""`stoqctl records`: workloads and services, as a sidecar knows them or as the store has them."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from stoq.records.documents import DocumentError, Located, parse
from stoq.records.manifest import encode
from stoqctl.connect import cluster, has_cluster
from stoqctl.ejected import ejected, marked
from stoqctl.errors import StoqctlError
from stoqctl.gather import Gatherer
from stoqctl.judge.facts import name
from stoqctl.options import (
    DEFAULT_ADMIN,
    Admin,
    Context,
    Json,
    Kubeconfig,
    Namespace,
    Netns,
    Pod,
    Store,
)
from stoqctl.output import console, print_json, table
from stoqctl.sidecars import Pages, sidecar

EXAMPLES: Final = (
    "Examples:\n\nstoqctl records\n\nstoqctl records -n shop --json\n\n"
    "stoqctl records shop/web-0\n\nstoqctl records --store ./store\n\n"
    "sudo stoqctl records --netns web-0 --json"
)


def run(
    pod: Pod = "",
    namespace: Namespace = "",
    kubeconfig: Kubeconfig = "",
    context: Context = "",
    store: Store = None,
    netns: Netns = "",
    admin: Admin = DEFAULT_ADMIN,
    as_json: Json = False,
) -> None:
    """List a cluster's service records, or what a pod knows of workloads and services.

    Endpoints that the pod's sidecar has ejected because connections to them failed are marked. With
    --store the manifests of a control process are read; without a cluster a sidecar of this machine
    is asked.
    """
    local = bool(netns or admin != DEFAULT_ADMIN)
    if store is not None:
        _from_store(store, as_json)
    elif not pod and not local and has_cluster(kubeconfig, context):
        gatherer = Gatherer(cluster(kubeconfig, context))
        _from_cluster(gatherer.records("servicerecords", namespace=namespace), as_json)
    else:
        pages = sidecar(
            pod,
            namespace=namespace,
            kubeconfig=kubeconfig,
            context=context,
            netns=netns,
            admin=admin,
        )
        _from_sidecar(pages, as_json)


def _from_cluster(found: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        print_json({"records": found})
        return
    rows = [_record(item) for item in sorted(found, key=name)]
    console().print(table(("service", "vip", "ports", "leads to", "condition"), rows))


def _record(item: dict[str, Any]) -> tuple[str, ...]:
    spec, status = item["spec"], item.get("status") or {}
    if spec.get("serviceRef"):
        leads = f"service {spec['serviceRef']['name']}"
    elif spec.get("selector"):
        leads = ", ".join(f"{k}={v}" for k, v in spec["selector"]["matchLabels"].items())
    else:
        leads = ", ".join(end["address"] for end in spec.get("endpoints") or ()) or "nothing"
    refused = [
        condition.get("message") or condition["reason"]
        for condition in status.get("conditions") or ()
        if condition["status"] == "False"
    ]
    return (
        name(item),
        status.get("vip") or "none yet",
        ", ".join(_port(port, port.get("targetPort")) for port in spec["ports"]),
        leads,
        "; ".join(refused) or ("accepted" if status.get("conditions") else "not seen yet"),
    )


def _port(port: dict[str, Any], target: int | None) -> str:
    number = port["port"]
    shown = str(number) if target in {None, number} else f"{number}→{target}"
    return f"{shown}/udp" if port.get("protocol") == "UDP" else shown


def _from_sidecar(sidecar: Pages, as_json: bool) -> None:
    config = sidecar.get("/config")
    registry = config["registry"]
    if registry is None:
        raise StoqctlError(f"{sidecar.name} has not heard from the registry yet; see `status`")
    workloads = sorted(registry["workloads"].values(), key=_name)
    services = sorted(registry["services"].values(), key=_name)
    if as_json:
        print_json({"workloads": workloads, "services": services, "ejected": ejected(config)})
        return
    rows = [(_name(item), ", ".join(item["addresses"]), item["spiffe_id"]) for item in workloads]
    console().print(table(("workload", "addresses", "spiffe id"), rows))
    if services:
        console().print()
        out = ejected(config)
        lines = [_service(item, out.get(_name(item), ())) for item in services]
        console().print(table(("service", "vips", "ports", "endpoints"), lines))


def _name(item: dict[str, Any]) -> str:
    return f"{item['namespace']}/{item['name']}"


def _service(item: dict[str, Any], out: Iterable[str]) -> tuple[str, ...]:
    ports = (_port(port, port["target"]) for port in item["ports"])
    endpoints = (marked(end["address"], out) for end in item["endpoints"])
    cells = (item["vips"], ports, endpoints)
    return _name(item), *(", ".join(cell) or "none" for cell in cells)


def _from_store(store: Path, as_json: bool) -> None:
    found, problems = read_store(store)
    if as_json:
        manifests = [encode(item.record) for _, item in found]
        print_json({"records": manifests, "problems": problems})
        return
    rows = [
        (item.record.KIND, item.record.metadata.namespace or "-", item.record.metadata.name, file)
        for file, item in found
    ]
    console().print(table(("kind", "namespace", "name", "file"), rows))
    for file, problem in problems.items():
        console().print(f"{file}: {problem}", style="red", markup=False)


def read_store(store: Path) -> tuple[list[tuple[str, Located]], dict[str, str]]:
    """Records with their files, and what is wrong with the rest. Raises `StoqctlError`."""
    if not store.is_dir():
        raise StoqctlError(f"--store {store} is no directory")
    found: list[tuple[str, Located]] = []
    problems: dict[str, str] = {}
    for path in sorted([*store.glob("*.yaml"), *store.glob("*.yml")]):
        try:
            text = path.read_text(encoding="utf-8")
            found += [(path.name, item) for item in parse(text)]
        except (OSError, UnicodeDecodeError, DocumentError) as error:
            problems[path.name] = str(error)
    return found, problems
