"""From what the sidecars say of their connections, and what the wire shows, to the report. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from ipaddress import IPv6Address, ip_address
from typing import Any

from lab.demo.report import Check, ConnectionReport
from lab.handshakes import Handshake
from lab.plan import Pod

KEY_EXCHANGE = "X25519MLKEM768"
SIGNATURE = "Ed25519+FALCON-1024"
CIPHER = "AES-256-GCM"


def dialled(
    told: Mapping[str, Iterable[Mapping[str, Any]]],
    pods: Mapping[str, Pod],
    ids: Mapping[str, str],
    seen: Sequence[Handshake],
    port: int,
) -> list[ConnectionReport]:
    """The connections between pods, each told by the pod that dialled it.

    `told` are the answers of each pod's `/connections`; `ids` the SPIFFE id of each pod. The
    connections to the control process (another port) are left out.
    """
    found = []
    for name, connections in told.items():
        for info in connections:
            host, _, remote_port = str(info["remote"]).rpartition(":")
            address = ip_address(host.strip("[]"))
            if info["initiator"] != "dialled" or int(remote_port) != port:
                continue
            found.append(
                ConnectionReport(
                    source=ids[name],
                    destination=str(info["spiffe_id"]),
                    key_exchange=str(info["key_exchange"]),
                    signature=str(info["signature"]),
                    cipher=str(info["cipher"]),
                    resumed=bool(info["resumed"]),
                    bytes=int(info["bytes_sent"]) + int(info["bytes_received"]),
                    round_trips=_round_trips(seen, pods[name], address, port),
                )
            )
    return found


def _round_trips(seen: Sequence[Handshake], pod: Pod, remote: Any, port: int) -> int | None:
    matching = [
        handshake.round_trips
        for handshake in seen
        if handshake.dialler in pod.addresses
        and handshake.listener == remote
        and handshake.port == port
    ]
    return max(matching, default=None)


def suite_check(connections: Sequence[ConnectionReport]) -> Check:
    """Every connection negotiated the whole hybrid suite."""
    wanted = (KEY_EXCHANGE, SIGNATURE, CIPHER)
    others = {
        (c.key_exchange, c.signature, c.cipher)
        for c in connections
        if (c.key_exchange, c.signature, c.cipher) != wanted
    }
    detail = f"{len(connections)} connections, each {', '.join(wanted)}"
    if others:
        detail = f"{len(connections)} connections, among them {sorted(others)}"
    return Check("negotiated suite", bool(connections) and not others, detail)


def identity_check(
    told: Mapping[str, Iterable[Mapping[str, Any]]],
    owners: Mapping[IPv6Address, str],
    port: int,
) -> Check:
    """Whoever answered at a pod's address proved the id that belongs to that address."""
    checked = 0
    wrong = []
    for connections in told.values():
        for info in connections:
            host, _, remote_port = str(info["remote"]).rpartition(":")
            owner = owners.get(IPv6Address(host.strip("[]")))
            if owner is None or int(remote_port) != port:
                continue
            checked += 1
            if info["spiffe_id"] != owner:
                wrong.append(f"{host} proved {info['spiffe_id']}, expected {owner}")
    detail = "; ".join(wrong) or f"{checked} peers proved the id that belongs to their address"
    return Check("peer identities", checked > 0 and not wrong, detail)


def round_trip_check(connections: Sequence[ConnectionReport]) -> Check:
    """Every handshake let the dialler send data after one round trip."""
    slow = [c for c in connections if c.round_trips != 1]
    detail = "one before the first application data, counted in the capture"
    if slow:
        detail = "; ".join(f"{c.source} to {c.destination}: {c.round_trips}" for c in slow)
    return Check("handshake round trips", bool(connections) and not slow, detail)
