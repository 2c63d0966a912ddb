"""How many handshakes one core answers."""

import json
from typing import ClassVar

from benchlib.candidates.base import Bench, Candidate, HandshakeLoad
from benchlib.errors import BenchError
from benchlib.samples import Metric, Sample
from benchlib.scenarios.base import ECHO_PORT, Observation, Scenario
from benchlib.scenarios.latency import echo_server
from benchlib.scenarios.memory import idle_connections
from lab.command import run

KINDS = ("full", "resumed")

# Share of the handshakes that must be resumed. Each client's first has no ticket yet.
RESUMED = 0.9


class Handshake(Scenario):
    """Handshakes against the server side's relay, full and resumed."""

    name: ClassVar[str] = "handshake"

    # Per core of the answering side, and as they came.
    metrics: ClassVar[tuple[Metric, ...]] = (
        *(
            Metric(
                f"{k}_per_core",
                "1/s",
                f"{k} handshakes per CPU-second of the server side",
            )
            for k in KINDS
        ),
        *(
            Metric(
                f"{k}_rate",
                "1/s",
                f"{k} handshakes per second, client on the same machine",
            )
            for k in KINDS
        ),
    )

    def measure(self, bench: Bench, candidate: Candidate) -> Sample:
        """The candidate's own load client, first without tickets, then with."""
        if not isinstance(candidate, HandshakeLoad):
            raise BenchError(f"{candidate.name} has no handshakes to measure")
        values = {}
        with echo_server(bench), candidate.route(bench, ECHO_PORT) as route:
            # One connection end to end: every worker of the relays is up.
            with idle_connections(bench, route.target, 1):
                pass
            observation = Observation(route)
            for kind in KINDS:
                part = Observation(route)
                command = candidate.handshake_command(bench, resumed=kind == "resumed")
                wrapped = bench.network.client.command(command)
                done = run(wrapped, timeout=bench.settings.seconds + 60)
                result = json.loads(done.stdout)
                if kind == "resumed" and result["resumed"] < RESUMED * result["handshakes"]:
                    raise BenchError(
                        f"{candidate.name}: {result['resumed']} of {result['handshakes']} "
                        "handshakes were resumed; the figure would not be what its name says"
                    )
                cpu = part.sample({}).relays["server"].cpu_seconds
                values[f"{kind}_rate"] = result["handshakes"] / result["seconds"]
                values[f"{kind}_per_core"] = result["handshakes"] / max(cpu, 0.01)
            return observation.sample(values)
