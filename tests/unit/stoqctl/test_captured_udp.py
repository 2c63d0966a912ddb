"""What `check` says of applications' UDP."""

from typing import Any

from stoqctl.judge import udp
from stoqctl.judge.facts import Facts
from unit.stoqctl.mesh import pod


def facts(*pods: dict[str, Any], mode: str = "node", captured: str = "true") -> Facts:
    told = {"STOQ_INJECT_CAPTURE": mode, "STOQ_INJECT_CAPTURE_UDP": captured}
    env = [{"name": name, "value": value} for name, value in told.items()]
    spec = {"containers": [{"name": "operator"}, {"name": "webhook", "env": env}]}
    deployment = {"spec": {"template": {"spec": spec}}}
    return Facts(version={}, deployment=deployment, pods=pods)


def made(name: str, said: str = "on", **annotations: str) -> dict[str, Any]:
    found = pod(name)
    found["spec"]["initContainers"][0]["env"] = [
        {"name": "STOQ_POD_NAME", "valueFrom": {}},
        {"name": "STOQ_CAPTURE_UDP", "value": said},
    ]
    found["metadata"]["annotations"] = {
        f"stoq.dev/{name.replace('_', '-')}": value for name, value in annotations.items()
    }
    return found


def test_in_mode_init_it_says_that_udp_is_in_plaintext() -> None:
    found = udp.findings(facts(pod("web-0"), mode="init", captured="false"))
    assert found.ok
    assert "not captured (capture.mode=init): it passes as it is, in plaintext" in found.detail


def test_where_the_chart_has_it_off_it_says_that_too() -> None:
    found = udp.findings(facts(made("web-0", "off"), captured="false"))
    assert found.ok
    assert "capture.udp=false" in found.detail


def test_where_all_pods_capture_it_nothing_is_wrong() -> None:
    found = udp.findings(facts(made("web-0"), made("db-0")))
    assert (found.ok, found.detail) == (True, "captured in 2 of 2 pods")


def test_a_pod_that_does_not_want_it_is_named_and_is_no_failure() -> None:
    found = udp.findings(facts(made("web-0"), made("db-0", "off", capture_udp="off")))
    assert found.ok
    assert found.detail == "captured in 1 of 2 pods; not in shop/db-0, which do not want it"


def test_pods_from_before_are_told_apart_with_what_mends_it() -> None:
    found = udp.findings(facts(made("web-0"), pod("old-0")))
    assert not found.ok
    assert "shop/old-0 is not captured, as when they were made" in found.detail
    assert "kubectl -n shop rollout restart" in found.fix


def test_so_are_pods_that_still_capture_it_when_it_was_switched_off() -> None:
    found = udp.findings(facts(made("web-0"), made("new-0", "off"), captured="false"))
    assert not found.ok
    assert "shop/web-0 is captured, as when they were made" in found.detail
