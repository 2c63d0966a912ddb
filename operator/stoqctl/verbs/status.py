"""`stoqctl status`: is this sidecar well, and what does it know?"""

import time
from typing import Any, Final

from stoqctl.connect import cluster, has_cluster
from stoqctl.ejected import ejected
from stoqctl.gather import Gatherer
from stoqctl.options import DEFAULT_ADMIN, Admin, Context, Json, Kubeconfig, Namespace, Netns, Pod
from stoqctl.output import console, print_json, table, until
from stoqctl.overview import overview
from stoqctl.sidecars import Pages, sidecar

EXAMPLES: Final = (
    "Examples:\n\nstoqctl status\n\nstoqctl status shop/web-0\n\n"
    "sudo stoqctl status --netns web-0 --json"
)


def run(
    pod: Pod = "",
    namespace: Namespace = "",
    kubeconfig: Kubeconfig = "",
    context: Context = "",
    netns: Netns = "",
    admin: Admin = DEFAULT_ADMIN,
    as_json: Json = False,
) -> None:
    """Show a cluster's mesh; or the readiness, identity, registry and modes of one pod.

    Of a pod also the endpoints that its sidecar has ejected because connections to them failed.
    Without a cluster: those of a sidecar of this machine.
    """
    if not pod and not netns and admin == DEFAULT_ADMIN and has_cluster(kubeconfig, context):
        places = (namespace,) if namespace else ()
        _mesh(overview(Gatherer(cluster(kubeconfig, context), places).facts()), as_json=as_json)
        return
    pages = sidecar(
        pod, namespace=namespace, kubeconfig=kubeconfig, context=context, netns=netns, admin=admin
    )
    _one(pages, as_json=as_json)


def _mesh(found: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    operator, mesh, nodes = found["operator"], found["mesh"], found["nodes"]
    ready = f"{operator['ready']} of {operator['replicas']} ready"
    rows = [
        ("operator", ready if operator["installed"] else "not installed"),
        ("  leader", operator["leader"] or "none"),
        ("mesh", mesh["trust_domain"]),
        ("  inbound", mesh["inbound"]),
        ("  outbound", mesh["outbound"]),
        ("  captured by", "stoq-init" if mesh["capture"] == "init" else "node agents"),
        ("  UDP", _udp(captured=mesh["captured_udp"])),
        ("nodes", f"{nodes['ready']} of {nodes['all']} ready"),
    ]
    console().print(table(("", ""), rows))
    console().print()
    lines = [
        (
            item["name"],
            str(item["pods"]),
            str(item["meshed"]),
            str(item["ready"]),
            str(item["without_sidecar"]),
            ", ".join(item["images"]) or "none",
        )
        for item in found["namespaces"]
    ]
    heads = ("namespace", "pods", "meshed", "ready", "without sidecar", "sidecar image")
    console().print(table(heads, lines))


def _udp(*, captured: bool) -> str:
    return "captured" if captured else "not captured: it passes as it is"


def _one(sidecar: Pages, *, as_json: bool) -> None:
    found = summary(sidecar.get("/config"), sidecar.get("/connections"))
    if as_json:
        print_json(found)
        return
    now = time.time()
    rows = [
        ("pod", f"{found['namespace']}/{found['name']}"),
        ("addresses", ", ".join(found["addresses"])),
        ("ready", "yes" if found["ready"] else "no"),
        *((f"  waits for {latch}", why) for latch, why in found["blocking"].items()),
        ("identity", found["spiffe_id"] or "none yet"),
        ("  expires", until(found["expires"], now)),
        ("registry", f"version {found['version']}{', stale' if found['stale'] else ''}"),
        ("  heard", until(found["updated"], now)),
        ("mesh", found["trust_domain"]),
        ("  inbound", found["inbound"]),
        ("  outbound", found["outbound"]),
        ("  UDP", _udp(captured=found["captured_udp"])),
        ("workloads", str(found["workloads"])),
        ("services", str(found["services"])),
        ("connections", str(found["connections"])),
        *(
            (f"ejected of {service}", ", ".join(endpoints))
            for service, endpoints in found["ejected"].items()
        ),
    ]
    console().print(table(("", ""), rows))


def summary(config: dict[str, Any], connections: list[dict[str, Any]]) -> dict[str, Any]:
    """What `/config` and `/connections` say, in one flat object."""
    pod = config["settings"]["pod"]
    registry = config["registry"] or {}
    mesh = registry.get("mesh") or {}
    return {
        "name": pod["name"],
        "namespace": pod["namespace"],
        "addresses": config["addresses"],
        "ready": not config["blocking"],
        "blocking": config["blocking"],
        "spiffe_id": config["identity"]["spiffe_id"],
        "expires": config["identity"]["expires"],
        "version": config["discovery"]["version"],
        "updated": config["discovery"]["updated"],
        "stale": config["discovery"]["stale"],
        "trust_domain": mesh.get("trust_domain", "unknown"),
        "inbound": mesh.get("inbound", "unknown"),
        "outbound": mesh.get("outbound", "unknown"),
        "captured_udp": config.get("captured_udp", False),
        "workloads": len(registry.get("workloads", ())),
        "services": len(registry.get("services", ())),
        "connections": sum(item["state"] == "established" for item in connections),
        "ejected": ejected(config),
    }
