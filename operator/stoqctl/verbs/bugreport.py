"""`stoqctl bugreport`: what somebody who helps needs to see, in one file, without secrets."""

import io
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from stoq.constants import OPERATOR_SERVICE_ACCOUNT, SYSTEM_NAMESPACE
from stoq.injection.names import INIT, READY, SIDECAR
from stoqctl import redact, report
from stoqctl.connect import cluster
from stoqctl.errors import StoqctlError
from stoqctl.gather import Gatherer
from stoqctl.judge import verdict
from stoqctl.judge.facts import Facts
from stoqctl.judge.workloads import meshed
from stoqctl.options import Context, Json, Kubeconfig, Namespaces
from stoqctl.output import print_json, size
from stoqctl.sidecars import PodSidecar

if TYPE_CHECKING:
    from stoqctl.kube import Cluster

EXAMPLES: Final = (
    "Examples:\n\nstoqctl bugreport\n\nstoqctl bugreport -n shop --output shop.tar.gz\n\n"
    "stoqctl bugreport --sidecars 0"
)

LINES: Final = 2000
"""Last lines of each log."""


def run(
    namespace: Namespaces = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="The archive to write.")
    ] = Path("stoq-bugreport.tar.gz"),
    sidecars: Annotated[
        int, typer.Option("--sidecars", min=0, help="At most so many sidecars are asked.")
    ] = 20,
    kubeconfig: Kubeconfig = "",
    context: Context = "",
    as_json: Json = False,
) -> None:
    """Write one archive with what the checks see, our objects, sidecars' pages and logs.

    Secrets are not read into it; of pods it has no environment, arguments or foreign annotations;
    what looks like a key or a token is struck out everywhere. Look through it before you send it.
    """
    there = cluster(kubeconfig, context)
    gatherer = Gatherer(there, tuple(namespace or ()))
    facts = gatherer.facts()
    objects = gatherer.records() if facts.crds else []
    findings = verdict.after(facts, objects, time.time())
    contents = dict(report.files(facts, objects, findings))
    contents.update(_logs(there))
    contents.update(_sidecars(there, facts, sidecars))
    try:
        _write(output, contents)
    except OSError as error:
        raise StoqctlError(f"--output {output}: {error.strerror}") from error
    if as_json:
        print_json({"file": str(output), "contents": sorted(contents)})
    else:
        print(f"{output}: {len(contents)} files, {size(output.stat().st_size)}")


def _logs(there: "Cluster") -> Iterator[tuple[str, str]]:
    for pod in there.list(f"/api/v1/namespaces/{SYSTEM_NAMESPACE}/pods"):
        if pod["spec"].get("serviceAccountName") == OPERATOR_SERVICE_ACCOUNT:
            name = pod["metadata"]["name"]
            for container in pod["spec"]["containers"]:
                label = f"logs/{SYSTEM_NAMESPACE}/{name}/{container['name']}.log"
                yield label, _log(there, SYSTEM_NAMESPACE, name, container["name"])


def _sidecars(there: "Cluster", facts: Facts, most: int) -> Iterator[tuple[str, str]]:
    for pod in [pod for pod in facts.pods if meshed(pod)][:most]:
        place, name = pod["metadata"]["namespace"], pod["metadata"]["name"]
        for container in (INIT, SIDECAR, READY):
            yield f"logs/{place}/{name}/{container}.log", _log(there, place, name, container)
        for path in ("/config", "/connections"):
            try:
                text = report.page(PodSidecar(there, place, name).get(path))
            except StoqctlError as error:
                text = f"{error}\n"
            yield f"sidecars/{place}/{name}{path}.json", text


def _log(there: "Cluster", namespace: str, pod: str, container: str) -> str:
    try:
        pieces = b"".join(there.log(namespace, pod, container, tailLines=str(LINES)))
    except StoqctlError as error:
        return f"{error}\n"
    return redact.text(pieces.decode(errors="replace"))


def _write(output: Path, contents: dict[str, str]) -> None:
    with tarfile.open(output, "w:gz") as archive:
        for name, text in sorted(contents.items()):
            data = text.encode()
            entry = tarfile.TarInfo(f"stoq-bugreport/{name}")
            entry.size, entry.mtime, entry.mode = len(data), int(time.time()), 0o600
            archive.addfile(entry, io.BytesIO(data))
