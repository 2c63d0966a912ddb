"""A cluster as tests see it: kubectl, and the verbs of `hack/cluster`."""

import ipaddress
import json
import os
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from stoq.settings.kinds import join_host_and_port

HACK = Path(__file__).resolve().parents[2] / "hack" / "cluster"

UP_SECONDS = 600.0

# How long a slow machine may take for what takes a moment: only failures last so long.
COMMAND_SECONDS = 120.0
READY_SECONDS = 180
FETCH_SECONDS = 45


class Failed(Exception):
    """A command ended with another status than 0, or not in time; the message is what it said."""


def run(
    argv: Sequence[str | Path],
    *,
    environment: dict[str, str] | None = None,
    stdin: str | None = None,
    timeout: float = COMMAND_SECONDS,
) -> str:
    try:
        done = subprocess.run(
            argv,
            input=stdin,
            capture_output=True,
            text=True,
            env={**os.environ, **(environment or {})},
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired as expired:
        raise Failed(str(expired)) from None
    if done.returncode != 0:
        raise Failed(f"{argv}: {done.stderr}{done.stdout}")
    return done.stdout


def hack_cluster(*arguments: str | Path, timeout: float = UP_SECONDS) -> str:
    return run([HACK, *arguments], timeout=timeout)


@cache
def environment(name: str) -> dict[str, str]:
    """That of a shell which uses the cluster: the same as long as it is there."""
    said = run(["bash", "-c", 'eval "$("$0" env --name "$1")"; env -0', HACK, name])
    return dict(line.split("=", 1) for line in said.split("\0") if line)


class Cluster:
    """Knows a kubeconfig, and where the kubectl of the cluster's version is."""

    def __init__(self, name: str, namespace: str = "default") -> None:
        variables = environment(name)
        self.name = name
        self.namespace = namespace
        self.environment = {key: variables[key] for key in ("KUBECONFIG", "PATH", "NO_PROXY")}
        self.audit_log = Path(variables["STOQ_CLUSTER_AUDIT_LOG"])

    def kubectl(
        self, *arguments: str, stdin: str | None = None, timeout: float = COMMAND_SECONDS
    ) -> str:
        argv = ["kubectl", "--namespace", self.namespace, *arguments]
        return run(argv, environment=self.environment, stdin=stdin, timeout=timeout)

    def get(self, *arguments: str) -> Any:
        return json.loads(self.kubectl("get", *arguments, "-o", "json"))

    def apply(self, *objects: dict[str, Any]) -> None:
        document = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
        self.kubectl("apply", "-f", "-", stdin=json.dumps(document))

    def ready(self, *pods: str) -> None:
        """Waits until the pods are ready."""
        names = [f"pod/{pod}" for pod in pods]
        wait = ["wait", "--for=condition=Ready", f"--timeout={READY_SECONDS}s"]
        self.kubectl(*wait, *names, timeout=READY_SECONDS + 10)

    def execute(self, pod: str, *command: str) -> str:
        return self.kubectl("exec", pod, "--", *command)

    def fetch(self, pod: str, url: str) -> str:
        """What an HTTP request from inside `pod` is answered; tried again for a while."""
        # Not wget's own -T: with it, the busybox of Debian 12 ends with a segmentation fault.
        tries = (
            f"end=$(($(date +%s) + {FETCH_SECONDS})); until timeout 5 wget -qO- {url}; do "
            "[ $(date +%s) -lt $end ] || exit 1; sleep 0.5; done"
        )
        try:
            return self.execute(pod, "sh", "-c", tries).strip()
        except Failed as failed:
            # Seen under load: a kubelet answers so for a pod that it has just reported as ready.
            if "pod does not exist" not in str(failed):
                raise
            time.sleep(1.0)
            return self.execute(pod, "sh", "-c", tries).strip()

    def answers(self, pod: str, url: str, times: int) -> Counter[str]:
        """What so many HTTP requests from inside `pod`, one after the other, are answered; `failed`
        is what is not.
        """
        ask = f"for i in $(seq {times}); do timeout 5 wget -qO- {url} || echo failed; done"
        return Counter(self.execute(pod, "sh", "-c", ask).split())

    def addresses(self, pod: str) -> list[str]:
        return [entry["ip"] for entry in self.get("pod", pod)["status"]["podIPs"]]

    def nodes(self) -> list[str]:
        """Those that take pods."""
        listing = self.get("nodes", "-l", "!node-role.kubernetes.io/control-plane")
        return sorted(item["metadata"]["name"] for item in listing["items"])


def stoqctl(cluster: Cluster, *arguments: str) -> tuple[int, str]:
    """Status and everything it said."""
    done = subprocess.run(
        [sys.executable, "-m", "stoqctl", *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, **cluster.environment},
        timeout=600,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def versions(addresses: Sequence[str]) -> list[int]:
    return [ipaddress.ip_address(address).version for address in addresses]


def url(address: str, port: int = 8080) -> str:
    return f"http://{join_host_and_port(address, port)}/"


def answer_addresses(nslookup: str) -> list[str]:
    """The addresses in what busybox's nslookup printed, without the server's own."""
    answers = nslookup.partition("\n\n")[2]
    return re.findall(r"^Address: (\S+)$", answers, re.MULTILINE)
