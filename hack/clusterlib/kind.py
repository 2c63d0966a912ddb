"""The same interface on kind, where Docker runs. Its nodes are containers that kind makes."""

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

from clusterlib.control import AUDIT_POLICY
from clusterlib.plan import Family
from clusterlib.progress import ClusterError, step
from clusterlib.record import Record
from lab.command import CommandError, run

_AUDIT = "/etc/kubernetes/audit"
_PODS = "/etc/kubernetes/manifests"
_HELD = "/etc/kubernetes/held"
"""Of kind's control-plane node: its kubelet runs what lies in the first."""

AUDIT_LOG = "audit.log"

UP_SECONDS = 900.0
"""With the download of the node image."""


def docker_runs() -> bool:
    """Whether a Docker daemon answers; the client alone is not enough."""
    if shutil.which("docker") is None:
        return False
    try:
        run(["docker", "info", "--format", "{{.ID}}"], timeout=20.0)
    except CommandError:
        return False
    return True


def config(nodes: int, family: Family, audit: Path) -> dict[str, Any]:
    """kind's configuration: `nodes` that take pods, beside the control plane's own. Pure.

    `audit` is the folder of this machine that holds the audit policy and takes the log.
    """
    volume = {
        "name": "audit",
        "hostPath": _AUDIT,
        "mountPath": _AUDIT,
        "pathType": "DirectoryOrCreate",
    }
    arguments = {
        "audit-policy-file": f"{_AUDIT}/policy.json",
        "audit-log-path": f"{_AUDIT}/{AUDIT_LOG}",
    }
    patch: list[dict[str, Any]] = [
        {
            "op": "add",
            "path": "/apiServer/extraArgs/-",
            "value": {"name": name, "value": value},
        }
        for name, value in arguments.items()
    ]
    patch.append({"op": "add", "path": "/apiServer/extraVolumes", "value": [volume]})
    mounts = [{"hostPath": str(audit), "containerPath": _AUDIT}]
    return {
        "apiVersion": "kind.x-k8s.io/v1alpha4",
        "kind": "Cluster",
        "networking": {"ipFamily": family.value, "kubeProxyMode": "nftables"},
        "nodes": [
            {"role": "control-plane", "extraMounts": mounts},
            *({"role": "worker"} for _ in range(nodes)),
        ],
        "kubeadmConfigPatchesJSON6902": [
            {
                "group": "kubeadm.k8s.io",
                "version": "v1beta4",
                "kind": "ClusterConfiguration",
                "patch": json.dumps(patch),
            }
        ],
    }


def up(record: Record) -> None:
    """Creates the cluster, or starts again what was stopped of one that is there."""
    containers = _containers(record)
    if containers:
        with step("kind's nodes"):
            run(["docker", "start", *containers], timeout=120.0)
            _inside(record, f"mkdir -p {_HELD}; find {_HELD} -type f -exec mv -t {_PODS} {{}} +")
    else:
        audit = record.folder / "audit"
        audit.mkdir(exist_ok=True)
        (audit / "policy.json").write_text(json.dumps(AUDIT_POLICY))
        settings = record.folder / "kind.json"
        settings.write_text(json.dumps(config(record.nodes, Family(record.family), audit)))
        with step("kind"):
            _kind(record, "create", "cluster", "--config", str(settings), "--wait", "180s")
    load(record, sorted(Path(record.images).glob("*.tar")))


def audit_log(record: Record) -> Path:
    """Every request that the API server answered."""
    return record.folder / "audit" / AUDIT_LOG


def down(record: Record) -> None:
    """Deletes it."""
    _kind(record, "delete", "cluster")
    shutil.rmtree(record.folder)


def load(record: Record, archives: list[Path]) -> None:
    """Puts images on every node."""
    for archive in archives:
        with step(archive.name):
            _kind(record, "load", "image-archive", str(archive))


def stop(record: Record, target: str) -> None:
    """Kills a node's container, or takes a pod of the control plane away: `control/etcd`."""
    machine, _, service = target.partition("/")
    if machine == "control" and service:
        _inside(record, f"mkdir -p {_HELD}; mv {_PODS}/{service}.yaml {_HELD}")
    elif machine in _containers(record) and not service:
        run(["docker", "kill", machine], timeout=60.0)
    else:
        there = ", ".join(_containers(record))
        raise ClusterError(f"{target}: on kind, control/SERVICE or one of {there}")


def enter(record: Record, machine: str) -> list[str]:
    """The words before a command that make it run on a node."""
    terminal = ["-t"] if sys.stdin.isatty() else []
    name = f"stoq-{record.name}-control-plane" if machine == "control" else machine
    return ["docker", "exec", "-i", *terminal, name]


def services(record: Record) -> dict[str, bool]:
    """Containers, and whether they run; and the control plane's pods."""
    states = {}
    for container in _containers(record):
        said = run(["docker", "inspect", "-f", "{{.State.Running}}", container], timeout=20.0)
        states[container] = said.stdout.strip() == "true"
    for folder, runs in ((_PODS, True), (_HELD, False)):
        for name in _inside(record, f"ls {folder} 2>/dev/null; true").split():
            states[f"control/{name.removesuffix('.yaml')}"] = runs
    return states


def _inside(record: Record, script: str) -> str:
    """Runs a line of shell on the control plane's node."""
    node = f"stoq-{record.name}-control-plane"
    return run(["docker", "exec", node, "sh", "-c", script], timeout=60.0).stdout


def _containers(record: Record) -> list[str]:
    label = f"label=io.x-k8s.kind.cluster=stoq-{record.name}"
    return run(
        ["docker", "ps", "-a", "--filter", label, "--format", "{{.Names}}"], timeout=20.0
    ).stdout.split()


def _kind(record: Record, *arguments: str) -> str:
    # kind's own variables are how it is told what is not on its command line.
    os.environ["KIND_CLUSTER_NAME"] = f"stoq-{record.name}"
    os.environ["KUBECONFIG"] = str(record.kubeconfig)
    program = str(Path(record.programs) / "bin" / "kind")
    return run([program, *arguments], timeout=UP_SECONDS).stdout
