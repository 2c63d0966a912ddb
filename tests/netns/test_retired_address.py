"""A pod is gone, somebody still dials its address, and somebody else has it."""

from collections.abc import Iterator

import pytest

from netns.meshes import Echo, Running, eventually, running
from stoq.capture import nft
from stoq.capture.netns import run_in


@pytest.fixture(scope="module")
def mesh() -> Iterator[Running]:
    with running("client", "server") as made:
        yield made


def known(mesh: Running, name: str) -> bool:
    """Whether the registry tells the client of a pod."""
    registry = mesh.admin("client", "/config")["registry"]
    return any(found["name"] == name for found in registry["workloads"].values())


def test_what_was_a_pods_a_moment_ago_is_not_dialled_in_plaintext(mesh: Running) -> None:
    with Echo(mesh.pod("server")) as echo:
        assert mesh.reaches("client", "server")
        # At its address is one without the mesh now, who would take plaintext.
        mesh.mesh.sidecars["server"].stop()
        run_in(f"/run/netns/{mesh.pod('server').netns}", nft.undo)
        (mesh.mesh.store / "workload-server.yaml").unlink()
        assert eventually(lambda: not known(mesh, "server"))
        before = echo.accepted
        assert not mesh.reaches("client", "server")
        assert echo.accepted == before
        assert mesh.metric("client", "stoq_passthrough_total") == 0
