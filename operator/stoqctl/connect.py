"""Which cluster, if any: the Kubernetes client is loaded only when a verb needs it."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from stoqctl.errors import StoqctlError

if TYPE_CHECKING:
    from stoqctl.kube import Cluster


def cluster(kubeconfig: str = "", context: str = "") -> "Cluster":
    """The cluster that is meant. Raises `StoqctlError`."""
    try:
        from stoqctl.kube import Cluster
    except ImportError as error:
        raise StoqctlError(
            f"the Kubernetes client is not installed ({error}); pip install 'stoq-mesh[cli]'"
        ) from error
    return Cluster(kubeconfig, context)


def has_cluster(kubeconfig: str, context: str) -> bool:
    """Whether a cluster can be meant: an option names one, or there is a kubeconfig."""
    return bool(
        kubeconfig
        or context
        or os.environ.get("KUBECONFIG")
        or (Path.home() / ".kube" / "config").exists()
    )


def pod_of(name: str, namespace: str) -> tuple[str, str]:
    """Namespace and name of `<namespace>/<pod>` or `<pod>`. Raises `StoqctlError`."""
    head, slash, tail = name.partition("/")
    found = (head, tail) if slash else (namespace or "default", head)
    if not all(found) or "/" in tail:
        raise StoqctlError(f"{name!r} is no pod: write <pod>, or <namespace>/<pod>")
    return found
