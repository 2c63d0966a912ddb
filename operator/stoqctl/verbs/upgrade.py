"""`stoqctl upgrade`: another sidecar for running pods, without restarting an application."""

import time
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from stoq.injection.names import ENABLED, LABEL
from stoqctl import rollout
from stoqctl.connect import cluster
from stoqctl.errors import FAILED, Refused, StoqctlError, Unreachable, is_passing
from stoqctl.gather import Gatherer
from stoqctl.judge.workloads import sidecar
from stoqctl.options import Context, Json, Kubeconfig
from stoqctl.output import console, print_json, table

if TYPE_CHECKING:
    from stoqctl.kube import Cluster

EXAMPLES: Final = (
    "Examples:\n\nstoqctl upgrade -n shop --dry-run\n\nstoqctl upgrade -n shop\n\n"
    "stoqctl upgrade -n shop --image registry/stoq/sidecar:2 --parallel 5"
)

POLL: Final = 0.5
"""Seconds between two looks at a pod that is being changed."""


def run(
    namespace: Annotated[
        str, typer.Option("--namespace", "-n", metavar="NAME", help="Whose pods.")
    ],
    image: Annotated[
        str,
        typer.Option(
            "--image",
            metavar="IMAGE",
            help="The new sidecar; else what new pods get.",
            show_default=False,
        ),
    ] = "",
    parallel: Annotated[int, typer.Option("--parallel", min=1, help="Pods at a time.")] = 1,
    timeout: Annotated[float, typer.Option("--timeout", help="Seconds for each pod.")] = 120.0,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be done.")
    ] = False,
    kubeconfig: Kubeconfig = "",
    context: Context = "",
    as_json: Json = False,
) -> None:
    """Change the sidecars of a namespace in place, a few pods at a time.

    The kubelet restarts the sidecar and nothing else; connections through it end and applications
    connect again. The next pods follow once these are ready again. At the first pod that does not
    come back the upgrade stops, with status 1, and the rest stays as it was.
    """
    there = cluster(kubeconfig, context)
    wanted = image or _injected(there, namespace)
    plan = rollout.steps(Gatherer(there).pods(namespace), wanted)
    outcome: dict[str, str] = {}
    if not dry_run:
        for at in range(0, len(plan), parallel):
            if any(outcome.values()):
                break
            outcome |= _change(there, plan[at : at + parallel], wanted, timeout)
    _print(plan, wanted, outcome, as_json=as_json, dry_run=dry_run)
    raise typer.Exit(FAILED if any(outcome.values()) else 0)


def _injected(there: "Cluster", namespace: str) -> str:
    """The image that the webhook gives a new pod, by a request that changes nothing."""
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"generateName": "stoq-upgrade-", "labels": {LABEL: ENABLED}},
        "spec": {"containers": [{"name": "none", "image": "none"}]},
    }
    made = there.create(f"/api/v1/namespaces/{namespace}/pods", pod, dryRun="All")
    ours = sidecar(made["spec"])
    if ours is None:
        raise StoqctlError(
            f"the webhook gives pods of namespace {namespace} no sidecar: see `stoqctl check -n "
            f"{namespace}`, or name the image with --image"
        )
    return str(ours["image"])


def _change(
    there: "Cluster", steps: list[rollout.Step], image: str, timeout: float
) -> dict[str, str]:
    """What is to be said about each pod; empty: it has its new sidecar."""
    for step in steps:
        there.patch(_path(step), rollout.patch(image), strategic=True)
    waiting = {step.name: step for step in steps}
    outcome: dict[str, str] = {}
    silence: dict[str, str] = {}
    end = time.monotonic() + timeout
    while waiting and time.monotonic() < end:
        for step in list(waiting.values()):
            try:
                pod = there.find(_path(step))
            except (Refused, Unreachable) as error:
                # An API server that is away for a moment must not end what is half done.
                if not is_passing(error):
                    raise
                silence[step.name] = f"; {error}"
                continue
            silence.pop(step.name, None)
            done, problem = rollout.progress(step, pod)
            if done:
                del waiting[step.name]
                outcome[step.name] = problem
        if waiting:
            time.sleep(POLL)
    for name in waiting:
        late = f"not ready after {timeout:.0f} s; see `stoqctl logs {name}`"
        outcome[name] = late + silence.get(name, "")
    return outcome


def _path(step: rollout.Step) -> str:
    return f"/api/v1/namespaces/{step.namespace}/pods/{step.pod}"


def _print(
    plan: list[rollout.Step],
    image: str,
    outcome: dict[str, str],
    *,
    as_json: bool,
    dry_run: bool,
) -> None:
    def said(step: rollout.Step) -> str:
        if step.name not in outcome:
            return "to do" if dry_run else "untouched"
        return outcome[step.name] or "done"

    if as_json:
        pods: list[dict[str, Any]] = [
            {"pod": step.name, "from": step.image, "outcome": said(step)} for step in plan
        ]
        print_json({"image": image, "pods": pods})
        return
    if not plan:
        console().print(f"every sidecar runs {image} already", markup=False)
        return
    console().print(f"to {image}", markup=False)
    rows = [(step.name, step.image, said(step)) for step in plan]
    console().print(table(("pod", "from", "outcome"), rows))
