"""Answers one query: from the records, or by asking the name servers.

What the registry said last stays in force while it is away. Before it has said anything our names
are neither there nor not there: SERVFAIL, which nobody remembers.
"""

from collections.abc import Callable
from typing import Final

from stoq.registry import RegistryState
from stoq_sidecar.dns import answers, wire
from stoq_sidecar.dns.counts import Counts
from stoq_sidecar.dns.names import Found, look_up, meaning
from stoq_sidecar.dns.upstream import Upstream

CLASS_ANY: Final = 255


class Responder:
    """The pod's resolver without its sockets. `namespace` is the pod's, `stale` says whether the
    registry is away.
    """

    def __init__(
        self,
        upstream: Upstream,
        counts: Counts,
        namespace: str,
        search: tuple[wire.Labels, ...],
        stale: Callable[[], bool],
    ) -> None:
        self._upstream = upstream
        self._counts = counts
        self._namespace = namespace
        self._search = search
        self._stale = stale
        self._state: RegistryState | None = None

    def use(self, state: RegistryState) -> None:
        """Answers from this state from now on."""
        self._state = state

    def at_once(self, query: bytes, *, udp: bool) -> bytes | None:
        """The reply, if it takes no name server. The query must be `wire.is_query`."""
        protocol = "udp" if udp else "tcp"
        if not wire.is_plain_query(query):
            return None
        try:
            asked = wire.question(query)
        except wire.Malformed:
            self._counts.requests[protocol, "malformed"] += 1
            return wire.failure(query, wire.FORMERR)
        meant = meaning(asked.labels, self._search, self._namespace)
        if meant.ours is not None:
            if asked.class_ not in (wire.CLASS_IN, CLASS_ANY):
                self._counts.requests[protocol, "refused"] += 1
                return wire.failure(query, wire.REFUSED)
            if self._state is None:
                self._counts.requests[protocol, "unknown"] += 1
                return wire.failure(query, wire.SERVFAIL)
            return self._reply(query, meant.ours, self._found(meant.ours), udp=udp)
        if meant.alias is not None and (found := self._record(meant.alias)):
            return self._reply(query, meant.alias, found, alias=True, udp=udp)
        return None

    async def later(self, query: bytes, *, udp: bool) -> bytes:
        """The reply of the name servers; for a short name that they do not know, ours."""
        reply = await self._upstream.ask(query, udp=udp)
        if wire.rcode(reply) == wire.NXDOMAIN and wire.is_plain_query(query):
            after = meaning(wire.question(query).labels, self._search, self._namespace).after
            if after is not None and (found := self._record(after)):
                return self._reply(query, after, found, alias=True, udp=udp)
        self._counts.requests["udp" if udp else "tcp", "forwarded"] += 1
        return reply

    def _found(self, labels: wire.Labels) -> Found | None:
        return look_up(self._state.services, labels) if self._state else None

    def _record(self, labels: wire.Labels) -> Found | None:
        """As `_found`, but nothing that is only part of longer names."""
        found = self._found(labels)
        return found if found and found.entry else None

    def _reply(
        self,
        query: bytes,
        labels: wire.Labels,
        found: Found | None,
        *,
        alias: bool = False,
        udp: bool,
    ) -> bytes:
        ipv6_only = self._state is not None and self._state.mesh.ipv6_only
        reply, outcome = answers.encode(
            query, labels, found, alias=alias, ipv6_only=ipv6_only, udp=udp
        )
        self._counts.requests["udp" if udp else "tcp", outcome] += 1
        self._counts.stale += self._stale()
        return reply
