"""`stoqctl logs`: what sidecars and the operator print."""

import sys
from typing import Annotated, Final

import typer

from stoq.constants import OPERATOR_SERVICE_ACCOUNT, SYSTEM_NAMESPACE
from stoq.injection.names import INIT, SIDECAR
from stoqctl.connect import cluster, pod_of
from stoqctl.errors import StoqctlError
from stoqctl.options import Context, Json, Kubeconfig, Namespace, Pod
from stoqctl.output import print_json

EXAMPLES: Final = (
    "Examples:\n\nstoqctl logs shop/web-0\n\nstoqctl logs -n shop web-0 --follow\n\n"
    "stoqctl logs shop/web-0 --init\n\nstoqctl logs --operator --tail 50"
)


def run(
    pod: Pod = "",
    namespace: Namespace = "",
    operator: Annotated[
        bool, typer.Option("--operator", help="Of the operator's replicas instead of a pod.")
    ] = False,
    webhook: Annotated[bool, typer.Option("--webhook", help="Of the webhook's replicas.")] = False,
    init: Annotated[
        bool, typer.Option("--init", help="Of stoq-init instead of the sidecar.")
    ] = False,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until it ends.")] = False,
    previous: Annotated[
        bool, typer.Option("--previous", help="Of the container before its last restart.")
    ] = False,
    tail: Annotated[int, typer.Option("--tail", min=0, help="Last lines; 0: all.")] = 0,
    kubeconfig: Kubeconfig = "",
    context: Context = "",
    as_json: Json = False,
) -> None:
    """Print the log of a pod's sidecar, or of the operator."""
    if bool(pod) == (operator or webhook):
        raise StoqctlError("name a pod, or use --operator or --webhook: one of them")
    there = cluster(kubeconfig, context)
    if pod:
        container = INIT if init else SIDECAR
        sources = [(*pod_of(pod, namespace), container)]
    else:
        container = "webhook" if webhook else "operator"
        sources = [
            (SYSTEM_NAMESPACE, item["metadata"]["name"], container)
            for item in there.list(f"/api/v1/namespaces/{SYSTEM_NAMESPACE}/pods")
            if item["spec"].get("serviceAccountName") == OPERATOR_SERVICE_ACCOUNT
        ]
        if not sources:
            raise StoqctlError(f"no operator runs in {SYSTEM_NAMESPACE}; see `stoqctl check`")
    if follow and (as_json or len(sources) > 1):
        raise StoqctlError(
            "--follow is for one pod as text: "
            + ", ".join(f"kubectl -n {place} logs -f {name}" for place, name, _ in sources)
        )
    query = {
        **({"follow": "true"} if follow else {}),
        **({"previous": "true"} if previous else {}),
        **({"tailLines": str(tail)} if tail else {}),
    }
    found = {}
    for place, name, chosen in sources:
        pieces = there.log(place, name, chosen, **query)
        if as_json:
            found[f"{place}/{name}"] = b"".join(pieces).decode(errors="replace").splitlines()
            continue
        if len(sources) > 1:
            print(f"== {place}/{name}", flush=True)
        for piece in pieces:
            sys.stdout.write(piece.decode(errors="replace"))
            sys.stdout.flush()
    if as_json:
        print_json({"container": container, "lines": found})
