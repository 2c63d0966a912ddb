"""What a node's NodeCapability says, and how it gets there."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from stoq_node import report, reporter
from stoq_node.capabilities import GUARD, STRICT, Facts, Uplink, decide
from stoq_node.report import Known, status, timed
from stoq_node.reporter import Reporter
from support.patience import until
from unit.stoq_node.cluster import ApiServer

FACTS = Facts(
    release="6.12.9",
    capabilities=(1 << 64) - 1,
    pins="/sys/fs/bpf/stoq",
    filesystem="bpf",
    refused={},
    uplink=Uplink("eth0", "ixgbe", "0000:01:00.0"),
)
GOOD = Known(FACTS, decide(FACTS), guard="native", failed={})
CRD = yaml.safe_load((Path(__file__).parents[3] / "crds" / "nodecapabilities.yaml").read_text())
PATH = "/apis/stoq.dev/v1alpha1/nodecapabilities/node-1"


def about(**changes: Any) -> Known:
    facts = replace(FACTS, **changes)
    return Known(facts, decide(facts), failed={})


def condition(known: Known) -> tuple[str, str, str]:
    (found,) = status(known).conditions
    return found.status, found.reason, found.message


def test_a_node_that_can_do_everything_has_nothing_to_explain() -> None:
    found = status(GOOD)
    assert (found.native_xdp, found.strict, found.guard, found.reason) == (True, True, "native", "")
    assert (found.kernel, found.uplink, found.driver) == ("6.12.9", "eth0", "ixgbe")
    assert condition(GOOD)[:2] == ("True", "AllPods")


def test_each_no_has_its_reason() -> None:
    old = status(about(release="6.1.0"))
    assert not old.strict
    assert old.reason.startswith("strict, account, guard-tc: kernel 6.1.0 is older than Linux 6.6")
    assert old.reason.count("6.1.0") == 1
    assert {one.name: bool(one.reason) for one in old.features} == {
        "pins": False,
        "strict": True,
        "account": True,
        "guard": False,
        "guard-tc": True,
        "guard-native": False,
    }
    assert condition(about(release="6.1.0"))[:2] == ("False", "NotSupported")


def test_a_guard_that_should_run_and_does_not_is_named() -> None:
    found = status(replace(GOOD, guard="off", guard_problem="native: no such driver"))
    assert (found.guard, found.reason) == ("off", "the guard is off: native: no such driver")


def test_pods_that_are_not_enforced_are_named_a_few_of_them() -> None:
    assert condition(replace(GOOD, failed=None))[:2] == ("Unknown", "Starting")
    one = condition(replace(GOOD, failed={"shop/web-0": "strict_ports is full"}))
    assert one == ("False", "PodsFailed", "shop/web-0: strict_ports is full")
    many = condition(replace(GOOD, failed={f"shop/web-{n}": "full" for n in range(8)}))
    assert many[2].endswith("shop/web-4: full and 3 more")


def test_what_a_verifier_wrote_is_told_with_its_program_and_its_last_word() -> None:
    why = f"the kernel refuses program strict_to_pod: no\n{'x' * 9000}R1 is not a pointer"
    found = status(about(refused={STRICT: why}))
    assert found.reason == "strict: the kernel refuses program strict_to_pod: no"
    (strict,) = [one.reason for one in found.features if one.name == "strict"]
    assert strict.startswith("the kernel refuses program strict_to_pod: no\nx")
    assert strict.endswith("xR1 is not a pointer")
    assert len(strict) == report.MOST


def test_pods_that_bypass_their_sidecars_are_a_condition_where_somebody_looks() -> None:
    assert [one.type for one in status(GOOD).conditions] == ["Enforced"]
    _, good = status(replace(GOOD, bypassed={})).conditions
    assert (good.type, good.status, good.reason) == ("Accounted", "True", "AllPods")
    _, bad = status(replace(GOOD, bypassed={"shop/web-0": "TCP leaves"})).conditions
    assert (bad.status, bad.reason, bad.message) == ("False", "Bypassed", "shop/web-0: TCP leaves")


def test_what_is_said_fits_into_the_schema() -> None:
    known = about(refused={STRICT: "x" * 9000, GUARD: "y" * 9000})
    found = status(replace(known, failed={f"shop/{'w' * 200}-{n}": "z" * 9000 for n in range(9)}))
    (version,) = CRD["spec"]["versions"]
    fields = version["schema"]["openAPIV3Schema"]["properties"]["status"]["properties"]
    assert len(found.reason) <= fields["reason"]["maxLength"]
    for one in found.features:
        assert len(one.reason) <= fields["features"]["items"]["properties"]["reason"]["maxLength"]
    limit = fields["conditions"]["items"]["properties"]["message"]["maxLength"]
    assert len(found.conditions[0].message) <= limit


def test_a_condition_keeps_the_time_at_which_it_became_so() -> None:
    wanted = status(GOOD)
    first = timed(wanted, (), "2026-01-01T00:00:00Z", 1)
    again = timed(wanted, first.conditions, "2026-01-02T00:00:00Z", 1)
    assert again == first
    failed = status(replace(GOOD, failed={"shop/web-0": "full"}))
    later = timed(failed, first.conditions, "2026-01-03T00:00:00Z", 2)
    assert later.conditions[0].last_transition_time == "2026-01-03T00:00:00Z"
    assert later.conditions[0].observed_generation == 2


def server() -> ApiServer:
    found = ApiServer()
    found.answers["/api/v1/nodes/node-1"] = {"metadata": {"uid": "uid-1"}}
    since = "2026-01-01T00:00:00Z"
    before = {
        "type": "Enforced",
        "status": "True",
        "reason": "AllPods",
        "lastTransitionTime": since,
    }
    found.answers[PATH] = {"metadata": {"generation": 1}, "status": {"conditions": [before]}}
    return found


async def test_the_object_belongs_to_its_node_and_is_written_by_server_side_apply() -> None:
    api = server()
    assert await Reporter(api, "node-1").publish(status(GOOD))
    _, (_, path, body), (_, status_path, said) = api.requests
    assert path == f"{PATH}?fieldManager=stoq-node&force=true"
    (owner,) = body["metadata"]["ownerReferences"]
    assert owner == {"apiVersion": "v1", "kind": "Node", "name": "node-1", "uid": "uid-1"}
    assert status_path == f"{PATH}/status?fieldManager=stoq-node&force=true"
    assert said["status"]["nativeXdp"] is True
    assert said["status"]["conditions"][0]["lastTransitionTime"] == "2026-01-01T00:00:00Z"


async def test_it_is_written_when_it_changes_and_again_when_that_failed(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(reporter, "LOOK_SECONDS", 0.01)
    api, now = server(), GOOD
    running = asyncio.create_task(Reporter(api, "node-1").run(lambda: status(now)))
    await until(lambda: len(api.requests) == 3)
    await asyncio.sleep(0.1)
    assert len(api.requests) == 3
    api.broken = "patch: forbidden"
    now = replace(GOOD, failed={"shop/web-0": "full"})
    await until(lambda: "patch: forbidden" in caplog.text)
    api.broken = ""
    await until(lambda: len(api.requests) == 6)
    assert api.requests[-1][2]["status"]["conditions"][0]["reason"] == "PodsFailed"
    assert [record.message for record in caplog.records if record.levelname == "ERROR"] == [
        "NodeCapability node-1 is not up to date: patch: forbidden"
    ]
    running.cancel()
    await asyncio.wait([running])
