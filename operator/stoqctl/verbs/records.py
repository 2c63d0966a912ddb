"""`stoqctl records`: workloads and services, as a sidecar knows them or as the store has them."""

from pathlib import Path
from typing import Any, Final

from stoq.records.documents import DocumentError, Located, parse
from stoq.records.manifest import encode
from stoqctl.admin import Sidecar
from stoqctl.errors import StoqctlError
from stoqctl.options import DEFAULT_ADMIN, Admin, Json, Netns, Store
from stoqctl.output import console, print_json, table

EXAMPLES: Final = (
    "Examples:\n\nstoqctl records --store ./store\n\nsudo stoqctl records --netns web-0 --json"
)


def run(
    store: Store = None,
    netns: Netns = "",
    admin: Admin = DEFAULT_ADMIN,
    as_json: Json = False,
) -> None:
    """List the mesh's workloads and services.

    With --store the manifests are read; otherwise a sidecar is asked what the registry told it.
    """
    if store is not None:
        _from_store(store, as_json)
    else:
        _from_sidecar(Sidecar(admin, netns), as_json)


def _from_sidecar(sidecar: Sidecar, as_json: bool) -> None:
    registry = sidecar.get("/config")["registry"]
    if registry is None:
        raise StoqctlError(f"{sidecar.name} has not heard from the registry yet; see `status`")
    workloads = sorted(registry["workloads"].values(), key=_name)
    services = sorted(registry["services"].values(), key=_name)
    if as_json:
        print_json({"workloads": workloads, "services": services})
        return
    rows = [(_name(item), ", ".join(item["addresses"]), item["spiffe_id"]) for item in workloads]
    console().print(table(("workload", "addresses", "spiffe id"), rows))
    if services:
        console().print()
        console().print(table(("service", "vips", "ports", "endpoints"), map(_service, services)))


def _name(item: dict[str, Any]) -> str:
    return f"{item['namespace']}/{item['name']}"


def _service(item: dict[str, Any]) -> tuple[str, ...]:
    ports = (
        str(port["port"]) if port["port"] == port["target"] else f"{port['port']}→{port['target']}"
        for port in item["ports"]
    )
    endpoints = (end["address"] for end in item["endpoints"])
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
