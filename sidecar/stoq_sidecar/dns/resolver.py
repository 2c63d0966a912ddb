"""The pod's resolver, put together."""

import logging
from collections.abc import Callable

from stoq.registry import RegistryState
from stoq_sidecar.dns import resolv, server
from stoq_sidecar.dns.counts import Counts
from stoq_sidecar.dns.responder import Responder
from stoq_sidecar.dns.upstream import Upstream
from stoq_sidecar.settings import Settings

log = logging.getLogger("stoq.dns")


class Resolver:
    """Opens its sockets when made, answers while `serve` runs.

    Raises OSError when port 14053 is taken and ValueError when resolv.conf cannot be read.
    """

    def __init__(self, settings: Settings, stale: Callable[[], bool], *, ipv6: bool) -> None:
        found = resolv.read(settings.dns.resolv_conf, settings.dns.nameservers)
        if not found.nameservers:
            log.warning(
                "no name servers in %s: only names of service records will resolve here",
                settings.dns.resolv_conf,
            )
        self.counts = Counts()
        upstream = Upstream(found.nameservers, self.counts)
        self._responder = Responder(
            upstream, self.counts, settings.pod.namespace, found.search, stale
        )
        self._sockets = server.listeners(ipv6=ipv6)

    def use(self, state: RegistryState) -> None:
        """Answers from this state from now on."""
        self._responder.use(state)

    async def serve(self) -> None:
        """Serves until cancelled."""
        await server.DnsServer(self._responder).serve(*self._sockets)
