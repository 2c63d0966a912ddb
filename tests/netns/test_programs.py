"""The unmodified programs work between bare pods: what the mesh is compared with."""

import hashlib
import threading
from collections.abc import Iterator

import pytest

from lab import apps, plan
from lab.command import CommandError
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


def test_iperf3_that_gives_up_is_told_by_its_own_words(
    pods: tuple[State, plan.Pod, plan.Pod],
) -> None:
    _, client, _ = pods
    with pytest.raises(CommandError, match=r"iperf3 -J .*: .*Connection refused"):
        apps.iperf(client, client, 1)


def test_iperf3_moves_bytes(pods: tuple[State, plan.Pod, plan.Pod]) -> None:
    state, client, server = pods
    apps.iperf_server(state, server)

    assert apps.iperf(client, server, 1).bytes > 1_000_000

    def also() -> None:
        moved.append(apps.iperf(client, server, 1).bytes)

    # Its server has time for one client: the other one asks again.
    moved: list[int] = []
    both = [threading.Thread(target=also) for _ in range(2)]
    for one in both:
        one.start()
    for one in both:
        one.join()
    assert len(moved) == 2
    assert min(moved) > 1_000_000
