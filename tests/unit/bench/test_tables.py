"""Results as Markdown, and the names of what is written."""

import pytest

from benchlib.samples import RelayUse
from benchlib.settings import Settings
from benchlib.spread import Spread
from benchlib.tables import command, markdown, name, show
from support.bench import sample, two_rounds

MACHINE = {
    "cpus": 2,
    "cpu": "some processor",
    "kernel": "6.18",
    "rmem_max": 212992,
    "load_before": 0.1,
    "versions": {"envoy": "1.40.0"},
}


def test_a_page_repeats_the_command_and_describes_the_machine() -> None:
    page = markdown(two_rounds(), MACHINE, {})
    assert "`hack/bench bulk --mtu 1500 --rounds 2`" in page
    assert "2 × some processor, Linux 6.18" in page
    assert "envoy 1.40.0" in page


def test_each_candidate_has_a_row_with_its_spread_and_our_ratio() -> None:
    page = markdown(two_rounds(), MACHINE, {"envoy": "Envoy pair"})
    assert "| Envoy pair | 10 (10–10) | 0.85 (0.8–0.9) | 1.500 | 50, 100 |" in page
    assert "| direct | 16 (16–16) | 0.531 (0.5–0.562) | – | – |" in page
    assert "| stoq | 8.5 (8–9) | – |" in page


def test_a_gateways_relay_is_counted_where_there_is_one() -> None:
    rounds = two_rounds()
    assert "(client + server) | relay RSS MB (client, server) |" in markdown(rounds, MACHINE, {})
    over = sample(4.0)
    over.relays["gateway"] = RelayUse(1.0, 30.0)
    rounds.add("stoq-hop", over)
    page = markdown(rounds, MACHINE, {})
    assert "(client + server + gateway) | relay RSS MB (client, server, gateway) |" in page
    assert "| stoq-hop | 4 (4–4) | 2 (2–2) | 2.000 | 50, 100, 30 |" in page


def test_failures_are_on_the_page() -> None:
    rounds = two_rounds()
    rounds.failures.append(("envoy-h3", "no port"))
    assert markdown(rounds, MACHINE, {}).endswith("- envoy-h3: no port\n")


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (Settings("bulk"), "bulk-1500"),
        (Settings("bulk", mtu=9000, streams=4), "bulk-9000-4-streams"),
        (Settings("latency", new_connections=True), "latency-1500-new-connections"),
        (Settings("memory", idle_peers=10000), "memory-1500-10000-peers"),
        (Settings("cpu", pin=True), "cpu-1500-pinned"),
    ],
)
def test_files_are_named_after_what_sets_a_benchmark_apart(
    settings: Settings, expected: str
) -> None:
    assert name(settings) == expected


def test_the_command_names_how_many_are_stalled() -> None:
    assert command(Settings("stall")) == "hack/bench stall --mtu 1500"
    assert command(Settings("stall", stalled=500)) == "hack/bench stall --mtu 1500 --stalled 500"


def test_the_command_names_what_is_not_a_default() -> None:
    settings = Settings("memory", mtu=9000, idle_peers=10000, candidates=("stoq",), pin=True)
    assert command(settings) == (
        "hack/bench memory --mtu 9000 --idle-peers 10000 --peers stoq --pin"
    )


@pytest.mark.parametrize(
    ("spread", "shown"),
    [
        (None, "–"),
        (Spread(0.0123, 0.01, 0.02), "0.0123 (0.01–0.02)"),
        (Spread(1234.5, 999.9, 2000.0), "1234 (1000–2000)"),
    ],
)
def test_numbers_have_three_digits(spread: Spread | None, shown: str) -> None:
    assert show(spread) == shown
