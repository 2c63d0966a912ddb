"""Rules for single values. Each returns the value in canonical form or raises `RecordError`."""

import re
from datetime import datetime
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final

from stoq.records.errors import RecordError
from stoq.spiffe import SpiffeError, SpiffeId, check_trust_domain

_LABEL: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)
_SUBDOMAIN_LENGTH: Final = 253  # RFC 1035, section 2.3.4, without the trailing dot


def dns_label(field: str, value: str) -> str:
    """A label of RFC 1123: what Kubernetes asks of namespaces and services."""
    if _LABEL.fullmatch(value) is None:
        raise RecordError(field, value, "use 1 to 63 of a-z 0-9 -, not beginning or ending with -")
    return value


def dns_subdomain(field: str, value: str) -> str:
    """Labels joined by dots: what Kubernetes asks of most names."""
    if len(value) > _SUBDOMAIN_LENGTH or not all(map(_LABEL.fullmatch, value.split("."))):
        raise RecordError(
            field, value, f"use labels of a-z 0-9 - joined by dots, {_SUBDOMAIN_LENGTH} at most"
        )
    return value


def port(field: str, value: int) -> int:
    """A TCP port."""
    if not 1 <= value <= 65535:
        raise RecordError(field, value, "use a port from 1 to 65535")
    return value


def address(field: str, value: str) -> str:
    """An IP address that a workload can have, in canonical text."""
    try:
        found: IPv4Address | IPv6Address = ip_address(value)
    except ValueError:
        raise RecordError(field, value, "use an IP address such as fd00::2 or 10.0.0.2") from None
    if isinstance(found, IPv6Address) and found.scope_id is not None:
        raise RecordError(field, value, "leave out the zone after %; use a routable address")
    if isinstance(found, IPv6Address) and found.ipv4_mapped is not None:
        found = found.ipv4_mapped
    if found.is_loopback or found.is_multicast or found.is_unspecified or found.is_link_local:
        raise RecordError(
            field, value, "no peer can reach it; use the address of the pod's interface"
        )
    return str(found)


def network(field: str, value: str) -> str:
    """A network in CIDR form, or one address as a network of one."""
    try:
        return str(ip_network(value))
    except ValueError as error:
        raise RecordError(
            field, value, f"{error}; use CIDR such as fd00::/64 or 10.0.0.0/8"
        ) from None


def spiffe_id(field: str, value: str) -> str:
    """A workload's SPIFFE id."""
    try:
        return str(SpiffeId.parse(value))
    except SpiffeError as error:
        raise RecordError(field, value, str(error)) from None


def service_account(field: str, value: str) -> str:
    """A service account with its namespace, `<namespace>/<name>`."""
    namespace, slash, name = value.partition("/")
    if not slash:
        raise RecordError(field, value, "use <namespace>/<name>, such as shop/web")
    dns_label(field, namespace)
    dns_subdomain(field, name)
    return value


def trust_domain(field: str, value: str) -> str:
    """A SPIFFE trust domain."""
    try:
        return check_trust_domain(value)
    except SpiffeError as error:
        raise RecordError(field, value, str(error)) from None


def timestamp(field: str, value: str) -> int:
    """A moment in RFC 3339, as Unix seconds."""
    try:
        found = datetime.fromisoformat(value)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise RecordError(field, value, "use RFC 3339 such as 2026-01-31T12:00:00Z")
    return int(found.timestamp())


def hexadecimal(field: str, value: str, *, low: int, high: int) -> str:
    """`low` to `high` bytes as lower-case hexadecimal."""
    text = value.lower().replace(":", "")
    if re.fullmatch(r"([0-9a-f]{2})+", text, re.ASCII) is None or not low <= len(text) // 2 <= high:
        size = f"{low}" if low == high else f"{low} to {high}"
        raise RecordError(field, value, f"use {size} bytes in hexadecimal")
    return text


def at_most(field: str, values: tuple[object, ...], limit: int) -> None:
    """A bounded list."""
    if len(values) > limit:
        raise RecordError(field, f"{len(values)} entries", f"use {limit} at most")
