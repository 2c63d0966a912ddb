"""Events about pods that the kernel does not enforce."""

import asyncio

from stoq_node.complaints import PATIENCE, Complaints
from stoq_node.notices import NOT_ENFORCED, Notices
from stoq_node.pods import Pod
from support.patience import until
from unit.stoq_node.cluster import ApiServer

WEB = Pod(namespace="shop", name="web", interface="veth1", uid="u1")
FILED = Pod(namespace="shop", name="filed", interface="veth2")
WRONG = {"shop/web": "no room; its link is shut", "shop/filed": "no room"}


def events(api: ApiServer) -> list[str]:
    return [body["message"] for _, path, body in api.requests if path.endswith("/events")]


async def test_a_pod_that_stays_unenforced_is_told_once_with_the_reason() -> None:
    api = ApiServer()
    complaints = Complaints(Notices(api, NOT_ENFORCED))
    await complaints.look(0.0, [WEB, FILED], WRONG)
    assert not api.requests, "it often comes right"
    for now in (PATIENCE, PATIENCE + 2):
        await complaints.look(now, [WEB, FILED], WRONG)
    assert events(api) == ["the kernel does not enforce this pod: no room; its link is shut"]
    assert api.requests[0][2]["reason"] == "NotEnforced"
    assert api.requests[0][2]["involvedObject"]["uid"] == "u1"


async def test_a_pod_that_came_right_and_fails_again_is_told_again() -> None:
    api = ApiServer()
    complaints = Complaints(Notices(api, NOT_ENFORCED), patience=0.0)
    for failed in (WRONG, {}, WRONG):
        await complaints.look(0.0, [WEB], failed)
    assert len(events(api)) == 2


async def test_it_looks_again_and_again_until_it_is_cancelled() -> None:
    api = ApiServer()
    complaints = Complaints(Notices(api, NOT_ENFORCED), patience=0.0)
    running = asyncio.create_task(complaints.run(lambda: [WEB], lambda: WRONG))
    await until(lambda: bool(events(api)))
    running.cancel()
    await asyncio.wait([running])
