"""NodeCapability: what the kernel of a node can do for the mesh. Only its agent writes it."""

from typing import ClassVar, Literal

import msgspec

from stoq.records.meta import Record, Spec, Status


class Feature(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One thing that a node may be able to do."""

    name: str
    supported: bool
    reason: str = ""
    """Why not, or the figures by which the agent has chosen it."""


class NodeCapabilitySpec(Spec, frozen=True, kw_only=True):
    """Nothing can be asked of a node by its NodeCapability."""


class NodeCapabilityStatus(Status, frozen=True, kw_only=True):
    """What the agent found, and what it put in force."""

    version: str = ""
    """Of the agent."""
    kernel: str = ""
    """Its release."""
    uplink: str = ""
    """The interface to other nodes."""
    driver: str = ""
    """Of the uplink."""
    native_xdp: bool = False
    """Whether the guard can run in the driver."""
    strict: bool = False
    """Whether strict mode can be enforced in the kernel."""
    guard: Literal["native", "tc", "generic", "off"] = "off"
    """How the guard runs."""
    reason: str = ""
    """Why not all of it; empty if all."""
    features: tuple[Feature, ...] = ()
    """Each with its reason, in the order in which they build on each other."""


class NodeCapability(Record, frozen=True, kw_only=True):
    """One for each node with an agent, by the node's name."""

    KIND: ClassVar[str] = "NodeCapability"
    NAMESPACED: ClassVar[bool] = False

    spec: NodeCapabilitySpec = NodeCapabilitySpec()
    status: NodeCapabilityStatus = NodeCapabilityStatus()
