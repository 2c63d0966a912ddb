"""Fixtures of the hostile ring: a mesh that every test of a module abuses. Needs root."""

from collections.abc import Iterator

import pytest

from netns.meshes import Running, running


@pytest.fixture(scope="module")
def mesh() -> Iterator[Running]:
    """Pods `server` and `client` with a sidecar, `outside` without one."""
    with running("server", "client") as made:
        yield made


@pytest.fixture(autouse=True)
def sidecars_live_on(mesh: Running) -> Iterator[None]:
    """Whatever a test does, every sidecar and the control process are there afterwards."""
    yield
    assert mesh.mesh.control is not None
    for process in (mesh.mesh.control, *mesh.mesh.sidecars.values()):
        assert process.running(), f"{process.name} ended:\n{process.tail()}"
        assert "panicked" not in process.log.read_text(errors="replace"), process.tail()
