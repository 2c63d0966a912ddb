"""Replies about service records, read by dnspython."""

from collections.abc import Sequence

import dns.flags
import dns.message
import dns.rcode
import pytest

from stoq.registry import Endpoint, ServicePort
from stoq_sidecar.dns.answers import encode
from stoq_sidecar.dns.names import Found, look_up
from support.records_of_names import entry, state


def ask(
    name: str, kind: str, *entries: object, udp: bool = True, edns: int = -1, **more: object
) -> tuple[dns.message.Message, str]:
    services = state(*(entries or (entry(),))).services  # type: ignore[arg-type]
    query = dns.message.make_query(name, kind, use_edns=edns, payload=1232)
    below = tuple(name.lower().split(".")[:-1])
    reply, outcome = encode(
        query.to_wire(),
        below,
        look_up(services, below),
        udp=udp,
        **more,  # type: ignore[arg-type]
    )
    message = dns.message.from_wire(reply)
    assert query.is_response(message)
    assert message.flags & dns.flags.AA
    return message, outcome


def texts(section: Sequence[object]) -> list[str]:
    return [line for rrset in section for line in str(rrset).splitlines()]


SOA = "stoq. 1 IN SOA sidecar.stoq. nobody.invalid. 1 3600 600 86400 1"


def test_addresses_of_a_record_are_its_virtual_ones_for_as_long_as_it_says() -> None:
    assert texts(ask("db.shop.stoq", "AAAA")[0].answer) == ["db.shop.stoq. 7 IN AAAA fd53::1"]
    assert texts(ask("db.shop.stoq", "A")[0].answer) == ["db.shop.stoq. 7 IN A 240.0.0.1"]


def test_the_spelling_of_the_question_is_kept() -> None:
    message, _ = ask("Db.SHOP.stoq", "AAAA")
    assert texts(message.answer) == ["Db.SHOP.stoq. 7 IN AAAA fd53::1"]


def test_a_name_without_such_records_is_not_a_name_that_is_not() -> None:
    for name, kind in (("db.shop.stoq", "MX"), ("shop.stoq", "A"), ("_tcp.db.shop.stoq", "A")):
        message, outcome = ask(name, kind)
        assert (message.rcode(), outcome) == (dns.rcode.NOERROR, "no_data")
        assert (message.answer, texts(message.authority)) == ([], [SOA])
    message, outcome = ask("gone.shop.stoq", "A")
    assert (message.rcode(), outcome) == (dns.rcode.NXDOMAIN, "no_name")
    assert texts(message.authority) == [SOA]


def test_the_zone_has_a_soa_of_its_own() -> None:
    assert texts(ask("stoq", "SOA")[0].answer) == [SOA]


def test_srv_names_a_ports_number_and_comes_with_the_addresses() -> None:
    message, _ = ask("_pg._tcp.db.shop.stoq", "SRV")
    assert texts(message.answer) == ["_pg._tcp.db.shop.stoq. 7 IN SRV 0 1 5432 db.shop.stoq."]
    assert sorted(texts(message.additional)) == [
        "db.shop.stoq. 7 IN A 240.0.0.1",
        "db.shop.stoq. 7 IN AAAA fd53::1",
    ]
    assert ask("_pg._tcp.db.shop.stoq", "AAAA")[1] == "no_data"


def test_srv_of_the_record_itself_lists_every_port() -> None:
    ports = (ServicePort(80, 80), ServicePort(443, 443))
    message, _ = ask("db.shop.stoq", "SRV", entry(ports=ports))
    assert [line.split()[-2] for line in texts(message.answer)] == ["80", "443"]


def test_any_brings_what_there_is() -> None:
    kinds = [line.split()[3] for line in texts(ask("db.shop.stoq", "ANY")[0].answer)]
    assert sorted(kinds) == ["A", "AAAA", "SRV"]


def test_an_alias_leads_from_the_name_asked_for_to_the_records() -> None:
    query = dns.message.make_query("db.shop.stoq.cluster.local", "AAAA").to_wire()
    found = Found(entry(), entry().ports)
    reply, _ = encode(query, ("db", "shop"), found, alias=True, udp=True)
    assert texts(dns.message.from_wire(reply).answer) == [
        "db.shop.stoq.cluster.local. 7 IN CNAME db.shop.stoq.",
        "db.shop.stoq. 7 IN AAAA fd53::1",
    ]


def test_where_only_ipv6_is_allowed_no_ipv4_is_told() -> None:
    assert ask("db.shop.stoq", "A", ipv6_only=True)[1] == "no_data"
    message, _ = ask("_pg._tcp.db.shop.stoq", "SRV", ipv6_only=True)
    assert texts(message.additional) == ["db.shop.stoq. 7 IN AAAA fd53::1"]


def test_a_headless_record_has_the_addresses_of_its_live_endpoints() -> None:
    ends = (
        Endpoint("fd00::4"),
        Endpoint("fd00::5", terminating=True),
        Endpoint("fd00::6", weight=0),
    )
    message, _ = ask("db.shop.stoq", "AAAA", entry(vips=(), endpoints=ends))
    assert texts(message.answer) == ["db.shop.stoq. 7 IN AAAA fd00::4"]
    message, _ = ask("db.shop.stoq", "AAAA", entry(vips=(), endpoints=ends[1:]))
    assert texts(message.answer) == ["db.shop.stoq. 7 IN AAAA fd00::5"]
    assert ask("db.shop.stoq", "AAAA", entry(vips=(), endpoints=()))[1] == "no_data"


def test_programs_that_take_the_first_address_are_spread() -> None:
    headless = entry(vips=())
    firsts = {
        texts(ask("db.shop.stoq", "AAAA", headless)[0].answer)[0].split()[-1] for _ in range(40)
    }
    assert firsts == {"fd00::4", "fd00::5"}


MANY = entry(vips=(), endpoints=tuple(Endpoint(f"fd00::{n:x}") for n in range(1, 40)))


@pytest.mark.parametrize(
    ("udp", "edns", "cut"), [(True, -1, True), (True, 0, False), (False, -1, False)]
)
def test_what_is_too_long_for_udp_is_cut_and_whole_over_tcp(
    *, udp: bool, edns: int, cut: bool
) -> None:
    headless = entry(vips=(), endpoints=MANY.endpoints[:36])
    message, _ = ask("db.shop.stoq", "AAAA", headless, udp=udp, edns=edns)
    assert bool(message.flags & dns.flags.TC) is cut
    assert len(texts(message.answer)) == (0 if cut else 36)
    assert message.edns == edns
