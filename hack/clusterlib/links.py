"""The wires of a cluster: one namespace for each machine, and one link from each to the router.

The control plane's machine is the router. Every node hangs on a link of its own, as a separate
layer-3 segment, so a packet from node to node is routed twice and can be seen on the way. This
machine is one more leaf: its own forwarding and addresses stay as they are.
"""

from collections.abc import Iterable

from clusterlib.plan import CONTROL, Address, Node, Plan
from lab.command import run

ROUTER = "fe80::1"
"""The router's address on every link; link-local, so that all links can have the same."""

_SYSCTLS = (
    "net.ipv4.ip_forward=1",
    "net.ipv6.conf.all.forwarding=1",
    # A pod's address is nobody else's: waiting for duplicate address detection gains nothing.
    "net.ipv6.conf.default.accept_dad=0",
    "net.ipv6.conf.all.accept_dad=0",
)


def build(plan: Plan) -> None:
    """Makes all namespaces and links. Raises lab.command.CommandError with what ip said."""
    for machine in plan.machines:
        run(["ip", "netns", "add", plan.netns(machine)])
        _enter(plan, machine, ["sysctl", "-qw", *_SYSCTLS])
    run(["ip", "-batch", "-"], stdin=_script([host_link(plan)]))
    _batch(plan, CONTROL, router_lines(plan))
    if any(address.version == 6 for address in plan.host):
        # Containers often run with IPv6 off; our own link needs it.
        run(["sysctl", "-qw", f"net.ipv6.conf.{plan.host_link}.disable_ipv6=0"])
    run(["ip", "-batch", "-"], stdin=_script(host_lines(plan)))
    for node in plan.nodes:
        _batch(plan, CONTROL, node_link_lines(plan, node))
        _batch(plan, node.name, node_lines(plan, node))


def remove(plan: Plan) -> None:
    """Removes what there is of the namespaces; links and this machine's routes go with them."""
    present = namespaces()
    for machine in plan.machines:
        if plan.netns(machine) in present:
            run(["ip", "netns", "delete", plan.netns(machine)])


def namespaces() -> set[str]:
    """Names of all network namespaces of this machine."""
    return {line.split()[0] for line in run(["ip", "netns", "list"]).stdout.splitlines() if line}


def host_link(plan: Plan) -> str:
    """The link between this machine and the router."""
    return f"link add {plan.host_link} type veth peer name host netns {plan.netns(CONTROL)}"


def host_lines(plan: Plan) -> list[str]:
    """The end in the namespace of whoever calls."""
    lines = [f"link set {plan.host_link} up"]
    for host, control, range_ in zip(plan.host, plan.control, plan.ranges, strict=True):
        lines.append(_address(host, plan.host_link))
        lines.append(f"route add {range_} {_via(control, plan.host_link)}")
    return lines


def router_lines(plan: Plan) -> list[str]:
    """The router's own addresses, and its end towards this machine."""
    lines = ["link set lo up", *(_address(address, "lo") for address in plan.control)]
    return [*lines, *_router_end("host", plan.host)]


def node_link_lines(plan: Plan, node: Node) -> list[str]:
    """The router's end of a node's link, and the routes to the node and its pods."""
    lines = [f"link add {node.name} type veth peer name eth0 netns {plan.netns(node.name)}"]
    lines += _router_end(node.name, node.addresses)
    for address, pods in zip(node.addresses, node.pod_ranges, strict=True):
        lines.append(f"route add {pods} via {address} dev {node.name}")
    return lines


def node_lines(plan: Plan, node: Node) -> list[str]:
    """A node's own end."""
    lines = ["link set lo up", "link set eth0 up"]
    for address, control in zip(node.addresses, plan.control, strict=True):
        lines.append(_address(address, "eth0"))
        lines.append(
            f"route add {'::/0' if address.version == 6 else '0.0.0.0/0'} {_via(control, 'eth0')}"
        )
    return lines


def _router_end(link: str, leaf: Iterable[Address]) -> list[str]:
    lines = [
        f"link set {link} addrgenmode none",
        f"link set {link} up",
        f"addr add {ROUTER}/64 dev {link} nodad",
    ]
    return [
        *lines,
        *(f"route add {address}/{address.max_prefixlen} dev {link}" for address in leaf),
    ]


def _address(address: Address, link: str) -> str:
    nodad = " nodad" if address.version == 6 else ""
    return f"addr add {address}/{address.max_prefixlen} dev {link}{nodad}"


def _via(control: Address, link: str) -> str:
    # ARP is answered for all addresses of a machine, neighbour discovery for those of the link.
    return f"via {ROUTER if control.version == 6 else control} dev {link} onlink"


def _enter(plan: Plan, machine: str, argv: list[str]) -> None:
    run(["nsenter", f"--net=/run/netns/{plan.netns(machine)}", "--", *argv])


def _batch(plan: Plan, machine: str, lines: list[str]) -> None:
    run(["ip", "-netns", plan.netns(machine), "-batch", "-"], stdin=_script(lines))


def _script(lines: list[str]) -> str:
    return "\n".join(lines) + "\n"
