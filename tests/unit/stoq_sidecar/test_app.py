"""The sidecar as a whole, without a control plane: start, pages, reload, end."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from lab.ports import free_port
from stoq import constants
from stoq.settings.options import SettingsError
from stoq_sidecar import app as module
from stoq_sidecar import listeners
from stoq_sidecar.app import App, StartError
from stoq_sidecar.settings import Settings, read
from support.patience import PATIENCE

ENVIRONMENT = {
    "STOQ_POD_NAME": "web-0",
    "STOQ_POD_NAMESPACE": "shop",
    "STOQ_CONTROL_ADDRESS": "[::1]:9",
    "STOQ_CAPTURE_MODE": "none",
    "STOQ_IDENTITY_TOKEN_FILE": "/nowhere/token",
    "STOQ_IDENTITY_BUNDLE_FILE": "/nowhere/bundle.pem",
    "STOQ_DATA_WORKERS": "1",
}


def settings(**more: str) -> Settings:
    return read("", ENVIRONMENT | more)


@pytest.fixture(autouse=True)
def free_ports(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ADMIN_PORT", "METRICS_PORT", "DNS_PORT"):
        monkeypatch.setattr(constants, name, free_port())
    for name in ("STOQ_PORT", "OUTBOUND_PORT", "INBOUND_PORT"):
        monkeypatch.setattr(constants, name, 0)


def app_of(wanted: Settings) -> App:
    return App(wanted, listeners.pages(ipv6=True))


@asynccontextmanager
async def started(wanted: Settings) -> AsyncIterator[App]:
    app = app_of(wanted)
    task = asyncio.create_task(app.run())
    async with asyncio.timeout(PATIENCE):
        while True:
            with suppress(OSError):
                await ask(constants.METRICS_PORT, "/healthz/live")
                break
            await asyncio.sleep(0.02)
    yield app
    app.stop()
    async with asyncio.timeout(PATIENCE):
        await task


async def ask(port: int, path: str, method: str = "GET") -> tuple[int, str]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"{method} {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    head, _, body = (await reader.read()).decode().partition("\r\n\r\n")
    writer.close()
    await writer.wait_closed()
    return int(head.split()[1]), body


async def test_without_a_bundle_it_waits_and_says_for_what() -> None:
    async with started(settings()) as app:
        status, body = await ask(constants.METRICS_PORT, "/healthz/ready")
        assert status == 503
        assert "identity: no trust bundle (STOQ_IDENTITY_BUNDLE_FILE)" in body
        assert not app.readiness.ready
        assert "stoq_ready 0.0" in (await ask(constants.METRICS_PORT, "/metrics"))[1]
        page = json.loads((await ask(constants.ADMIN_PORT, "/config"))[1])
        assert page["settings"]["pod"]["name"] == "web-0"
        assert page["registry"] is None


async def test_a_reload_changes_the_level_and_names_what_takes_a_restart(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with started(settings()) as app:
        app._plane.trust_bundle = lambda: None
        app.reload(lambda: settings(STOQ_LOG_LEVEL="debug", STOQ_DATA_IDLE_SECONDS="9"))
        assert (await ask(constants.ADMIN_PORT, "/log-level"))[1] == "debug\n"
        assert "these settings take a restart: data.idle_seconds" in caplog.text


async def test_a_reload_of_bad_settings_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> Settings:
        raise SettingsError("STOQ_X is unknown")

    async with started(settings()) as app:
        app.reload(broken)
        assert "not reloaded: STOQ_X is unknown" in caplog.text
        assert (await ask(constants.ADMIN_PORT, "/log-level"))[1] == "info\n"


async def test_drain_by_the_admin_page_ends_it() -> None:
    app = app_of(settings())
    task = asyncio.create_task(app.run())
    async with asyncio.timeout(PATIENCE):
        while True:
            with suppress(OSError):
                assert await ask(constants.ADMIN_PORT, "/drain", "POST") == (202, "draining\n")
                break
            await asyncio.sleep(0.02)
        await task
    assert app.readiness.blocking() == {"drain": "the sidecar is ending"}


async def test_as_the_wrong_user_it_does_not_start() -> None:
    with pytest.raises(StartError, match=r"but capture lets out uid 4711.*setpriv"):
        await app_of(settings(STOQ_CAPTURE_MODE="init", STOQ_CAPTURE_SIDECAR_UID="4711")).run()


async def test_without_a_broker_node_mode_gives_up_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_check_user", lambda _: None)
    wanted = settings(STOQ_CAPTURE_MODE="node", STOQ_CAPTURE_BROKER_SECONDS="1")
    with pytest.raises(StartError, match=r"no sockets from the node agent.*@stoq-broker"):
        await app_of(wanted).run()
