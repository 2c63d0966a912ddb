"""stoq-ready: what holds a pod's application back until its sidecar is ready."""

import asyncio
import signal
import socket
import subprocess
import sys

import pytest

from lab.ports import free_port
from stoq import constants
from stoq.http import HttpServer
from stoq_sidecar import health, ready
from stoq_sidecar.readiness import Readiness
from support.patience import PATIENCE, until


@pytest.fixture(autouse=True)
def port(monkeypatch: pytest.MonkeyPatch) -> int:
    found = free_port()
    monkeypatch.setattr(constants, "METRICS_PORT", found)
    # A no that is held back would make these tests as slow.
    monkeypatch.setattr(ready, "HELD_BACK", 0)
    return found


async def heard(said: list[str], text: str) -> None:
    await until(lambda: any(text in each for each in said))


def served(readiness: Readiness, port: int, host: str = "::1") -> asyncio.Task[None]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.create_server((host, port), family=family)
    server = HttpServer("sidecar", health.probes(readiness))
    return asyncio.create_task(server.serve([listener]))


@pytest.mark.parametrize("host", ["::1", "127.0.0.1"])
async def test_it_ends_once_the_sidecar_is_ready_and_says_for_what_it_waits(
    port: int, host: str
) -> None:
    readiness, said = Readiness(["capture", "identity"]), list[str]()
    waits = asyncio.create_task(asyncio.to_thread(ready.wait, said.append))
    # It starts while the sidecar does, and finds nobody at first.
    await heard(said, f"port {port}: ")
    serving = served(readiness, port, host)
    await heard(said, "capture: has not started; identity: has not started")
    readiness.drop("capture")
    await heard(said, "not ready: identity: has not started")
    assert not waits.done()
    readiness.drop("identity")
    async with asyncio.timeout(PATIENCE):
        await waits
    assert len(said) == len(set(said)), said
    serving.cancel()
    await asyncio.wait([serving])


async def test_another_server_on_the_sidecars_port_is_not_taken_for_it(port: int) -> None:
    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 ready\r\n")
        await writer.drain()
        writer.close()

    said: list[str] = []
    async with await asyncio.start_server(greet, "::1", port) as other:
        waits = asyncio.create_task(asyncio.to_thread(ready.wait, said.append))
        await heard(said, "answers, but not as a sidecar does")
        assert not waits.done()
        other.close()
    readiness = Readiness(["identity"])
    readiness.drop("identity")
    serving = served(readiness, port)
    async with asyncio.timeout(PATIENCE):
        await waits
    serving.cancel()
    await asyncio.wait([serving])


def test_a_pod_that_is_deleted_meanwhile_does_not_wait_for_it() -> None:
    nobody = f"from stoq import constants; constants.METRICS_PORT = {free_port()};"
    program = [sys.executable, "-c", f"{nobody} from stoq_sidecar.ready import main; main()"]
    with subprocess.Popen([*program], stderr=subprocess.PIPE, text=True) as started:
        assert started.stderr is not None
        assert started.stderr.readline().startswith("stoq-ready: the sidecar is not ready: port")
        started.send_signal(signal.SIGTERM)
        assert started.wait(PATIENCE) == 143


@pytest.mark.parametrize(("arguments", "status"), [(["--help"], 0), (["--wait"], 2)])
def test_there_is_nothing_to_choose(
    arguments: list[str], status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ready.run(arguments) == status
    assert "usage: stoq-ready" in "".join(capsys.readouterr())
