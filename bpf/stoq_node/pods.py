"""The pods of a node, as the agent enforces them, and where they come from."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Literal, Protocol

from stoq.capture.plan import Address, Network, PortRange


@dataclass(frozen=True, slots=True, kw_only=True)
class Pod:
    """One pod of the mesh. The words for its modes are those of a MeshConfig."""

    namespace: str
    name: str
    interface: str
    """The host's end of its link; empty while it is not known."""
    uid: str = ""
    """The API server's; empty in a file."""
    addresses: tuple[Address, ...] = ()
    """Where its sidecar is asked; empty while they are not known."""
    obstacle: str = ""
    """Why it is not known although it should be."""
    linkless: bool = False
    """It never has one: nothing waits for it, and it stays refused for its obstacle."""
    inbound: Literal["permissive", "strict"] = "permissive"
    outbound: Literal["allow", "meshOnly"] = "allow"
    open_inbound_ports: tuple[PortRange, ...] = ()
    open_outbound_ports: tuple[PortRange, ...] = ()
    """Ports at which plaintext passes although the direction is strict."""
    udp: bool = True
    """Applications' UDP passes as it is: its sidecar does not capture it (docs/traffic-matrix.md).
    Otherwise it is treated as TCP is."""
    echo: bool = True
    """Ping passes."""
    exclude_outbound_ports: tuple[PortRange, ...] = ()
    exclude_outbound_udp_ports: tuple[PortRange, ...] = ()
    """Of UDP alone, beside those of both protocols."""
    exclude_outbound_networks: tuple[Network, ...] = ()
    exclude_inbound_ports: tuple[PortRange, ...] = ()
    exclude_inbound_udp_ports: tuple[PortRange, ...] = ()
    """Of UDP alone."""
    exclude_inbound_networks: tuple[Network, ...] = ()
    probe_ports: tuple[PortRange, ...] = ()
    """The node itself may open TCP to these."""
    nameservers: tuple[Address, ...] = ()
    api_servers: tuple[tuple[Address, int], ...] = ()

    @property
    def key(self) -> str:
        """`namespace/name`."""
        return f"{self.namespace}/{self.name}"

    @property
    def direct(self) -> frozenset[str]:
        """Addresses that are spoken to past what its sidecar counts, and that strict mode does not
        call exempt: name servers, which the sidecar asks for the control plane by the C library,
        and API servers whose port the pod excludes.
        """
        dialled = (
            address
            for address, port in self.api_servers
            if any(port in ports.numbers() for ports in self.exclude_outbound_ports)
        )
        return frozenset(map(str, (*self.nameservers, *dialled)))

    @property
    def strict(self) -> bool:
        """Whether anything of it may be dropped."""
        return self.inbound == "strict" or self.outbound == "meshOnly"

    def drops(self, direction: Literal["inbound", "outbound"], port: int) -> bool:
        """Whether strict mode drops plaintext towards a port."""
        strict, opened = (
            (self.inbound == "strict", self.open_inbound_ports)
            if direction == "inbound"
            else (self.outbound == "meshOnly", self.open_outbound_ports)
        )
        return strict and not any(port in ports.numbers() for ports in opened)


class Source(Protocol):
    """Where the pods of this node are known from."""

    @property
    def problem(self) -> str:
        """Why the last list may be old; empty if it is not."""

    def watch(self) -> AsyncIterator[tuple[Pod, ...]]:
        """Every list of all pods: the first as soon as it can be read, then each that differs."""
