"""What the benchmark and its processes of simulated sidecars say to each other: JSON lines."""

import msgspec


class Member(msgspec.Struct, frozen=True):
    """A simulated sidecar."""

    node: str
    """`<namespace>/<name>` of its pod."""
    token: str


class Setup(msgspec.Struct, frozen=True, kw_only=True, tag="setup"):
    """The first line."""

    registry: str
    """Address and port."""
    bundle: str
    trust_domain: str


class Join(msgspec.Struct, frozen=True, kw_only=True, tag="join"):
    """More sidecars."""

    members: tuple[Member, ...]


class Await(msgspec.Struct, frozen=True, kw_only=True, tag="await"):
    """Asks when each sidecar sees something; one of the fields is set."""

    id: int
    service: str = ""
    """The service with this key …"""
    endpoint: str = ""
    """… which has this endpoint; empty: any."""
    not_epoch: str = ""
    """A message of another epoch than this."""


class Forget(msgspec.Struct, frozen=True, kw_only=True, tag="forget"):
    """No more waiting: what has come is reported."""

    id: int


class Ask(msgspec.Struct, frozen=True, kw_only=True, tag="ask"):
    """Asks for `Standing`."""


Command = Setup | Join | Await | Forget | Ask


class Seen(msgspec.Struct, frozen=True, kw_only=True, tag="seen"):
    """Answers `Await` once every sidecar has seen it."""

    id: int
    times: tuple[float, ...]
    """Seconds of CLOCK_MONOTONIC, which all processes of a machine share."""


class Standing(msgspec.Struct, frozen=True, kw_only=True, tag="standing"):
    """How the sidecars of a process are."""

    joined: int
    following: int
    epoch: str
    snapshots: int
    """Received since the process began."""
    deltas: int
    received: int
    """Bytes of all streams of the registry."""
    largest: int
    """Bytes of the longest message."""
    errors: tuple[str, ...]
    """The last few."""


Report = Seen | Standing
