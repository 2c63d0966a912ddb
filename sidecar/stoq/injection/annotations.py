"""What a pod's annotations ask of its sidecar. Pure."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from stoq.capture.plan import parse_networks, parse_ports
from stoq.injection.names import PREFIX, STATUS
from stoq.logs import LEVELS

_QUANTITY: Final = re.compile(
    r"(\d+(?:\.\d*)?|\.\d+)([num]|[kMGTPE]|[KMGTPE]i|[eE][+-]?\d{1,2})?", re.ASCII
)

_SUFFIXES: Final = {
    **{letter: Decimal(1000) ** power for power, letter in zip((-3, -2, -1), "num", strict=True)},
    **{letter: Decimal(1000) ** power for power, letter in enumerate("kMGTPE", 1)},
    **{f"{letter}i": Decimal(1024) ** power for power, letter in enumerate("KMGTPE", 1)},
}


class AnnotationError(ValueError):
    """An annotation can not be used; the message names it, its value and the way out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """The annotations `stoq.dev/…` of a pod as texts, each one checked; empty: not given."""

    exclude_outbound_ports: str = ""
    exclude_outbound_cidrs: str = ""
    exclude_inbound_ports: str = ""
    capture_udp: str = ""
    exclude_outbound_udp_ports: str = ""
    exclude_inbound_udp_ports: str = ""
    client_address: str = ""
    cpu_request: str = ""
    memory_request: str = ""
    cpu_limit: str = ""
    memory_limit: str = ""
    log_level: str = ""
    inbound: str = ""
    outbound: str = ""


def quantity(text: str) -> Decimal:
    """The number that a Kubernetes quantity such as `100m` or `64Mi` stands for. Raises
    ValueError.
    """
    match = _QUANTITY.fullmatch(text)
    if match is None:
        raise ValueError(text)
    number, suffix = Decimal(match[1]), match[2] or ""
    return number * (_SUFFIXES[suffix] if suffix in _SUFFIXES else Decimal(f"1{suffix}"))


def read(annotations: Mapping[str, Any]) -> Wishes:
    """The wishes in the annotations of a pod. Raises `AnnotationError`."""
    found: dict[str, str] = {}
    for annotation, value in annotations.items():
        if not annotation.startswith(PREFIX) or annotation == STATUS:
            continue
        name = annotation.removeprefix(PREFIX).replace("-", "_")
        if name not in _KINDS or "_" in annotation:
            known = ", ".join(PREFIX + item.replace("_", "-") for item in _KINDS)
            raise AnnotationError(
                f"annotation {annotation} is unknown: remove it, or use one of {known}"
            )
        expects, check = _KINDS[name]
        if not isinstance(value, str):
            raise AnnotationError(f"annotation {annotation} is {value!r}: put it in quotes")
        try:
            check(value)
        except ValueError as error:
            detail = f": {error}" if str(error) and str(error) != value else ""
            raise AnnotationError(
                f"annotation {annotation} is {value!r}{detail}: use {expects}, or remove it"
            ) from None
        found[name] = value.strip()
    return Wishes(**found)


def check_limits(requests: Mapping[str, str], limits: Mapping[str, str]) -> None:
    """Raises `AnnotationError` when a request is above its limit, which Kubernetes refuses."""
    for resource, request in requests.items():
        limit = limits.get(resource)
        if limit is not None and quantity(request) > quantity(limit):
            raise AnnotationError(
                f"the sidecar's {resource} request is {request}, above its limit {limit}: lower "
                f"annotation {PREFIX}{resource}-request or raise {PREFIX}{resource}-limit"
            )


def _choice(*values: str) -> tuple[str, Callable[[str], object]]:
    def check(value: str) -> None:
        if value.strip() not in values:
            raise ValueError

    return " or ".join(values), check


_PORTS: Final = ("ports such as 443,8000-8010", parse_ports)
_AMOUNT: Final = ("a quantity such as 100m, 0.5 or 64Mi", lambda text: quantity(text.strip()))

_KINDS: Final[Mapping[str, tuple[str, Callable[[str], object]]]] = {
    "exclude_outbound_ports": _PORTS,
    "exclude_outbound_cidrs": ("networks such as 10.0.0.0/8,fd00::/64", parse_networks),
    "exclude_inbound_ports": _PORTS,
    "capture_udp": _choice("on", "off"),
    "exclude_outbound_udp_ports": _PORTS,
    "exclude_inbound_udp_ports": _PORTS,
    "client_address": _choice("auto", "on", "off"),
    "cpu_request": _AMOUNT,
    "memory_request": _AMOUNT,
    "cpu_limit": _AMOUNT,
    "memory_limit": _AMOUNT,
    "log_level": _choice(*LEVELS),
    "inbound": _choice("permissive", "strict"),
    "outbound": _choice("allow", "meshOnly"),
}
