"""Clocks differ by minutes between pods, and between pods and the operator.

Nothing in the mesh compares clocks but by the life of certificates, which the operator writes with
its own clock: an early sidecar is to it as a late operator, and the other way round.
"""

import json
import sysconfig
import time
from typing import Any

import pytest

from cluster.access import Cluster
from cluster.pods import pod, serve, service
from cluster.traffic import no_request_fails

pytestmark = pytest.mark.timeout(600)

APART = {"late": -240, "early": 240}
"""Seconds; certificates begin 300 s before they are made."""

CLOCK = "/clock"
PRELOADED = f"{CLOCK}/usr/lib/{sysconfig.get_config_var('MULTIARCH')}/faketime/libfaketime.so.1"


def shifted(cluster: Cluster, name: str, image: str, seconds: int) -> dict[str, Any]:
    """A pod whose sidecar lives `seconds` from now; the library for it is in `image`."""
    plain = pod(name, serve(name), automountServiceAccountToken=False)
    dry = ["create", "--dry-run=server", "-o", "json", "-f", "-"]
    made = json.loads(cluster.kubectl(*dry, stdin=json.dumps(plain)))
    spec = {key: made["spec"][key] for key in ("initContainers", "volumes")}
    sidecar = spec["initContainers"][0]
    sidecar["env"] += [
        {"name": "LD_PRELOAD", "value": PRELOADED},
        {"name": "FAKETIME", "value": f"{seconds:+d}"},
        # Only what the clock on the wall says: intervals are as long as ever.
        {"name": "FAKETIME_DONT_FAKE_MONOTONIC", "value": "1"},
    ]
    sidecar["volumeMounts"].append({"name": "clock", "mountPath": CLOCK, "readOnly": True})
    spec["volumes"].append({"name": "clock", "image": {"reference": image, "pullPolicy": "Never"}})
    return {**plain, "spec": {**plain["spec"], **spec}}


def clock(cluster: Cluster, name: str) -> float:
    ask = ["/opt/stoq/bin/python", "-c", "import time; print(time.time())"]
    return float(cluster.kubectl("exec", name, "-c", "stoq-sidecar", "--", *ask))


def test_pods_whose_clocks_are_minutes_apart_join_and_talk(
    pair: Cluster, applications: str
) -> None:
    with no_request_fails(pair):
        for name, seconds in APART.items():
            pair.apply(shifted(pair, name, applications, seconds), service(name))
        pair.ready(*APART)
        for name, seconds in APART.items():
            assert clock(pair, name) - time.time() == pytest.approx(seconds, abs=60)
            assert pair.fetch("client", f"http://{name}/") == name
            assert pair.fetch(name, "http://web/") == "hello"
        assert pair.fetch("late", "http://early/") == "early"
        assert pair.fetch("early", "http://late/") == "late"
