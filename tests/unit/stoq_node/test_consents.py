"""Which pods are joined by what their sidecars offer."""

import dataclasses
from ipaddress import ip_address
from time import thread_time

import pytest

from stoq.broker.protocol import MAX_PEERS, MAX_PORTS, Offer, Peer, ProtocolError
from stoq_node.consents import CONSENT_SECONDS, Consents, Member, Pair

WEB, DB = "spiffe://td/ns/shop/sa/web", "spiffe://td/ns/shop/sa/db"


def member(name: str, link: int, *addresses: str) -> Member:
    found = frozenset(map(ip_address, addresses))
    return Member(f"shop/{name}", found, link, f"/run/netns/{name}", name)


MEMBERS = {"w": member("web", 7, "fd00::a", "10.0.0.10"), "d": member("db", 9, "fd00::d")}


def to_db(**fields: object) -> Offer:
    about = {"spiffe_id": DB, "addresses": ("fd00::d",), "dials": (5432, 14020), **fields}
    return Offer(spiffe_id=WEB, peers=(Peer(**about),))  # type: ignore[arg-type]


def from_web(**fields: object) -> Offer:
    about = {
        "spiffe_id": WEB,
        "addresses": ("fd00::a", "10.0.0.10"),
        "admits": (5432, 14020, 9000),
        **fields,
    }
    return Offer(spiffe_id=DB, peers=(Peer(**about),))  # type: ignore[arg-type]


def agreed(web: Offer, db: Offer, members: dict[str, Member] | None = None) -> frozenset[Pair]:
    consents = Consents()
    consents.offer("w", web, 0.0)
    consents.offer("d", db, 0.0)
    return consents.agreed(MEMBERS if members is None else members, 1.0)


def test_two_that_name_each_other_are_joined_at_the_port_that_both_name() -> None:
    (pair,) = agreed(to_db(), from_web())
    assert pair.entry == (7, "fd00::a", 9, "fd00::d", 5432)
    assert (pair.client.pod, pair.server.netns) == ("shop/web", "/run/netns/db")
    assert str(pair) == "shop/web to shop/db, fd00::d port 5432"


@pytest.mark.parametrize(
    ("web", "db"),
    [
        (to_db(), Offer(spiffe_id=DB)),
        (Offer(spiffe_id=WEB), from_web()),
        (to_db(spiffe_id=WEB), from_web()),
        (to_db(), from_web(spiffe_id=DB)),
        (to_db(addresses=("fd00::e",)), from_web()),
        (to_db(), from_web(addresses=("fd00::e",))),
        (to_db(), from_web(addresses=("10.0.0.10",))),
        (to_db(dials=(80,)), from_web()),
        (to_db(), from_web(admits=(80,))),
        (to_db(dials=(14020,)), from_web()),
        (to_db(dials=(), admits=(5432,)), from_web(admits=(), dials=(5432,))),
    ],
)
def test_one_sided_different_or_stoqs_own_is_no_agreement(web: Offer, db: Offer) -> None:
    joined = {pair.entry[:4] for pair in agreed(web, db)}
    assert joined <= {(9, "fd00::d", 7, "fd00::a")}, "only the other way may be agreed"
    assert all(pair.client.pod == "shop/db" for pair in agreed(web, db))


def test_both_ways_may_be_joined() -> None:
    web, db = to_db(admits=(8080,)), from_web(dials=(8080,))
    assert {pair.entry[0] for pair in agreed(web, db)} == {7, 9}


def test_an_address_is_the_pods_of_whom_the_api_server_says_so() -> None:
    elsewhere = {**MEMBERS, "d": member("db", 9, "fd00::e")}
    assert agreed(to_db(), from_web(), elsewhere) == frozenset()
    assert agreed(to_db(), from_web(), {"w": MEMBERS["w"]}) == frozenset()


def test_an_agreement_ends_with_its_offers_time_and_at_once_when_less_is_offered() -> None:
    consents = Consents()
    consents.offer("w", to_db(), 0.0)
    consents.offer("d", from_web(), 3.0)
    assert consents.agreed(MEMBERS, CONSENT_SECONDS - 0.1)
    assert not consents.agreed(MEMBERS, CONSENT_SECONDS)
    assert consents.offer("w", to_db(), 6.0), "it had ended"
    assert consents.agreed(MEMBERS, 6.0)
    assert not consents.offer("w", to_db(), 7.0)
    assert consents.offer("w", to_db(dials=()), 7.1)
    assert not consents.agreed(MEMBERS, 7.1)


def test_what_is_no_address_is_refused() -> None:
    with pytest.raises(ProtocolError, match="nowhere"):
        Consents().offer("w", to_db(addresses=("nowhere",)), 0.0)


@pytest.mark.parametrize("field", ["key", "service_account"])
def test_who_speaks_in_the_name_of_another_is_not_heard(field: str) -> None:
    other = dataclasses.replace(MEMBERS["w"], **{field: "other/web"})  # type: ignore[arg-type]
    assert agreed(to_db(), from_web(), {**MEMBERS, "w": other}) == frozenset()
    nobody = Offer(spiffe_id="web", peers=to_db().peers)
    assert agreed(nobody, from_web(spiffe_id="web")) == frozenset()


def test_two_pods_take_no_more_room_than_a_peer_of_an_offer_has() -> None:
    ports = [tuple(range(first, first + MAX_PORTS)) for first in range(1, 12_000, MAX_PORTS)]
    web = Offer(spiffe_id=WEB, peers=tuple(to_db(dials=some).peers[0] for some in ports))
    db = Offer(spiffe_id=DB, peers=tuple(from_web(admits=some).peers[0] for some in ports))
    assert len(agreed(web, db)) == MAX_PORTS


def test_the_most_that_can_be_offered_is_read_in_time() -> None:
    members = {str(number): member("web", number, f"10.0.0.{number}") for number in range(1, 11)}
    every = tuple(f"10.0.0.{number}" for number in range(2, 10))
    peers = tuple(Peer(spiffe_id=WEB, addresses=every, dials=(80,)) for _ in range(MAX_PEERS))
    consents = Consents()
    for uid in members:
        consents.offer(uid, Offer(spiffe_id=WEB, peers=peers), 0.0)
    began = thread_time()
    consents.agreed(members, 1.0)
    assert thread_time() - began < 0.5


def test_a_side_that_has_offered_less_since_refuses() -> None:
    (pair,) = agreed(to_db(), from_web())
    consents = Consents()
    assert not consents.refused(pair), "nobody has said anything"
    consents.offer("w", to_db(), 0.0)
    assert not consents.refused(pair)
    consents.offer("d", from_web(admits=(80,)), 0.0)
    assert consents.refused(pair)
    consents.offer("d", from_web(), 0.0)
    assert not consents.refused(pair)
    consents.offer("w", to_db(addresses=("fd00::e",)), 0.0)
    assert consents.refused(pair)
