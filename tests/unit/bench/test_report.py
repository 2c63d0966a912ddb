"""The JSON object that hack/bench prints."""

import json
from typing import Any

from benchlib.report import to_json
from support.bench import sample, two_rounds


def printed(rounds: Any) -> dict[str, Any]:
    """As a reader of standard output has it."""
    decoded: dict[str, Any] = json.loads(json.dumps(to_json(rounds, {"kernel": "6.18"})))
    return decoded


def result(candidate: str) -> dict[str, Any]:
    """The one result of a candidate."""
    found: list[dict[str, Any]] = printed(two_rounds())["results"]
    [one] = [entry for entry in found if entry["candidate"] == candidate]
    return one


def test_the_object_names_machine_and_settings() -> None:
    shown = printed(two_rounds())
    assert shown["machine"] == {"kernel": "6.18", "steal_cores": 0.0067}
    assert shown["settings"]["mtu"] == 1500
    assert shown["settings"]["rounds"] == 2


def test_a_result_has_value_unit_cpu_and_memory() -> None:
    ours = result("stoq")
    assert ours["value"] == {"median": 8.5, "min": 8.0, "max": 9.0}
    assert (ours["unit"], ours["rounds"]) == ("Gbit/s", [8.0, 9.0])
    # 2 and 4 CPU-seconds for 2 GB.
    assert ours["cpu_seconds_per_gb"] == 3.0
    assert ours["rss_mb"] == 100.0
    assert ours["relays"]["client"] == {"cpu_seconds_per_gb": 1.0, "rss_mb": 50.0}


def test_a_path_without_relays_has_no_relay_costs() -> None:
    direct = result("direct")
    assert (direct["cpu_seconds_per_gb"], direct["rss_mb"], direct["relays"]) == (None, None, {})


def test_ratios_are_ours_over_each_peers() -> None:
    shown = printed(two_rounds())
    assert shown["ratios"] == {
        "direct": {"median": 0.5312, "min": 0.5, "max": 0.5625},
        "envoy": {"median": 0.85, "min": 0.8, "max": 0.9},
    }
    assert shown["ratios_by_metric"] == {"throughput": shown["ratios"]}


def test_a_failure_is_told_with_its_cause() -> None:
    rounds = two_rounds()
    rounds.failures.append(("envoy-h3", "no port"))
    assert printed(rounds)["failures"] == [{"candidate": "envoy-h3", "error": "no port"}]


def test_no_measurement_is_an_object_too() -> None:
    rounds = two_rounds()
    rounds.samples.clear()
    shown = printed(rounds)
    assert (shown["results"], shown["ratios"], shown["machine"]["steal_cores"]) == ([], {}, 0.0)


def test_cpu_per_gb_needs_a_relay_and_data() -> None:
    one = sample(1.0)
    assert one.cpu_per_gb("server") == 1.0
    assert one.cpu_per_gb("elsewhere") is None
