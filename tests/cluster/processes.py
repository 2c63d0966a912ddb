"""Containers from their node, past the kubelet: what the API server has no verb for."""

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

from cluster.access import Cluster, hack_cluster
from cluster.mesh import eventually

CTR = ("ctr", "--namespace", "k8s.io", "tasks")


class Container:
    """A container of a pod as it is now: the API server is not asked again."""

    def __init__(self, cluster: Cluster, pod: str, name: str = "main") -> None:
        found = cluster.get("pod", pod)
        status = found["status"]
        known = [*status["containerStatuses"], *status.get("initContainerStatuses", ())]
        one = next(each for each in known if each["name"] == name)
        self._id = str(one["containerID"]).removeprefix("containerd://")
        self._enter = ("enter", "--name", cluster.name, str(found["spec"]["nodeName"]))

    def kill(self) -> None:
        """SIGKILL: nothing in it gets to say a last word. It has ended when this returns."""
        hack_cluster(*self._enter, *CTR, "kill", "--signal", "SIGKILL", self._id)
        eventually(lambda: not self.runs())

    def runs(self) -> bool:
        """Whether its process lives; its successor is another container."""
        return bool(self._process())

    def _process(self) -> str:
        """Its number on the node; empty when it has ended."""
        lines = hack_cluster(*self._enter, *CTR, "ls").splitlines()
        found = (line.split() for line in lines if line.startswith(self._id))
        return next((process for _, process, state in found if state == "RUNNING"), "")

    def beside(self, *command: str) -> str:
        """As root in its network, by a program of the node: for what a container may not do."""
        enter = ("nsenter", "--target", self._process(), "--net")
        return hack_cluster(*self._enter, *enter, *command)

    def execute(self, *command: str) -> str:
        """As `kubectl exec` does, which asks the kubelet."""
        called = f"t-{uuid4().hex[:8]}"
        return hack_cluster(*self._enter, *CTR, "exec", "--exec-id", called, self._id, *command)


@contextmanager
def no_kubelet(cluster: Cluster, node: str) -> Iterator[None]:
    """Nobody starts again on the node what ends there, until the end of the block."""
    hack_cluster("stop", "--name", cluster.name, f"{node}/kubelet")
    try:
        yield
    finally:
        hack_cluster("up", "--name", cluster.name)
