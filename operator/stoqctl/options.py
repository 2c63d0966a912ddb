"""Options that several verbs have."""

from pathlib import Path
from typing import Annotated

import typer

Netns = Annotated[
    str,
    typer.Option(
        "--netns",
        metavar="NAME",
        help="Ask inside this network namespace: a name of `ip netns`, or a path.",
        show_default=False,
    ),
]

Admin = Annotated[
    str,
    typer.Option("--admin", metavar="URL", help="The sidecar's administration port."),
]

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]

Store = Annotated[
    Path | None,
    typer.Option(
        "--store", metavar="DIR", help="The control process's manifests.", show_default=False
    ),
]

State = Annotated[
    Path | None,
    typer.Option("--state", metavar="DIR", help="The control process's state.", show_default=False),
]

Pod = Annotated[
    str,
    typer.Argument(
        metavar="POD",
        help="A pod of the cluster: <pod>, or <namespace>/<pod>.",
        show_default=False,
    ),
]

Namespace = Annotated[
    str,
    typer.Option(
        "--namespace", "-n", metavar="NAME", help="A namespace of the cluster.", show_default=False
    ),
]

Namespaces = Annotated[
    list[str] | None,
    typer.Option(
        "--namespace",
        "-n",
        metavar="NAME",
        help="Only this namespace; may be repeated.",
        show_default=False,
    ),
]

Kubeconfig = Annotated[
    str,
    typer.Option("--kubeconfig", metavar="FILE", help="Where the cluster is.", show_default=False),
]

Context = Annotated[
    str,
    typer.Option(
        "--context", metavar="NAME", help="A context of the kubeconfig.", show_default=False
    ),
]

DEFAULT_ADMIN = "http://[::1]:14000"
