"""`stoqctl check`: what is wrong, and what mends it."""

import stat
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import quote

import typer

from stoqctl.admin import Sidecar
from stoqctl.connect import cluster, has_cluster
from stoqctl.errors import FAILED, StoqctlError
from stoqctl.finding import Finding, document
from stoqctl.gather import Gatherer
from stoqctl.judge import path, verdict
from stoqctl.options import (
    DEFAULT_ADMIN,
    Admin,
    Context,
    Json,
    Kubeconfig,
    Namespaces,
    Netns,
    Pod,
    State,
    Store,
)
from stoqctl.output import console, duration, print_json, table
from stoqctl.sidecars import Pages, pod_addresses, sidecar
from stoqctl.verbs.records import read_store

EXAMPLES: Final = (
    "Examples:\n\nstoqctl check --pre\n\nstoqctl check\n\nstoqctl check -n shop --json\n\n"
    "stoqctl check shop/web-0 --to shop/db-0\n\nsudo stoqctl check --netns web-0\n\n"
    "stoqctl check --store ./store --state ./state"
)

EXPIRY_WARNING: Final = 0.25
"""Part of an SVID's life that must be left: renewal is due at half of it."""


def run(
    pod: Pod = "",
    namespace: Namespaces = None,
    to: Annotated[
        list[str] | None,
        typer.Option(
            "--to",
            metavar="POD|ADDRESS",
            help="Also try the way from that sidecar to this meshed pod; may be repeated.",
            show_default=False,
        ),
    ] = None,
    pre: Annotated[
        bool, typer.Option("--pre", help="Before an installation: can it succeed?")
    ] = False,
    kubeconfig: Kubeconfig = "",
    context: Context = "",
    netns: Netns = "",
    admin: Admin = DEFAULT_ADMIN,
    store: Store = None,
    state: State = None,
    as_json: Json = False,
) -> None:
    """Check a cluster's mesh, or the sidecar of one pod; each failure comes with what mends it.

    Where node agents run, also what each node's kernel enforces, and why not. Without a cluster:
    check a sidecar of this machine, or with --store and --state the control process's directories.
    Ends with status 1 if anything is wrong, 3 if no API server answers.
    """
    places = tuple(namespace or ())
    targets = tuple(to or ())
    local = bool(netns or admin != DEFAULT_ADMIN or store or state)
    if pod:
        place = places[0] if places else ""
        found = sidecar(
            pod, namespace=place, kubeconfig=kubeconfig, context=context, netns=netns, admin=admin
        )
        addresses = {name: pod_addresses(name, place, kubeconfig, context) for name in targets}
        findings = [*_sidecar(found), *_paths(found, addresses)]
    elif targets and not local:
        raise StoqctlError(
            f"--to {targets[0]}: from which pod? stoqctl check POD --to {targets[0]}"
        )
    elif not local and (pre or places or has_cluster(kubeconfig, context)):
        findings = _cluster(places, kubeconfig, context, pre=pre)
    else:
        findings = [
            *(_store(store) if store else ()),
            *(_state(state) if state else ()),
            *(_sidecar(Sidecar(admin, netns)) if netns or not (store or state) else ()),
            *_paths(Sidecar(admin, netns), {target: (target,) for target in targets}),
        ]
    _print(findings, as_json=as_json)
    raise typer.Exit(0 if all(finding.ok for finding in findings) else FAILED)


def _print(findings: list[Finding], *, as_json: bool) -> None:
    if as_json:
        print_json(document(findings))
        return
    rows = [("✓" if item.ok else "✗", item.name, item.detail) for item in findings]
    console().print(table(("", "check", "found"), rows))
    for item in findings:
        if not item.ok:
            console().print(f"{item.name}: {item.fix}", markup=False)


def _cluster(places: tuple[str, ...], kubeconfig: str, context: str, *, pre: bool) -> list[Finding]:
    gatherer = Gatherer(cluster(kubeconfig, context), places)
    facts = gatherer.facts(rights=pre)
    if pre:
        return verdict.before(facts)
    return verdict.after(facts, gatherer.records() if facts.crds else [], time.time())


def _sidecar(sidecar: Pages) -> Iterator[Finding]:
    try:
        config = sidecar.get("/config")
        connections = sidecar.get("/connections")
    except StoqctlError as error:
        yield Finding("sidecar", False, str(error), "start the sidecar, or name its pod or --netns")
        return
    yield Finding("sidecar", True, f"answers at {sidecar.name}")
    yield from judge(config, connections, time.time())


def _paths(sidecar: Pages, targets: Mapping[str, Sequence[str]]) -> Iterator[Finding]:
    """The way from `sidecar` to every address of every target."""
    for target, addresses in targets.items():
        for address in addresses:
            try:
                report = sidecar.get(f"/path?address={quote(address)}")
            except StoqctlError as error:
                fix = "only meshed pods have a path: name one of `stoqctl status`"
                yield Finding(f"path to {target}", False, str(error), fix)
            else:
                yield path.finding(target, report)


def judge(
    config: dict[str, Any], connections: list[dict[str, Any]], now: float
) -> Iterator[Finding]:
    """The findings from `/config` and `/connections` at `now` (Unix seconds). Pure."""
    blocking = config["blocking"]
    yield Finding(
        "ready",
        not blocking,
        "; ".join(f"{latch}: {why}" for latch, why in blocking.items()) or "every latch dropped",
        "see the sidecar's log for what is named here",
    )
    yield _svid(config["identity"], now)
    yield _registry(config["discovery"], config["settings"]["control"]["address"], now)
    weak = [
        item["spiffe_id"] or item["remote"]
        for item in connections
        if item["state"] == "established" and item["profile"] == "classical"
    ]
    yield Finding(
        "suites",
        not weak,
        f"classical signatures with {', '.join(weak)}" if weak else "no classical connection",
        "remove STOQ_IDENTITY_ALLOW_CLASSICAL: it is for interoperability tests",
    )


def _svid(identity: dict[str, Any], now: float) -> Finding:
    fix = f"last error: {identity['last_error'] or 'none'}; check token, bundle and control process"
    if not identity["expires"]:
        return Finding("identity", False, "no SVID yet", fix)
    left = identity["expires"] - now
    life = identity["expires"] - identity["obtained"]
    detail = f"{identity['spiffe_id']}, {duration(left)} left"
    if left <= 0:
        return Finding("identity", False, f"the SVID expired {duration(left)} ago", fix)
    return Finding("identity", left > life * EXPIRY_WARNING, detail, fix)


def _registry(discovery: dict[str, Any], address: str, now: float) -> Finding:
    port = address.rpartition(":")[2]
    if discovery["stale"]:
        heard = discovery["updated"]
        since = f", last heard {duration(now - heard)} ago" if heard else ""
        return Finding(
            "registry",
            False,
            f"{discovery['last_error'] or 'not connected'}{since}",
            f"check that the control process runs at {address} and that UDP {port} is not blocked",
        )
    return Finding("registry", True, f"version {discovery['version']} from {address}")


def _store(store: Path) -> Iterator[Finding]:
    found, problems = read_store(store)
    for file, problem in problems.items():
        yield Finding(f"manifest {file}", False, problem, "mend it; what was read before holds")
    kinds = [item.record.KIND for _, item in found]
    yield Finding(
        "mesh configuration",
        kinds.count("MeshConfig") == 1,
        f"{kinds.count('MeshConfig')} of kind MeshConfig, {len(found)} records in all",
        "write one MeshConfig with spec.trustDomain",
    )
    unattested = [
        item.record.metadata.name
        for _, item in found
        if item.record.KIND == "Workload" and not getattr(item.record.spec, "join_token_hash", "")
    ]
    yield Finding(
        "join tokens",
        not unattested,
        f"none for {', '.join(unattested)}" if unattested else "every workload has one",
        "run stoq-control join-token for each",
    )


def _state(state: Path) -> Iterator[Finding]:
    if not state.is_dir():
        yield Finding("state", False, f"{state} is no directory", "start stoq-control once")
        return
    open_ones = [
        str(path)
        for path in (state, *sorted(state.glob("ca/*.key")))
        if stat.S_IMODE(path.stat().st_mode) & 0o077
    ]
    yield Finding(
        "state",
        not open_ones,
        f"others may read {', '.join(open_ones)}" if open_ones else f"{state} is private",
        "chmod go= on them, then rotate the root: stoq-control rotate-root",
    )
