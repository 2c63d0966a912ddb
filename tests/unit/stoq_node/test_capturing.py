"""What capture shall do in a pod of capture mode `node`, and which namespace is the pod's."""

import dataclasses
import struct
from ipaddress import ip_address
from typing import Any

import pytest

from stoq.capture.plan import Plan
from stoq.injection.decide import Injected, decide
from stoq.records.mesh import MeshConfigSpec
from stoq_node import netlink
from stoq_node.capturing import Unreadable, plan, wanted
from stoq_node.enrolment import Meshed, Surround, meshed
from stoq_node.namespaces import NotThere, match
from stoq_node.netlink import Link
from stoq_sidecar import settings
from support.pods import CONFIG, annotated
from unit.stoq_injection.test_injected_pod import environment
from unit.stoq_node.test_placing import attribute, message

CLUSTER_DNS, GATEWAY = ip_address("fd00::a"), ip_address("fd00::1")
HOST = ip_address("fd00::10")
AROUND = Surround(mesh=MeshConfigSpec(trust_domain=""), cluster_nameservers=(CLUSTER_DNS,))
NODE = dataclasses.replace(CONFIG, capture="node")
VETH = Link(7, "veth7", "veth", 0, across=True, namespace=3)
FILES = {3: "/run/netns/cni-1", 4: "/run/netns/cni-2"}


def shown(config: Any = NODE, **annotations: str) -> dict[str, Any]:
    outcome = decide(annotated(**annotations), "shop", config)
    assert isinstance(outcome, Injected)
    about = {"name": "web", "namespace": "shop", "uid": "uid-web"}
    status = {"phase": "Running", "hostIPs": [{"ip": str(HOST)}], "podIPs": [{"ip": "fd00::5"}]}
    return {**outcome.pod, "metadata": about, "status": status}


def read(raw: dict[str, Any]) -> Meshed:
    found = meshed(raw)
    assert found is not None
    return found


def test_a_pod_is_captured_as_stoq_init_would_capture_it() -> None:
    asked = {
        "exclude_outbound_ports": "443,8000-8010",
        "exclude_outbound_cidrs": "10.0.0.0/8",
        "exclude_inbound_ports": "9000",
        "exclude_outbound_udp_ports": "123",
        "exclude_inbound_udp_ports": "5060",
    }
    raw = shown(**asked)
    sidecar, _ = raw["spec"]["initContainers"]
    own = settings.read("", {**environment(sidecar), "STOQ_POD_HOST_ADDRESSES": str(HOST)})
    assert plan(read(raw), AROUND, (GATEWAY,)) == own.plan((CLUSTER_DNS,), (GATEWAY,))


def test_udp_is_captured_where_the_pod_was_made_so() -> None:
    with_udp = dataclasses.replace(NODE, capture_udp=True)
    assert plan(read(shown(with_udp)), AROUND, ()).udp
    assert not plan(read(shown(with_udp, capture_udp="off")), AROUND, ()).udp
    assert not plan(read(shown()), AROUND, ()).udp


def test_the_udp_of_a_pod_from_before_stays_as_it_is() -> None:
    pod = read(shown(dataclasses.replace(NODE, capture_udp=True)))
    older = {name: text for name, text in pod.environment.items() if name != "STOQ_CAPTURE_UDP"}
    assert not plan(dataclasses.replace(pod, environment=older), AROUND, ()).udp


def test_only_pods_that_wait_for_the_agent_are_captured_by_it() -> None:
    assert wanted(read(shown()))
    assert not wanted(read(shown(CONFIG)))


@pytest.mark.parametrize("shows", ["auto", "on", "off"])
def test_the_clients_address_is_shown_unless_the_pod_does_not_want_it(shows: str) -> None:
    assert plan(read(shown(client_address=shows)), AROUND, ()).client_address is (shows != "off")


def test_nobody_but_the_sidecars_user_is_ever_let_out() -> None:
    pod = read(shown())
    pod = dataclasses.replace(pod, environment={**pod.environment, "STOQ_CAPTURE_SIDECAR_UID": "0"})
    assert plan(pod, AROUND, ()).sidecar_uids == Plan().sidecar_uids


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("STOQ_CAPTURE_EXCLUDE_OUTBOUND_PORTS", "all"),
        ("STOQ_CAPTURE_EXCLUDE_OUTBOUND_NETWORKS", "10.0.0.1/8"),
        ("STOQ_CAPTURE_EXCLUDE_INBOUND_PORTS", "70000"),
        ("STOQ_CAPTURE_EXCLUDE_OUTBOUND_UDP_PORTS", "quic"),
        ("STOQ_CAPTURE_EXCLUDE_INBOUND_UDP_PORTS", "0"),
        ("STOQ_CAPTURE_UDP", "auto"),
        ("STOQ_CAPTURE_PROBE_PORTS", "http"),
        ("STOQ_CAPTURE_CLIENT_ADDRESS", "maybe"),
        ("STOQ_LINK_IPV6_ONLY", "perhaps"),
    ],
)
def test_what_cannot_be_read_is_refused_by_name_and_value(name: str, text: str) -> None:
    pod = dataclasses.replace(read(shown()), environment={name: text})
    with pytest.raises(Unreadable, match=name) as refused:
        plan(pod, AROUND, ())
    assert repr(text) in str(refused.value)
    assert "Make the pod anew" in str(refused.value)


def test_a_namespace_is_found_by_the_number_that_its_link_has() -> None:
    assert match(VETH, FILES, "/run/netns") == "/run/netns/cni-1"


@pytest.mark.parametrize(
    ("link", "files", "why"),
    [
        (None, FILES, "gone"),
        (dataclasses.replace(VETH, namespace=-1), FILES, "does not lead into another"),
        (VETH, {4: "/run/netns/cni-2"}, "no file of /run/netns"),
    ],
)
def test_a_namespace_that_is_not_found_is_told_with_the_reason(
    link: Link | None, files: dict[int, str], why: str
) -> None:
    found = match(link, files, "/run/netns")
    assert isinstance(found, NotThere)
    assert why in str(found)


def test_the_kernels_number_of_a_namespace_is_read() -> None:
    content = bytes(4) + attribute(1, struct.pack("=i", 3))
    ((kind, body),) = netlink.messages(message(88, content))
    assert netlink.namespace(kind, body) == 3
    assert netlink.namespace(88, bytes(4) + attribute(1, struct.pack("=i", -1))) == -1
    assert netlink.namespace(24, content) == -1
    assert netlink.namespace_wanted(9).endswith(attribute(3, struct.pack("=I", 9)))
