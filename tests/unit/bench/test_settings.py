"""What the command line may say."""

from pathlib import Path

import pytest

from benchlib.errors import BenchError
from benchlib.settings import CANDIDATES, SCENARIOS, Settings, parse


def test_a_scenario_alone_has_the_defaults() -> None:
    [settings], output = parse(["bulk"])
    assert settings == Settings("bulk", mtu=1500, streams=1, seconds=10.0, rounds=5)
    assert (output.json, output.folder) == (False, None)


def test_every_option_arrives_where_it_belongs() -> None:
    words = "latency --mtu 9000 --seconds 3 --rounds 2 --rate 500 --connections 4 --new-connections"
    [settings], output = parse([*words.split(), "--pin", "--json", "--out", "results"])
    assert settings == Settings(
        "latency",
        mtu=9000,
        seconds=3.0,
        rounds=2,
        rate=500.0,
        connections=4,
        new_connections=True,
        pin=True,
    )
    assert (output.json, output.folder) == (True, Path("results"))


def test_ours_runs_beside_the_peers_that_are_named_in_the_order_of_the_tables() -> None:
    [settings], _ = parse(["bulk", "--peers", "envoy, direct"])
    assert settings.candidates == ("direct", "envoy", "stoq")


def test_ours_can_run_alone() -> None:
    [settings], _ = parse(["bulk", "--peers", "stoq"])
    assert settings.candidates == ("stoq",)


def test_an_unknown_peer_is_named_with_those_there_are() -> None:
    with pytest.raises(BenchError, match="'nginx' is not one of direct, tcp-relay, envoy"):
        parse(["bulk", "--peers", "nginx"])


@pytest.mark.parametrize(
    ("option", "value"),
    [("--mtu", "1279"), ("--mtu", "65536"), ("--rounds", "0"), ("--seconds", "0.1")],
)
def test_a_value_out_of_range_is_named_with_its_range(option: str, value: str) -> None:
    with pytest.raises(BenchError, match=f"{option}: {value} is outside"):
        parse(["bulk", option, value])


def test_a_scenario_is_needed() -> None:
    with pytest.raises(BenchError, match="name one scenario of bulk, latency"):
        parse([])


def test_smoke_is_every_scenario_once_in_miniature() -> None:
    benchmarks, _ = parse(["--smoke"])
    assert tuple(settings.scenario for settings in benchmarks) == SCENARIOS
    assert {(s.rounds, s.seconds, s.smoke) for s in benchmarks} == {(1, 1.0, True)}


def test_smoke_starts_every_peer_once_and_ours_in_every_scenario() -> None:
    ran = {settings.scenario: settings.candidates for settings in parse(["--smoke"])[0]}
    whole = {ran.pop(name) for name in ("bulk", "api", "tokens", "shards", "udp")}
    assert whole == {CANDIDATES}
    assert ran.pop("hop") == ("stoq-hop", "stoq-forwarded"), "directly it runs in all others"
    assert ran.pop("mirror") == ("stoq-mirrored", "stoq-unmirrored"), "theirs alone"
    assert set(ran.values()) == {("stoq",)}


def test_smoke_takes_no_scenario() -> None:
    with pytest.raises(BenchError, match="or --smoke for all of them"):
        parse(["bulk", "--smoke"])
