"""The mesh on a cluster as its users see it: a release of Helm, and namespaces with a label."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from cluster.access import HACK, Cluster, Failed, run, stoqctl

CHART = HACK.parents[1] / "charts" / "stoq"
SYSTEM = "stoq-system"
RELEASE = "stoq"

OPERATOR = "app.kubernetes.io/component=operator"

INSTALL_SECONDS = 300.0
TRUST_SECONDS = 60.0

VALUES = {
    "image.tag": "dev",
    "image.pullPolicy": "Never",
    "node.enabled": "true",
    "gateway.enabled": "true",
    "gateway.replicas": "1",
}
"""The images that hack/images builds and hack/cluster load puts on every node; an agent on each,
and a gateway, which carries nothing until a HopGateway says so."""


class Mesh:
    """STOQ in a cluster."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.system = Cluster(cluster.name, SYSTEM)

    def helm(self, *arguments: str, timeout: float = INSTALL_SECONDS) -> str:
        argv = ["helm", "--namespace", SYSTEM, *arguments]
        return run(argv, environment=self.cluster.environment, timeout=timeout + 10)

    def install(self, chart: Path = CHART, **more: str) -> None:
        """As the README says, and waits until it serves; installed already, it is upgraded."""
        settings = [f"--set={name}={text}" for name, text in {**VALUES, **more}.items()]
        options = ["--install", "--create-namespace", "--wait", f"--timeout={INSTALL_SECONDS:g}s"]
        try:
            self.helm("upgrade", RELEASE, str(chart), *options, *settings)
        except Failed as error:
            raise Failed(f"{error}\n{self.account()}") from None
        eventually(self.webhook_trusted)
        eventually(self.settled, 2 * TRUST_SECONDS)

    def settled(self) -> bool:
        """Whether no replica from before is left: until it ends, its webhook answers the API server
        over the connection that they have, with the settings of before.
        """
        pods = self.system.get("pods", f"--selector={OPERATOR}")["items"]
        return all("deletionTimestamp" not in pod["metadata"] for pod in pods)

    def webhook_trusted(self) -> bool:
        """Whether the API server takes the webhook's certificate: a moment after the first replica
        leads.
        """
        authority = self.system.get("secret", "stoq-webhook-tls")["data"]["ca.crt"]
        hooks = self.cluster.get("mutatingwebhookconfiguration", "stoq-injector")["webhooks"]
        return all(hook["clientConfig"].get("caBundle") == authority for hook in hooks)

    def uninstall(self) -> None:
        self.helm("uninstall", RELEASE, "--wait", f"--timeout={INSTALL_SECONDS:g}s")

    @contextmanager
    def namespace(self, *labels: str, enrolled: bool = True) -> Iterator[Cluster]:
        """A new namespace that is removed again; enrolled, it is ready for its first pod."""
        name = f"m-{uuid4().hex[:8]}"
        self.cluster.kubectl("create", "namespace", name)
        try:
            wanted = [*labels, *(["stoq.dev/inject=enabled"] if enrolled else [])]
            if wanted:
                self.cluster.kubectl("label", "namespace", name, *wanted)
            inside = Cluster(self.cluster.name, name)
            if enrolled:
                eventually(lambda: inside.get("configmap", "stoq-trust")["data"]["bundle.pem"])
            yield inside
        finally:
            self.cluster.kubectl("delete", "namespace", name, "--wait=false")

    def account(self) -> str:
        """What the mesh has to say for itself, for whoever reads a failure."""
        asked = (
            ("get", "pods", "-A", "-o", "wide"),
            ("get", "events", "--sort-by=.lastTimestamp"),
            ("logs", f"--selector={OPERATOR}", "--all-containers", "--prefix", "--tail=40"),
        )
        return "\n".join(_said(self.system, *arguments) for arguments in asked)


def rolled_out(cluster: Cluster, deployment: str) -> None:
    """Waits until all its pods are ready."""
    rollout = ["rollout", "status", f"deployment/{deployment}", "--timeout=240s"]
    cluster.kubectl(*rollout, timeout=250.0)


def checked(cluster: Cluster, *arguments: str) -> str:
    """What `stoqctl check` says once it finds nothing wrong: agents say a moment later what they
    do, and pods of another test may still be ending.
    """

    def found() -> str:
        status, said = stoqctl(cluster, "check", *arguments)
        if status != 0:
            raise Failed(said)
        return said

    return str(eventually(found))


def sidecar_account(cluster: Cluster) -> str:
    """What the pods of a namespace and their sidecars have to say."""
    parts = [_said(cluster, "get", "events", "--sort-by=.lastTimestamp")]
    try:
        pods = cluster.get("pods")["items"]
    except Failed as error:
        return str(error)
    for pod in pods:
        name = pod["metadata"]["name"]
        parts.append(f"{name}: {json.dumps(pod['status'].get('initContainerStatuses'))[:2000]}")
        for container in ("stoq-init", "stoq-sidecar", "stoq-ready"):
            parts.append(_said(cluster, "logs", name, "-c", container, "--tail=25"))
    return "\n".join(parts)


def sidecar_page(cluster: Cluster, pod: str, page: str) -> Any:
    """What the pod's sidecar says on one of its pages for people on the pod itself."""
    ask = (
        "import sys, urllib.request as u;"
        f"sys.stdout.write(u.urlopen('http://localhost:14000/{page}').read().decode())"
    )
    said = cluster.kubectl(
        "exec", pod, "-c", "stoq-sidecar", "--", "/opt/stoq/bin/python", "-c", ask
    )
    return json.loads(said)


def sidecar_connections(cluster: Cluster, pod: str) -> list[dict[str, Any]]:
    """What the pod's sidecar says of its connections to others."""
    return list(sidecar_page(cluster, pod, "connections"))


def sidecar_endpoints(cluster: Cluster, pod: str, service: str) -> list[dict[str, Any]]:
    """The endpoints of a Service of the namespace, as the pod's sidecar was told of them."""
    services = sidecar_page(cluster, pod, "config")["registry"]["services"]
    return list(services[f"service/{cluster.namespace}/{service}"]["endpoints"])


def sidecar_roots(cluster: Cluster, pod: str) -> int:
    """How many roots the registry has told the pod's sidecar to trust."""
    return int(sidecar_page(cluster, pod, "config")["registry"]["trust"]["roots"])


def eventually(asked: Any, seconds: float = TRUST_SECONDS) -> Any:
    """The first answer that is not empty; until then failures are no answer."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            if answer := asked():
                return answer
        except (Failed, KeyError):
            if time.monotonic() > deadline:
                raise
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.5)


def _said(cluster: Cluster, *arguments: str) -> str:
    title = f"--- kubectl {' '.join(arguments)}"
    try:
        return f"{title}\n{cluster.kubectl(*arguments)}"
    except Failed as error:
        return f"{title}\n{error}"
