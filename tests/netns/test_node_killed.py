"""kill -9 of each program of the mesh during traffic: strict mode holds, and traffic goes on."""

import pytest

from lab import outages
from lab.mesh import MeshSettings
from netns.meshes import PORT, Echo, running

SETTINGS = MeshSettings(inbound="strict", outbound="meshOnly")


@pytest.mark.timeout(240)
def test_nothing_in_the_clear_is_delivered_while_sidecar_agent_and_control_plane_are_killed() -> (
    None
):
    with running("client", "server", settings=SETTINGS) as mesh, Echo(mesh.pod("server")):
        pods = mesh.pod("client"), mesh.pod("server")
        with outages.trial(mesh.mesh, mesh.layout, *pods, PORT) as trial:
            unheld = trial.unheld()
            both_ways = {f"{kind} to {pod.name}" for kind in ("TCP", "UDP") for pod in pods}
            assert set(unheld.plaintext) == both_ways, "the witness sees what passes capture"

            trial.hold()
            before = trial.dropped()
            seen = {victim: trial.kill(victim) for victim in outages.VICTIMS}
            tried = sum(one.tries for one in seen.values())
            assert trial.dropped() - before >= tried, "each attempt was the kernel's to stop"

    assert {victim: one.plaintext for victim, one in seen.items()} == {key: {} for key in seen}
    assert min(one.tries for one in seen.values()) >= outages.ENOUGH
    assert seen["sidecar"].answers == 0, "without its sidecar the pod is silent"
    for victim in ("agent", "control plane"):
        assert seen[victim].answers > 0, f"peers that know each other go on without the {victim}"
