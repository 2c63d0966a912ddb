"""The verbs of `hack/cluster`, for whichever provider a cluster has."""

import json
import os
import shlex
from ipaddress import ip_network
from pathlib import Path
from typing import Protocol

from clusterlib import binaries, debian, images, kind, kubectl, modules, plan
from clusterlib.plan import Family, Network
from clusterlib.progress import ClusterError, say, step
from clusterlib.record import Record, everyone, find, lock
from lab.command import CommandError, run

DEFAULT_NODES = 2


class Backend(Protocol):
    """What a provider's module does."""

    def up(self, record: Record) -> None:
        """Makes what is missing and waits until it is ready."""

    def down(self, record: Record) -> None:
        """Removes everything."""

    def load(self, record: Record, archives: list[Path]) -> None:
        """Puts images on every node."""

    def stop(self, record: Record, target: str) -> None:
        """Kills a node or one service."""

    def enter(self, record: Record, machine: str) -> list[str]:
        """The words before a command that make it run on a machine."""

    def services(self, record: Record) -> dict[str, bool]:
        """What should run, and whether it does."""

    def audit_log(self, record: Record) -> Path:
        """Where the API server writes down what it was asked."""


def default_provider() -> str:
    """kind where a Docker daemon answers, our own build of the same programs elsewhere."""
    return "kind" if kind.docker_runs() else "modules"


def build(chosen: str | None) -> None:
    """Makes everything that `up` needs, and prints where it is."""
    print(binaries.ensure(chosen or default_provider()).programs)


def up(name: str, nodes: int | None, family: Family | None, chosen: str | None) -> None:
    """Makes a cluster, or mends the one there is.

    None means what the cluster already has, and for a new one two nodes of IPv6 only. Raises
    ClusterError when the cluster that is there is another than the one asked for.
    """
    known = find(name)
    if known is not None:
        asked = (nodes or known.nodes, family or known.family)
        if asked != (known.nodes, known.family):
            raise ClusterError(
                f"cluster {name} has {known.nodes} nodes, {known.family}. Another is made after "
                f"`hack/cluster down --name {name}`, or beside it with another --name"
            )
    provider = known.provider if known else chosen or default_provider()
    # Before the lock: a build takes minutes, and nobody else has to wait for it.
    made = binaries.ensure(provider) if known is None else None
    with lock():
        record = find(name)
        if record is None:
            made = made or binaries.ensure(provider)
            record = _new(name, nodes or DEFAULT_NODES, family or Family.IPV6, provider, made)
        with step(f"cluster {name}: {record.nodes} nodes, {record.family}"):
            _backend(record).up(record)
    say(f'use it with: eval "$(hack/cluster env --name {name})"')


def down(name: str) -> None:
    """Removes a cluster and all it made. Nothing to remove is no error."""
    with lock():
        record = find(name)
        if record is None:
            say(f"there is no cluster {name}")
            return
        with step(f"removing cluster {name}"):
            _backend(record).down(record)


def load(name: str, archives: list[Path]) -> None:
    """Puts images on every node."""
    for archive in archives:
        if not archive.is_file():
            raise ClusterError(f"{archive}: no such file; `docker save` or buildah writes one")
    record = _existing(name)
    _backend(record).load(record, archives)


def image(tag: str, target: Path, wanted: list[str]) -> None:
    """Makes an image of Debian with these packages in it, as `load` reads it."""
    with step(f"{tag}: Debian with {', '.join(wanted) or 'nothing more'}"):
        images.write(target, images.Image(tag, {}, base=[debian.bootstrap(wanted)]))


def stop(name: str, target: str) -> None:
    """Kills a node or one service of it; `up` starts it again."""
    record = _existing(name)
    with lock():
        _backend(record).stop(record, target)


def enter(name: str, machine: str, command: list[str]) -> None:
    """Becomes a command, or a shell, on a machine of the cluster."""
    record = _existing(name)
    argv = [*_backend(record).enter(record, machine), *(command or ["sh"])]
    os.execvp(argv[0], argv)  # noqa: S606 - to be that program is the point


def kubeconfig(name: str) -> None:
    """Prints where the administrator's kubeconfig is."""
    print(_existing(name).kubeconfig)


def env(name: str) -> None:
    """Prints what a shell evaluates to use the cluster: KUBECONFIG, kubectl and helm in PATH."""
    record = _existing(name)
    audit_log = _backend(record).audit_log(record)
    print(f"export KUBECONFIG={shlex.quote(str(record.kubeconfig))}")
    print(f'export PATH={shlex.quote(record.programs + "/bin")}:"$PATH"')
    print(f"export STOQ_CLUSTER={name}")
    print(f"export STOQ_CLUSTER_AUDIT_LOG={shlex.quote(str(audit_log))}")
    # The API server is on this machine: no proxy can reach it.
    direct = ",".join([*map(str, modules.plan_of(record).control), "localhost", "127.0.0.1", "::1"])
    print(f'export NO_PROXY="{direct}${{NO_PROXY:+,$NO_PROXY}}"')


def status(name: str) -> bool:
    """Prints what runs and what does not; whether everything does."""
    record = _existing(name)
    services = _backend(record).services(record)
    print(f"cluster {name}: {record.provider}, {record.nodes} nodes, {record.family}")
    for service, runs in services.items():
        print(f"  {service:<32} {'running' if runs else 'down'}")
    try:
        ready = kubectl.nodes(record)
    except CommandError as error:
        print(f"  the API server does not answer: {error}")
        return False
    for node, is_ready in ready.items():
        print(f"  {node:<32} {'Ready' if is_ready else 'not Ready'}")
    return all(services.values()) and all(ready.values())


def free(
    name: str, nodes: int, family: Family, taken: set[int], routes: list[Network]
) -> plan.Plan:
    """The first plan that shares no address with a cluster or with a route. Pure.

    Raises ValueError when there is none, or the name or the number of nodes is out of bounds.
    """
    index = 0
    while True:
        laid_out = plan.make(name, nodes, family, index)
        crossed = any(
            own.version == route.version and own.overlaps(route)
            for own in laid_out.ranges
            for route in routes
        )
        if index not in taken and not crossed:
            return laid_out
        index += 1


def _existing(name: str) -> Record:
    record = find(name)
    if record is None:
        there = ", ".join(each.name for each in everyone()) or "none"
        raise ClusterError(f"there is no cluster {name} (there is: {there}): hack/cluster up")
    return record


def _new(name: str, nodes: int, family: Family, provider: str, made: binaries.Build) -> Record:
    taken = {record.index for record in everyone()}
    try:
        laid_out = free(name, nodes, family, taken, _routes())
    except ValueError as error:
        raise ClusterError(str(error)) from error
    record = Record(
        name=name,
        provider=provider,
        nodes=nodes,
        family=family.value,
        index=laid_out.index,
        programs=str(made.programs),
        images=str(made.images),
    )
    record.save()
    return record


def _routes() -> list[Network]:
    """Where this machine's routes lead, the default routes aside."""
    found: list[Network] = []
    for family in ("-4", "-6"):
        routes = json.loads(run(["ip", "-json", family, "route"]).stdout or "[]")
        leads = (route["dst"] for route in routes)
        found += [ip_network(dst, strict=False) for dst in leads if dst != "default"]
    return found


def _backend(record: Record) -> Backend:
    return kind if record.provider == "kind" else modules
