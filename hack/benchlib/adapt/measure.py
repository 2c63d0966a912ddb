"""One flow over one path: what arrives, and what the sender's sidecar tells of it."""

import contextlib
import http.client
import json
import math
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar, TypeVar

from benchlib import network
from benchlib.adapt import flow
from benchlib.adapt.decisions import Decisions
from benchlib.adapt.series import LOOK, SAMPLE, Point, Seen
from benchlib.candidates.base import Bench, Candidate
from benchlib.candidates.envoy import EnvoyBbr, EnvoyCubic
from benchlib.candidates.quinn import QuinnRelay
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

T = TypeVar("T")

PORT = 5201
ADMIN_PORT = 14000

LEAST_SECONDS = 10.0
"""How long a path that does not change is looked at."""


class Fixed(Stoq):
    """Ours without adaptation: CUBIC and the windows that are configured."""

    name: ClassVar[str] = "fixed"
    title: ClassVar[str] = "STOQ, fixed defaults"
    environment: ClassVar[dict[str, str]] = {"STOQ_ADAPT_MODE": "off"}


CANDIDATES: dict[str, Candidate] = {
    "adapting": Stoq(),
    "fixed": Fixed(),
    "quinn": QuinnRelay(),
    "envoy-cubic": EnvoyCubic(),
    "envoy-bbr": EnvoyBbr(),
}

TITLES = {
    "adapting": "STOQ, adapting",
    "fixed": Fixed.title,
    "quinn": "stock quinn, CUBIC",
    "envoy-cubic": EnvoyCubic.title,
    "envoy-bbr": EnvoyBbr.title,
}

BUILT = frozenset({"quinn"})
"""Those of hack/peers, which have to be built."""


def seconds(schedule: Schedule) -> float:
    """How long a path is looked at."""
    return schedule.seconds or LEAST_SECONDS


def measure(name: str, schedule: Schedule, found: Tools, certificates: Certificates) -> Seen:
    """What was seen of a candidate. The path is its first step until the flow begins."""
    routes: list[Route] = []

    def link(state: State) -> Link:
        def make(plan: Plan, pod: Pod) -> None:
            near, far = End(pod.netns, "eth0"), End(plan.fabric, pod.port)
            routes.append(path.lay(state, near, far, schedule, mtu=plan.mtu, hold=True))

        return make

    with network.pair(1500, pin=False, link=link) as pods:
        bench = Bench(Settings("bulk"), pods, found, certificates)
        candidate = CANDIDATES[name]
        with (
            flow.receiver(pods.server, PORT) as received,
            candidate.route(bench, PORT) as route,
            flow.sender(pods.client, (route.host, route.port), received),
        ):
            start = routes[0].begin()
            asked = _Asked(pods) if isinstance(candidate, Stoq) else None
            return _watch(start, seconds(schedule), received, asked)


class _Asked:
    """What the client's sidecar tells of the connection, look by look."""

    def __init__(self, pods: Network) -> None:
        self._pods = pods
        self.decisions = Decisions()

    def look(self, start: float, received: Callable[[], int]) -> Point:
        asked = time.monotonic() - start
        told = _connection(self._pods)
        answered = time.monotonic() - start
        adaptation = told.get("adaptation") or {}
        self.decisions.note(asked, answered, adaptation.get("changes", ()))
        return Point(
            answered,
            received(),
            adaptation.get("tier", ""),
            adaptation.get("congestion", "cubic"),
            told.get("congestion_window", 0),
            told.get("rtt_seconds", 0.0) * 1000,
            (adaptation.get("pacing_rate") or 0) / 1e6,
        )


def _watch(start: float, lasts: float, received: Callable[[], int], asked: _Asked | None) -> Seen:
    """Samples and looks, each at its own pace: an answer takes as long as the sidecar is busy."""

    def look() -> Point:
        if asked is not None:
            return asked.look(start, received)
        return Point(time.monotonic() - start, received())

    def sample() -> tuple[float, int]:
        return time.monotonic() - start, received()

    with ThreadPoolExecutor(1) as beside:
        looks = beside.submit(_every, LOOK, start, lasts, look)
        arrivals = _every(SAMPLE, start, lasts, sample)
        points = looks.result()
    return Seen(points, arrivals, asked.decisions.found if asked else ())


def _every(interval: float, start: float, lasts: float, look: Callable[[], T]) -> list[T]:
    found: list[T] = []
    while (now := time.monotonic() - start) < lasts:
        found.append(look())
        # What came late is not made up for.
        due = (math.floor(now / interval) + 1) * interval
        time.sleep(max(0.0, start + due - time.monotonic()))
    return found


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
