"""What can be asked of the demonstration."""

import pytest

from lab.demo import options, scenario

SCENARIOS = {"shard": "an object", "udp": "datagrams"}


@pytest.mark.parametrize(
    "arguments",
    [
        ["--mtu", "1000"],
        ["--pods", "1"],
        ["--mtu", "x"],
        ["--x"],
        ["--ebpf", "--capture", "node"],
        ["--scenario", "shar"],
        ["--scenario", "udp", "--pods", "3"],
        ["--scenario", "udp", "--capture", "node"],
        ["--path", "branch-office", "--scenario", "shard"],
        ["--ebpf", "--scenario", "shard"],
    ],
)
def test_options_out_of_range_are_refused_by_value(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        options.parse(arguments, SCENARIOS)
    assert stopped.value.code == 2
    assert arguments[-1] in capsys.readouterr().err


def test_options_default_to_two_pods_at_the_common_mtu() -> None:
    assert options.parse([], SCENARIOS) == options.Options()
    assert (options.Options().pods, options.Options().mtu) == (2, 1500)


def test_a_scenario_can_be_had_with_another_mtu_and_as_an_object() -> None:
    chosen = options.parse(["--scenario", "udp", "--mtu", "9000", "--json", "--keep"], SCENARIOS)

    assert chosen == options.Options(scenario="udp", mtu=9000, json=True, keep=True)


def test_the_help_says_what_each_scenario_shows(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        options.parse(["--help"], SCENARIOS)
    assert stopped.value.code == 0
    assert "udp      datagrams" in capsys.readouterr().out


def test_every_module_of_scenarios_is_one_that_says_what_it_shows_and_needs_a_control_process() -> (
    None
):
    found = scenario.find()

    assert {"mirror", "shard", "udp"} <= found.keys()
    for each in found.values():
        assert each.summary
        assert any("control" in pod for pod in each.pods)


def test_programs_that_are_not_here_are_named() -> None:
    plain = scenario.Scenario("nothing", (), lambda _: None, programs=("no-such-program", "sh"))

    assert "no-such-program" in plain.missing()
    assert "sh" not in plain.missing()
