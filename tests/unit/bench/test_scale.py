"""What the benchmark of the control plane decides, without a cluster."""

import math
from pathlib import Path

import pytest
import yaml

from benchlib.errors import BenchError
from benchlib.scale import objects, page, settings
from benchlib.scale.api import path
from benchlib.scale.quantiles import Histogram, histogram, percentile
from benchlib.scale.settings import Settings
from benchlib.scale.shared import Peek, Shared
from benchlib.scale.world import CRDS, server_address
from stoq.api import codec
from stoq.api.call import ServerLimits
from stoq.api.codec import Codec
from stoq.records.manifest import decode
from stoq.registry import Gap, MeshEntry, TrustEntry, WatchMessage, WorkloadEntry
from stoq_operator.translate.pod import workload

METRICS = """\
# TYPE admission_seconds histogram
admission_seconds_bucket{name="a",operation="CREATE",le="0.005"} 90
admission_seconds_bucket{name="a",operation="CREATE",le="0.025"} 100
admission_seconds_bucket{name="a",operation="CREATE",le="+Inf"} 100
admission_seconds_sum{name="a",operation="CREATE"} 0.4
admission_seconds_bucket{name="b",operation="CREATE",le="0.005"} 7
"""


def test_a_percentile_is_one_of_the_samples() -> None:
    samples = [float(number) for number in range(1, 101)]
    assert [percentile(samples, share) for share in (0.0, 0.5, 0.99, 1.0)] == [1, 50, 99, 100]
    assert math.isnan(percentile([], 0.5))


def test_a_histogram_is_read_from_a_page_by_its_labels() -> None:
    found = histogram(METRICS, "admission_seconds", name="a")
    assert found.bounds == ((0.005, 90), (0.025, 100), (math.inf, 100))
    assert (found.count, found.total) == (100, 0.4)


def test_a_quantile_lies_inside_of_its_bucket_as_prometheus_says() -> None:
    found = histogram(METRICS, "admission_seconds", name="a")
    assert found.quantile(0.45) == pytest.approx(0.0025)
    assert found.quantile(0.95) == pytest.approx(0.015)
    assert math.isnan(Histogram((), 0.0).quantile(0.5))


def test_what_was_observed_before_does_not_count() -> None:
    found = histogram(METRICS, "admission_seconds", name="a")
    assert found.since(found).count == 0
    assert found.since(Histogram((), 0.0)) == found


def test_fewer_pods_share_an_identity_than_it_may_have_calls_from_one_address() -> None:
    names = [objects.pod(number)["spec"]["serviceAccountName"] for number in range(5000)]
    assert set(names) == {made["metadata"]["name"] for made in objects.accounts(5000)}
    assert max(map(names.count, set(names))) < ServerLimits().peer_calls


def test_a_simulated_pod_is_a_workload_to_the_operator() -> None:
    pod = objects.pod(7)
    pod["metadata"]["uid"] = "u7"
    found = workload({**pod, **objects.pod_status(7, "2026-01-31T12:00:00Z", ready=True)})
    assert found is not None
    assert found.spec.addresses == (objects.address(7),)
    assert (found.spec.ready, found.spec.node) == (True, objects.node_name(7))


@pytest.mark.parametrize(
    "manifest", [objects.record("a", "fd00::1"), objects.selecting("a", {"late": "yes"})]
)
def test_simulated_records_are_records(manifest: objects.Object) -> None:
    assert decode(manifest).metadata.name == "a"


def test_there_is_a_node_for_every_pod() -> None:
    names = {node["metadata"]["name"] for node in objects.nodes(250)}
    assert names == {objects.node_name(number) for number in range(250)}


def test_objects_have_the_paths_of_the_api() -> None:
    assert path(objects.nodes(1)[0]) == "/api/v1/nodes/scale-0"
    record = objects.record("a", "fd00::1")
    assert path(record, "status") == (
        "/apis/stoq.dev/v1alpha1/namespaces/stoq-scale/servicerecords/a/status"
    )
    assert path(objects.plain_pod()) == "/api/v1/namespaces/stoq-scale-enrolled/pods"


def test_the_webhook_is_configured_as_in_the_chart() -> None:
    *_, configured = objects.webhook("fd00::1", 443)
    template = CRDS.parent / "charts" / "stoq" / "templates" / "webhook.yaml"
    chart = template.read_text()
    (hook,) = configured["webhooks"]
    assert f"name: {hook['name']}" in chart
    for name in ("matchPolicy", "reinvocationPolicy", "sideEffects"):
        assert f"{name}: {hook[name]}" in chart
    assert yaml.safe_load(yaml.safe_dump(configured)) == configured


MESH = MeshEntry(trust_domain="e")
TRUST = TrustEntry(roots=(b"r",))


def pod(name: str) -> WorkloadEntry:
    return WorkloadEntry(
        uid=name, name=name, namespace="shop", spiffe_id="spiffe://e/x", addresses=(name,)
    )


def peek(message: WatchMessage) -> Peek:
    return codec.decode(Codec.MSGPACK, codec.encode(Codec.MSGPACK, message), Peek)


def snapshot(version: int, *names: str) -> Peek:
    return peek(
        WatchMessage(
            type="snapshot", epoch="e", version=version, mesh=MESH, trust=TRUST,
            workloads=tuple(map(pod, names)),
        )
    )  # fmt: skip


def test_simulated_sidecars_of_one_version_share_their_state() -> None:
    shared = Shared()
    first = shared.apply(None, snapshot(1, "a"))
    assert shared.apply(None, snapshot(1, "a")) is first
    delta = peek(WatchMessage(type="delta", epoch="e", version=2, base=1, workloads=(pod("b"),)))
    assert set(shared.apply(first, delta).workloads) == {"a", "b"}
    with pytest.raises(Gap):
        shared.apply(None, delta)


def test_a_simulated_sidecar_asks_to_go_on_where_it_was() -> None:
    shared = Shared()
    state = shared.apply(None, snapshot(1, "a"))
    request = shared.request("shop/web", state)
    assert (request.resume_epoch, request.resume_version) == ("e", 1)
    assert request.digests
    assert not shared.request("shop/web", None).digests


def test_numbers_that_can_not_be_are_refused() -> None:
    with pytest.raises(BenchError, match="--records: 0 is outside"):
        settings.parse(["--records", "0"])
    with pytest.raises(BenchError, match="--workloads: 10 are fewer"):
        settings.parse(["--workloads", "10"])
    with pytest.raises(BenchError, match="--seconds: 0"):
        settings.parse(["--seconds", "0"])


def test_the_page_says_how_to_repeat_it() -> None:
    chosen, output = settings.parse(["--sidecars", "1000", "--json"])
    assert output.json
    assert page.command(chosen) == "hack/bench scale --sidecars 1000"
    assert page.command(Settings(smoke=True)) == "hack/bench scale --smoke"


def test_a_cluster_without_ipv6_is_explained(tmp_path: Path) -> None:
    file = tmp_path / "kubeconfig"
    file.write_text('{"clusters": [{"cluster": {"server": "https://[fd00::1]:6443"}}]}')
    assert server_address(file) == "fd00::1"
    file.write_text('{"clusters": [{"cluster": {"server": "https://10.0.0.1:6443"}}]}')
    with pytest.raises(BenchError, match="--ip-family ipv6"):
        server_address(file)
