"""What capture shall do in a pod whose sidecar has it from the node agent. Pure.

As in `enrolment`, the pod's own word is read where its sidecar reads it: in the environment of its
container, into which the webhook has put the pod's annotations, and which nobody can change while
the pod lives. Another user than the sidecar's is never let out, whatever is written there.
"""

from collections.abc import Mapping
from typing import Final, TypeVar

from stoq.capture.plan import Address, Plan
from stoq.settings.kinds import Kind, choice, flag, networks, ports
from stoq_node.enrolment import Meshed, Surround, nameservers_of

MODE: Final = "STOQ_CAPTURE_MODE"
NODE: Final = "node"
UDP: Final = "STOQ_CAPTURE_UDP"

T = TypeVar("T")


class Unreadable(ValueError):
    """A pod can not be captured as it asks for; the text names what, and the way out."""


def wanted(pod: Meshed) -> bool:
    """Whether the pod's sidecar waits for this node's agent."""
    return pod.environment.get(MODE) == NODE


def plan(
    pod: Meshed, around: Surround, gateways: tuple[Address, ...], *, splice: bool = False
) -> Plan:
    """Capture as `stoq-init` would program it in the pod; `gateways` are those of its network
    namespace. With `splice` it may be joined with others. Raises `Unreadable`.
    """
    own = pod.environment
    resolves = _read(own, "STOQ_DNS_ENABLED", flag(), otherwise=True)
    shown = _read(own, "STOQ_CAPTURE_CLIENT_ADDRESS", choice(("auto", "on", "off")), "auto")
    return Plan(
        exclude_outbound_ports=_read(own, "STOQ_CAPTURE_EXCLUDE_OUTBOUND_PORTS", ports(), ()),
        exclude_outbound_networks=_read(
            own, "STOQ_CAPTURE_EXCLUDE_OUTBOUND_NETWORKS", networks(), ()
        ),
        exclude_inbound_ports=_read(own, "STOQ_CAPTURE_EXCLUDE_INBOUND_PORTS", ports(), ()),
        exclude_outbound_udp_ports=_read(
            own, "STOQ_CAPTURE_EXCLUDE_OUTBOUND_UDP_PORTS", ports(), ()
        ),
        exclude_inbound_udp_ports=_read(own, "STOQ_CAPTURE_EXCLUDE_INBOUND_UDP_PORTS", ports(), ()),
        nameservers=nameservers_of(pod, around) if resolves else (),
        probe_sources=tuple(dict.fromkeys((*pod.host_addresses, *gateways))),
        probe_ports=_read(own, "STOQ_CAPTURE_PROBE_PORTS", ports(), ()),
        ipv6_only=_read(own, "STOQ_LINK_IPV6_ONLY", flag(), otherwise=False),
        client_address=shown != "off",
        # A pod that says nothing is from before: its sidecar has no sockets for UDP.
        udp=_read(own, UDP, choice(("on", "off")), "off") == "on",
        splice=splice,
    )


def _read(environment: Mapping[str, str], name: str, kind: Kind[T], otherwise: T) -> T:
    text = environment.get(name, "")
    if not text:
        return otherwise
    try:
        return kind.parse(text)
    except ValueError as error:
        detail = f": {error}" if str(error) else ""
        raise Unreadable(
            f"{name} of its sidecar is {text!r}{detail}; it must be {kind.expects}. Make the pod "
            "anew, with the annotation of that name as the mesh's webhook takes it"
        ) from error
