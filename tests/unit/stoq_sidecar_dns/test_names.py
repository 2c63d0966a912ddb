"""Which names are service records'."""

import pytest

from stoq.registry import ServiceEntry, ServicePort
from stoq_sidecar.dns.names import Found, Meaning, look_up, meaning
from stoq_sidecar.dns.wire import Labels
from support.records_of_names import entry, state

SEARCH = (("shop", "svc", "cluster", "local"), ("svc", "cluster", "local"), ("cluster", "local"))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("db.shop.stoq", Meaning(ours=("db", "shop"))),
        ("stoq", Meaning(ours=())),
        ("a.b.c.d.stoq", Meaning(ours=("a", "b", "c", "d"))),
        ("db.shop.stoq.svc.cluster.local", Meaning(alias=("db", "shop"))),
        ("db.shop.stoq.shop.svc.cluster.local", Meaning(alias=("db", "shop"))),
        ("db", Meaning(after=("db", "shop"))),
        ("db.bank", Meaning(after=("db", "bank"))),
        # Names of the cluster and of the world are not ours.
        ("db.shop.svc.cluster.local", Meaning()),
        ("stoq.cluster.local", Meaning()),
        ("stoq.example.org", Meaning()),
        ("", Meaning()),
    ],
)
def test_what_a_name_may_mean(name: str, expected: Meaning) -> None:
    labels = tuple(name.split(".")) if name else ()
    assert meaning(labels, SEARCH, "shop") == expected


PG, UNNAMED, STATS = (
    ServicePort(5432, 5432, "pg"),
    ServicePort(80, 80),
    ServicePort(9, 9, "s", "UDP"),
)
DB: ServiceEntry = entry(ports=(PG, UNNAMED, STATS))
SERVICES = state(DB, entry("web", "bank", kind="service")).services


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ((), Found()),
        (("shop",), Found()),
        (("db", "shop"), Found(DB, DB.ports)),
        (("_tcp", "db", "shop"), Found()),
        (("_udp", "db", "shop"), Found()),
        (("_pg", "_tcp", "db", "shop"), Found(DB, (PG,), service=True)),
        (("_s", "_udp", "db", "shop"), Found(DB, (STATS,), service=True)),
        (("_pg", "_udp", "db", "shop"), None),
        (("_sctp", "db", "shop"), None),
        (("x", "_pg", "_tcp", "db", "shop"), None),
        (("other", "shop"), None),
        # A Kubernetes Service has its name in the cluster's DNS.
        (("web", "bank"), None),
        (("bank",), None),
    ],
)
def test_what_is_at_a_name(labels: Labels, expected: Found | None) -> None:
    assert look_up(SERVICES, labels) == expected
