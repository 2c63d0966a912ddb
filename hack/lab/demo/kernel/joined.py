"""The node-local splice: pods of one node whose policies both say so are joined by its kernel.

What they say to each other is in the clear then, on the node. That is what such a policy is for:
it is shown after the witness has counted plaintext, with a witness of its own.
"""

from dataclasses import dataclass
from typing import Final

from lab import apps, process, sniff
from lab.apps import HTTP_PORT, IPERF_PORT
from lab.demo import traffic
from lab.demo.files import Sample
from lab.demo.kernel.agent import Agent
from lab.demo.report import Check, Table, size
from lab.demo.stage import Stage
from lab.mesh import Mesh
from lab.packets import TCP
from lab.plan import Pod
from lab.process import Process

SECONDS: Final = 4
"""Of iperf3."""

HELD_RATE: Final = "20M"
"""Bytes a second of a transfer that is still under way when pods are parted."""

OPENED: Final = "stoq_tcp_connections_opened_total"


@dataclass(frozen=True, slots=True)
class Seen:
    """What a witness saw of TCP on the node."""

    readable: int
    """Packets in which the payload can be read."""
    forwarded: int
    """Packets of TCP that went to a pod over the node's network."""
    past: float
    """Bytes that the client sent past its sidecar, by the kernel's own count."""


class Joining:
    """Joins two pods and parts them again. `small` and `large` are files that the server has, the
    small one with the stage's marker.
    """

    def __init__(
        self,
        stage: Stage,
        agent: Agent,
        mesh: Mesh,
        pods: tuple[Pod, Pod],
        files: tuple[Sample, Sample],
    ) -> None:
        self._stage = stage
        self._agent = agent
        self._mesh = mesh
        self._client, self._server = pods
        self._small, self._large = files

    def show(self) -> None:
        """Everything, in the order in which it happens. Raises ProcessError."""
        stage = self._stage
        self._join()
        opened = self._mesh.total(self._client, OPENED)
        fetched, seen = self._watched("joined")
        opened = self._mesh.total(self._client, OPENED) - opened
        stage.check(joined_check(fetched, seen, opened))
        stage.check(traffic.attempt("iperf3, one stream, joined", self._measure))
        held = self._hold()
        stage.progress("policies take it back: nodeLocal encrypted")
        self._agent.policy(self._mesh, {"nodeLocal": "encrypted"})
        self._agent.wait("ending what is open", lambda: not held.running())
        self._agent.wait("parting them", lambda: self._pairs() == 0)
        # What is begun while they are parted may end with the rest.
        self._agent.wait(
            "letting connections through",
            lambda: traffic.fetch(self._client, self._server, self._small).ok,
        )
        resets = self._agent.node.metric("stoq_node_splice_resets_total")
        fetched, seen = self._watched("parted")
        stage.check(parted_check(held.stop(), resets, fetched, seen))

    def _join(self) -> None:
        stage, server = self._stage, self._server
        stage.progress("joining client and server: nodeLocal splice, in the clear from here on")
        # Joined are ports of services.
        ports = [{"port": port} for port in (HTTP_PORT, IPERF_PORT)]
        ends = [{"address": str(address)} for address in server.addresses]
        self._mesh.write("ServiceRecord", "web", {"ports": ports, "endpoints": ends})
        self._agent.policy(self._mesh, {"nodeLocal": "splice"})

        def done() -> bool:
            before = self._agent.sent(self._client)
            fetched = traffic.fetch(self._client, server, self._small)
            return fetched.ok and self._agent.sent(self._client) > before

        self._agent.wait("joining them", done)

    def _watched(self, name: str) -> tuple[Check, Seen]:
        """Fetches the small file while a witness on the node looks at TCP."""
        stage = self._stage
        before = self._agent.sent(self._client)
        witness = sniff.Capture.start(
            stage.state, name, stage.plan.fabric, expression="tcp", snapshot=sniff.WHOLE
        )
        fetched = traffic.fetch(self._client, self._server, self._small)
        witness.stop()
        marker = stage.marker.encode()
        readable, _ = sniff.find_marker(sniff.packets(witness.file), marker, stage.outside)
        went = sniff.packets(witness.file, outgoing=True)
        forwarded = sum(packet.protocol == TCP for _, packet in went)
        # Who is joined with nobody any more is forgotten, and its count with it.
        past = max(0.0, self._agent.sent(self._client) - before)
        return fetched, Seen(readable, forwarded, past)

    def _measure(self) -> str:
        before = self._agent.sent(self._client)
        found = apps.iperf(self._client, self._server, SECONDS)
        sent = self._agent.sent(self._client) - before
        if sent < found.bytes:
            raise ValueError(f"{size(found.bytes)} arrived, {size(sent)} of it past the sidecars")
        rows = [["joined, in the clear", _rate(found.bits_per_second)]]
        if self._stage.rate is not None:
            rows.insert(0, ["through both sidecars, encrypted", _rate(self._stage.rate)])
        columns = ("iperf3, one stream", "rate")
        self._stage.tables.append(Table("TCP between two pods of the node", columns, rows))
        return f"{_rate(found.bits_per_second)}, {size(sent)} counted by the kernel"

    def _hold(self) -> Process:
        """A transfer that takes long; returns when it is under way."""
        before = self._agent.sent(self._server)
        url = f"http://[{self._server.ipv6}]:{HTTP_PORT}/{self._large.name}"
        words = ["curl", "-sS", "-o", "/dev/null", "--limit-rate", HELD_RATE, url]
        held = process.start(self._stage.state, "curl-held", words, netns=self._client.netns)
        held.wait_until("under way", lambda: self._agent.sent(self._server) > before + 1_000_000)
        return held

    def _pairs(self) -> float:
        return self._agent.node.metric("stoq_node_splice_pairs")


def joined_check(fetched: Check, seen: Seen, opened: float) -> Check:
    """What is said goes from pod to pod, past the sidecars and past the node's network."""
    detail = (
        f"readable in {seen.readable} packets on the node, as both policies say; {seen.forwarded} "
        f"over its network, {opened:.0f} connections through the sidecar; {fetched.name}: "
        f"{fetched.detail}"
    )
    way = seen.readable > 0 and seen.past > 0 and seen.forwarded == 0 and opened == 0
    return Check("joined by the kernel", fetched.ok and way, detail)


def parted_check(status: int, resets: float, fetched: Check, seen: Seen) -> Check:
    """What was open has ended, by curl's exit status, and what comes is encrypted."""
    detail = (
        f"the open transfer ended (curl: {status}, {resets:.0f} sockets reset); the next is "
        f"readable in {seen.readable} packets, and {size(seen.past)} went past the sidecar; "
        f"{fetched.name}: {fetched.detail}"
    )
    encrypted = seen.readable == 0 and seen.past == 0 and seen.forwarded == 0
    return Check("parted by the kernel", status > 0 and fetched.ok and encrypted, detail)


def _rate(bits_per_second: float) -> str:
    return f"{bits_per_second / 1e9:.2f} Gbit/s"
