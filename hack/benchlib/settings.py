"""What to measure: the command line as one frozen value."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass

from benchlib.errors import BenchError
from benchlib.output import Output, add_options

SCENARIOS = (
    "bulk",
    "latency",
    "handshake",
    "memory",
    "cpu",
    "stall",
    "api",
    "tokens",
    "hop",
    "mirror",
    "shards",
    "udp",
)

# Candidates in the order of the tables: the ceiling, the proxy ceiling, the peers, ours.
CANDIDATES = (
    "direct",
    "tcp-relay",
    "envoy",
    "envoy-h3",
    "quinn-relay",
    "stock-quinn",
    "grpc",
    "wireguard-go",
    "stoq-reserve",
    "stoq-tokens",
    "stoq-hop",
    "stoq-forwarded",
    "stoq-mirrored",
    "stoq-unmirrored",
    "stoq-2-lanes",
    "stoq-4-lanes",
    "stoq-striped",
    "stoq",
)

OURS = "stoq"

MTUS = range(1280, 65536)  # IPv6's minimum; a veth's maximum


@dataclass(frozen=True, slots=True)
class Settings:
    """One benchmark. Every field is printed with its results."""

    scenario: str
    mtu: int = 1500  # bytes
    streams: int = 1  # parallel TCP connections of the bulk and cpu scenarios
    seconds: float = 10.0  # of each measurement, after its warm-up
    rounds: int = 5
    candidates: tuple[str, ...] = CANDIDATES
    rate: float = 1000.0  # requests per second of the latency, api and udp scenarios
    connections: int = 16  # that those requests share
    new_connections: bool = False  # or a new one for each of them
    idle: int = 1000  # idle connections of the memory scenario
    cycles: int = 10  # of opening and closing them
    idle_peers: int = 1000  # idle connections of other relays, in the memory scenario
    calls: int = 32  # at once, of the api scenario
    stalled: int = 100  # connections of the stall scenario whose application does not read
    pin: bool = False  # client side on CPU 0, server side on CPU 1
    smoke: bool = False


def parse(arguments: Sequence[str]) -> tuple[list[Settings], Output]:
    """The benchmarks to run and where their results go; raises BenchError."""
    given = _parser().parse_args(arguments)
    candidates = _candidates(given.peers)
    if given.smoke == (given.scenario is not None):
        raise BenchError(f"name one scenario of {', '.join(SCENARIOS)}, or --smoke for all of them")
    _check_range("--mtu", given.mtu, MTUS.start, MTUS.stop - 1)
    for option in (
        "streams",
        "rounds",
        "connections",
        "idle",
        "cycles",
        "idle-peers",
        "stalled",
        "calls",
    ):
        _check_range(f"--{option}", getattr(given, option.replace("-", "_")), 1, 1_000_000)
    _check_range("--seconds", given.seconds, 0.5, 3600)
    _check_range("--rate", given.rate, 1, 1_000_000)
    output = Output.of(given)
    if given.smoke:
        return [smoke(scenario, candidates) for scenario in SCENARIOS], output
    settings = Settings(
        scenario=given.scenario,
        mtu=given.mtu,
        streams=given.streams,
        seconds=given.seconds,
        rounds=given.rounds,
        candidates=candidates,
        rate=given.rate,
        connections=given.connections,
        new_connections=given.new_connections,
        idle=given.idle,
        cycles=given.cycles,
        idle_peers=given.idle_peers,
        stalled=given.stalled,
        calls=given.calls,
        pin=given.pin,
    )
    return [settings], output


def smoke(scenario: str, candidates: tuple[str, ...]) -> Settings:
    """One scenario in miniature: does it run, not how fast.

    Every candidate carries bytes, with tokens or lanes if it has any, calls, or datagrams; the
    other scenarios run ours alone, to end soon, and `hop` and `mirror` what is in no other.
    """
    whole = ("bulk", "api", "tokens", "shards", "udp")
    others = {"hop": ("stoq-hop", "stoq-forwarded"), "mirror": ("stoq-mirrored", "stoq-unmirrored")}
    alone = others.get(scenario, (OURS,))
    return Settings(
        scenario=scenario,
        seconds=1.0,
        rounds=1,
        candidates=candidates if scenario in whole else alone,
        rate=200.0,
        connections=4,
        idle=50,
        cycles=2,
        idle_peers=20,
        stalled=5,
        smoke=True,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="hack/bench",
        description="Measures the mesh against its peers, in network namespaces it makes itself.",
        exit_on_error=True,
    )
    default = Settings("bulk")
    parser.add_argument("scenario", nargs="?", choices=SCENARIOS)
    parser.add_argument(
        "--mtu", type=int, default=default.mtu, help="of the path, bytes (%(default)s)"
    )
    parser.add_argument(
        "--streams",
        type=int,
        default=default.streams,
        help="bulk, cpu: parallel connections (%(default)s)",
    )
    parser.add_argument(
        "--seconds",
        type=float,
        default=default.seconds,
        help="of each measurement (%(default)s)",
    )
    parser.add_argument(
        "--rounds",
        type=int,
        default=default.rounds,
        help="each runs every candidate once (%(default)s)",
    )
    parser.add_argument(
        "--peers",
        metavar="A,B",
        help=f"what to compare with, of {', '.join(c for c in CANDIDATES if c != OURS)}; "
        f"all by default. Ours always runs; '{OURS}' alone runs only that",
    )
    parser.add_argument(
        "--rate",
        type=float,
        default=default.rate,
        help="latency, mirror, api, udp: requests per second (%(default)s)",
    )
    parser.add_argument(
        "--connections",
        type=int,
        default=default.connections,
        help="latency, mirror: connections they share (%(default)s)",
    )
    parser.add_argument(
        "--new-connections",
        action="store_true",
        help="latency, mirror: a new TCP connection for each request",
    )
    parser.add_argument(
        "--idle",
        type=int,
        default=default.idle,
        help="memory: idle connections (%(default)s)",
    )
    parser.add_argument(
        "--cycles",
        type=int,
        default=default.cycles,
        help="memory: times they are opened and closed (%(default)s)",
    )
    parser.add_argument(
        "--idle-peers",
        type=int,
        default=default.idle_peers,
        help="memory: idle connections of other sidecars (%(default)s)",
    )
    parser.add_argument(
        "--stalled",
        type=int,
        default=default.stalled,
        help="stall: connections whose application does not read (%(default)s)",
    )
    parser.add_argument(
        "--calls",
        type=int,
        default=default.calls,
        help="api: calls at once for the rate that is reached (%(default)s)",
    )
    parser.add_argument(
        "--pin",
        action="store_true",
        help="client side on CPU 0, server side on CPU 1 (default: the kernel decides)",
    )
    add_options(parser, "JSON, Markdown table and plot there, such as docs/benchmarks")
    parser.add_argument(
        "--smoke",
        action="store_true",
        help="every scenario once, in miniature: does it run, not how fast",
    )
    return parser


def _candidates(peers: str | None) -> tuple[str, ...]:
    if peers is None:
        return CANDIDATES
    names = [name.strip() for name in peers.split(",") if name.strip()]
    for name in names:
        if name not in CANDIDATES:
            raise BenchError(f"--peers: '{name}' is not one of {', '.join(CANDIDATES)}")
    return tuple(name for name in CANDIDATES if name in names or name == OURS)


def _check_range(option: str, value: float, least: float, most: float) -> None:
    if not least <= value <= most:
        raise BenchError(f"{option}: {value:g} is outside {least:g} to {most:g}")
