"""The operator and the webhook as processes of this machine, and what they use."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

import aiohttp

from benchlib import procfs
from benchlib.errors import BenchError
from benchlib.scale.objects import SYSTEM
from lab.ports import free_port

PATIENCE: Final = 120.0
"""Seconds in which a program becomes ready, or ends."""


_AS_IN_THE_IMAGE: Final = "sys.modules['kubernetes'] = None"
"""kopf imports the kubernetes client where it is installed, 20 MB: here it is for stoqctl, and the
operator's image has none."""


class Program:
    """One program that tells by HTTP whether it is ready."""

    def __init__(
        self, name: str, module: str, environment: dict[str, str], pages: str, log: Path
    ) -> None:
        self._name = name
        self._code = f"import sys; {_AS_IN_THE_IMAGE}; from {module} import main; sys.exit(main())"
        self._environment = environment
        self._pages = f"http://{pages}"
        self._log = log
        self._child: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts it; it is not ready yet."""
        with self._log.open("ab") as log:
            self._child = subprocess.Popen(
                [sys.executable, "-c", self._code],
                env={**os.environ, **self._environment},
                stdout=log,
                stderr=log,
                # A share of the CPUs of its own where sessions have that (sched(7), autogroup), as
                # in a pod.
                start_new_session=True,
            )

    async def ready(self) -> None:
        """Waits until it says that it is. Raises BenchError."""
        end = time.monotonic() + PATIENCE
        while not (await self.page("/healthz/ready"))[0]:
            self.check()
            if time.monotonic() > end:
                raise BenchError(
                    f"{self._name} was not ready within {PATIENCE:g} s: {self._tail()}"
                )
            await asyncio.sleep(0.05)

    def check(self) -> None:
        """Raises BenchError when it has ended."""
        if self._child is not None and self._child.poll() is not None:
            raise BenchError(f"{self._name} ended: {self._tail()}")

    async def page(self, path: str) -> tuple[bool, str]:
        """Whether the answer was 200, and its text; false and nothing while nobody answers."""
        try:
            async with (
                aiohttp.ClientSession() as session,
                session.get(self._pages + path) as response,
            ):
                return response.status == 200, await response.text()
        except (aiohttp.ClientError, TimeoutError):
            return False, ""

    async def stop(self) -> None:
        """Tells it to end, and waits until it has. Harmless when it has already."""
        if self._child is None:
            return
        with suppress(ProcessLookupError):
            self._child.send_signal(signal.SIGTERM)
        try:
            await asyncio.to_thread(self._child.wait, PATIENCE)
        except subprocess.TimeoutExpired:
            self._child.kill()
            raise BenchError(f"{self._name} did not end within {PATIENCE:g} s") from None
        finally:
            self._child = None

    @property
    def pid(self) -> int:
        """Of the running process."""
        assert self._child is not None
        return self._child.pid

    @property
    def rss_mb(self) -> float:
        """Resident memory, MB of 10^6 bytes."""
        return procfs.rss_mb(self.pid)

    @property
    def peak_mb(self) -> float:
        """Resident memory at most since it was started, MB of 10^6 bytes."""
        return procfs.peak_mb(self.pid)

    @property
    def cpu_seconds(self) -> float:
        """CPU time used since it was started."""
        return procfs.cpu_seconds(self.pid)

    def _tail(self) -> str:
        return self._log.read_text(errors="replace")[-1500:]


def operator(kubeconfig: Path, folder: Path) -> tuple[Program, str]:
    """The operator, with the address of its registry."""
    registry = f"[::1]:{free_port()}"
    pages = f"[::1]:{free_port()}"
    environment = {
        "KUBECONFIG": str(kubeconfig),
        "STOQ_KUBERNETES_NAMESPACE": SYSTEM,
        "STOQ_KUBERNETES_IDENTITY": "scale",
        "STOQ_LISTEN_ADDRESS": registry,
        "STOQ_LISTEN_METRICS": pages,
    }
    log = folder / "operator.log"
    return Program("the operator", "stoq_operator.oncluster", environment, pages, log), registry


def webhook(kubeconfig: Path, folder: Path, address: str) -> tuple[Program, int]:
    """The webhook, reached at `address` of this machine, with its port."""
    port = free_port()
    pages = f"[::1]:{free_port()}"
    environment = {
        "KUBECONFIG": str(kubeconfig),
        "STOQ_LISTEN_ADDRESS": f"[{address}]:{port}",
        "STOQ_LISTEN_PAGES": pages,
        "STOQ_INJECT_SIDECAR_IMAGE": "localhost/stoq/sidecar:dev",
        "STOQ_INJECT_INIT_IMAGE": "localhost/stoq/sidecar:dev",
    }
    log = folder / "webhook.log"
    return Program("the webhook", "stoq_operator.webhook.main", environment, pages, log), port


def local_address(server: str) -> str:
    """Ours on the way to `server` (an IPv6 address)."""
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as found:
        found.connect((server, 6443))
        return str(found.getsockname()[0])
