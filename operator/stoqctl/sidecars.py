"""The pages of one sidecar, wherever it is: on this machine, or in a pod of a cluster."""

import json
from ipaddress import ip_address
from typing import Any, Protocol

from stoqctl.admin import Sidecar
from stoqctl.connect import cluster, pod_of
from stoqctl.errors import StoqctlError
from stoqctl.options import DEFAULT_ADMIN


class Pages(Protocol):
    """Answers of an administration port; `name` is for messages."""

    name: str

    def get(self, path: str) -> Any:
        """The JSON at `path`. Raises `StoqctlError`."""

    def post(self, path: str) -> Any:
        """What `path` answers to being told, JSON. Raises `StoqctlError`."""


class Tunnel(Protocol):
    """What a cluster does here."""

    def admin(self, namespace: str, pod: str, path: str, method: str = "GET") -> bytes:
        """The answer of a pod's sidecar."""


class PodSidecar:
    """The sidecar of a pod, asked through the API server."""

    def __init__(self, tunnel: Tunnel, namespace: str, pod: str) -> None:
        self._tunnel, self._namespace, self._pod = tunnel, namespace, pod
        self.name = f"{namespace}/{pod}"

    def get(self, path: str) -> Any:
        """The JSON at `path`. Raises `StoqctlError`."""
        return self._ask("GET", path)

    def post(self, path: str) -> Any:
        """What `path` answers to being told, JSON. Raises `StoqctlError`."""
        return self._ask("POST", path)

    def _ask(self, method: str, path: str) -> Any:
        body = self._tunnel.admin(self._namespace, self._pod, path, method)
        try:
            return json.loads(body)
        except ValueError as error:
            raise StoqctlError(f"{self.name}{path} is no JSON ({error})") from error


def sidecar(
    pod: str,
    *,
    namespace: str = "",
    kubeconfig: str = "",
    context: str = "",
    netns: str = "",
    admin: str = DEFAULT_ADMIN,
) -> Pages:
    """The sidecar that the options mean. Raises `StoqctlError`."""
    if not pod:
        if namespace or kubeconfig or context:
            raise StoqctlError("name a pod: <pod>, or <namespace>/<pod>")
        return Sidecar(admin, netns)
    if netns or admin != DEFAULT_ADMIN:
        raise StoqctlError(f"{pod!r} is a pod of a cluster: leave out --netns and --admin")
    place, name = pod_of(pod, namespace)
    return PodSidecar(cluster(kubeconfig, context), place, name)


def pod_addresses(
    target: str, namespace: str = "", kubeconfig: str = "", context: str = ""
) -> tuple[str, ...]:
    """The addresses of a pod of a cluster; an address is its own. Raises `StoqctlError`."""
    try:
        return (str(ip_address(target)),)
    except ValueError:
        pass
    place, name = pod_of(target, namespace)
    pod = cluster(kubeconfig, context).get(f"/api/v1/namespaces/{place}/pods/{name}")
    found = tuple(entry["ip"] for entry in (pod.get("status") or {}).get("podIPs") or ())
    if not found:
        raise StoqctlError(f"pod {place}/{name} has no address yet: kubectl -n {place} get pods")
    return found
