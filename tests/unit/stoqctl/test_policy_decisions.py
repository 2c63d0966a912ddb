import pytest

from stoq.records.manifest import decode
from stoq.spiffe import SpiffeId
from stoqctl.policy.decide import decide
from stoqctl.policy.translate import translate
from unit.stoqctl.mesh import pod

WEB = SpiffeId("cluster.local", "shop", "web")
NAMESPACES = [
    {"metadata": {"name": "shop", "labels": {}}},
    {"metadata": {"name": "ops", "labels": {"team": "ops"}}},
]
PODS = [pod("web-0"), pod("db-0"), pod("probe-0", "ops")]


def policy(name="a", action="allow", *rules, **spec):
    return decode(
        {
            "apiVersion": "stoq.dev/v1alpha1",
            "kind": "AccessPolicy",
            "metadata": {"name": name, "namespace": "shop"},
            "spec": {"action": action, "rules": list(rules) or [{}], **spec},
        }
    )


def verdict(*policies, port=5432):
    return decide(policies, WEB, "shop", {"app": "db"}, port)


def test_without_policies_everyone_of_the_mesh_may_connect():
    assert verdict().allowed
    assert verdict(policy(selector={"matchLabels": {"app": "other"}}, action="deny")).allowed


@pytest.mark.parametrize(
    "caller",
    [{"spiffeIds": [str(WEB)]}, {"namespaces": ["shop"]}, {"serviceAccounts": ["shop/web"]}],
)
def test_a_caller_is_known_by_any_of_its_names(caller):
    assert verdict(policy("a", "allow", {"from": caller})).by == "shop/a"
    assert not verdict(policy("a", "deny", {"from": caller})).allowed


def test_what_no_allow_policy_names_is_refused():
    found = verdict(policy("a", "allow", {"from": {"namespaces": ["ops"]}}))
    assert (found.allowed, found.by) == (False, "")
    assert "none allows this caller on port 5432" in found.why


def test_deny_wins_over_allow():
    found = verdict(policy("a"), policy("b", "deny", {"ports": [{"port": 5000, "endPort": 6000}]}))
    assert (found.allowed, found.by) == (False, "shop/b")
    assert verdict(policy("a"), policy("b", "deny", {"ports": [{"port": 80}]})).by == "shop/a"


def test_a_dry_run_refuses_nothing_and_is_named():
    ops = {"from": {"namespaces": ["ops"]}}
    trial = policy("trial", "allow", ops, dryRun=True)
    assert verdict(trial) == decide([trial], WEB, "shop", {}, 1)
    assert (verdict(trial).allowed, verdict(trial).dry_run) == (True, ("shop/trial",))
    assert verdict(trial, policy("a")).dry_run == ()
    assert verdict(policy("b", "deny", dryRun=True)).dry_run == ("shop/b",)


def imported(ingress, **spec):
    source = {
        "metadata": {"name": "db", "namespace": "shop"},
        "spec": {"podSelector": {"matchLabels": {"app": "db"}}, "ingress": ingress, **spec},
    }
    made = translate(source, PODS, NAMESPACES, dry_run=False)
    if made.policy is not None:
        decode(made.policy)
    return made


NOBODY = [{"from": {"namespaces": ["stoq-system"]}}]


def test_a_policy_that_lets_nobody_in_still_does():
    assert imported([]).policy["spec"]["rules"] == NOBODY


@pytest.mark.parametrize(
    ("rule", "note"),
    [
        ({"from": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}, "10.0.0.0/8"),
        ({"from": [{"podSelector": {"matchLabels": {"app": "gone"}}}]}, "chooses no pod"),
        ({"ports": [{"port": "none"}]}, "a port called none"),
        ({"ports": [{"port": 53, "protocol": "UDP"}]}, "UDP port 53"),
    ],
)
def test_what_an_identity_can_not_say_is_left_out_and_never_becomes_everyone(rule, note):
    made = imported([rule])
    assert made.policy["spec"]["rules"] == NOBODY
    assert note in made.notes[0]


def test_a_rule_without_callers_means_everyone_here_too():
    assert imported([{}]).policy["spec"]["rules"] == [{}]
    ports = [{"port": 80, "endPort": 90}, {"protocol": "TCP"}]
    assert imported([{"ports": ports}]).policy["spec"]["rules"] == [
        {"ports": [{"port": 80, "endPort": 90}, {"port": 1, "endPort": 65535}]}
    ]


def test_namespaces_are_found_by_their_labels_and_names():
    peers = [
        {"namespaceSelector": {"matchLabels": {"team": "ops"}}},
        {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "shop"}}},
    ]
    rules = imported([{"from": peers}]).policy["spec"]["rules"]
    assert rules == [{"from": {"namespaces": ["ops", "shop"]}}]


def test_pods_chosen_in_another_namespace_become_its_service_accounts():
    peer = {"namespaceSelector": {}, "podSelector": {"matchLabels": {"app": "probe"}}}
    made = imported([{"from": [peer]}])
    assert made.policy["spec"]["rules"] == [{"from": {"serviceAccounts": ["ops/probe"]}}]
    assert "other pods with these are let in too" in made.notes[0]


def test_outgoing_rules_and_expressions_are_not_translated():
    assert imported([], policyTypes=["Egress"]).policy is None
    expressions = {"matchExpressions": [{"key": "app", "operator": "Exists"}]}
    assert imported([], podSelector=expressions).policy is None
    assert "UDP 14008" in imported([], policyTypes=["Ingress", "Egress"]).notes[0]


def test_a_port_of_both_protocols_is_translated_without_a_word():
    made = imported([{"ports": [{"port": 53}, {"port": 53, "protocol": "UDP"}]}])
    assert made.policy["spec"]["rules"] == [{"ports": [{"port": 53}]}]
    assert made.notes == []


def test_where_only_tcp_was_open_it_is_said_that_captured_udp_is_too():
    made = imported([{"ports": [{"port": 53}]}, {"ports": [{"port": 80}]}])
    (note,) = made.notes
    assert "by UDP too, in pods that capture UDP" in note
