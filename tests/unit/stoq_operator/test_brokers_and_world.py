import asyncio

from stoq.broker import keeper, server
from stoq.capture.netns import run_in
from stoq.records.mesh import MeshConfigSpec
from stoq_operator.brokers import Brokers
from stoq_operator.world import world
from support.patience import until
from support.records import by_key, mesh, revocation, workload

FIXED = MeshConfigSpec(trust_domain="example.org")


def test_trust_domain_and_profile_stay_those_of_the_start():
    found = world(
        by_key(mesh(trustDomain="other.org", profile="hybrid-512", inbound="strict")), FIXED
    )
    assert (found.mesh.trust_domain, found.mesh.profile) == ("example.org", "hybrid-1024")
    assert found.mesh.inbound == "strict"


def test_without_a_mesh_configuration_the_settings_hold():
    assert world({}, FIXED).mesh == FIXED


def test_records_are_sorted_by_what_they_are_for():
    web, db, lost = (
        workload("web", "fd00::2"),
        workload("db", "fd00::3"),
        revocation("x", serial="0a"),
    )
    found = world(by_key(web, lost, db), FIXED)
    assert found.workloads == (db, web)
    assert found.revocations == (lost,)


async def test_a_namespace_that_is_not_there_yet_is_said_once_and_tried_again(caplog, monkeypatch):
    tries = []

    def counted(netns, function):
        tries.append(netns)
        return run_in(netns, function)

    monkeypatch.setattr(keeper, "RETRY", 0.01)
    monkeypatch.setattr(server, "run_in", counted)
    brokers = Brokers("test", 14008)
    task = asyncio.create_task(brokers.run())
    brokers.update([workload("web", "fd00::2", netns="/nowhere/web"), workload("db", "fd00::3")])
    await until(lambda: len(tries) > 2)
    assert brokers.serving == 0
    assert caplog.text.count("no broker for shop/web") == 1
    brokers.update([])
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def test_a_capture_that_can_not_be_is_reported_and_others_go_on(caplog):
    brokers = Brokers("test", 14008)
    brokers.update(
        [workload("web", "fd00::2", netns="/x", capture={"excludeOutboundPorts": "nonsense"})]
    )
    assert "Workload shop/web: spec.capture: 'nonsense'" in caplog.text
