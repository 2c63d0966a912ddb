"""docs/metrics.md lists every metric of the programs with its type and labels, and no other."""

import typing
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace

import msgspec
from prometheus_client.metrics_core import Metric

from stoq.api.errors import Status
from stoq.engine import snapshot
from stoq_node.capabilities import Capability
from stoq_node.metrics import Metrics as NodeMetrics
from stoq_node.pods import Pod
from stoq_node.speeds import Measured, Speed
from stoq_node.tally import Tally
from stoq_operator.metrics import Metrics as ControlMetrics
from stoq_operator.webhook.metrics import Metrics as WebhookMetrics
from stoq_sidecar.dns.counts import Counts
from stoq_sidecar.metrics import agent_families, client_address_family, engine_families

DOCUMENT = Path(__file__).parents[3] / "docs" / "metrics.md"

Row = tuple[str, str, str]
"""Name as scraped, type, labels in alphabetical order."""


def _filled(kind: type[msgspec.Struct]) -> msgspec.Struct:
    """A struct in which every number is 1 and every text `x`."""
    values: dict[str, object] = {}
    for field in msgspec.structs.fields(kind):
        origin = typing.get_origin(field.type)
        if origin is typing.Literal:
            values[field.name] = typing.get_args(field.type)[0]
        else:
            values[field.name] = "x" if field.type is str else field.type(1)
    return kind(**values)


def _snapshot() -> snapshot.Snapshot:
    flow = {
        field.name: "x" if field.type is str else 1
        for field in msgspec.structs.fields(snapshot.Flow)
        if field.name not in ("reporter", "connection_security_policy", "failed")
    }
    one = {"x": 1}
    return snapshot.Snapshot(
        uptime_seconds=1.0,
        workers=1,
        table_version=1,
        counters=_filled(snapshot.Counters),  # type: ignore[arg-type]
        gauges=_filled(snapshot.Gauges),  # type: ignore[arg-type]
        refused=one,
        udp_dropped=one,
        hop_dropped=one,
        af_xdp_fallbacks=one,
        af_xdp_dropped=one,
        streams_refused=one,
        connections_closed=one,
        adapt_changes=one,
        adapt_connections=one,
        access=(snapshot.Access(policy="x", action="deny", dry_run=False, flows=1),),
        services=(
            snapshot.Service(
                destination_service_name="x",
                destination_service_namespace="x",
                failovers=1,
                ejections=1,
                ejected=("x",),
            ),
        ),
        handshake_seconds=snapshot.Histogram(bounds=(1.0,), counts=(1, 0), sum=1.0),
        flows=(
            snapshot.Flow(
                reporter="source",
                connection_security_policy="mutual_tls",
                failed=(("RESET", 1),),
                **flow,  # type: ignore[arg-type]
            ),
        ),
        access_log_dropped=1,
    )


def _sidecar() -> Iterable[Metric]:
    svid = SimpleNamespace(expires=1, obtained=1, renewals=1, failures=1)
    discovery = SimpleNamespace(
        version=1, updated=1, stale=False, reconnects=1, refused=1, unsealed=1
    )
    yield from engine_families(_snapshot())
    yield from agent_families(svid, discovery, ready=True)  # type: ignore[arg-type]
    yield client_address_family({"ipv6": True})
    counts = Counts()
    counts.requests["udp", "record"] = counts.failures["timeout"] = 1
    yield from counts.families()


def _control() -> Iterable[Metric]:
    metrics = ControlMetrics()
    metrics.roots({("r", "current"): 1})
    metrics.index(1, {"workload": 1})
    metrics.sent("snapshot")
    metrics.call("m", Status.OK)
    return metrics.registry.collect()


def _webhook() -> Iterable[Metric]:
    metrics = WebhookMetrics()
    metrics.injection("injected", "", 0.001)
    return metrics.registry.collect()


def _node() -> Iterable[Metric]:
    tally = Tally()
    pod = Pod(namespace="shop", name="web", interface="veth1")
    tally.strict(7, pod, [("to_pod", "stoq", False, 1, 1)])
    tally.accounts({7: pod}, [(7, "fd00::1", "to_pod", "stoq", 1, 1)])
    enforcer = SimpleNamespace(
        read=lambda: None,
        in_force=1,
        waiting=(),
        failed={},
        shut={"rules": 1, "down": 0},
        attached={"tc_strict": 1},
        tally=tally,
        unenrolled=lambda: [("to_pod", 1, 1)],
    )
    uplink = SimpleNamespace(interface="eth0", mode="native", counts=lambda: [("stoq", 1, 1)])
    found = [Capability("pins", True, "")]
    captures = SimpleNamespace(serving=1, waiting=0, failed={})
    bypasses = SimpleNamespace(states={"accounted": 1}, bytes={("shop", "web", "udp"): 1})
    sent = {"shop/web": 1}
    splicer = SimpleNamespace(
        read=lambda: None, pairs=1, failed={}, resets=1, packets=sent, bytes=sent
    )
    speed = Speed(bulk=1, trips=1)
    measured = Measured(sockets=speed, af_xdp=speed)
    parts = (enforcer, uplink, captures, bypasses, splicer, measured)
    return NodeMetrics(found, *parts, lambda: False).collect()  # type: ignore[arg-type]


def _rows(families: Iterable[Metric]) -> set[Row]:
    rows = set()
    for family in families:
        if family.name.startswith("stoq_"):
            name = f"{family.name}_total" if family.type == "counter" else family.name
            labels = {label for sample in family.samples for label in sample.labels} - {"le"}
            rows.add((name, family.type, ", ".join(sorted(labels))))
    return rows


def _documented(heading: str) -> set[Row]:
    section = DOCUMENT.read_text().partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    flow_labels = ", ".join(sorted(_flow_labels()))
    rows = set()
    for line in section.splitlines():
        cells = [cell.strip().replace("`", "") for cell in line.strip("|").split("|")]
        if line.startswith("| `stoq_"):
            labels = cells[2].replace("connection labels", flow_labels)
            labels = ", ".join(sorted(filter(None, (part.strip() for part in labels.split(",")))))
            rows.add((cells[0], cells[1], labels))
    return rows


def _flow_labels() -> set[str]:
    (opened,) = [f for f in _sidecar() if f.name == "stoq_tcp_connections_opened"]
    return set(opened.samples[0].labels)


def test_the_sidecars_metrics_are_those_of_the_document() -> None:
    build = ("stoq_build_info", "gauge", "component, version")

    assert _rows(_sidecar()) | {build} == _documented("Sidecar")


def test_the_control_processs_metrics_are_those_of_the_document() -> None:
    assert _rows(_control()) == _documented("Control process")


def test_the_webhooks_metrics_are_those_of_the_document() -> None:
    assert _rows(_webhook()) == _documented("Webhook")


def test_the_node_agents_metrics_are_those_of_the_document() -> None:
    assert _rows(_node()) == _documented("Node agent")


def test_every_label_of_connections_is_explained() -> None:
    section = DOCUMENT.read_text().partition("\n## Connection labels\n")[2].partition("\n## ")[0]
    explained = {
        label.strip().strip("`")
        for line in section.splitlines()
        if line.startswith("| `")
        for label in line.strip("|").split("|")[0].split(",")
    }

    assert explained == _flow_labels()
