"""A root that somebody brings, in Secret `stoq-ca` before the operator begins, is used as it is."""

import asyncio
import base64
import json
import os
import re
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest

from cluster.access import Cluster, Failed, run
from cluster.operators import (
    Operator,
    bundle,
    condition,
    eventually,
    joined,
    kubectl,
    pod,
    put,
    secret,
    token,
)
from stoq.engine import parse_certificate
from stoq.pem import certificates
from stoq_operator.embedded import main
from stoq_operator.oncluster import serve
from stoq_operator.webhookpki import make as make_classical

OPERATIONS = Path(__file__).parents[2] / "docs" / "operations.md"
SECRET = "stoq-ca"
SYSTEM = "stoq-system"
"""Where the page has the Secret; here it is the test's own namespace."""

Files = Mapping[str, bytes]
Made = Callable[[Path], Files]


@pytest.fixture
def place(running: Cluster, crds: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """Where an operator would begin; the namespace is not there yet."""
    for name in [name for name in os.environ if name.startswith("STOQ_")]:
        # Of the ring: the program takes no setting that it does not know.
        monkeypatch.delenv(name)
    monkeypatch.setenv("KUBECONFIG", running.environment["KUBECONFIG"])
    found = Cluster(running.name, f"t-{uuid4().hex[:8]}")
    yield found
    running.kubectl("delete", "namespace", found.namespace, "--wait=false", "--ignore-not-found")


def documented() -> str:
    """The commands of the page."""
    section = OPERATIONS.read_text().partition("### A root of your own\n")[2]
    (commands,) = re.findall(r"```sh\n(.*?)```", section.partition("\n### ")[0], re.DOTALL)
    return str(commands)


def follow(place: Cluster, folder: Path) -> Files:
    """Does what the page says; returns the files that it made."""
    program = f"{Path(sys.executable).parent}:{place.environment['PATH']}"
    script = f"set -e; cd {folder}\n{documented().replace(SYSTEM, place.namespace)}"
    run(["bash", "-c", script], environment={**place.environment, "PATH": program})
    return {path.name: path.read_bytes() for path in (folder / "root" / "ca").iterdir()}


async def bring(place: Cluster, files: Files) -> None:
    """The Secret, made by hand, with these files alone."""
    data = {name: base64.b64encode(content).decode() for name, content in files.items()}
    await put(
        place,
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": place.namespace}},
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": SECRET}, "data": data},
    )


def root(folder: Path, trust_domain: str = "cluster.local") -> dict[str, bytes]:
    """One that is good for this trust domain: its files, under the name `own`, without a list."""
    asked = ["make-root", "--state", str(folder), "--trust-domain", trust_domain]
    assert main(asked) == os.EX_OK
    found = (folder / "ca").iterdir()
    return {f"own{each.suffix}": each.read_bytes() for each in found if each.suffix != ".json"}


async def test_the_documented_way_makes_the_root_of_the_mesh_and_of_its_pods(
    place: Cluster, tmp_path: Path
) -> None:
    brought = await asyncio.to_thread(follow, place, tmp_path)
    (certificate,) = [content for name, content in brought.items() if name.endswith(".crt")]
    async with Operator(place.namespace, "first").running() as operator:
        trusted = await bundle(place)
        assert list(certificates(trusted)) == list(certificates(certificate.decode()))
        await put(place, pod("web"))
        # It trusts nobody that this root has not signed.
        async with operator.member(certificate.decode()) as member:
            answer = await joined(member, await token(place, "web"))
        assert list(answer.roots) == list(certificates(certificate.decode()))
        wanted = f"spiffe://cluster.local/ns/{place.namespace}/sa/default"
        assert parse_certificate(answer.certificate).spiffe_id == wanted
        assert await secret(place, "stoq-ca") == brought


async def test_a_key_with_its_certificate_is_enough_and_is_left_as_it_is(
    place: Cluster, tmp_path: Path
) -> None:
    files = await asyncio.to_thread(root, tmp_path / "own")
    await bring(place, files)
    async with Operator(place.namespace, "first").running():
        trusted = await bundle(place)
        assert list(certificates(trusted)) == list(certificates(files["own.crt"].decode()))
        assert await secret(place, "stoq-ca") == files


async def nothing_was_done(place: Cluster, files: Files) -> None:
    """The Secret is as it was, and nobody was told to trust anything."""
    assert await secret(place, "stoq-ca") == files
    assert not await kubectl(place, "get", "configmap", "stoq-trust", "--ignore-not-found")


@asynccontextmanager
async def waiting(place: Cluster) -> AsyncIterator[Operator]:
    """A replica that never gets ready."""
    operator = Operator(place.namespace, "first")
    task = asyncio.create_task(serve(operator.settings, operator.stop))
    try:
        yield operator
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def foreign(folder: Path) -> Files:
    return root(folder / "own", "example.org")


def classical(_folder: Path) -> Files:
    files = make_classical(("example.org",), datetime.now(UTC)).files
    return {name: files[name] for name in ("tls.crt", "tls.key")}


def other_names(folder: Path) -> Files:
    files = root(folder / "own")
    return {"ca.pem": files["own.crt"], "ca-key.pem": files["own.key"]}


def cut_off(folder: Path) -> Files:
    files = root(folder / "own")
    return {**files, "own.crt": files["own.crt"][:400]}


@pytest.mark.parametrize(
    ("made", "says"),
    [
        (classical, r"stoq-ca/tls\.crt: .*; bring a hybrid root; nothing is signed"),
        (other_names, r"stoq-ca has ca-key\.pem, ca\.pem and no key: name a root's key NAME\.key"),
        (cut_off, r"stoq-ca/own\.crt: .*; nothing is signed"),
        (foreign, r"root own is of spiffe://example\.org, the mesh is spiffe://cluster\.local"),
    ],
    ids=["classical", "other names", "cut off", "another trust domain"],
)
async def test_what_is_no_root_is_neither_used_nor_replaced_and_the_mesh_and_the_secret_say_why(
    place: Cluster, tmp_path: Path, made: Made, says: str
) -> None:
    files = await asyncio.to_thread(made, tmp_path)
    await bring(place, files)
    async with waiting(place) as operator:

        async def told() -> str:
            # Of this test's Secret: the MeshConfig is the whole cluster's.
            said = (await condition(place, "meshconfig", "default", "Ready")).get("message", "")
            return said if place.namespace in said else ""

        async def evented() -> list[str]:
            about = f"involvedObject.kind=Secret,involvedObject.name={SECRET}"
            found = await kubectl(place, "get", "events", f"--field-selector={about}", "-ojson")
            return [event["message"] for event in json.loads(found)["items"]]

        # The MeshConfig is the leader's own: it makes it first, and then says what is wrong.
        text = await eventually(lambda: ignoring_absence(told))
        assert re.search(says, text)
        assert await eventually(evented) == [text]
        assert text in await operator.page("/healthz/ready")
        await nothing_was_done(place, files)
        good = await asyncio.to_thread(root, tmp_path / "good")
        await bring(place, good)
        await eventually(operator.ready)
        trusted = await bundle(place)
        assert list(certificates(trusted)) == list(certificates(good["own.crt"].decode()))


async def ignoring_absence(ask: Callable[[], Awaitable[str]]) -> str:
    try:
        return await ask()
    except Failed:
        return ""
