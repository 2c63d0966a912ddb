"""Talking to a cluster's API server, with kubectl."""

import json
from pathlib import Path
from typing import Any

from clusterlib.record import Record
from lab.command import CommandError, run


def program(record: Record) -> Path:
    """The kubectl that was built with the cluster."""
    return Path(record.programs) / "bin" / "kubectl"


def call(record: Record, *arguments: str, stdin: str | None = None, timeout: float = 30.0) -> str:
    """Runs kubectl as administrator and returns what it printed. Raises CommandError."""
    # The API server is on this machine: no proxy that the environment names can reach it.
    argv = ["env", "NO_PROXY=*", str(program(record)), "--kubeconfig", str(record.kubeconfig)]
    return run([*argv, *arguments], stdin=stdin, timeout=timeout).stdout


def apply(record: Record, document: dict[str, Any]) -> None:
    """Applies objects on the server's side, so that applying them again changes nothing."""
    arguments = ["apply", "--server-side", "--force-conflicts", "--field-manager=hack-cluster"]
    # The server validates; fetching its schemas to do it here as well takes seconds.
    arguments.append("--validate=false")
    call(record, *arguments, "-f", "-", stdin=json.dumps(document), timeout=60.0)


def serving(record: Record) -> bool:
    """Whether the API server says that it is ready."""
    try:
        call(record, "get", "--raw", "/readyz", "--request-timeout=2s")
    except CommandError:
        return False
    return True


def kubelet_answers(record: Record, node: str) -> bool:
    """Whether the API server reaches a node's kubelet: its Node may say Ready for a minute after.

    Raises CommandError when it does not.
    """
    path = f"/api/v1/nodes/{node}/proxy/healthz"
    return call(record, "get", "--raw", path, "--request-timeout=2s").strip() == "ok"


def nodes(record: Record) -> dict[str, bool]:
    """Each node's name, and whether it is Ready."""
    listing = json.loads(call(record, "get", "nodes", "-o", "json", "--request-timeout=5s"))
    return {
        item["metadata"]["name"]: any(
            condition["type"] == "Ready" and condition["status"] == "True"
            for condition in item["status"].get("conditions", [])
        )
        for item in listing["items"]
    }
