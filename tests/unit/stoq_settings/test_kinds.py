"""Kinds of values beyond the simple ones."""

import pytest

from stoq.settings.kinds import addresses, host_and_port, networks, split_host_and_port, text


def test_addresses_and_networks_are_lists() -> None:
    assert [str(a) for a in addresses().parse("fd00::2, 10.0.0.2,")] == ["fd00::2", "10.0.0.2"]
    assert [str(n) for n in networks().parse("fd00::/64")] == ["fd00::/64"]


def test_host_and_port_takes_names_and_both_families() -> None:
    assert split_host_and_port("registry.stoq-system.svc:14012") == (
        "registry.stoq-system.svc",
        14012,
    )
    assert split_host_and_port("[fd00::9]:14012") == ("fd00::9", 14012)
    assert host_and_port().parse("") == ""


@pytest.mark.parametrize("value", ["fd00::9:14012", "host", ":80", "host:0", "host:65536", "h:x"])
def test_a_host_without_usable_port_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match=r"brackets|port"):
        host_and_port().parse(value)


def test_text_can_be_bound_to_a_pattern() -> None:
    lower = text(pattern=str.islower, expects="lower case")
    assert lower.parse("abc") == "abc"
    with pytest.raises(ValueError):  # noqa: PT011  (the sentence is made where the name is known)
        lower.parse("Abc")
