"""A root that somebody brings, in Secret `stoq-ca` before the operator begins, is used as it is."""

import asyncio
import base64
import os
import re
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest

from cluster.access import Cluster, run
from cluster.operators import Operator, bundle, eventually, joined, kubectl, pod, put, secret, token
from stoq.engine import parse_certificate
from stoq.pem import certificates
from stoq_operator.embedded import main
from stoq_operator.kept import StateError
from stoq_operator.oncluster import serve
from stoq_operator.secretroots import RETRY
from stoq_operator.webhookpki import make as make_classical

OPERATIONS = Path(__file__).parents[2] / "docs" / "operations.md"
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
    """The Secret, made by hand."""
    data = {name: base64.b64encode(content).decode() for name, content in files.items()}
    await put(
        place,
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": place.namespace}},
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "stoq-ca"}, "data": data},
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


def anothers_key(folder: Path) -> Files:
    return {**root(folder / "own"), "own.key": root(folder / "other")["own.key"]}


@pytest.mark.parametrize(
    ("made", "says"),
    [
        (foreign, r"root own is of spiffe://example\.org, the mesh is spiffe://cluster\.local"),
        (anothers_key, r"root own: .*; restore it from a backup"),
    ],
    ids=["another trust domain", "another key"],
)
async def test_a_root_of_something_else_ends_the_operator_with_the_reason(
    place: Cluster, tmp_path: Path, made: Made, says: str
) -> None:
    files = await asyncio.to_thread(made, tmp_path)
    await bring(place, files)
    refusing = Operator(place.namespace, "first")
    with pytest.raises(StateError, match=says):
        async with asyncio.timeout(60):
            await serve(refusing.settings, refusing.stop)
    await nothing_was_done(place, files)


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
    ],
    ids=["classical", "other names", "cut off"],
)
async def test_what_is_no_root_is_neither_used_nor_replaced_and_the_log_says_why(
    place: Cluster, tmp_path: Path, caplog: pytest.LogCaptureFixture, made: Made, says: str
) -> None:
    files = await asyncio.to_thread(made, tmp_path)
    await bring(place, files)
    async with waiting(place) as operator:

        async def told() -> bool:
            leads = "\nstoq_control_leader 1" in await operator.page("/metrics")
            return leads and re.search(says, caplog.text) is not None

        await eventually(told)
        await asyncio.sleep(3 * RETRY)
        assert "there is no root" in await operator.page("/healthz/ready")
        await nothing_was_done(place, files)
