"""What a pod may say in the clear although it is strict. Pure."""

from collections.abc import Iterable, Iterator
from typing import Final

from stoq.capture.plan import DNS_PORT, PortRange
from stoq.constants import METRICS_PORT
from stoq_node._kernel import Permission
from stoq_node.pods import Pod

TO: Final = "to_pod"
FROM: Final = "from_pod"


def permissions(pod: Pod) -> frozenset[Permission]:
    """Every permission of `pod`. The sidecar's own pages are among them: docs/traffic-matrix.md has
    them open to whoever scrapes.
    """
    return frozenset(_permissions(pod))


def _permissions(pod: Pod) -> Iterator[Permission]:
    yield Permission.port(METRICS_PORT, "tcp", TO)
    for direction, networks in (
        (FROM, pod.exclude_outbound_networks),
        (TO, pod.exclude_inbound_networks),
    ):
        for network in networks:
            yield Permission.network(str(network), direction)
    for direction, both, udp in (
        (FROM, pod.exclude_outbound_ports, pod.exclude_outbound_udp_ports),
        (TO, pod.exclude_inbound_ports, pod.exclude_inbound_udp_ports),
        (FROM, pod.open_outbound_ports, ()),
        (TO, pod.open_inbound_ports, ()),
    ):
        for number in _numbers(both):
            yield Permission.port(number, "tcp", direction)
        # Where all of it passes there is no need to take the room of other pods.
        for number in () if pod.udp else _numbers(both + udp):
            yield Permission.port(number, "udp", direction)
    for number in _numbers(pod.probe_ports):
        yield Permission.probe(number)
    for address in pod.nameservers:
        for protocol in ("udp", "tcp"):
            yield Permission.service(str(address), DNS_PORT, protocol, "dns")
    for address, port in pod.api_servers:
        yield Permission.service(str(address), port, "tcp", "api_server")


def _numbers(ranges: Iterable[PortRange]) -> Iterator[int]:
    for one in ranges:
        yield from one.numbers()
