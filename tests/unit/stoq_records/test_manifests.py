import pytest

from stoq.records.errors import MISSING, RecordError
from stoq.records.manifest import KINDS, decode, encode, value_at
from stoq.records.meta import API_VERSION, Key
from stoq.records.service import ServiceRecord


def manifest(kind, spec, *, name="web", namespace="shop", **metadata):
    place = {"namespace": namespace} if namespace else {}
    return {
        "apiVersion": API_VERSION,
        "kind": kind,
        "metadata": {"name": name, **place, **metadata},
        "spec": spec,
    }


def refused(kind, spec, **options):
    with pytest.raises(RecordError) as raised:
        decode(manifest(kind, spec, **options))
    return str(raised.value)


MESH = {"trustDomain": "example.org"}
WORKLOAD = {"addresses": ["fd00::2"]}
SERVICE = {"ports": [{"port": 80}], "endpoints": [{"address": "fd00::2"}]}
ACCESS = {"action": "allow", "rules": [{}]}


def peers(**lists):
    return {"action": "allow", "rules": [{"from": lists}]}


def ports(**item):
    return {"action": "deny", "rules": [{"ports": [item]}]}


MISTAKES = [
    ("MeshConfig", {}, "spec.trustDomain is missing: it must be given"),
    ("MeshConfig", {"trustDomain": "Ex ample"}, "spec.trustDomain is 'Ex ample'"),
    ("MeshConfig", MESH | {"inbound": "open"}, "spec.inbound is 'open': use one of permissive"),
    ("MeshConfig", MESH | {"inbuond": "strict"}, "spec.inbuond is 'strict': no such field"),
    ("MeshConfig", MESH | {"vipRange": "fd00::1/64"}, "spec.vipRange is 'fd00::1/64'"),
    ("MeshConfig", MESH | {"vipRange": "fd00::/127"}, "256 at least"),
    ("MeshConfig", MESH | {"svidTtlSeconds": 1}, "spec.svidTtlSeconds is 1"),
    ("MeshConfig", MESH | {"exemptSources": ["x"]}, "spec.exemptSources[0] is 'x'"),
    ("MeshConfig", MESH | {"probePorts": [0]}, "spec.probePorts[0] is 0: use a port"),
    ("TransportPolicy", {"outbound": "deny"}, "spec.outbound is 'deny': use one of allow, meshO"),
    ("TransportPolicy", {"selector": {"matchLabels": {}}}, "spec.selector.matchLabels is {}"),
    ("TransportPolicy", {"probePorts": [70000]}, "spec.probePorts[0] is 70000"),
    ("TransportPolicy", {"exemptSources": ["fd00::/200"]}, "spec.exemptSources[0]"),
    ("ServiceRecord", SERVICE | {"ports": []}, "spec.ports is []: name at least one port"),
    ("ServiceRecord", SERVICE | {"ports": [{"port": 0}]}, "spec.ports[0].port is 0"),
    ("ServiceRecord", SERVICE | {"ports": [{"port": "x"}]}, "spec.ports[0].port is 'x'"),
    (
        "ServiceRecord",
        SERVICE | {"ports": [{"port": 1, "protocol": "SCTP"}]},
        "spec.ports[0].protocol",
    ),
    (
        "ServiceRecord",
        SERVICE | {"ports": [{"port": 1, "protocol": "UDP"}] * 2},
        "spec.ports[1].port is 1: it is listed twice for UDP",
    ),
    ("ServiceRecord", SERVICE | {"ports": [{"port": 1}] * 2}, "spec.ports[1].port is 1: it is lis"),
    ("ServiceRecord", SERVICE | {"ports": [{"port": 1}] * 65}, "65 entries"),
    (
        "ServiceRecord",
        SERVICE | {"ports": [{"port": 1, "targetPort": 0}]},
        "spec.ports[0].targetPort is 0",
    ),
    ("ServiceRecord", SERVICE | {"ports": [{"port": 1, "name": "A"}]}, "spec.ports[0].name"),
    ("ServiceRecord", {"ports": [{"port": 1}]}, "spec.endpoints is missing: give one of"),
    (
        "ServiceRecord",
        SERVICE | {"selector": {"matchLabels": {"a": "b"}}},
        "give one of endpoints, selector and serviceRef",
    ),
    (
        "ServiceRecord",
        SERVICE | {"serviceRef": {"name": "web"}},
        "spec.endpoints is 'given beside spec.serviceRef'",
    ),
    (
        "ServiceRecord",
        {"ports": [{"port": 1}], "serviceRef": {"name": "a.b"}},
        "spec.serviceRef.name is 'a.b'",
    ),
    ("ServiceRecord", SERVICE | {"ttlSeconds": 0}, "spec.ttlSeconds is 0"),
    (
        "ServiceRecord",
        SERVICE | {"ports": [{"port": 1, "name": "a"}, {"port": 2, "name": "a"}]},
        "spec.ports[1].name is 'a': another port has it",
    ),
    (
        "ServiceRecord",
        SERVICE | {"endpoints": [{"address": "fd00::2"}, {"address": "fd00:0::2"}]},
        "spec.endpoints[1].address is 'fd00:0::2': it is listed twice",
    ),
    ("ServiceRecord", SERVICE | {"spiffeIds": ["web"]}, "spec.spiffeIds[0] is 'web'"),
    ("Workload", {"addresses": []}, "spec.addresses is []"),
    ("Workload", {"addresses": ["::1"]}, "no peer can reach it"),
    ("Workload", {"addresses": ["fe80::1%eth0"]}, "leave out the zone"),
    ("Workload", {"addresses": ["web"]}, "use an IP address"),
    ("Workload", WORKLOAD | {"joinTokenHash": "abc"}, "use 32 bytes in hexadecimal"),
    ("Workload", WORKLOAD | {"netns": "web-0"}, "spec.netns is 'web-0': use a path"),
    ("Workload", WORKLOAD | {"serviceAccount": "A b"}, "spec.serviceAccount is 'A b'"),
    ("AccessPolicy", {"action": "allow", "rules": []}, "spec.rules is []: write one rule"),
    ("AccessPolicy", {"action": "audit", "rules": [{}]}, "spec.action is 'audit': use one of all"),
    ("AccessPolicy", {"rules": [{}]}, "spec.action is missing"),
    ("AccessPolicy", ACCESS | {"rules": [{}] * 65}, "spec.rules is '65 entries'"),
    ("AccessPolicy", ACCESS | {"selector": {"matchLabels": {}}}, "spec.selector.matchLabels is {}"),
    ("AccessPolicy", peers(), "spec.rules[0].from is {}: name callers in spiffeIds"),
    ("AccessPolicy", peers(spiffeIds=["web"]), "spec.rules[0].from.spiffeIds[0] is 'web'"),
    ("AccessPolicy", peers(namespaces=["Shop"]), "spec.rules[0].from.namespaces[0] is 'Shop'"),
    ("AccessPolicy", peers(serviceAccounts=["web"]), "use <namespace>/<name>, such as shop/web"),
    ("AccessPolicy", peers(groups=["x"]), "spec.rules[0].from.groups is ['x']: no such field"),
    ("AccessPolicy", ports(port=0), "spec.rules[0].ports[0].port is 0"),
    ("AccessPolicy", ports(port=9, endPort=8), "spec.rules[0].ports[0].endPort is 8: use 9"),
    ("Revocation", {}, "give either serial or spiffeId"),
    ("Revocation", {"serial": "01", "spiffeId": "spiffe://a/ns/b/sa/c"}, "give either"),
    ("Revocation", {"serial": "xyz"}, "spec.serial is 'xyz'"),
    ("Revocation", {"spiffeId": "spiffe://a"}, "names no workload"),
]


@pytest.mark.parametrize(("kind", "spec", "message"), MISTAKES)
def test_a_mistake_is_answered_with_field_value_and_way_out(kind, spec, message):
    namespace = "shop" if KINDS[kind].NAMESPACED else ""
    assert message in refused(kind, spec, namespace=namespace)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (None, "manifest is None"),
        ([], "write a mapping"),
        ({}, "apiVersion is missing: use stoq.dev/v1alpha1"),
        ({"apiVersion": "v1"}, "apiVersion is 'v1'"),
        ({"apiVersion": API_VERSION}, "kind is missing"),
        ({"apiVersion": API_VERSION, "kind": "Pod"}, "kind is 'Pod': use one of MeshConfig"),
        ({"apiVersion": API_VERSION, "kind": ["Pod"]}, "kind is ['Pod']"),
        ({"apiVersion": API_VERSION, "kind": "MeshConfig"}, "metadata is missing"),
    ],
)
def test_what_is_no_manifest_is_refused(raw, message):
    with pytest.raises(RecordError) as raised:
        decode(raw)
    assert message in str(raised.value)


def test_a_namespaced_record_needs_a_namespace():
    assert "metadata.namespace is missing" in refused("Workload", WORKLOAD, namespace="")


def test_a_record_of_the_mesh_has_no_namespace():
    assert "remove the namespace" in refused("MeshConfig", MESH)


@pytest.mark.parametrize("name", ["", "A", "a_b", "-a", "a" * 254])
def test_names_follow_kubernetes(name):
    assert "metadata.name" in refused("Workload", WORKLOAD, name=name)


def test_the_name_of_a_service_is_one_dns_label():
    assert "metadata.name is 'a.b'" in refused("ServiceRecord", SERVICE, name="a.b")


def test_a_long_value_is_cut_in_the_message():
    assert len(refused("Workload", {"addresses": ["x" * 5000]})) < 300


def test_addresses_and_networks_become_canonical():
    record = decode(manifest("Workload", {"addresses": ["FD00:0:0::2", "::ffff:10.0.0.2"]}))
    assert record.spec.addresses == ("fd00::2", "10.0.0.2")
    policy = decode(manifest("TransportPolicy", {"exemptSources": ["FD00::1", "10.0.0.0/8"]}))
    assert policy.spec.exempt_sources == ("fd00::1/128", "10.0.0.0/8")


def test_serials_become_canonical():
    record = decode(manifest("Revocation", {"serial": "0A:FF"}, namespace=""))
    assert record.spec.serial == "0aff"


def test_metadata_of_kubernetes_passes_unread():
    record = decode(manifest("Workload", WORKLOAD, uid="7", resourceVersion="x", managedFields=[]))
    assert record.metadata.uid == "7"


@pytest.mark.parametrize(
    ("kind", "spec"),
    [
        ("MeshConfig", MESH | {"inbound": "strict", "probePorts": [8080]}),
        ("TransportPolicy", {"selector": {"matchLabels": {"a": "b"}}, "inbound": "strict"}),
        ("ServiceRecord", SERVICE | {"spiffeIds": ["spiffe://example.org/ns/shop/sa/web"]}),
        ("Workload", WORKLOAD | {"capture": {"excludeOutboundPorts": "443"}}),
        ("Revocation", {"spiffeId": "spiffe://example.org/ns/shop/sa/web", "reason": "lost"}),
        ("AccessPolicy", peers(serviceAccounts=["shop/web"]) | {"dryRun": True}),
        ("AccessPolicy", ports(port=80, endPort=90) | {"selector": {"matchLabels": {"a": "b"}}}),
        ("ServiceRecord", {"ports": [{"port": 1}], "serviceRef": {"name": "web"}}),
    ],
)
def test_a_record_survives_being_written_and_read(kind, spec):
    namespace = "shop" if KINDS[kind].NAMESPACED else ""
    record = decode(manifest(kind, spec, namespace=namespace))
    assert decode(encode(record)) == record


def test_defaults_are_left_out_when_a_record_is_written():
    assert encode(decode(manifest("MeshConfig", MESH, namespace=""))) == manifest(
        "MeshConfig", MESH, namespace=""
    )


def test_a_workload_without_uid_is_known_by_its_name():
    record = decode(manifest("Workload", WORKLOAD | {"serviceAccount": "web"}))
    assert record.uid == "shop/web"
    assert record.spiffe_id("example.org") == "spiffe://example.org/ns/shop/sa/web"
    assert str(record.key) == "Workload shop/web"
    assert str(Key("MeshConfig", "", "mesh")) == "MeshConfig mesh"


def test_values_are_found_by_path():
    found = {"a": [{"b": 1}]}
    assert value_at(found, "a[0].b") == 1
    for path in ("a[1]", "b", "a.b", "a[0].b.c"):
        assert value_at(found, path) is MISSING


def test_the_defaults_of_the_mesh_are_these():
    spec = decode(manifest("MeshConfig", MESH, namespace="")).spec
    assert (spec.inbound, spec.outbound, spec.profile) == ("permissive", "allow", "hybrid-1024")
    assert spec.vip_range == "fd53:746f:7100::/64"
    assert spec.svid_ttl_seconds == 86400


def test_what_the_operator_found_out_is_read_with_the_record():
    raw = manifest("ServiceRecord", SERVICE, generation=3) | {
        "status": {
            "vip": "fd53::7",
            "observedGeneration": 3,
            "conditions": [
                {
                    "type": "Ready",
                    "status": "True",
                    "reason": "Ready",
                    "message": "",
                    "lastTransitionTime": "2026-01-31T12:00:00Z",
                    "observedGeneration": 3,
                }
            ],
        }
    }
    record = decode(raw)
    assert record.metadata.generation == 3
    assert isinstance(record, ServiceRecord)
    assert record.status.vip == "fd53::7"
    assert record.status.conditions[0].observed_generation == 3
    assert decode(encode(record)) == record


def test_a_revocation_holds_since_it_was_written():
    spec = {"serial": "0aff"}
    written = manifest("Revocation", spec, namespace="", creationTimestamp="2026-01-31T12:00:00Z")
    assert decode(written).since == 1769860800
    assert decode(manifest("Revocation", spec, namespace="")).since == 0
    assert "metadata.creationTimestamp is 'soon'" in refused(
        "Revocation", spec, namespace="", creationTimestamp="soon"
    )
