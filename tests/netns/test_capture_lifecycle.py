"""Applying, checking and removing capture in the kernel."""

import subprocess
import sys
from functools import partial

import pytest

from lab.plan import Plan as Lab
from stoq.capture import nft
from stoq.capture.netns import NamespaceError, run_in
from stoq.capture.plan import Plan, parse_ports


@pytest.fixture
def netns(make_pods: "partial[Lab]") -> str:
    made: Lab = make_pods("app")
    return f"/run/netns/{made.pod('app').netns}"


def test_applying_twice_is_applying_once(netns: str) -> None:
    assert run_in(netns, partial(nft.apply, Plan()))
    first = run_in(netns, nft.read)
    assert not run_in(netns, partial(nft.apply, Plan()))
    assert run_in(netns, nft.read) == first


def test_another_plan_replaces_the_table(netns: str) -> None:
    run_in(netns, partial(nft.apply, Plan()))
    other = Plan(exclude_outbound_ports=parse_ports("443"))
    assert run_in(netns, partial(nft.verify, other))
    assert run_in(netns, partial(nft.apply, other))
    assert run_in(netns, partial(nft.verify, other)) == []


def test_undo_leaves_nothing_and_is_idempotent(netns: str) -> None:
    run_in(netns, partial(nft.apply, Plan()))
    assert run_in(netns, nft.undo)
    assert run_in(netns, nft.read) is None
    assert not run_in(netns, nft.undo)
    assert run_in(netns, partial(nft.verify, Plan())) == ["there is no table inet stoq"]


def test_verify_names_the_rule_that_somebody_took_out(netns: str) -> None:
    run_in(netns, partial(nft.apply, Plan()))
    run_in(netns, partial(_shell, "nft flush chain inet stoq inbound"))
    assert run_in(netns, partial(nft.verify, Plan())) == [
        "chain inbound: lacks ['only-tcp', 'loopback', 'metrics', 'capture'], has unknown none"
    ]
    assert run_in(netns, partial(nft.apply, Plan()))
    assert run_in(netns, partial(nft.verify, Plan())) == []


def test_other_tables_of_the_namespace_are_left_alone(netns: str) -> None:
    run_in(netns, partial(_shell, "nft add table ip6 theirs"))
    run_in(netns, partial(nft.apply, Plan()))
    run_in(netns, nft.undo)
    assert "table ip6 theirs" in run_in(netns, partial(_shell, "nft list tables"))


def test_without_net_admin_the_error_says_what_is_missing(netns: str) -> None:
    command = "setpriv --bounding-set=-net_admin --inh-caps=-net_admin "
    command += f"{sys.executable} -m stoq_sidecar.init"
    done = run_in(netns, partial(_run, command))
    assert done.returncode == 1
    assert "Operation not permitted" in done.stderr
    assert "CAP_NET_ADMIN" in done.stderr


def test_an_unknown_namespace_is_named(netns: str) -> None:
    with pytest.raises(NamespaceError, match=r"/run/netns/nobody.*ip netns list"):
        run_in("/run/netns/nobody", nft.read)


def test_stoq_init_applies_verifies_and_undoes(netns: str) -> None:
    for arguments, status, words in (
        ("--verify", 1, "no table"),
        ("", 0, "in force"),
        ("", 0, "in force already"),
        ("--verify", 0, "in force"),
        ("--undo", 0, "removed"),
        ("--undo", 0, "no capture"),
    ):
        done = run_in(netns, partial(_run, f"{sys.executable} -m stoq_sidecar.init {arguments}"))
        assert done.returncode == status
        assert words in done.stderr


def _run(command: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(command.split(), capture_output=True, text=True, check=False)


def _shell(command: str) -> str:
    return subprocess.run(command.split(), capture_output=True, text=True, check=True).stdout
