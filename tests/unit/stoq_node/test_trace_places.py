"""Which namespaces are watched follows from the list of pods and from what is asked for."""

from stoq_node.pods import Pod
from stoq_node.trace.places import Filter, Numbers, Place, choose

WEB = Pod(namespace="shop", name="web-0", interface="veth1")
DB = Pod(namespace="shop", name="db-0", interface="veth2")
LOST = Pod(namespace="shop", name="lost-0", interface="veth3")
LINKS = {"veth1": 11, "veth2": 12, "veth4": 14}
BEHIND = {11: 4001, 12: 4002}


def test_without_a_filter_every_pod_with_a_link_is_watched_and_the_others_named() -> None:
    places, without = choose((WEB, DB, LOST), LINKS, BEHIND, Filter())
    assert places == (Place(WEB, 4001, 11), Place(DB, 4002, 12))
    assert without == {"shop/lost-0": "its link veth3 is not there"}


def test_a_link_that_leads_nowhere_known_is_named() -> None:
    _, without = choose((WEB,), LINKS, {}, Filter())
    assert "veth1 does not lead to a network namespace" in without["shop/web-0"]


def test_a_pod_whose_link_is_not_known_yet_says_why() -> None:
    pod = Pod(namespace="shop", name="new-0", interface="", obstacle="no route leads to fd00::1")
    _, without = choose((pod,), LINKS, BEHIND, Filter())
    assert without == {"shop/new-0": "its link is not known: no route leads to fd00::1"}


def test_a_pod_is_chosen_by_its_name_and_one_that_is_not_there_is_named() -> None:
    wanted = Filter(pods=frozenset({"shop/db-0", "shop/no"}))
    places, without = choose((WEB, DB, LOST), LINKS, BEHIND, wanted)
    assert places == (Place(DB, 4002, 12),)
    assert without == {"shop/no": "no pod of this node is called that"}


def test_a_namespace_is_chosen_whether_a_pod_is_in_it_or_not() -> None:
    wanted = Filter(namespaces={4001: "web", 5000: "lab"})
    places, without = choose((WEB, DB), LINKS, BEHIND, wanted)
    assert places[0] == Place(WEB, 4001, 11)
    assert (places[1].pod.name, places[1].namespace, places[1].link) == ("lab", 5000, 0)
    assert without == {}


def test_a_place_keeps_its_number_and_what_is_gone_is_known_a_little_longer() -> None:
    numbers = Numbers()
    web, db = Place(WEB, 4001, 11), Place(DB, 4002, 12)
    assert numbers.set((web,), node=1) == {(4001, 0): 1, (1, 11): 1}
    assert numbers.set((db, web), node=1) == {(4002, 0): 2, (1, 12): 2, (4001, 0): 1, (1, 11): 1}
    assert numbers.set((db,), node=1) == {(4002, 0): 2, (1, 12): 2}
    assert numbers.get(1) == web
    assert numbers.set((db,), node=1) == {(4002, 0): 2, (1, 12): 2}
    assert numbers.get(1) == web, "nothing has changed since"
    numbers.set((), node=1)
    assert numbers.get(1) is None
    assert numbers.get(2) == db
