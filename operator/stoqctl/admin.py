"""Asks a sidecar's administration port."""

import http.client
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

from stoq.capture.netns import NamespaceError, run_in
from stoqctl.errors import StoqctlError

TIMEOUT: Final = 5.0
"""Seconds for one answer."""

MAX_ANSWER: Final = 64 << 20
"""Bytes of an answer; the registry of a large mesh is a few megabytes."""

NETNS_FOLDER: Final = Path("/run/netns")

T = TypeVar("T")


class Sidecar:
    """One sidecar, found by URL and network namespace."""

    def __init__(self, admin: str, netns: str = "") -> None:
        """Raises `StoqctlError` for a URL that is none."""
        parts = urlsplit(admin)
        try:
            port = parts.port or 80
        except ValueError:
            port = 0
        if parts.scheme != "http" or not parts.hostname or not port:
            raise StoqctlError(f"--admin {admin!r} is no URL such as http://[::1]:14000")
        self._host, self._port = parts.hostname, port
        self._netns = netns
        self.name = f"{admin} in {netns}" if netns else admin

    def get(self, path: str) -> Any:
        """The JSON at `path`. Raises `StoqctlError`."""
        return self._ask("GET", path)

    def post(self, path: str) -> Any:
        """What `path` answers to being told, JSON. Raises `StoqctlError`."""
        return self._ask("POST", path)

    def _ask(self, method: str, path: str) -> Any:
        status, body = self._inside(partial(self._request, method, path))
        if status != http.client.OK:
            text = body.decode(errors="replace").strip()
            raise StoqctlError(f"{self.name}{path} answered {status}: {text}")
        try:
            return json.loads(body)
        except ValueError as error:
            raise StoqctlError(
                f"{self.name}{path} is no JSON ({error}); is a sidecar there?"
            ) from error

    def _request(self, method: str, path: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(self._host, self._port, timeout=TIMEOUT)
        try:
            connection.request(method, path)
            answer = connection.getresponse()
            return answer.status, answer.read(MAX_ANSWER)
        except (OSError, http.client.HTTPException) as error:
            where = (
                "check that the sidecar runs there"
                if self._netns
                else "the port answers only inside the pod: name its network namespace with "
                "--netns, or run stoqctl there"
            )
            raise StoqctlError(f"no sidecar at {self.name}: {error}; {where}") from error
        finally:
            connection.close()

    def _inside(self, ask: Callable[[], T]) -> T:
        if not self._netns:
            return ask()
        path = self._netns if "/" in self._netns else str(NETNS_FOLDER / self._netns)
        try:
            return run_in(path, ask)
        except NamespaceError as error:
            known = sorted(item.name for item in NETNS_FOLDER.glob("*"))
            raise StoqctlError(
                f"{error}; entering needs root, and there "
                + (f"are {', '.join(known)}" if known else "is no network namespace")
            ) from error
