"""The paths that are compared."""

from benchlib.candidates.base import Candidate
from benchlib.candidates.direct import Direct
from benchlib.candidates.envoy import EnvoyHttp3, EnvoyTcp
from benchlib.candidates.grpc_aio import Grpc
from benchlib.candidates.mirrored import StoqMirrored, StoqUnmirrored
from benchlib.candidates.quinn import QuinnRelay, StockQuinn
from benchlib.candidates.stoq import (
    Stoq,
    StoqForwarded,
    StoqFourLanes,
    StoqHop,
    StoqReserve,
    StoqTokens,
    StoqTwoLanes,
)
from benchlib.candidates.striped import StoqStriped
from benchlib.candidates.tcp_relay import TcpRelay
from benchlib.candidates.wireguard import WireGuard

ALL: tuple[Candidate, ...] = (
    Direct(),
    TcpRelay(),
    EnvoyTcp(),
    EnvoyHttp3(),
    QuinnRelay(),
    StockQuinn(),
    Grpc(),
    WireGuard(),
    StoqReserve(),
    StoqTokens(),
    StoqHop(),
    StoqForwarded(),
    StoqMirrored(),
    StoqUnmirrored(),
    StoqTwoLanes(),
    StoqFourLanes(),
    StoqStriped(),
    Stoq(),
)


def named(names: tuple[str, ...]) -> list[Candidate]:
    """The candidates of these names, in the order of the tables."""
    return [candidate for candidate in ALL if candidate.name in names]
