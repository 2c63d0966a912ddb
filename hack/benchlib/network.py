"""The two pods that are measured between: a laboratory of hack/lab."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from benchlib.errors import BenchError
from lab import netns, plan
from lab.command import CommandError
from lab.netns import Link
from lab.plan import Plan, Pod
from lab.state import State

# Any number of closed connections may linger, and their ports be used again: a minute of
# TIME_WAIT at 1000 new connections a second is more than the default port range holds.
_SYSCTLS = (
    "net.ipv4.ip_local_port_range=16000 65000",
    "net.ipv4.tcp_tw_reuse=1",
    "net.core.somaxconn=4096",
)

# The sidecars' user: every relay, ours or a peer's, runs as one, without capabilities.
RELAY_UID = 14008


@dataclass(frozen=True, slots=True)
class Side:
    """A pod, and the CPU that its processes are kept on; None: the kernel decides."""

    pod: Pod
    cpu: int | None = None

    @property
    def address(self) -> str:
        """Its IPv6 address."""
        return str(self.pod.ipv6)

    def command(self, argv: Sequence[str], *, as_relay: bool = False) -> list[str]:
        """`argv` made to run here. Every wrapper execs, so the process id is the program's."""
        words = netns.enter(self.pod.netns)
        if self.cpu is not None:
            words += ["taskset", "-c", str(self.cpu)]
        if as_relay:
            user = str(RELAY_UID)
            words += ["setpriv", "--reuid", user, "--regid", user, "--clear-groups"]
            words += ["--bounding-set=-all", "--inh-caps=-all", "--no-new-privs"]
        return [*words, *argv]


@dataclass(frozen=True, slots=True)
class Network:
    """Both sides, and the record of what runs in them."""

    client: Side
    server: Side
    control: Pod  # the mesh's own, where there is one
    layout: Plan
    state: State


@contextlib.contextmanager
def pair(
    mtu: int,
    *,
    pin: bool,
    others: Sequence[str] = (),
    link: Callable[[State], Link] | None = None,
) -> Iterator[Network]:
    """A client and a server pod whose path has this MTU in bytes, and further pods by name; `link`
    makes the client's.

    Raises lab.command.CommandError when iproute2 refuses.
    """
    made = plan.make(plan.new_run_id("bench"), ["client", "server", "control", *others], mtu=mtu)
    state = State.create(made.run, "bench")
    try:
        netns.build(made, state, {"client": link(state)} if link else None)
        for pod in made.pods:
            netns.run_in(pod.netns, ["sysctl", "-qw", *_SYSCTLS])
        client, server = (
            Side(made.pod(name), cpu if pin else None)
            for cpu, name in enumerate(["client", "server"])
        )
        yield Network(client, server, made.pod("control"), made, state)
    finally:
        state.remove()


def control_congestion(network: Network, name: str) -> None:
    """Has TCP between the two sides use the kernel's congestion control of that name.

    By route and not by sysctl: a namespace may have as its default only what the machine allows to
    everybody. Raises BenchError when the kernel has none of that name.
    """
    for near, far in ((network.client, network.server), (network.server, network.client)):
        route = ["route", "replace", f"{far.address}/128", "dev", "eth0", "congctl", name]
        try:
            netns.run_in(near.pod.netns, ["ip", "-6", *route])
        except CommandError as error:
            raise BenchError(
                f"the kernel has no TCP congestion control {name!r}: modprobe tcp_{name}"
            ) from error
