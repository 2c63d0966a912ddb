"""What a sidecar needs for a connection runs out: those that there are go on, and others later."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from lab import netns
from lab.command import run
from lab.installation import SIDECAR_UID
from netns.meshes import PORT, Echo, Running, echoed, eventually
from netns.sockets import connect
from support.patience import PATIENCE

RANGE = "net.ipv4.ip_local_port_range"
PORTS = 8
"""For connections of the server's sidecar to its application, over IPv4: over IPv6 it takes the
client's address and port.
"""
DESCRIPTORS = 10
"""More than the client's sidecar has open."""

CALLERS = 24


@contextmanager
def few_ports(mesh: Running) -> Iterator[None]:
    """The server's pod has `PORTS` to connect from."""
    inside = mesh.pod("server").netns
    before = " ".join(netns.run_in(inside, ["sysctl", "-n", RANGE]).split())
    netns.run_in(inside, ["sysctl", "-qw", f"{RANGE}=40000 {40000 + PORTS - 1}"])
    try:
        yield
    finally:
        netns.run_in(inside, ["sysctl", "-qw", f"{RANGE}={before}"])


@contextmanager
def few_descriptors(mesh: Running) -> Iterator[None]:
    """The client's sidecar may open `DESCRIPTORS` more."""
    pid = mesh.mesh.sidecars["client"].pid
    highest = max(int(entry.name) for entry in Path(f"/proc/{pid}/fd").iterdir())
    limits = Path(f"/proc/{pid}/limits").read_text()
    before = next(line for line in limits.splitlines() if line.startswith("Max open files"))
    set_descriptors(pid, str(highest + 1 + DESCRIPTORS))
    try:
        yield
    finally:
        set_descriptors(pid, before.split()[3])


def set_descriptors(pid: int, limit: str) -> None:
    """As the sidecar's own user: root may not everywhere."""
    user = ["setpriv", f"--reuid={SIDECAR_UID}", f"--regid={SIDECAR_UID}", "--clear-groups"]
    run([*user, "prlimit", f"--pid={pid}", f"--nofile={limit}:"])


def dial(mesh: Running) -> socket.socket:
    return connect(mesh.pod("client").netns, mesh.pod("server").ipv4, PORT)


def reaches(mesh: Running) -> bool:
    try:
        with dial(mesh) as connection:
            return echoed(connection)
    except OSError:
        return False


def test_without_a_port_to_the_application_a_client_is_reset_and_others_go_on(
    mesh: Running,
) -> None:
    with Echo(mesh.pod("server")), ExitStack() as open_ends:
        with few_ports(mesh):
            served = []
            for _ in range(CALLERS):
                # The reset may come before connect() returns.
                with suppress(ConnectionResetError):
                    made = open_ends.enter_context(dial(mesh))
                    served += [made] if echoed(made) else []
            assert 0 < len(served) <= PORTS
            assert all(echoed(one) for one in served)
        assert eventually(lambda: reaches(mesh))
        assert all(echoed(one) for one in served)


def test_without_a_descriptor_a_client_waits_and_others_go_on(mesh: Running) -> None:
    with Echo(mesh.pod("server")), ExitStack() as open_ends:
        first = open_ends.enter_context(dial(mesh))
        assert echoed(first)
        with few_descriptors(mesh):
            waiting = [open_ends.enter_context(dial(mesh)) for _ in range(CALLERS)]
            for one in waiting:
                one.sendall(b"x")
            log = mesh.mesh.sidecars["client"].tail
            assert eventually(lambda: "raise the limit of open files" in log())
            assert echoed(first)
        for one in waiting:
            one.settimeout(PATIENCE)
            assert one.recv(1) == b"x"
