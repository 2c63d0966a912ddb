"""The agent's side of the API server; no other module of it knows the client."""

import os
from collections.abc import Coroutine
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final

from stoq.broker.lending import Lender
from stoq.capture.plan import Address
from stoq.records.mesh import MeshConfigSpec
from stoq_kube.kube import ApiServer
from stoq_node.captures import Captures
from stoq_node.clusterpods import ClusterPods
from stoq_node.enrolment import Surround, nameservers
from stoq_node.notices import BYPASSED, NOT_CAPTURED, NOT_ENFORCED, Notices
from stoq_node.reporter import Reporter
from stoq_node.settings import Capture, Kubernetes

RESOLV_CONF: Final = Path("/etc/resolv.conf")


class Cluster:
    """One connection pool for pods, report and Events. Its `parts` must run beside."""

    def __init__(
        self, settings: Kubernetes, capture: Capture | None = None, lender: Lender | None = None
    ) -> None:
        """Without `capture` no pod is captured: only the agent does that, and it alone. Without
        `lender` sidecars get no AF_XDP sockets.

        Raises `stoq_kube.apiserver.ApiError` when there is no API server to talk to."""
        self._client = ApiServer()
        around = Surround(
            mesh=MeshConfigSpec(trust_domain=""),
            cluster_nameservers=nameservers(RESOLV_CONF.read_text(encoding="utf-8")),
            node_nameservers=settings.nameservers,
            api_servers=_api_servers(),
        )
        self.captures = (
            Captures(capture.namespaces, Notices(self._client, NOT_CAPTURED), lender=lender)
            if capture and capture.namespaces
            else None
        )
        told = self.captures.update if self.captures else None
        self.pods = ClusterPods(self._client, settings.node, around, placed=told)
        self.bypassed = Notices(self._client, BYPASSED)
        self.unenforced = Notices(self._client, NOT_ENFORCED)
        self.reporter = Reporter(self._client, settings.node)

    def parts(self) -> tuple[Coroutine[Any, Any, None], ...]:
        """What must run beside."""
        captures = (self.captures.run(),) if self.captures else ()
        return self._client.run(), self.pods.run(), *captures

    async def close(self) -> None:
        """Ends the connections."""
        await self._client.close()


def _api_servers() -> tuple[tuple[Address, int], ...]:
    """Where the kubelet tells every pod that the API server is."""
    host, port = (os.environ.get(f"KUBERNETES_SERVICE_{part}", "") for part in ("HOST", "PORT"))
    return ((ip_address(host), int(port)),) if host and port else ()
