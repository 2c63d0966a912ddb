"""What every demonstration stands on: pods, a witness between them, meshes, and what held."""

import json
import secrets
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from lab import handshakes, netns, plan, sniff
from lab.demo import connections
from lab.demo.options import Options
from lab.demo.report import Check, ConnectionReport, PodReport, Report, Table
from lab.mesh import Mesh, MeshSettings
from lab.netns import Link
from lab.packets import STOQ_PORTS, Packet
from lab.plan import Pod
from lab.process import ProcessError
from lab.state import State

PURPOSE: Final = "demo"
STOQ_PORT: Final = STOQ_PORTS[0]

BYSTANDERS: Final = ("bystander-a", "bystander-b")
"""Two pods outside the mesh. They talk in the clear, which the witness has to see."""


class Stage:
    """One run. `state` lists what it made, so that it can be removed at any time."""

    def __init__(self, options: Options, names: Sequence[str]) -> None:
        """`names` are the pods: meshed ones, control processes, whatever there is to be."""
        self.options = options
        self.started = time.monotonic()
        self.plan = plan.make(plan.new_run_id(), [*names, *BYSTANDERS], mtu=options.mtu)
        self.bystanders = tuple(self.plan.pod(name) for name in BYSTANDERS)
        self.outside = frozenset(a for pod in self.bystanders for a in pod.addresses)
        self.marker = f"STOQ-DEMONSTRATION-{secrets.token_hex(16)}."
        """To be in what programs send: it must not be readable on the wire."""
        self.state = State.create(self.plan.run, PURPOSE)
        self.checks: list[Check] = []
        self.tables: list[Table] = []
        self.pods: list[PodReport] = []
        self.connections: list[ConnectionReport] = []
        self.rate: float | None = None
        """What iperf3 measured over TCP, bits per second."""
        self.hints: list[str] = []
        """Commands to try with `--keep`."""
        self._captures: dict[str, sniff.Capture] = {}
        self._missed = 0
        self._counted: sniff.Count | None = None

    def pod(self, name: str) -> Pod:
        """The pod of that name."""
        return self.plan.pod(name)

    def progress(self, text: str) -> None:
        """One line on standard error, with the time since the start."""
        print(f"[{time.monotonic() - self.started:5.1f} s] {text}", file=sys.stderr, flush=True)

    def check(self, check: Check) -> None:
        """Notes a check and says how it went."""
        self.checks.append(check)
        self.progress(f"{'ok    ' if check.ok else 'FAILED'} {check.name}: {check.detail}")

    def build(self, links: Mapping[str, Link] | None = None) -> None:
        """Makes the pods, those in `links` with such a link, and starts the witness."""
        self.progress(f"making {len(self.plan.pods)} network namespaces, MTU {self.plan.mtu}")
        netns.build(self.plan, self.state, links)
        for name, expression, snapshot in (
            ("count", sniff.NOT_STOQ, sniff.HEAD_BYTES),
            ("full", "", sniff.WHOLE),
        ):
            self._captures[name] = sniff.Capture.start(
                self.state, name, self.plan.fabric, expression=expression, snapshot=snapshot
            )
        one, other = self.bystanders
        say = f"printf %s '{self.marker}' > /dev/udp/{other.ipv6}/{sniff.DISCARD}"
        netns.run_in(one.netns, ["bash", "-c", say])

    def start_control(
        self, pods: Sequence[Pod], settings: MeshSettings, control: str = "control"
    ) -> Mesh:
        """A mesh with a control process in the pod `control`, in which `pods` are enrolled."""
        self.progress("starting the control process: registry and certificate authority")
        mesh = Mesh(self.state, self.pod(control), settings)
        for pod in pods:
            mesh.enrol(pod)
        mesh.start_control()
        return mesh

    def start_mesh(
        self, pods: Sequence[Pod], settings: MeshSettings, control: str = "control"
    ) -> Mesh:
        """The same, with a sidecar in each of `pods`; returns when all are ready."""
        mesh = self.start_control(pods, settings, control)
        self.progress(f"starting {len(pods)} sidecars")
        for pod in pods:
            mesh.start_sidecar(pod)
        mesh.wait_ready(pods)
        return mesh

    def packets(self) -> Iterator[tuple[float, Packet]]:
        """What has crossed the fabric until now, or until `search`: (seconds, packet)."""
        return sniff.packets(self._captures["full"].file)

    def search(self) -> None:
        """Ends the witness's full capture, which must not show the marker within the mesh."""
        self._missed += self._captures["full"].stop()
        found, control = sniff.find_marker(self.packets(), self.marker.encode(), self.outside)
        detail = f"found in {found} packets of the mesh, in {control} of the bystanders' plaintext"
        self.check(Check("payload on the wire", ok=found == 0 and control > 0, detail=detail))

    def handshakes(self) -> list[handshakes.Handshake]:
        """The handshakes between workloads that the full capture shows."""
        return handshakes.handshakes(self.packets(), (STOQ_PORT,))

    def count(self) -> None:
        """Ends the witness's count: there was no plaintext, and it would have been seen."""
        dropped = self._captures["count"].stop() + self._missed
        packets = sniff.packets(self._captures["count"].file)
        counted = self._counted = sniff.count(packets, self.outside, dropped)
        witnessed = sum(counted.bystanders.values())
        detail = f"{witnessed} plaintext packets between the bystanders, {dropped} missed"
        self.check(Check("the witness can see", witnessed > 0 and dropped == 0, detail))
        worst = sorted(counted.plaintext.items(), key=lambda item: -item[1])[:3]
        detail = f"{counted.plaintext_packets} between pods of the mesh"
        detail += "".join(f"; {label}: {count}" for label, count in worst)
        self.check(Check("plaintext packets", counted.plaintext_packets == 0, detail))

    def evidence(
        self,
        mesh: Mesh,
        pods: Sequence[Pod],
        told: Mapping[str, Sequence[Mapping[str, Any]]] | None = None,
    ) -> list[ConnectionReport]:
        """Who was connected with whom: the whole suite was negotiated, and ids belong to addresses.

        `told` is what programs that are members themselves say of their connections, by pod;
        without it the pods' sidecars are asked.
        """
        ids = {pod.name: mesh.spiffe_id(pod) for pod in pods}
        said = told if told is not None else {pod.name: _connections(mesh, pod) for pod in pods}
        by_name = {pod.name: pod for pod in pods}
        # A program's connections have the same ports: their round trips cannot be told apart.
        seen = self.handshakes() if told is None else []
        found = connections.dialled(said, by_name, ids, seen, STOQ_PORT)
        owners = {pod.ipv6: ids[pod.name] for pod in pods}
        self.check(connections.suite_check(found))
        self.check(connections.identity_check(said, owners, STOQ_PORT))
        self.connections += found
        for pod in pods:
            url = mesh.metrics_url(pod) if pod.name in mesh.sidecars else ""
            self.pods.append(PodReport(pod.name, pod.netns, str(pod.ipv6), ids[pod.name], url))
        return found

    def report(self) -> Report:
        """All of it, once `search` and `count` were done."""
        if self._counted is None:
            raise ProcessError("the witness was not asked what it has seen")
        return Report(
            run=self.plan.run,
            mtu=self.plan.mtu,
            seconds=round(time.monotonic() - self.started, 1),
            scenario=self.options.scenario,
            pods=self.pods,
            connections=self.connections,
            plaintext_packets=self._counted.plaintext_packets,
            exempt_packets=self._counted.exempt,
            throughput_bits_per_second=self.rate,
            tables=self.tables,
            checks=self.checks,
        )

    def remember(self, report: Report) -> None:
        """Keeps the report beside the state of a run that is left running."""
        (self.state.folder / "report.json").write_text(json.dumps(report.as_object(), indent=2))

    def logs(self) -> str:
        """The end of every log, for when something failed."""
        parts = []
        for log in sorted((self.state.folder / "logs").glob("*.log")):
            tail = log.read_text(errors="replace").strip().splitlines()[-15:]
            parts.append("\n".join([f"--- {log.name}", *tail]))
        return "\n".join(parts)


def _connections(mesh: Mesh, pod: Pod) -> list[dict[str, Any]]:
    told = mesh.admin(pod, "/connections")
    listed = told["connections"] if isinstance(told, dict) else told
    return [dict(info) for info in listed]
