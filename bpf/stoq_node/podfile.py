"""Pods of a file: one machine, a laboratory.

nameservers = "10.96.0.10"             # of every pod that names none itself
api_servers = "10.96.0.1:443"

[[pods]]
namespace = "shop"
name = "web-0"
interface = "veth3a1"
inbound = "strict"
outbound = "meshOnly"
probe_ports = "8080"
"""

import asyncio
import tomllib
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any, Final

from stoq.capture.plan import parse_addresses, parse_endpoint, parse_networks, parse_ports
from stoq_node.pods import Pod

LOOK_SECONDS: Final = 0.5
"""Between two looks at the file."""

_NAME: Final = 15
"""Bytes of an interface's name (IFNAMSIZ, without its end)."""


class PodsError(ValueError):
    """The file says what can not be; the text names the pod, the key and the value."""


class PodFile:
    """Follows a file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._problem = ""

    @property
    def problem(self) -> str:
        """Why the last list may be old; empty if it is not."""
        return self._problem

    async def watch(self) -> AsyncIterator[tuple[Pod, ...]]:
        """The pods, whenever they change. While the file cannot be used the last ones hold."""
        last: tuple[Pod, ...] | None = None
        while True:
            try:
                pods = parse(self._path.read_text(encoding="utf-8"))
            except (OSError, UnicodeDecodeError, PodsError) as error:
                self._problem = f"{self._path}: {error}"
            else:
                self._problem = ""
                if pods != last:
                    last = pods
                    yield pods
            await asyncio.sleep(LOOK_SECONDS)


def parse(text: str) -> tuple[Pod, ...]:
    """The pods of the file's text, in order. Raises `PodsError`."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise PodsError(f"is not TOML: {error}") from error
    entries = document.pop("pods", [])
    if not isinstance(entries, list) or not all(isinstance(one, dict) for one in entries):
        raise PodsError("pods: must be tables, each headed [[pods]]")
    common = _values("the file", document, {name: _KEYS[name] for name in _COMMON})
    pods = []
    for number, entry in enumerate(entries, 1):
        where = f"pod {number}"
        if missing := [name for name in ("namespace", "name", "interface") if name not in entry]:
            raise PodsError(f"{where}: {', '.join(missing)} missing")
        pods.append(Pod(**{**common, **_values(where, entry, _KEYS)}))
    _unique([pod.key for pod in pods], "pod")
    _unique([pod.interface for pod in pods], "interface")
    return tuple(pods)


def _unique(names: list[str], what: str) -> None:
    for name in names:
        if names.count(name) > 1:
            raise PodsError(f"{what} {name!r} is there twice")


def _values(
    where: str, table: Mapping[str, Any], keys: Mapping[str, Callable[[Any], Any]]
) -> dict[str, Any]:
    found = {}
    for name, value in table.items():
        if name not in keys:
            raise PodsError(f"{where}: {name} is unknown; known are {', '.join(keys)}")
        try:
            found[name] = keys[name](value)
        except (ValueError, TypeError) as error:
            raise PodsError(f"{where}: {name} is {value!r}: {error}") from error
    return found


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError("must be text")
    return value


def _interface(value: Any) -> str:
    if len(_text(value).encode()) > _NAME or "/" in value:
        raise ValueError(f"no interface is called that: {_NAME} bytes at most, without a slash")
    return str(value)


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("must be true or false")
    return value


def _one_of(*words: str) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        if value not in words:
            raise ValueError(f"must be one of {', '.join(words)}")
        return str(value)

    return read


def _listed(parse_text: Callable[[str], Any]) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        if not isinstance(value, str):
            raise ValueError("must be text, with commas between its parts")
        return parse_text(value)

    return read


_KEYS: Final[dict[str, Callable[[Any], Any]]] = {
    "namespace": _text,
    "name": _text,
    "interface": _interface,
    "addresses": _listed(parse_addresses),
    "inbound": _one_of("permissive", "strict"),
    "outbound": _one_of("allow", "meshOnly"),
    "udp": _flag,
    "echo": _flag,
    "exclude_outbound_ports": _listed(parse_ports),
    "exclude_outbound_udp_ports": _listed(parse_ports),
    "exclude_outbound_networks": _listed(parse_networks),
    "exclude_inbound_ports": _listed(parse_ports),
    "exclude_inbound_udp_ports": _listed(parse_ports),
    "exclude_inbound_networks": _listed(parse_networks),
    "probe_ports": _listed(parse_ports),
    "nameservers": _listed(parse_addresses),
    "api_servers": _listed(
        lambda text: tuple(parse_endpoint(part) for part in text.split(",") if part.strip())
    ),
}

_COMMON: Final = ("nameservers", "api_servers")
