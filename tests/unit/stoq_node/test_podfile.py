"""The file of pods: what it may say, and how it is followed."""

import asyncio
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from stoq.capture.plan import PortRange
from stoq_node.podfile import PodFile, PodsError, parse
from stoq_node.pods import Pod
from support.patience import until

ONE = '[[pods]]\nnamespace = "shop"\nname = "web-0"\ninterface = "veth1"\n'


def test_a_pod_has_the_defaults_of_the_mesh() -> None:
    (pod,) = parse(ONE)
    assert pod == Pod(namespace="shop", name="web-0", interface="veth1")
    assert (pod.inbound, pod.outbound, pod.strict) == ("permissive", "allow", False)
    assert pod.key == "shop/web-0"


def test_every_key_is_read_and_what_is_common_holds_where_a_pod_says_nothing() -> None:
    text = (
        'nameservers = "10.96.0.10"\napi_servers = "10.96.0.1:443,[fd00::1]:6443"\n'
        + ONE
        + 'inbound = "strict"\noutbound = "meshOnly"\nudp = false\necho = false\n'
        'exclude_outbound_ports = "443,8000-8002"\nexclude_outbound_networks = "10.0.0.0/8"\n'
        'exclude_outbound_udp_ports = "123"\nexclude_inbound_udp_ports = "5060"\n'
        'exclude_inbound_ports = "22"\nexclude_inbound_networks = "fd00::/64"\n'
        'probe_ports = "8080"\nnameservers = "fd00::a"\naddresses = "fd00::3,10.0.0.3"\n'
    )
    (pod,) = parse(text)
    assert pod == Pod(
        namespace="shop",
        name="web-0",
        interface="veth1",
        addresses=(ip_address("fd00::3"), ip_address("10.0.0.3")),
        inbound="strict",
        outbound="meshOnly",
        udp=False,
        echo=False,
        exclude_outbound_ports=(PortRange(443, 443), PortRange(8000, 8002)),
        exclude_outbound_networks=(ip_network("10.0.0.0/8"),),
        exclude_inbound_ports=(PortRange(22, 22),),
        exclude_outbound_udp_ports=(PortRange(123, 123),),
        exclude_inbound_udp_ports=(PortRange(5060, 5060),),
        exclude_inbound_networks=(ip_network("fd00::/64"),),
        probe_ports=(PortRange(8080, 8080),),
        nameservers=(ip_address("fd00::a"),),
        api_servers=((ip_address("10.96.0.1"), 443), (ip_address("fd00::1"), 6443)),
    )
    assert pod.strict


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[pods", "is not TOML"),
        ("pods = 1", "headed [[pods]]"),
        ("port = 1\n", "the file: port is unknown; known are nameservers, api_servers"),
        ('[[pods]]\nname = "a"\n', "pod 1: namespace, interface missing"),
        (ONE + 'inbound = "open"\n', "inbound is 'open': must be one of permissive, strict"),
        (ONE + 'udp = "no"\n', "udp is 'no': must be true or false"),
        (ONE + "probe_ports = 80\n", "probe_ports is 80: must be text"),
        (ONE + 'probe_ports = "0"\n', "probe_ports is '0': port range 0-0"),
        (ONE + 'nameservers = "dns"\n', "nameservers is 'dns'"),
        (ONE + 'api_servers = "10.0.0.1"\n', "has no port"),
        (ONE + 'color = "red"\n', "color is unknown"),
        (ONE.replace('"web-0"', '""'), "must be text"),
        (ONE.replace("veth1", "an-interface-of-17"), "no interface is called that"),
        (ONE + ONE.replace("veth1", "veth2"), "pod 'shop/web-0' is there twice"),
        (ONE + ONE.replace("web-0", "web-1"), "interface 'veth1' is there twice"),
    ],
)
def test_what_can_not_be_is_named(text: str, said: str) -> None:
    with pytest.raises(PodsError) as error:
        parse(text)
    assert said in str(error.value)


async def test_the_last_list_holds_while_the_file_cannot_be_used(tmp_path: Path) -> None:
    path = tmp_path / "pods.toml"
    source = PodFile(path)
    lists = source.watch()
    first = asyncio.ensure_future(anext(lists))
    await until(lambda: "pods.toml" in source.problem)
    assert not first.done(), "it is not there yet"
    path.write_text(ONE)
    assert [pod.name for pod in await first] == ["web-0"]
    assert source.problem == ""
    second = asyncio.ensure_future(anext(lists))
    path.write_text("[[pods")
    await until(lambda: "is not TOML" in source.problem)
    assert not second.done()
    path.write_text("")
    assert await second == ()
    assert source.problem == ""
    await lists.aclose()  # type: ignore[attr-defined]
