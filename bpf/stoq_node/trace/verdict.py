"""Why a flow is taken for one that bypasses the mesh, or not. Pure.

What is judged has been seen on a device of the pod other than loopback: what capture takes never
gets there but as STOQ. So every flow there is STOQ, allowed by a setting, or a bypass.
"""

from dataclasses import dataclass
from typing import Final, Literal

from stoq import constants
from stoq.capture.plan import DNS_PORT, Network, PortRange
from stoq_node.pods import Pod
from stoq_node.trace.records import TCP, UDP, Event, Flow

Kind = Literal["mesh", "allowed", "bypass"]

_STOQ: Final = (constants.STOQ_PORT, constants.CONTROL_PORT)


@dataclass(frozen=True, slots=True)
class Verdict:
    """`allowed`: in the clear, and a setting of the pod says that it may be."""

    kind: Kind
    why: str
    strict: bool = False
    """Strict mode of this direction drops it."""


def judge(event: Event, pod: Pod) -> Verdict:
    """The verdict on a flow of `pod`."""
    flow = event.flow
    sidecar = event.owner.uid == constants.SIDECAR_UID
    if flow.protocol == UDP and (found := _stoq(event)) is not None:
        return found
    why = _outbound(flow, pod) if event.opened_here else _inbound(flow, pod)
    if not why and flow.protocol == UDP and pod.udp:
        why = "UDP of applications passes as it is (udp = true)"
    if why:
        return Verdict("allowed", why)
    if not event.opened_here:
        why = "came in the clear: who sent it is not in the mesh, or went past its sidecar"
        return Verdict("bypass", why, pod.drops("inbound", flow.local_port))
    if sidecar:
        why = "the sidecar passed it on in the clear: nobody in the mesh is at this destination"
    else:
        why = "left past the sidecar: capture did not take it"
    return Verdict("bypass", why, pod.drops("outbound", flow.remote_port))


def _stoq(event: Event) -> Verdict | None:
    flow = event.flow
    # Of the socket at 14008 the sidecar is the user, whoever opened it (docs/broker.md).
    if flow.local_port == constants.STOQ_PORT:
        return Verdict("mesh", "STOQ")
    if flow.remote_port not in _STOQ:
        return None
    if event.owner.uid in (constants.SIDECAR_UID, None):
        return Verdict("mesh", "STOQ")
    return Verdict("bypass", f"to STOQ's port {flow.remote_port}, but not from the sidecar")


def _outbound(flow: Flow, pod: Pod) -> str:
    if flow.remote in pod.nameservers and flow.remote_port == DNS_PORT:
        return "a name server of the pod"
    if flow.protocol == TCP and (flow.remote, flow.remote_port) in pod.api_servers:
        return "the API server"
    if found := _excluded_network(flow, "outbound", pod.exclude_outbound_networks):
        return found
    udp = pod.exclude_outbound_udp_ports
    return _excluded_port(flow, "outbound", flow.remote_port, pod.exclude_outbound_ports, udp)


def _inbound(flow: Flow, pod: Pod) -> str:
    if flow.protocol == TCP:
        if flow.local_port == constants.METRICS_PORT:
            return "the sidecar's own pages"
        if _range(flow.local_port, pod.probe_ports):
            return "a port that the node probes"
    if found := _excluded_network(flow, "inbound", pod.exclude_inbound_networks):
        return found
    udp = pod.exclude_inbound_udp_ports
    return _excluded_port(flow, "inbound", flow.local_port, pod.exclude_inbound_ports, udp)


def _excluded_network(flow: Flow, direction: str, networks: tuple[Network, ...]) -> str:
    found = next((network for network in networks if flow.remote in network), None)
    return f"exclude_{direction}_networks has {found}" if found else ""


def _excluded_port(
    flow: Flow,
    direction: str,
    port: int,
    both: tuple[PortRange, ...],
    udp: tuple[PortRange, ...],
) -> str:
    if found := _range(port, both):
        return f"exclude_{direction}_ports has {found}"
    if flow.protocol == UDP and (found := _range(port, udp)):
        return f"exclude_{direction}_udp_ports has {found}"
    return ""


def _range(port: int, ranges: tuple[PortRange, ...]) -> PortRange | None:
    return next((one for one in ranges if one.first <= port <= one.last), None)
