"""`stoqctl inject`: meshed manifests without a cluster."""

import sys
from pathlib import Path
from typing import Annotated, Any, Final

import typer
import yaml

from stoq.injection.config import CONTROL_ADDRESS, CaptureMode, Config
from stoqctl.errors import StoqctlError
from stoqctl.offline import inject
from stoqctl.options import Json
from stoqctl.output import print_json, print_yaml

EXAMPLES: Final = (
    "Examples:\n\nkubectl get deploy web -o yaml | stoqctl inject --image registry/stoq/sidecar:1 "
    "| kubectl apply -f -\n\nstoqctl inject -n shop --image registry/stoq/sidecar:1 web.yaml"
)


def run(
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="Manifests; - is standard input.")
    ] = "-",
    image: Annotated[
        str, typer.Option("--image", metavar="IMAGE", help="Of the sidecar.", show_default=False)
    ] = ...,  # type: ignore[assignment]  # typer: the option must be given
    init_image: Annotated[
        str, typer.Option("--init-image", metavar="IMAGE", help="Of stoq-init; else --image.")
    ] = "",
    namespace: Annotated[
        str, typer.Option("--namespace", "-n", metavar="NAME", help="Of manifests without one.")
    ] = "default",
    trust_domain: Annotated[
        str, typer.Option("--trust-domain", metavar="NAME", help="That of the mesh.")
    ] = "cluster.local",
    control_address: Annotated[
        str, typer.Option("--control-address", metavar="HOST:PORT", help="Where the operator is.")
    ] = CONTROL_ADDRESS,
    capture: Annotated[
        CaptureMode, typer.Option("--capture", help="node: without stoq-init, by the node agents.")
    ] = "init",
    capture_udp: Annotated[
        bool,
        typer.Option("--capture-udp", help="With --capture node, as capture.udp of the chart."),
    ] = False,
    pull_policy: Annotated[
        str, typer.Option("--pull-policy", metavar="NAME", help="Of our containers.")
    ] = "IfNotPresent",
    as_json: Json = False,
) -> None:
    """Print manifests with the sidecar in every pod, as the cluster's webhook would put it there.

    What has no pod is printed as it is. A pod that the webhook would refuse ends this with status
    1; one that it would leave as it is, is named on standard error.
    """
    config = Config(
        sidecar_image=image,
        init_image=init_image or image,
        pull_policy=pull_policy,
        trust_domain=trust_domain,
        control_address=control_address,
        capture=capture,
        capture_udp=capture_udp,
    )
    documents = [
        inject(document, config, namespace, lambda text: print(text, file=sys.stderr))
        for document in read(file)
    ]
    if as_json:
        print_json({"apiVersion": "v1", "kind": "List", "items": documents})
    else:
        print_yaml(documents)


def read(file: str) -> list[dict[str, Any]]:
    """The documents of a file or of standard input. Raises `StoqctlError`."""
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
        found = [document for document in yaml.safe_load_all(text) if document is not None]
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise StoqctlError(f"{file}: {error}") from error
    for document in found:
        if not isinstance(document, dict):
            raise StoqctlError(f"{file}: {document!r} is no manifest")
    return found
