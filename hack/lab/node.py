"""A node agent over the pods of a laboratory: its fabric namespace is the node."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Final

from prometheus_client.parser import text_string_to_metric_families

from lab import blast, command, netns, process
from lab.mesh import NAMESPACE
from lab.plan import Plan, Pod
from lab.process import Process, ProcessError
from lab.state import State

PAGES: Final = "http://[::1]:14022"


class Node:
    """One node: a bpffs of its own, a list of pods, and an agent when it is started."""

    def __init__(self, layout: Plan, state: State) -> None:
        self._layout = layout
        self._state = state
        self.pods = state.folder / "pods.toml"
        self.bpffs = state.folder / "bpf"
        self.bpffs.mkdir()
        state.add_mount(self.bpffs)
        command.run(["mount", "-t", "bpf", "bpf", str(self.bpffs)])

    def environment(self, **more: str) -> dict[str, str]:
        """Settings of the agent. It has no uplink unless `more` names one."""
        return {
            "STOQ_KERNEL_PINS": str(self.bpffs / "stoq"),
            "STOQ_PODS_FILE": str(self.pods),
            "STOQ_GUARD_MODE": "off",
            **more,
        }

    def list(self, *pods: Pod, common: str = "", **keys: str | bool) -> None:
        """Writes the list; `keys` hold for each of `pods`, `common` is the head of the file."""
        entries = [common]
        for pod in pods:
            values = {"namespace": NAMESPACE, "name": pod.name, "interface": pod.port, **keys}
            # What JSON writes for a text or a truth value is TOML.
            lines = [f"{key} = {json.dumps(value)}" for key, value in values.items()]
            entries.append("\n".join(["[[pods]]", *lines, ""]))
        fresh = self.pods.with_suffix(".new")
        fresh.write_text("\n".join(entries))
        fresh.replace(self.pods)

    def strict(self, *pods: Pod, common: str = "", **keys: str | bool) -> None:
        """The same, strict both ways."""
        self.list(*pods, common=common, inbound="strict", outbound="meshOnly", **keys)

    def start(
        self,
        environment: Mapping[str, str] | None = None,
        *,
        wait: bool = True,
        under: Sequence[str] = (),
    ) -> Process:
        """The agent; with `wait`, once it says that all is in force. `under` are the words of a
        program that becomes the agent.
        """
        agent = process.start(
            self._state,
            "node",
            [*under, sys.executable, "-m", "stoq_node", "run"],
            netns=self._layout.fabric,
            environment=self.environment(**(environment or {})),
        )
        if wait:
            agent.wait_until("ready", lambda: self.page("/healthz/ready")[0] == 200, 60)
        return agent

    def run(self, *arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
        """Runs the agent's command line to its end."""
        return subprocess.run(
            [*netns.enter(self._layout.fabric), sys.executable, "-m", "stoq_node", *arguments],
            env={**command.inherited(), **self.environment(**environment)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def lacks(self, **environment: str) -> dict[str, str]:
        """What this machine cannot do for an agent with such settings: capability -> the reason.
        Raises ProcessError.
        """
        probed = self.run("probe", "--json", **environment)
        if probed.returncode != 0:
            raise ProcessError(f"stoq-node probe: {probed.stderr.strip()}")
        found = json.loads(probed.stdout)["capabilities"]
        return {one["name"]: one["reason"] for one in found if not one["supported"]}

    def blast(self, source: Pod, target: Pod, count: int) -> None:
        """Has `source` send `target` that many handshakes that nobody means (`lab.blast`)."""
        shown = netns.run_in(target.netns, ["ip", "-j", "link", "show", "dev", "eth0"])
        hardware = json.loads(shown)[0]["address"]
        words = [sys.executable, blast.__file__, hardware, str(target.ipv6), str(count)]
        netns.run_in(source.netns, words)

    def page(self, path: str) -> tuple[int, str]:
        """Status and body of a page of the agent; status 0 if there was no answer."""
        words = ["curl", "-s", "--max-time", "20", "-w", "\n%{http_code}", PAGES + path]
        done = subprocess.run(
            [*netns.enter(self._layout.fabric), *words], capture_output=True, text=True, check=False
        )
        body, _, status = done.stdout.rpartition("\n")
        return int(status), body

    def metric(self, family: str, **labels: str) -> float:
        """The sum of the samples of `family` that have these labels."""
        return sum(
            sample.value
            for metric in text_string_to_metric_families(self.page("/metrics")[1])
            for sample in metric.samples
            if sample.name == family and labels.items() <= sample.labels.items()
        )

    def dropped(self, pod: Pod, direction: str = "from_pod") -> float:
        """Packets of the pod that were dropped."""
        return self.metric(
            "stoq_node_strict_packets_total",
            pod=pod.name,
            direction=direction,
            verdict="dropped",
        )
