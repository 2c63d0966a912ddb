"""What policies say of one workload, as the registry tells it (`stoq.registry.MeshEntry`)."""

from typing import Literal

import msgspec


class AdaptationRule(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How the watching workload's connections adapt; what is None is as its own settings say.

    Names are plain text: a later release may know more of them than the workload does.
    """

    policy: str
    """`<namespace>/<name>` of the TransportPolicy, for people."""
    dry_run: bool | None = None
    tier: str | None = None
    min_tier: str | None = None
    max_tier: str | None = None
    congestion: str | None = None
    max_rate: int | None = None
    """Bits per second of one connection."""
    receive_window_most: int | None = None
    """Bytes."""
    send_window_most: int | None = None
    """Bytes."""


class CryptoRule(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Which crypto profile the watching workload uses, and asks of others.

    Names are plain text: a later release may know more of them than the workload does.
    """

    profile: str
    """That of its own keys, and the one that it asks for first."""
    mode: str = "prefer"
    """`require`: a peer that proves itself with another is refused; all else is `prefer`."""
    policy: str = ""
    """`<namespace>/<name>` of the TransportPolicy, for people; empty: the MeshConfig."""


class PortModes(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What holds at one port of the watching workload; None: as at the others."""

    port: int
    inbound: Literal["permissive", "strict"] | None = None
    """Of its own port."""
    outbound: Literal["allow", "meshOnly"] | None = None
    """Of the port of a destination."""
