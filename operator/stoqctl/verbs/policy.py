"""`stoqctl policy`: tries policies, and makes AccessPolicies from NetworkPolicies."""

import sys
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Final, TypeVar

import msgspec
import typer

from stoq.records.access import AccessPolicy
from stoq.records.errors import RecordError
from stoq.records.manifest import AnyRecord, decode
from stoq.records.mesh import MeshConfig, MeshConfigSpec
from stoq.records.meta import API_VERSION
from stoq.records.policy import TransportPolicy
from stoq.spiffe import SpiffeError, SpiffeId
from stoqctl.connect import cluster, pod_of
from stoqctl.errors import FAILED, StoqctlError
from stoqctl.gather import NETWORKING, Gatherer
from stoqctl.judge.facts import labels
from stoqctl.options import Context, Json, Kubeconfig, Namespace
from stoqctl.output import print_json, print_yaml
from stoqctl.policy.decide import decide
from stoqctl.policy.profiles import Profiles, crypto_of
from stoqctl.policy.translate import Translation, translate
from stoqctl.verbs.inject import read

app = typer.Typer(
    name="policy",
    help="Try policies, and make AccessPolicies from NetworkPolicies.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)

Kind = TypeVar("Kind", AccessPolicy, TransportPolicy, MeshConfig)

TEST_EXAMPLES: Final = (
    "Examples:\n\nstoqctl policy test shop/web-0 shop/db-0 5432\n\n"
    "stoqctl policy test spiffe://cluster.local/ns/shop/sa/web shop/db-0 5432 -f new.yaml\n\n"
    "stoqctl policy test spiffe://cluster.local/ns/shop/sa/web shop/db-0 5432 -f all.yaml "
    "--label app=db"
)

IMPORT_EXAMPLES: Final = (
    "Examples:\n\nstoqctl policy import -n shop > policies.yaml\n\n"
    "stoqctl policy import -n shop --dry-run | kubectl apply -f -"
)

Files = Annotated[
    list[str] | None,
    typer.Option(
        "--file", "-f", metavar="FILE", help="Policies that hold too; - is standard input."
    ),
]


@app.command("test", epilog=TEST_EXAMPLES)
def try_(
    caller: Annotated[str, typer.Argument(help="A pod, <namespace>/<pod>, or a SPIFFE id.")],
    target: Annotated[str, typer.Argument(help="A pod, <namespace>/<pod>.")],
    port: Annotated[int, typer.Argument(min=1, max=65535, help="TCP port of the target.")],
    file: Files = None,
    label: Annotated[
        list[str] | None,
        typer.Option(
            "--label",
            metavar="NAME=VALUE",
            help="A label of the target; with it no cluster is asked, and --file has all policies.",
        ),
    ] = None,
    kubeconfig: Kubeconfig = "",
    context: Context = "",
    as_json: Json = False,
) -> None:
    """Say whether the caller may connect, by which AccessPolicy, and with which crypto profiles.
    Status 1: it may not.
    """
    manifests = [document for name in file or () for document in read(name)]
    place, pod = pod_of(target, "")
    calling: Mapping[str, str] | None = None
    if label is not None:
        given = _labels(label)
    else:
        there = cluster(kubeconfig, context)
        given = dict(labels(there.get(f"/api/v1/namespaces/{place}/pods/{pod}")))
        found = Gatherer(there)
        manifests += found.records("accesspolicies", namespace=place)
        manifests += found.records("meshconfigs")
        manifests += found.records("transportpolicies", namespace=place)
        if not caller.startswith("spiffe://"):
            home, name = pod_of(caller, "")
            calling = labels(there.get(f"/api/v1/namespaces/{home}/pods/{name}"))
            if home != place:
                manifests += found.records("transportpolicies", namespace=home)
    records = _records(manifests)
    who = _caller(caller, kubeconfig, context)
    verdict = decide(_kind(records, AccessPolicy), who, place, given, port)
    profiles = _profiles(records, (who.namespace, calling), (place, given))
    allowed = verdict.allowed and not profiles.refused
    if as_json:
        print_json(
            {
                "allowed": allowed,
                "policy": verdict.by,
                "why": verdict.why,
                "dry_run_refusals": list(verdict.dry_run),
                "crypto": msgspec.to_builtins(
                    {"caller": profiles.caller, "target": profiles.target}
                ),
                "crypto_refusal": profiles.refused,
            }
        )
    else:
        by = f" by {verdict.by}" if verdict.by else ""
        print(f"{'allowed' if verdict.allowed else 'refused'}{by}: {verdict.why}")
        for policy in verdict.dry_run:
            print(f"{policy} (dry run) would refuse it")
        print(f"crypto: {f'refused: {profiles.refused}' if profiles.refused else profiles.said}")
    raise typer.Exit(0 if allowed else FAILED)


def _labels(pairs: list[str]) -> dict[str, str]:
    for pair in pairs:
        if "=" not in pair:
            raise StoqctlError(f"--label {pair!r}: write <name>=<value>")
    return dict(pair.split("=", 1) for pair in pairs)


def _records(manifests: list[dict[str, Any]]) -> list[AnyRecord]:
    """Of several with one name the first holds: a file's before the cluster's."""
    found: dict[str, AnyRecord] = {}
    for manifest in manifests:
        try:
            record = decode({"apiVersion": API_VERSION, **manifest})
        except RecordError as error:
            name = (manifest.get("metadata") or {}).get("name", "a manifest")
            raise StoqctlError(f"{name}: {error}") from error
        found.setdefault(str(record.key), record)
    return list(found.values())


def _kind(records: Iterable[AnyRecord], kind: type[Kind]) -> list[Kind]:
    return [record for record in records if isinstance(record, kind)]


def _profiles(
    records: Iterable[AnyRecord],
    caller: tuple[str, Mapping[str, str] | None],
    target: tuple[str, Mapping[str, str]],
) -> Profiles:
    """Those of two pods, given by namespace and labels."""
    known = list(records)
    meshes = _kind(known, MeshConfig)
    mesh = meshes[0].spec if meshes else MeshConfigSpec(trust_domain="cluster.local")
    policies = _kind(known, TransportPolicy)
    place, labelled = caller
    return Profiles(
        None if labelled is None else crypto_of(mesh, policies, place, labelled),
        crypto_of(mesh, policies, *target),
    )


def _caller(caller: str, kubeconfig: str, context: str) -> SpiffeId:
    if caller.startswith("spiffe://"):
        try:
            return SpiffeId.parse(caller)
        except SpiffeError as error:
            raise StoqctlError(str(error)) from error
    there = cluster(kubeconfig, context)
    place, pod = pod_of(caller, "")
    spec = there.get(f"/api/v1/namespaces/{place}/pods/{pod}")["spec"]
    meshes = Gatherer(there).records("meshconfigs")
    domain = meshes[0]["spec"]["trustDomain"] if meshes else "cluster.local"
    return SpiffeId(domain, place, spec.get("serviceAccountName") or "default")


@app.command("import", epilog=IMPORT_EXAMPLES)
def import_(
    namespace: Namespace = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Make policies that only count what they would do.")
    ] = False,
    kubeconfig: Kubeconfig = "",
    context: Context = "",
    as_json: Json = False,
) -> None:
    """Print an AccessPolicy for each NetworkPolicy of the cluster, or of one namespace.

    Incoming TCP is translated, by identity instead of address. What can not be said that way is
    left out, never widened to everyone, and named on standard error.
    """
    there = cluster(kubeconfig, context)
    scope = f"/namespaces/{namespace}" if namespace else ""
    pods = list(there.list("/api/v1/pods"))
    namespaces = list(there.list("/api/v1/namespaces"))
    made = [
        translate(policy, pods, namespaces, dry_run=dry_run)
        for policy in there.list(f"{NETWORKING}{scope}/networkpolicies")
    ]
    policies = [item.policy for item in made if item.policy is not None]
    if as_json:
        print_json({"policies": policies, "notes": {item.source: item.notes for item in made}})
        return
    _notes(made)
    print_yaml(policies)


def _notes(made: list[Translation]) -> None:
    for item in made:
        for note in item.notes:
            print(f"{item.source}: {note}", file=sys.stderr)
