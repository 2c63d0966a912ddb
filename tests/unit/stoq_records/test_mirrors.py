"""Mirrors in service records and policies."""

import pytest

from stoq.records.errors import RecordError
from support.records import record, service


def of_record(*mirrors):
    return service("db", "fd00::1", mirrors=list(mirrors)).spec.mirrors


def of_policy(*mirrors):
    return record("TransportPolicy", "p", {"mirrors": list(mirrors)}).spec.mirrors


def test_a_record_names_its_shadow_and_the_share():
    (found,) = of_record({"to": "db-shadow", "share": 100})
    assert (found.to, found.share) == ("db-shadow", 100)
    assert of_record() == ()


@pytest.mark.parametrize(
    ("of", "dialled"), [("db", ("shop", "db")), ("bank/ledger", ("bank", "ledger"))]
)
def test_a_policy_names_what_is_dialled_here_or_in_another_namespace(of, dialled):
    (found,) = of_policy({"of": of, "to": "db-shadow", "share": 10_000})
    assert found.dialled("shop") == dialled


def test_a_policy_that_says_nothing_is_not_one_that_says_none():
    assert record("TransportPolicy", "p", {}).spec.mirrors is None
    assert of_policy() == ()


@pytest.mark.parametrize("share", [0, 10_001, -1])
def test_a_share_is_of_ten_thousand(share):
    with pytest.raises(RecordError) as caught:
        of_record({"to": "db-shadow", "share": share})
    assert "share" in str(caught.value)


@pytest.mark.parametrize("name", ["", "Shadow", "other/shadow", "-x", "a.b"])
def test_a_shadow_is_a_record_of_the_same_namespace(name):
    with pytest.raises(RecordError, match=r"spec\.mirrors\[0\]\.to"):
        of_record({"to": name, "share": 1})
    with pytest.raises(RecordError, match=r"spec\.mirrors\[0\]\.to"):
        of_policy({"of": "db", "to": name, "share": 1})


@pytest.mark.parametrize("name", ["", "/db", "bank/", "a/b/c", "Bank/db"])
def test_what_a_policy_mirrors_is_a_record(name):
    with pytest.raises(RecordError, match=r"spec\.mirrors\[0\]\.of"):
        of_policy({"of": name, "to": "db-shadow", "share": 1})


def test_a_shadow_is_named_once():
    with pytest.raises(RecordError, match="listed twice") as caught:
        of_record({"to": "a", "share": 1}, {"to": "b", "share": 1}, {"to": "a", "share": 2})
    assert "spec.mirrors[2].to" in str(caught.value)
    with pytest.raises(RecordError, match="listed twice"):
        of_policy({"of": "a", "to": "b", "share": 1}, {"of": "a", "to": "b", "share": 1})
    assert len(of_policy({"of": "a", "to": "s", "share": 1}, {"of": "b", "to": "s", "share": 1}))


def test_mirrors_are_few():
    many = [{"to": f"s{number}", "share": 1} for number in range(5)]
    with pytest.raises(RecordError, match="use 4 at most"):
        of_record(*many)


def test_a_misspelt_field_is_named():
    with pytest.raises(RecordError, match="percent"):
        of_record({"to": "a", "share": 1, "percent": 5})
