"""Crypto profiles by policy, over whole programs: preferred, required, and a mesh that changes."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from netns.meshes import PORT, Echo, Running, echoed, eventually, running

pytestmark = pytest.mark.alone

SECONDS = 20.0
"""From the file to a certificate of the other profile, on a busy machine."""

SMALL = "Ed25519+FALCON-512"
LARGE = "Ed25519+FALCON-1024"


@pytest.fixture
def mesh() -> Iterator[Running]:
    with running("client", "server") as made, Echo(made.pod("server")):
        assert made.reaches("client", "server")
        yield made


def between(mesh: Running) -> list[dict[str, Any]]:
    """The client's connections with the server."""
    server = mesh.mesh.spiffe_id(mesh.pod("server"))
    found = mesh.admin("client", "/connections")
    return [one for one in found if one["spiffe_id"] == server and one["state"] == "established"]


def shown(mesh: Running, pod: str) -> Any:
    return mesh.admin(pod, "/config")["crypto"]["profile"]


def policy(mesh: Running, pod: str, profile: str, mode: str) -> None:
    """A TransportPolicy for one pod, followed."""
    spec = {
        "selector": {"matchLabels": {"pod": pod}},
        "crypto": {"profile": profile, "mode": mode},
    }
    mesh.mesh.write("TransportPolicy", pod, spec)
    assert eventually(lambda: shown(mesh, pod) == profile, SECONDS)


def refused(mesh: Running, pod: str) -> float:
    return mesh.metric(pod, "stoq_crypto_profile_refused_total")


def label(mesh: Running, *pods: str) -> None:
    """Gives workloads the label `pod`, with their names here."""
    for pod in pods:
        file = mesh.mesh.store / f"workload-{mesh.pod(pod).name}.yaml"
        manifest = json.loads(file.read_text())
        manifest["metadata"]["labels"] = {"pod": pod}
        fresh = file.with_suffix(".new")
        fresh.write_text(json.dumps(manifest))
        fresh.replace(file)


def test_a_preferred_profile_is_used_where_the_pods_have_it_and_another_is_counted(
    mesh: Running,
) -> None:
    label(mesh, "client", "server")
    policy(mesh, "server", "hybrid-512", "prefer")

    def seen() -> bool:
        (connection,) = between(mesh)
        return (connection["signature"], connection["local_signature"]) == (SMALL, LARGE)

    assert eventually(seen, SECONDS), between(mesh)
    with mesh.dial("client", "server") as running:
        assert echoed(running)
        policy(mesh, "client", "hybrid-512", "prefer")
        assert eventually(lambda: between(mesh)[0]["local_signature"] == SMALL, SECONDS)
        assert echoed(running)
    assert refused(mesh, "client") == refused(mesh, "server") == 0


def test_a_required_profile_refuses_a_pod_with_another_from_either_end_and_says_why(
    mesh: Running,
) -> None:
    label(mesh, "client", "server")
    with mesh.dial("client", "server") as running:
        assert echoed(running)
        policy(mesh, "server", "hybrid-512", "require")
        assert eventually(lambda: not echoed(running), SECONDS)
    assert not mesh.reaches("client", "server")
    assert eventually(lambda: refused(mesh, "client") > 0)
    log = mesh.mesh.sidecars[mesh.pod("client").name].log.read_text()
    assert "requires crypto profile hybrid-512" in log or "hybrid-512 is required" in log
    policy(mesh, "client", "hybrid-512", "prefer")
    assert eventually(lambda: mesh.reaches("client", "server"), SECONDS)
    (connection,) = between(mesh)
    assert (connection["profile"], connection["signature"]) == ("hybrid-512", SMALL)
    policy(mesh, "client", "hybrid-1024", "require")
    assert eventually(lambda: not mesh.reaches("client", "server"), SECONDS)
    # Neither is cut off from the registry, whose own certificate is of the other profile.
    assert mesh.admin("server", "/config")["discovery"]["stale"] is False


def test_a_whole_mesh_of_the_small_degree_works_and_can_require_it() -> None:
    def small(made: Running) -> None:
        made.mesh.configure(profile="hybrid-512", crypto={"profile": "hybrid-512"})

    with running("client", "server", prepare=small) as mesh, Echo(mesh.pod("server")):
        both = ["hybrid-512"] * 2
        assert eventually(
            lambda: [shown(mesh, pod) for pod in ("client", "server")] == both, SECONDS
        )
        assert mesh.reaches("client", "server")
        with mesh.dial("client", "server", PORT) as connection:
            assert echoed(connection)
            mesh.mesh.configure(
                profile="hybrid-512", crypto={"profile": "hybrid-512", "mode": "require"}
            )

            def required() -> bool:
                return bool(
                    mesh.admin("server", "/config")["crypto"]["policy"]["mode"] == "require"
                )

            assert eventually(required, SECONDS)
            assert eventually(lambda: between(mesh)[0]["local_signature"] == SMALL, SECONDS)
            assert echoed(connection)
        assert refused(mesh, "client") == refused(mesh, "server") == 0


def test_a_pod_that_must_have_a_profile_is_ready_with_no_other() -> None:
    def strict(made: Running) -> None:
        made.mesh.configure(crypto={"profile": "hybrid-512", "mode": "require"})

    with running("client", "server", prepare=strict) as mesh, Echo(mesh.pod("server")):
        assert {shown(mesh, pod) for pod in ("client", "server")} == {"hybrid-512"}
        assert mesh.reaches("client", "server")
        assert refused(mesh, "client") == refused(mesh, "server") == 0
