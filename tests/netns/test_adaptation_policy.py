"""A TransportPolicy pins and bounds connections that run: nothing is restarted, no byte is lost."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from netns.meshes import Echo, Running, eventually, running
from netns.transfers import Transfer, adaptation
from support.patience import quickly

pytestmark = pytest.mark.alone

SECONDS = 1.0
"""From the file to the connection."""


@pytest.fixture(scope="module")
def mesh() -> Iterator[Running]:
    with running("client", "server") as made, Echo(made.pod("server")):
        assert made.reaches("client", "server")
        yield made


def holds(mesh: Running, tier: str, congestion: str) -> bool:
    """Whether it does, in the end."""

    def now() -> bool:
        found = adaptation(mesh)
        return (found["tier"], found["congestion"]) == (tier, congestion)

    return eventually(now)


def test_a_policy_is_followed_within_a_second_while_bytes_run(mesh: Running) -> None:
    def pinned() -> None:
        pins = {"tier": "home", "congestion": "newreno", "maxRate": 400_000_000}
        mesh.mesh.write("TransportPolicy", "pinned", {"adaptation": pins})
        assert holds(mesh, "home", "newreno"), adaptation(mesh)

    def slow() -> Path:
        file = mesh.mesh.write("TransportPolicy", "pinned", {"adaptation": {"tier": "slow"}})
        assert holds(mesh, "slow", "bbr3"), adaptation(mesh)
        return file

    transfer = Transfer(mesh)
    for attempt in quickly(SECONDS):
        slow()
        with attempt:
            pinned()
    binding = mesh.admin("client", "/adapt")
    assert binding["policy"] == {
        "policy": "demo/pinned", "tier": "home", "congestion": "newreno", "max_rate": 400_000_000,
    }  # fmt: skip
    for attempt in quickly(SECONDS):
        pinned()
        with attempt:
            slow()
    moved = transfer.bytes[1]
    assert eventually(lambda: transfer.bytes[1] > moved)
    for attempt in quickly(SECONDS):
        file = slow()
        with attempt:
            file.unlink()
            assert eventually(lambda: mesh.admin("client", "/adapt")["policy"] is None)
    assert transfer.end(), transfer.bytes
    assert any(change["cause"] == "policy" for change in adaptation(mesh)["changes"])


def test_a_new_connection_begins_as_the_policy_says_and_a_pin_by_hand_yields(mesh: Running) -> None:
    file = mesh.mesh.write("TransportPolicy", "wan", {"adaptation": {"congestion": "bbr3"}})
    assert eventually(lambda: mesh.admin("client", "/adapt")["policy"] is not None)
    assert mesh.reaches("client", "server")
    assert adaptation(mesh)["congestion"] == "bbr3"
    url = "http://[::1]:14000/adapt"
    status, text = mesh.page("client", f"{url}?congestion=cubic", "-X", "POST")
    assert status == 400
    assert "congestion cubic: TransportPolicy demo/wan pins bbr3" in text
    file.unlink()


def test_a_policy_for_other_pods_changes_nothing(mesh: Running) -> None:
    assert eventually(lambda: mesh.admin("client", "/adapt")["policy"] is None)
    other = {"selector": {"matchLabels": {"app": "elsewhere"}}, "adaptation": {"tier": "slow"}}
    file = mesh.mesh.write("TransportPolicy", "other", other)
    strict = mesh.mesh.write("TransportPolicy", "here", {"adaptation": {"maxTier": "enterprise"}})
    assert eventually(lambda: mesh.admin("client", "/adapt")["policy"] is not None)
    assert mesh.admin("client", "/adapt")["policy"]["policy"] == "demo/here"
    file.unlink()
    strict.unlink()
