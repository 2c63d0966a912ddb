"""The unmodified programs work between bare pods: what the mesh is compared with."""

import hashlib
from collections.abc import Iterator

import pytest

from lab import apps, plan
from lab.state import State
from netns import laboratories


@pytest.fixture(scope="module")
def pods() -> Iterator[tuple[State, plan.Pod, plan.Pod]]:
    with laboratories.pods("client", "server", ipv4=False) as (layout, state):
        yield state, layout.pod("client"), layout.pod("server")


def test_curl_fetches_a_file_whole(pods: tuple[State, plan.Pod, plan.Pod]) -> None:
    state, client, server = pods
    files = state.folder / "files"
    files.mkdir()
    content = b"0123456789" * 100_000
    (files / "million").write_bytes(content)
    apps.nginx(state, server, files)

    assert apps.fetch(client, server, "million") == hashlib.sha256(content).hexdigest()


def test_psql_is_answered_by_a_server_that_speaks_first(
    pods: tuple[State, plan.Pod, plan.Pod],
) -> None:
    state, client, server = pods
    apps.postgres(state, server, apps.postgres_prepare(state))

    assert apps.psql(client, server, "select 6 * 7") == "42"


def test_iperf3_moves_bytes(pods: tuple[State, plan.Pod, plan.Pod]) -> None:
    state, client, server = pods
    apps.iperf_server(state, server)

    assert apps.iperf(client, server, 1).bytes > 1_000_000
