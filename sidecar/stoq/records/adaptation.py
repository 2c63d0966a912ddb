"""How connections may adapt to their paths: a part of a TransportPolicy."""

from typing import Annotated, Final, Literal, get_args

import msgspec

from stoq.records.errors import RecordError

Tier = Literal["slow", "home", "standard", "performance", "enterprise", "datacenter"]
"""From the worst path to the best; the engine's table says what each of them sets."""

Congestion = Literal["cubic", "newreno", "bbr3", "bbr2"]
"""`bbr2` means `bbr3`."""

TIERS: Final[tuple[str, ...]] = get_args(Tier)

Rate = Annotated[int, msgspec.Meta(ge=1_000_000, le=10**12)]
ReceiveWindow = Annotated[int, msgspec.Meta(ge=65_536, le=64_000_000)]
SendWindow = Annotated[int, msgspec.Meta(ge=12_000, le=64_000_000)]


class Adaptation(
    msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True
):
    """Pins and bounds of the connections that a workload sends on. What is left out is as the
    workload's own settings say, else as the path's tier says.
    """

    dry_run: bool | None = None
    """Decide and count, but change nothing."""
    tier: Tier | None = None
    """The tier, whatever is measured."""
    min_tier: Tier | None = None
    """The worst that may be chosen."""
    max_tier: Tier | None = None
    """The best that may be chosen."""
    congestion: Congestion | None = None
    """The congestion controller, whatever the tier."""
    max_rate: Rate | None = None
    """Bits per second of one connection."""
    receive_window_most: ReceiveWindow | None = None
    """Bytes that a peer may send before they have been read; never less than connections begin
    with (`STOQ_DATA_CONNECTION_WINDOW`)."""
    send_window_most: SendWindow | None = None
    """Bytes not yet acknowledged."""

    def check(self, field: str) -> None:
        """Raises `RecordError` with paths below `field`."""
        if self.tier is not None and (self.min_tier or self.max_tier):
            raise RecordError(
                f"{field}.tier", self.tier, "it pins the tier: leave out minTier and maxTier"
            )
        if self.min_tier is None or self.max_tier is None:
            return
        if TIERS.index(self.min_tier) > TIERS.index(self.max_tier):
            raise RecordError(
                f"{field}.minTier",
                self.min_tier,
                f"it is better than maxTier, {self.max_tier}; the order is {', '.join(TIERS)}",
            )
