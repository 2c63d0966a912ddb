"""Reading options from file and environment."""

from dataclasses import dataclass

import pytest

from stoq.settings.kinds import choice, flag, integer, number, ports, text
from stoq.settings.options import SettingsError, describe, dump, load, option


@dataclass(frozen=True, slots=True, kw_only=True)
class Drain:
    seconds: float = option(2.0, number(0, 60, "seconds"), "the kubelet waits no longer")
    loud: bool = option(default=False, kind=flag(), why="nobody listens")


@dataclass(frozen=True, slots=True, kw_only=True)
class Net:
    mode: str = option("init", choice(("init", "node")), "most clusters")
    workers: int = option(0, integer(0, 64), "0: one per CPU")
    skip: tuple[object, ...] = option((), ports(), "nothing")  # type: ignore[arg-type]
    name: str = option("", text(), "no default")


@dataclass(frozen=True, slots=True, kw_only=True)
class Root:
    drain: Drain
    net: Net


def test_defaults_hold_when_nothing_is_given() -> None:
    assert load(Root, "", {}) == Root(drain=Drain(), net=Net())


def test_the_environment_wins_over_the_file() -> None:
    found = load(
        Root,
        '[drain]\nseconds = 3\nloud = true\n[net]\nskip = [443, "8000-8010"]\n',
        {"STOQ_DRAIN_SECONDS": " 4.5 ", "PATH": "/bin"},
    )
    assert found.drain == Drain(seconds=4.5, loud=True)
    assert [str(port) for port in found.net.skip] == ["443", "8000-8010"]


def test_every_mistake_is_reported_at_once() -> None:
    with pytest.raises(SettingsError) as refused:
        load(
            Root,
            '[net]\nmode = "x"\ncolour = 1\n[nett]\n',
            {"STOQ_NET_WORKERS": "65", "STOQ_NOTHING": "1", "STOQ_DRAIN_SECOND": "1"},
            "stoq.toml",
        )
    default = "(leave it out for the default, {})"
    assert str(refused.value).splitlines() == [
        "stoq.toml: net.colour is unknown; [net] has mode, workers, skip, name",
        "stoq.toml: [nett] is unknown; tables are drain, net",
        "STOQ_DRAIN_SECOND is unknown; this group has STOQ_DRAIN_SECONDS, STOQ_DRAIN_LOUD",
        "STOQ_NOTHING is unknown; --help lists all variables",
        "stoq.toml: net.mode is 'x'; it must be one of init, node " + default.format("init"),
        "STOQ_NET_WORKERS is '65'; it must be a whole number from 0 to 64 " + default.format(0),
    ]


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("STOQ_DRAIN_SECONDS", "nan"),
        ("STOQ_DRAIN_SECONDS", "inf"),
        ("STOQ_DRAIN_SECONDS", "-1"),
        ("STOQ_DRAIN_SECONDS", "two"),
        ("STOQ_DRAIN_LOUD", "yes"),
        ("STOQ_NET_WORKERS", "1.5"),
        ("STOQ_NET_WORKERS", "٣"),
        ("STOQ_NET_WORKERS", ""),
        ("STOQ_NET_SKIP", "http"),
    ],
)
def test_a_malformed_value_names_variable_and_value(variable: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"{variable} is '{value}'"):
        load(Root, "", {variable: value})


def test_kubernetes_service_links_are_not_mistaken_for_settings() -> None:
    links = {
        "STOQ_OPERATOR_SERVICE_HOST": "10.0.0.1",
        "STOQ_OPERATOR_SERVICE_PORT": "14012",
        "STOQ_OPERATOR_SERVICE_PORT_REGISTRY": "14012",
        "STOQ_OPERATOR_PORT": "udp://10.0.0.1:14012",
        "STOQ_OPERATOR_PORT_14012_UDP": "udp://10.0.0.1:14012",
        "STOQ_OPERATOR_PORT_14012_UDP_ADDR": "10.0.0.1",
    }
    assert load(Root, "", links) == load(Root, "", {})


@pytest.mark.parametrize("toml", ["[drain", "drain = 1", "[drain]\nseconds = 2020-01-01"])
def test_a_file_of_another_shape_is_refused(toml: str) -> None:
    with pytest.raises(SettingsError, match="stoq.toml"):
        load(Root, toml, {}, "stoq.toml")


def test_the_dump_shows_every_option_as_text() -> None:
    assert dump(load(Root, "[net]\nskip = '1-2,9'", {})) == {
        "drain": {"seconds": "2.0", "loud": "false"},
        "net": {"mode": "init", "workers": "0", "skip": "1-2,9", "name": ""},
    }


def test_the_description_lists_variable_default_kind_and_reason() -> None:
    described = list(describe(Root))
    assert described[0] == (
        "STOQ_DRAIN_SECONDS", "2.0", "a number from 0 to 60 seconds", "the kubelet waits no longer",
    )  # fmt: skip
    assert len(described) == 6


def test_a_group_must_be_declared_with_options() -> None:
    @dataclass(frozen=True)
    class Loose:
        number: int = 1

    @dataclass(frozen=True)
    class WithLoose:
        loose: Loose

    @dataclass(frozen=True)
    class Flat:
        number: int = 1

    with pytest.raises(TypeError, match="not declared with option"):
        list(describe(WithLoose))
    with pytest.raises(TypeError, match="must be a dataclass of options"):
        load(Flat, "", {})
