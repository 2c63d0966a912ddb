"""A sidecar adapts while the path of a running connection changes: nobody helps it."""

import pytest

from lab.netlab import path, schedule
from lab.netlab.route import End, Route
from lab.netns import Link
from lab.plan import Plan, Pod
from lab.state import State
from netns.meshes import eventually, running
from netns.transfers import Upload, adaptation

pytestmark = [pytest.mark.alone, pytest.mark.timeout(400)]

SECONDS = 100.0
"""For a tier to change. How soon it does is `hack/bench adapt`'s to say."""

FALL_AND_RISE = """
[[steps]]
seconds = 1
rate_mbit = 40
delay_ms = 5
[[steps]]
seconds = 8
rate_mbit = 8
delay_ms = 5
[[steps]]
rate_mbit = 40
delay_ms = 5
"""


def test_a_connection_follows_its_path_down_and_up_again_and_loses_nothing() -> None:
    laid: list[Route] = []

    def links(state: State) -> dict[str, Link]:
        def link(plan: Plan, pod: Pod) -> None:
            near, far = End(pod.netns, "eth0"), End(plan.fabric, pod.port)
            steps = schedule.parse(FALL_AND_RISE, "fall-and-rise.toml")
            laid.append(path.lay(state, near, far, steps, mtu=plan.mtu, hold=True))

        return {"client": link}

    with running("client", "server", links=links) as mesh:
        upload = Upload(mesh)
        assert eventually(lambda: upload.bytes[1] > 0, SECONDS)

        def decided(tier: str) -> bool:
            last = [(change["to"], change["cause"]) for change in adaptation(mesh)["changes"][:1]]
            return last == [(tier, "measured")]

        assert eventually(lambda: decided("standard"), SECONDS), adaptation(mesh)
        laid[0].begin()
        assert eventually(lambda: decided("home"), SECONDS), adaptation(mesh)
        assert eventually(lambda: decided("standard"), SECONDS), adaptation(mesh)
        assert upload.end(), upload.bytes
