"""The workloads of the embedded mode that a socket broker serves: those that name a network
namespace.
"""

import logging
from collections.abc import Iterable
from typing import Final

from stoq.broker.keeper import Keeper
from stoq.broker.server import Pod
from stoq.capture.plan import Plan, parse_addresses, parse_networks, parse_ports
from stoq.records.workload import Workload

log: Final = logging.getLogger(__name__)


class Brokers:
    """Starts and stops brokers as workloads come, change and go."""

    def __init__(self, server: str, sidecar_uid: int) -> None:
        self._uid = sidecar_uid
        self._keeper = Keeper(server, sidecar_uid)

    @property
    def serving(self) -> int:
        """Pods served now."""
        return len(self._keeper.serving)

    def update(self, workloads: Iterable[Workload]) -> None:
        """The workloads that there are now."""
        wanted: dict[str, Pod] = {}
        for workload in workloads:
            if workload.spec.netns:
                try:
                    wanted[workload.uid] = _pod(workload, self._uid)
                except ValueError as error:
                    log.error("%s: spec.capture: %s; it gets no broker", workload.key, error)
        self._keeper.update(wanted)

    async def run(self) -> None:
        """Serves until cancelled."""
        await self._keeper.run()


def _pod(workload: Workload, uid: int) -> Pod:
    capture = workload.spec.capture
    return Pod(
        name=workload.metadata.name,
        namespace=workload.metadata.namespace,
        netns=workload.spec.netns,
        plan=Plan(
            sidecar_uids=(uid,),
            exclude_outbound_ports=parse_ports(capture.exclude_outbound_ports),
            exclude_outbound_networks=parse_networks(capture.exclude_outbound_networks),
            exclude_inbound_ports=parse_ports(capture.exclude_inbound_ports),
            exclude_outbound_udp_ports=parse_ports(capture.exclude_outbound_udp_ports),
            exclude_inbound_udp_ports=parse_ports(capture.exclude_inbound_udp_ports),
            nameservers=parse_addresses(capture.nameservers),
            ipv6_only=capture.ipv6_only,
            client_address=True,
            udp=capture.udp,
        ),
    )
