"""A cluster of the real programs, built from their Go modules, in namespaces of this machine."""

import json
import os
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from clusterlib import (
    cgroups,
    control,
    inotify,
    kubeconfig,
    kubectl,
    links,
    machines,
    manifests,
    node,
    settings,
)
from clusterlib.pki import Authority, Pair, signing_key
from clusterlib.plan import CONTROL, Family, Node, Plan, make
from clusterlib.progress import ClusterError, step, wait_until
from clusterlib.record import Record
from lab.command import CommandError

API_SECONDS = 120.0
NODE_SECONDS = 180.0
"""How long the parts may take on a machine that is busy with other things; idle they take 10."""
IMPORT_SECONDS = 300.0


def plan_of(record: Record) -> Plan:
    """The plan that a cluster was made by."""
    return make(record.name, record.nodes, Family(record.family), record.index)


def up(record: Record) -> None:
    """Makes what is not there, starts what does not run, waits until all of it is ready."""
    if os.geteuid() != 0:
        raise ClusterError("network namespaces, mounts and containers: run hack/cluster as root")
    plan = plan_of(record)
    off = [machine for machine in plan.machines if not machines.running(record, machine)]
    if len(off) == len(plan.machines):
        # Machines start when their links are whole: with one running there is nothing to do.
        inotify.make_room()
        with step("network"):
            links.remove(plan)
            links.build(plan)
    with step("keys and settings"):
        files = _keys(plan, record)
    with step(f"machines: {', '.join(off) or 'all run'}"):
        _start(plan, record, files, off)
        for each in plan.nodes:
            if each.name in off:
                _ready_for_images(record, each.name)
                for archive in sorted(Path(record.images).glob("*.tar")):
                    _import(record, archive, each.name)
    # Whatever was stopped runs again; but kubelets only once their nodes are written down.
    machines.release(record, CONTROL)
    with step("API server"):
        _wait("API server ready", record, CONTROL, "kube-apiserver", API_SECONDS)
        kubectl.apply(record, manifests.as_list(manifests.nodes(plan) + manifests.system(plan)))
    for each in plan.nodes:
        machines.release(record, each.name)
    with step("nodes ready"):
        for each in plan.nodes:
            _wait(f"{each.name} ready", record, each.name, "kubelet", NODE_SECONDS)
    with step("DNS ready"):
        arguments = ["rollout", "status", "-n", "kube-system", "deployment/coredns"]
        kubectl.call(record, *arguments, f"--timeout={NODE_SECONDS:g}s", timeout=NODE_SECONDS + 5)


def down(record: Record) -> None:
    """Removes all of it: processes, namespaces, links, cgroups, files. Safe to call again."""
    plan = plan_of(record)
    for machine in reversed(plan.machines):
        machines.end(record, machine)
    links.remove(plan)
    for each in plan.nodes:
        cgroups.remove(machines.cgroup(plan, each.name))
    shutil.rmtree(record.folder)


def load(record: Record, archives: list[Path]) -> None:
    """Puts images, as `docker save` or buildah write them, on every node."""
    names = [each.name for each in plan_of(record).nodes]
    with ThreadPoolExecutor(len(names)) as beside:
        for archive in archives:
            with step(f"{archive.name} to {', '.join(names)}"):
                list(beside.map(partial(_import, record, archive), names))


def audit_log(record: Record) -> Path:
    """Every request that the API server answered, one JSON object a line."""
    return record.folder / CONTROL / "logs" / control.AUDIT_LOG


def stop(record: Record, target: str) -> None:
    """Kills a node, or one service: `node1`, `node1/kubelet`, `control/etcd`. `up` starts it."""
    machine, _, service = target.partition("/")
    if machine not in plan_of(record).machines:
        raise ClusterError(f"{target}: there are {', '.join(plan_of(record).machines)}")
    if not service:
        machines.end(record, machine)
        return
    known = machines.services(record, machine)
    if service not in known:
        raise ClusterError(f"{target}: {machine} has {', '.join(known)}")
    machines.hold(record, machine, service)
    wait_until(f"{target} down", lambda: not machines.services(record, machine)[service], 10.0)


def enter(record: Record, machine: str) -> list[str]:
    """The words before a command that make it run on a machine."""
    return machines.enter(record, machine)


def services(record: Record) -> dict[str, bool]:
    """`machine/service` -> whether it runs."""
    return {
        f"{machine}/{service}": runs
        for machine in plan_of(record).machines
        for service, runs in machines.services(record, machine).items()
    }


def _keys(plan: Plan, record: Record) -> control.Files:
    """Everything that is read at a start: written again each time, keys made once."""
    folder = record.folder / CONTROL
    keys = folder / "pki"
    keys.mkdir(parents=True, exist_ok=True, mode=0o700)
    authority = Authority(keys, "kubernetes-ca")
    front = Authority(keys, "front-proxy-ca")
    names = control.api_names(plan)
    files = control.Files(
        folder=folder,
        authority=authority.own,
        api=authority.issue("apiserver", "/CN=kube-apiserver", names, server=True),
        kubelet_client=authority.issue("kubelet-client", f"/CN={manifests.KUBELET_CALLER}"),
        front_authority=front.own,
        front_client=front.issue("front-proxy-client", "/CN=front-proxy-client"),
        tokens=signing_key(keys),
    )
    settings.write(files.audit_policy, json.dumps(control.AUDIT_POLICY))
    for component in ("kube-controller-manager", "kube-scheduler"):
        user = authority.issue(component, f"/CN=system:{component}")
        _kubeconfig(plan, files, files.kubeconfig(component), user)
    _kubeconfig(
        plan, files, record.kubeconfig, authority.issue("admin", "/O=system:masters/CN=admin")
    )
    for each in plan.nodes:
        _node_files(plan, record, authority, files, each)
    return files


def _node_files(
    plan: Plan, record: Record, authority: Authority, files: control.Files, each: Node
) -> None:
    var = record.folder / each.name / "var"
    own = authority.issue(
        each.name,
        f"/O=system:nodes/CN=system:node:{each.name}",
        [f"DNS:{each.name}", *(f"IP:{address}" for address in each.addresses)],
        server=True,
    )
    proxy = authority.issue("kube-proxy", "/CN=system:kube-proxy")
    for path, text in node.files(plan, each, f"/{machines.cgroup(plan, each.name)}").items():
        settings.write(_inside(var, path), text)
    for name, source in {
        "ca.crt": files.authority.certificate,
        "node.crt": own.certificate,
        "node.key": own.key,
    }.items():
        settings.write(_inside(var, f"{node.KUBELET}/{name}"), source.read_bytes(), 0o600)
    _kubeconfig(plan, files, _inside(var, f"{node.KUBELET}/kubeconfig"), own)
    _kubeconfig(plan, files, _inside(var, f"{node.PROXY}/kubeconfig"), proxy)


def _inside(var: Path, path: str) -> Path:
    """Where this machine sees what a node sees at `path`, in /var."""
    file = var / Path(path).relative_to("/var")
    file.parent.mkdir(parents=True, exist_ok=True)
    return file


def _kubeconfig(plan: Plan, files: control.Files, target: Path, user: Pair) -> None:
    kubeconfig.write(target, plan.server, files.authority.certificate, user, plan.title)


def _start(plan: Plan, record: Record, files: control.Files, off: list[str]) -> None:
    if CONTROL in off:
        programs = Path(record.programs) / "bin"
        (files.folder / "logs").mkdir(exist_ok=True)
        machines.start(plan, record, CONTROL, control.services(plan, files, programs))
    for each in plan.nodes:
        if each.name in off:
            machines.hold(record, each.name, "kubelet")
            machines.start(plan, record, each.name, node.services(each))


def _ready_for_images(record: Record, name: str) -> None:
    argv = [*machines.enter(record, name), "ctr", "version"]

    def answers() -> bool:
        return subprocess.run(argv, capture_output=True, check=False).returncode == 0

    try:
        wait_until(f"{name}: containerd answers", answers, API_SECONDS)
    except ClusterError as error:
        logs = [machines.log_tail(record, name, who) for who in ("supervisor", "containerd")]
        raise ClusterError(f"{error}\n" + "\n".join(logs)) from error


def _import(record: Record, archive: Path, name: str) -> None:
    argv = [*machines.enter(record, name), "ctr", "--namespace", "k8s.io", "images", "import", "-"]
    with archive.open("rb") as content:
        done = subprocess.run(
            argv, stdin=content, capture_output=True, timeout=IMPORT_SECONDS, check=False
        )
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip()[-2000:]
        raise ClusterError(f"{archive}: {name} does not take this image: {said}")


def _wait(what: str, record: Record, machine: str, service: str, timeout: float) -> None:
    def done() -> bool:
        if machine == CONTROL:
            return kubectl.serving(record)
        try:
            return kubectl.nodes(record).get(machine, False) and kubectl.kubelet_answers(
                record, machine
            )
        except CommandError:
            return False

    try:
        wait_until(what, done, timeout)
    except ClusterError as error:
        tail = machines.log_tail(record, machine, service)
        raise ClusterError(f"{error}; the end of {machine}/{service}'s log:\n{tail}") from error
