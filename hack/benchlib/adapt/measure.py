"""One flow over one path, looked at ten times a second."""

import contextlib
import http.client
import json
import time
from collections.abc import Callable
from typing import Any, ClassVar

from benchlib import network
from benchlib.adapt import flow
from benchlib.adapt.series import WINDOW, Point
from benchlib.candidates.base import Bench, Candidate
from benchlib.candidates.envoy import EnvoyTcp
from benchlib.candidates.stoq import Stoq
from benchlib.certificates import Certificates
from benchlib.network import Network
from benchlib.settings import Settings
from benchlib.tools import Tools
from lab.netlab import path
from lab.netlab.route import End, Route
from lab.netlab.schedule import Schedule
from lab.netns import Link
from lab.plan import Plan, Pod
from lab.state import State
from stoq.capture.netns import run_in

PORT = 5201
ADMIN_PORT = 14000

LEAST_SECONDS = 10.0
"""How long a path that does not change is looked at."""


class Fixed(Stoq):
    """Ours without adaptation: CUBIC and the windows that are configured."""

    name: ClassVar[str] = "fixed"
    title: ClassVar[str] = "STOQ, fixed defaults"
    environment: ClassVar[dict[str, str]] = {"STOQ_ADAPT_MODE": "off"}


CANDIDATES: dict[str, Candidate] = {"adapting": Stoq(), "fixed": Fixed(), "envoy": EnvoyTcp()}

TITLES = {"adapting": "STOQ, adapting", "fixed": Fixed.title, "envoy": EnvoyTcp.title}


def seconds(schedule: Schedule) -> float:
    """How long a path is looked at."""
    return schedule.seconds or LEAST_SECONDS


def measure(name: str, schedule: Schedule, found: Tools, certificates: Certificates) -> list[Point]:
    """What was seen of a candidate. The path is its first step until the flow begins."""
    routes: list[Route] = []

    def link(state: State) -> Link:
        def make(plan: Plan, pod: Pod) -> None:
            near, far = End(pod.netns, "eth0"), End(plan.fabric, pod.port)
            routes.append(path.lay(state, near, far, schedule, mtu=plan.mtu, hold=True))

        return make

    with network.pair(1500, pin=False, link=link) as pods:
        bench = Bench(Settings("bulk"), pods, found, certificates)
        with (
            flow.receiver(pods.server, PORT) as received,
            CANDIDATES[name].route(bench, PORT) as route,
            flow.sender(pods.client, (route.host, route.port), received),
        ):
            routes[0].begin()
            return _look(pods, schedule, received, asked=name != "envoy")


def _look(
    pods: Network, schedule: Schedule, received: Callable[[], int], *, asked: bool
) -> list[Point]:
    points: list[Point] = []
    start = time.monotonic()
    while (now := time.monotonic() - start) < seconds(schedule):
        count = received()
        told = _connection(pods) if asked else {}
        adaptation = told.get("adaptation") or {}
        points.append(
            Point(
                now,
                count,
                adaptation.get("tier", ""),
                adaptation.get("congestion", "cubic" if asked else ""),
                told.get("congestion_window", 0),
                told.get("rtt_seconds", 0.0) * 1000,
            )
        )
        time.sleep(max(0.0, start + len(points) * WINDOW - time.monotonic()))
    return points


def _connection(pods: Network) -> dict[str, Any]:
    """The client's connection to the server, as its sidecar tells."""
    answer = run_in(f"/run/netns/{pods.client.pod.netns}", _connections)
    found = [item for item in answer if f"[{pods.server.address}]" in item["remote"]]
    return max(found, key=lambda item: int(item["bytes_sent"]), default={})


def _connections() -> list[dict[str, Any]]:
    with contextlib.closing(http.client.HTTPConnection("::1", ADMIN_PORT, timeout=5)) as asked:
        asked.request("GET", "/connections")
        found: list[dict[str, Any]] = json.loads(asked.getresponse().read())
        return found
