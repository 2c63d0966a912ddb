"""What a node can do follows from what was found on it, and each no has its reason."""

from dataclasses import replace

import pytest

from stoq_node.capabilities import Facts, Uplink, barred, decide, lacking, supported, version
from stoq_node.report import Known, status
from stoq_node.uplink import modes

CARD = Uplink("eth0", "ixgbe", "0000:00:05.0")
GOOD = Facts(
    release="6.12.0-amd64",
    capabilities=1 << 39 | 1 << 38 | 1 << 12,
    pins="/sys/fs/bpf/stoq",
    filesystem="bpf",
    refused={},
    uplink=CARD,
)
ALL_REFUSED = dict.fromkeys(
    ("tc_strict", "tc_account", "tc_splice", "xdp_guard", "tc_guard"), "EPERM"
)


def reasons(**other: object) -> dict[str, str]:
    return {one.name: one.reason for one in decide(replace(GOOD, **other))}  # type: ignore[arg-type]


def test_a_node_that_has_everything_can_do_everything() -> None:
    found = decide(replace(GOOD, capture={}))
    guards = ["guard", "guard-tc", "guard-native"]
    captures = ["capture", "client-address", "captured-udp"]
    assert [one.name for one in found] == [
        *("pins", "strict", "account"), *guards, *captures, "splice"
    ]  # fmt: skip
    assert all(one.supported and not one.reason for one in found)


def test_capture_is_told_where_the_agent_captures_each_part_with_its_reason() -> None:
    parts = ["capture", "client-address", "captured-udp"]
    assert [one.name for one in decide(replace(GOOD, capture={}))][-4:-1] == parts
    found = reasons(capture={"captured-udp": "no NET_RAW"})
    assert [found[part] for part in parts] == ["", "", "no NET_RAW"]
    assert found["strict"] == ""


def test_interfaces_are_lent_where_somebody_asks_for_it() -> None:
    assert "af-xdp" not in reasons()
    assert reasons(af_xdp="")["af-xdp"] == ""
    assert reasons(af_xdp="no IPC_LOCK")["af-xdp"] == "no IPC_LOCK"


def test_a_choice_is_told_with_its_figures_and_is_nothing_that_lacks() -> None:
    found = decide(replace(GOOD, af_xdp="", measured="2 Gbit/s, and 1 by sockets"))
    lent = found[-1]
    assert lent.supported
    assert lent.said == "yes: 2 Gbit/s, and 1 by sockets"
    assert not lacking(found)
    refused = decide(replace(GOOD, af_xdp="sockets are faster", measured=""))
    assert [one.said for one in lacking(refused)] == ["no: sockets are faster"]
    assert status(Known(GOOD, found)).reason == ""


def test_pods_are_joined_where_this_agent_captures_and_enforces_them() -> None:
    assert "splice" not in reasons()
    assert reasons(capture={"capture": "no nf_tables"})["splice"] == "no nf_tables"
    assert reasons(capture={"client-address": "no routes"})["splice"] == ""
    refused = reasons(capture={}, refused={"tc_splice": "the verifier: no"})
    assert (refused["splice"], refused["strict"]) == ("the verifier: no", "")
    assert reasons(capture={}, refused={"tc_strict": "no"})["splice"] == "no"


def test_an_older_kernel_has_the_guard_and_says_what_the_rest_needs() -> None:
    found = reasons(release="5.19.3")
    assert found["strict"] == found["account"]
    assert found["strict"].startswith("kernel 5.19.3 is older than Linux 6.6")
    assert found["guard-tc"] == found["strict"]
    assert found["guard"] == found["guard-native"] == ""


def test_a_guard_that_the_kernel_refuses_leaves_the_other() -> None:
    found = reasons(refused={"xdp_guard": "the verifier: no"})
    assert found["guard"] == found["guard-tc"] == ""
    assert found["guard-native"] == "the verifier: no"


def test_the_guard_needs_frames_of_several_buffers() -> None:
    assert reasons(release="5.15.0")["guard"].startswith("kernel 5.15.0 is older than Linux 5.18")


@pytest.mark.parametrize(
    ("bits", "lacks"),
    [
        (0, "CAP_BPF and CAP_NET_ADMIN"),
        (1 << 39, "CAP_NET_ADMIN"),
        (1 << 12, "CAP_BPF"),
    ],
)
def test_missing_rights_are_named(bits: int, lacks: str) -> None:
    found = reasons(capabilities=bits, refused=ALL_REFUSED)
    assert found["strict"] == f"this process lacks {lacks}"


def test_a_refusal_that_rights_do_not_explain_is_told_as_the_kernel_says_it() -> None:
    found = reasons(capabilities=1 << 21 | 1 << 12, refused={"tc_strict": "the verifier: no"})
    assert found["strict"] == "the verifier: no"
    assert found["account"] == ""


def test_a_refusal_that_a_right_may_explain_is_told_with_it() -> None:
    found = reasons(capabilities=1 << 39 | 1 << 12, refused={"tc_strict": "the verifier: no"})
    assert found["strict"] == "this process lacks CAP_PERFMON; the verifier: no"
    assert found["account"] == "", "which loads without it"


def test_strict_pods_are_shut_where_a_kernel_that_is_new_enough_refuses_strict_mode() -> None:
    refused = {"tc_account": "the verifier: no"}
    assert not barred(GOOD)
    assert barred(replace(GOOD, refused=refused)) == "the verifier: no"
    assert not barred(replace(GOOD, refused={"xdp_guard": "no"})), "the guard is no enforcement"
    older = replace(GOOD, release="6.1.0", refused=refused)
    assert not barred(older), "there the sidecars are all there is"


def test_without_a_bpffs_nothing_would_stay_in_force() -> None:
    found = reasons(filesystem="tmpfs")
    assert all("/sys/fs/bpf/stoq is on tmpfs, not on a bpffs" in why for why in found.values())


def test_the_guard_needs_an_uplink_and_native_a_network_card() -> None:
    found = reasons(uplink=None)
    assert "STOQ_GUARD_INTERFACE" in found["guard"]
    assert found["strict"] == ""
    found = reasons(uplink=Uplink("veth1", "veth", ""))
    assert found["guard"] == ""
    assert found["guard-native"].startswith("veth1 is no network card but made of software (veth)")


@pytest.mark.parametrize(
    ("wanted", "uplink", "tried"),
    [
        ("auto", CARD, ("native", "tc")),
        ("auto", Uplink("veth1", "veth", ""), ("tc",)),
        ("native", CARD, ("native",)),
        ("generic", CARD, ("generic",)),
        ("tc", CARD, ("tc",)),
        ("off", CARD, ()),
        ("native", None, ()),
    ],
)
def test_the_mode_follows_the_wish_and_the_capability(
    wanted: str, uplink: Uplink | None, tried: tuple[str, ...]
) -> None:
    assert modes(wanted, decide(replace(GOOD, uplink=uplink))) == tried


def test_without_links_for_tc_other_links_have_generic_xdp() -> None:
    veth = Uplink("veth1", "veth", "")
    assert modes("auto", decide(replace(GOOD, release="5.19.3", uplink=veth))) == ("generic",)


def test_what_is_on_no_list_is_not_supported() -> None:
    assert supported(decide(GOOD), "strict")
    assert not supported(decide(GOOD), "teleport")


def test_releases_are_read_as_far_as_they_are_numbers() -> None:
    assert version("6.18.44-fc") == (6, 18)
    assert version("6.6") == (6, 6)
    assert version("unknown") == (0, 0)
