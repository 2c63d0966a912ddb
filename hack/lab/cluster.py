"""The cluster that a node agent of the laboratory finds itself in.

What it asks for (its node's pods, the mesh's configuration, policies) comes from a small API server
(`lab.kubeapi`); the network namespaces of pods are files, as a container runtime names them.
"""

import json
import sys
from pathlib import Path
from typing import Any, Final
from uuid import UUID, uuid5

import yaml

from lab import command, kubeapi, process
from lab.mesh import NAMESPACE
from lab.plan import Plan, Pod
from lab.state import State
from stoq.injection.config import Config
from stoq.injection.decide import Injected, decide

API_PORT: Final = 6443
MESHES: Final = "/apis/stoq.dev/v1alpha1/meshconfigs"
POLICIES: Final = "/apis/stoq.dev/v1alpha1/transportpolicies"
PODS: Final = "/api/v1/pods"

STRICT: Final = {"inbound": "strict", "outbound": "meshOnly"}

CONFIG: Final = Config(sidecar_image="r.test/sidecar:1", init_image="r.test/init:1")
"""What the webhook of this cluster injects."""

Object = dict[str, Any]


class Cluster:
    """An API server beside the agent, on its node."""

    def __init__(self, layout: Plan, state: State, namespace: str = NAMESPACE) -> None:
        """`namespace` is that of every pod."""
        self.state = state
        self.namespace = namespace
        self._folder = state.folder
        self.lists: dict[str, list[Any]] = {PODS: [], POLICIES: []}
        """What the API server answers, by path; written with the next change."""
        self.mesh()
        words = [sys.executable, kubeapi.__file__, str(API_PORT), str(state.folder)]
        process.start(state, "api", words, netns=layout.fabric)
        named = {
            "clusters": {"cluster": {"server": f"http://[::1]:{API_PORT}"}},
            "users": {"user": {"token": "t"}},
            "contexts": {"context": {"cluster": "x", "user": "x"}},
        }
        lists = {kind: [{"name": "x", **item}] for kind, item in named.items()}
        config = state.folder / "kubeconfig"
        config.write_text(yaml.safe_dump({**lists, "current-context": "x"}))
        self.environment = {"KUBECONFIG": str(config), "STOQ_KUBERNETES_NODE": "node-1"}
        """Settings with which an agent is on this cluster's node."""

    def mesh(self, **spec: str) -> None:
        """The MeshConfig."""
        about = {"metadata": {"name": "default"}, "spec": {"trustDomain": "x.test", **spec}}
        self.lists[MESHES] = [about]
        self._write()

    def policy(self, name: str, spec: Object) -> None:
        """The one TransportPolicy that there is."""
        about = {"name": name, "namespace": self.namespace}
        self.lists[POLICIES] = [{"metadata": about, "spec": spec}]
        self._write()

    def runs(self, *pods: Pod, config: Config = CONFIG, **annotations: str) -> None:
        """The node's pods, each injected as `config` says."""
        self.shows(*(described(pod, config, self.namespace, **annotations) for pod in pods))

    def shows(self, *pods: Object) -> None:
        """The node's pods, as they are given."""
        self.lists[PODS] = list(pods)
        self._write()

    def events(self) -> list[Object]:
        """Those that the agent has written."""
        path = self._folder / "posted-events.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def said(self) -> Object:
        """The status that the agent has written."""
        path = self._folder / "patched-status.json"
        return dict(json.loads(path.read_text())["status"]) if path.exists() else {}

    def condition(self) -> str:
        """The status of the first condition in it."""
        found = self.said().get("conditions") or [{}]
        return str(found[0].get("status"))

    def _write(self) -> None:
        fresh = self._folder / "lists.new"
        fresh.write_text(json.dumps(self.lists))
        fresh.replace(self._folder / "lists.json")


def described(
    pod: Pod, config: Config = CONFIG, namespace: str = NAMESPACE, **annotations: str
) -> Object:
    """A pod of the laboratory as the API server shows it; `annotations` are those of `stoq.dev`,
    with underscores. Raises ValueError for a pod that the webhook would not inject.
    """
    wishes = {f"stoq.dev/{name.replace('_', '-')}": text for name, text in annotations.items()}
    made = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": pod.name, "annotations": wishes},
        "spec": {"containers": [{"name": "web", "image": "r.test/web:1"}]},
    }
    outcome = decide(made, namespace, config)
    if not isinstance(outcome, Injected):
        raise ValueError(f"{pod.name}: {outcome}")
    about = {"name": pod.name, "namespace": namespace, "uid": pod.name}
    spec = {**outcome.pod["spec"], "serviceAccountName": pod.name}
    addresses = [{"ip": str(address)} for address in pod.addresses]
    status = {"phase": "Running", "podIPs": addresses}
    return {**outcome.pod, "metadata": about, "spec": spec, "status": status}


class Sandboxes:
    """The folder of network namespaces that a container runtime keeps."""

    def __init__(self, state: State) -> None:
        self._state = state
        self.folder = state.folder / "netns"
        self.folder.mkdir()

    def add(self, *pods: Pod) -> None:
        """What the runtime does first of all for a pod. Raises CommandError."""
        for pod in pods:
            file = self._file(pod)
            file.touch()
            self._state.add_mount(file)
            command.run(["mount", "--bind", f"/run/netns/{pod.netns}", str(file)])

    def remove(self, pod: Pod) -> None:
        """The runtime's file goes, before anybody else knows that the pod does."""
        command.run(["umount", str(self._file(pod))])
        self._file(pod).unlink()

    def _file(self, pod: Pod) -> Path:
        return self.folder / f"cni-{uuid5(UUID(int=0), pod.netns)}"
