"""Endpoints that a sidecar gives no connections for a time, because those before failed. Pure."""

from collections.abc import Iterable
from typing import Any

from stoq.settings.kinds import split_host_and_port


def ejected(config: dict[str, Any]) -> dict[str, list[str]]:
    """Endpoints with their ports, by the service `<namespace>/<name>`, as `/config` has them. A
    sidecar of the release before does not say.
    """
    return {
        f"{service['namespace']}/{service['name']}": service["ejected"]
        for service in config.get("failing", ())
        if service["ejected"]
    }


def marked(address: str, out: Iterable[str]) -> str:
    """An endpoint's address, with those of its ports that are ejected."""
    ports = [port for host, port in map(split_host_and_port, out) if host == address]
    return f"{address} (ejected: {', '.join(map(str, ports))})" if ports else address
