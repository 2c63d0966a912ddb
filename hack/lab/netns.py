"""Making the namespaces and links of a plan with iproute2."""

from collections.abc import Callable, Iterable, Mapping, Sequence

from lab import command
from lab.plan import BRIDGE, Plan, Pod
from lab.state import State

Link = Callable[[Plan, Pod], None]
"""Makes both ends of a pod's link: `eth0` inside, the pod's port in the fabric."""


def build(plan: Plan, state: State, links: Mapping[str, Link] | None = None) -> None:
    """Makes the fabric and every pod of `plan`, noting each in `state` first. The pods named in
    `links` get such a link instead of a veth pair.

    Raises command.CommandError with what iproute2 said; what was made until then is in `state`.
    """
    _create(plan.fabric, state)
    fabric = [
        "link set lo up",
        f"link add {BRIDGE} mtu {plan.mtu} type bridge mcast_snooping 0",
        # No forwarding delay and no duplicate address detection: the fabric is ready at once.
        f"link set {BRIDGE} type bridge forward_delay 0 stp_state 0",
        f"link set {BRIDGE} up",
        f"addr add {plan.gateway6}/{plan.network6.prefixlen} dev {BRIDGE} nodad",
    ]
    if plan.network4 is not None:
        fabric.append(f"addr add {plan.gateway4}/{plan.network4.prefixlen} dev {BRIDGE}")
    _batch(plan.fabric, fabric)
    for pod in plan.pods:
        add_pod(plan, pod, state, (links or {}).get(pod.name, veth))


def veth(plan: Plan, pod: Pod) -> None:
    """The link that a pod has unless it is given another."""
    # Both ends are born in their namespaces: nothing appears in the machine's own, even briefly.
    far_end = f"peer name eth0 mtu {plan.mtu} netns {pod.netns}"
    _batch(plan.fabric, [f"link add {pod.port} mtu {plan.mtu} type veth {far_end}"])


def add_pod(plan: Plan, pod: Pod, state: State, link: Link = veth) -> None:
    """Makes one pod and plugs it into the fabric, which must exist."""
    _create(pod.netns, state)
    link(plan, pod)
    _batch(plan.fabric, [f"link set {pod.port} master {BRIDGE} up"])
    inside = [
        "link set lo up",
        "link set eth0 up",
        f"addr add {pod.ipv6}/{plan.network6.prefixlen} dev eth0 nodad",
        f"route add ::/0 via {plan.gateway6}",
    ]
    if pod.ipv4 is not None and plan.network4 is not None:
        inside.append(f"addr add {pod.ipv4}/{plan.network4.prefixlen} dev eth0")
        inside.append(f"route add 0.0.0.0/0 via {plan.gateway4}")
    _batch(pod.netns, inside)


def enter(netns: str) -> list[str]:
    """The words before a command that make it run inside `netns`.

    `nsenter` becomes the command (exec), so the process started is the command itself; unlike
    `ip netns exec` it leaves the mounts as they are.
    """
    return ["nsenter", f"--net=/run/netns/{netns}", "--"]


def run_in(
    netns: str, argv: Sequence[str], *, timeout: float = 30.0, stdin: str | None = None
) -> str:
    """Runs a program inside `netns` and returns its standard output. Raises CommandError."""
    return command.run([*enter(netns), *argv], timeout=timeout, stdin=stdin).stdout


def _create(name: str, state: State) -> None:
    state.add_namespace(name)
    command.run(["ip", "netns", "add", name])


def _batch(netns: str, lines: Iterable[str]) -> None:
    command.run(["ip", "-netns", netns, "-batch", "-"], stdin="\n".join(lines) + "\n")
