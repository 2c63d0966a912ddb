"""Unary calls between two Python programs: stoq.api beside grpcio, each with its own security."""

import importlib.util
import json
import sys
from typing import ClassVar

from benchlib.candidates.base import Bench, Candidate, Route
from benchlib.errors import BenchError
from benchlib.processes import running
from benchlib.samples import Metric, Sample
from benchlib.scenarios.base import Observation, Scenario
from lab.command import run

PORT = 7100


class Api(Scenario):
    """As many as are answered, then a fixed number each second."""

    name: ClassVar[str] = "api"

    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("requests", "1/s", "unary calls answered, with `--calls` at once"),
        Metric("p50", "ms", "at `--rate`: half of the calls were answered within this"),
        Metric("p99", "ms", "99 of 100"),
        Metric("p999", "ms", "999 of 1000"),
        Metric("client_cpu", "µs", "CPU of the client's process for each call, at full rate"),
        Metric("failed", "calls", "failed or never answered"),
    )

    def measure(self, bench: Bench, candidate: Candidate) -> Sample:
        """Both ends of the candidate; nothing relays between them."""
        network, settings = bench.network, bench.settings
        folder = str(bench.certificates.root.parent)
        address = f"[{network.server.address}]:{PORT}"
        if candidate.name == "grpc" and importlib.util.find_spec("grpc") is None:
            raise BenchError("grpcio is missing: run hack/setup --bench")
        program = [sys.executable, "-m", "benchlib.apiload"]
        ends = [candidate.name, address, folder]
        command = network.server.command([*program, "server", *ends])
        with running(network, f"api-{candidate.name}", command) as server:
            server.wait_until("serving", lambda: "serving" in server.tail())
            observation = Observation(Route(network.server.address, PORT, {"server": server}))
            command = [*program, "client", *ends, "--calls", str(settings.calls)]
            command += ["--rate", str(settings.rate), "--seconds", str(settings.seconds)]
            done = run(network.client.command(command), timeout=2 * settings.seconds + 60)
            return observation.sample(values_of(done.stdout))


def values_of(said: str) -> dict[str, float]:
    """The client's JSON as metrics; raises BenchError when nothing was answered."""
    figures = json.loads(said)
    if not figures["requests_per_second"]:
        raise BenchError("no call was answered")
    return {
        "requests": figures["requests_per_second"],
        "p50": figures["p50_ms"],
        "p99": figures["p99_ms"],
        "p999": figures["p999_ms"],
        "client_cpu": figures["client_cpu_us"],
        "failed": float(figures["failed"]),
    }
