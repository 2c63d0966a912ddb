"""What the value of an option may be. Pure.

Every value is read from text, because environment variables are text; a TOML value is turned into
the same text first. One parser per kind then gives one error message per mistake.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from stoq.capture.plan import (
    Address,
    Network,
    PortRange,
    parse_addresses,
    parse_networks,
    parse_ports,
)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Kind(Generic[T]):
    """`expects` completes the sentence "a value must be ..."; `parse` turns text into a value or
    raises ValueError, with a text where there is more to say than that.
    """

    expects: str
    parse: Callable[[str], T]


def text(*, pattern: Callable[[str], bool] | None = None, expects: str = "text") -> Kind[str]:
    """Any text, or text for which `pattern` holds."""

    def parse(value: str) -> str:
        if pattern is not None and not pattern(value):
            raise ValueError
        return value

    return Kind(expects, parse)


def integer(low: int, high: int, unit: str = "") -> Kind[int]:
    """A whole number from `low` to `high`, both included."""

    def parse(value: str) -> int:
        if not value.isascii():
            raise ValueError
        try:
            number = int(value, 10)
        except ValueError:
            raise ValueError from None
        if not low <= number <= high:
            raise ValueError
        return number

    return Kind(f"a whole number from {low} to {high}{unit and ' ' + unit}", parse)


def number(low: float, high: float, unit: str = "") -> Kind[float]:
    """A number from `low` to `high`, both included."""

    def parse(value: str) -> float:
        try:
            found = float(value)
        except ValueError:
            raise ValueError from None
        if not math.isfinite(found) or not low <= found <= high:
            raise ValueError
        return found

    return Kind(f"a number from {low:g} to {high:g}{unit and ' ' + unit}", parse)


def flag() -> Kind[bool]:
    """`true` or `false`."""

    def parse(value: str) -> bool:
        try:
            return {"true": True, "false": False}[value]
        except KeyError:
            raise ValueError from None

    return Kind("true or false", parse)


def choice(values: Sequence[str]) -> Kind[str]:
    """One of `values`."""

    def parse(value: str) -> str:
        if value not in values:
            raise ValueError
        return value

    return Kind("one of " + ", ".join(values), parse)


def ports() -> Kind[tuple[PortRange, ...]]:
    """TCP ports and ranges."""
    return Kind("TCP ports such as 443,8000-8010", parse_ports)


def networks() -> Kind[tuple[Network, ...]]:
    """Networks in CIDR form."""
    return Kind("networks such as fd00::/64,10.0.0.0/8", parse_networks)


def addresses() -> Kind[tuple[Address, ...]]:
    """IP addresses."""
    return Kind("IP addresses such as fd00::2,10.0.0.2", parse_addresses)


def host_and_port() -> Kind[str]:
    """A name or address with a port, as `split_host_and_port` reads it; may be empty."""

    def parse(value: str) -> str:
        if value:
            split_host_and_port(value)
        return value

    return Kind("host:port such as [fd00::9]:14012", parse)


def split_host_and_port(value: str) -> tuple[str, int]:
    """Host (without brackets) and port. Raises ValueError."""
    host, colon, port = value.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if not colon or not host or (":" in host and not bracketed):
        raise ValueError("an IPv6 address needs brackets, and a port must follow")
    if not port.isascii() or not port.isdigit() or not 1 <= int(port) <= 65535:
        raise ValueError("the port is not 1-65535")
    return (host[1:-1] if bracketed else host), int(port)


def join_host_and_port(host: str, port: int) -> str:
    """What `split_host_and_port` reads; `host` is a name or an address without brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def as_text(value: Any) -> str:
    """The text of a TOML value. Raises ValueError for what no option can be (tables, dates)."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value)
    if isinstance(value, list):
        return ",".join(as_text(item) for item in value)
    raise ValueError(f"a {type(value).__name__} cannot be a value here")
