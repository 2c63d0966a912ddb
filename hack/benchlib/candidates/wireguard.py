"""wireguard-go: what datagrams between machines are encrypted with today, in user space as ours."""

import contextlib
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from benchlib.candidates.base import Bench, Candidate, Route
from benchlib.errors import BenchError
from benchlib.network import Network, Side
from benchlib.processes import running
from lab import netns
from lab.process import Process

PORT: Final = 51820

OVERHEAD: Final = 80
"""Bytes of an IPv6 packet around the inner one: 40 of IPv6, 8 of UDP, 32 of WireGuard."""

INSIDE: Final = {"client": "fd57:4700::1", "server": "fd57:4700::2"}
"""Addresses in the tunnel."""

SOCKETS: Final = Path("/var/run/wireguard")
"""Where it listens for its settings."""


@dataclass(frozen=True, slots=True)
class End:
    """One end of the tunnel."""

    side: Side
    interface: str
    inside: str
    key: X25519PrivateKey

    @property
    def control(self) -> Path:
        """The socket that takes its settings."""
        return SOCKETS / f"{self.interface}.sock"


class WireGuard(Candidate):
    """The program as its makers have it, on both sides, with a TUN device each."""

    name: ClassVar[str] = "wireguard-go"
    title: ClassVar[str] = "wireguard-go"
    scenarios: ClassVar[frozenset[str]] = frozenset({"udp"})

    @contextlib.contextmanager
    def route(self, bench: Bench, port: int) -> Iterator[Route]:
        """Both ends know each other; the client's first packet begins the handshake."""
        program = bench.tools.need_wireguard()
        ends = _ends(bench.network)
        with contextlib.ExitStack() as stack:
            relays: dict[str, Process] = {}
            for name, end in ends.items():
                # -f: it stays the process that was started. It needs to be root for its device.
                argv = end.side.command([program, "-f", end.interface])
                relay = stack.enter_context(running(bench.network, f"wireguard-{name}", argv))
                relay.wait_until("taking settings", end.control.exists)
                relays[name] = relay
            for name, end in ends.items():
                far = ends["server" if name == "client" else "client"]
                _configure(end, far)
                _address(end, bench.settings.mtu)
            yield Route(INSIDE["server"], port, relays)


def _ends(network: Network) -> dict[str, End]:
    # The name of an interface has 15 characters, and its socket is the whole machine's.
    run = network.layout.run[-6:]
    sides = {"client": network.client, "server": network.server}
    return {
        name: End(side, f"wg-{name[0]}-{run}", INSIDE[name], X25519PrivateKey.generate())
        for name, side in sides.items()
    }


def settings(private: bytes, public: bytes, endpoint: str, inside: str) -> str:
    """What is said to an end (the cross-platform interface of WireGuard): its key, its port, and
    its one peer with `public` key at `endpoint`, which has the address `inside`.
    """
    lines = [
        "set=1",
        f"private_key={private.hex()}",
        f"listen_port={PORT}",
        f"public_key={public.hex()}",
        f"endpoint={endpoint}",
        "replace_allowed_ips=true",
        f"allowed_ip={inside}/128",
    ]
    return "\n".join(lines) + "\n\n"


def refusal(answer: str) -> str | None:
    """Why settings were not taken; None: they were."""
    return None if "errno=0\n" in answer else answer.strip() or "no answer"


def _configure(end: End, far: End) -> None:
    endpoint = f"[{far.side.address}]:{PORT}"
    public = far.key.public_key().public_bytes_raw()
    said = settings(end.key.private_bytes_raw(), public, endpoint, far.inside)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as control:
        control.settimeout(5)
        control.connect(str(end.control))
        control.sendall(said.encode())
        why = refusal(control.makefile(encoding="utf-8").readline())
    if why is not None:
        raise BenchError(f"wireguard-go did not take its settings: {why}")


def _address(end: End, mtu: int) -> None:
    device = ["dev", end.interface]
    for words in (
        ["addr", "add", f"{end.inside}/64", *device, "nodad"],
        ["link", "set", *device, "mtu", str(mtu - OVERHEAD), "up"],
    ):
        netns.run_in(end.side.pod.netns, ["ip", *words])
