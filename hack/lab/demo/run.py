"""The demonstration from beginning to end."""

import json
import secrets
import shutil
import sys
import tempfile
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from lab import apps, handshakes, netns, plan, sniff
from lab.demo import connections, files, traffic
from lab.demo.kernel import Kernel
from lab.demo.options import Options
from lab.demo.report import Check, PodReport, Report
from lab.mesh import Mesh, MeshSettings
from lab.netlab import path, schedule
from lab.packets import STOQ_PORTS
from lab.plan import Pod
from lab.state import State

PURPOSE = "demo"
STOQ_PORT = STOQ_PORTS[0]
SMALL = (1, 1000, 64_000, 1_000_000)
"""Sizes of the files of which every packet is kept and searched."""
LARGE = (100_000_000, 1_000_000_000)
LARGE_AFAR = (5_000_000,)
"""The same over a path of hack/netlab."""
IPERF_SECONDS = 4


class Demonstration:
    """One run. The steps are methods, in the order in which they happen."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.started = time.monotonic()
        clients = ["client", *(f"client-{number}" for number in range(2, options.pods))]
        self.names = ["server", *clients]
        names = [*self.names, "control", "bystander-a", "bystander-b"]
        self.plan = plan.make(plan.new_run_id(), names, mtu=options.mtu)
        self.pods = [self.plan.pod(name) for name in self.names]
        self.server, self.client = self.pods[0], self.pods[1]
        self.bystanders = (self.plan.pod("bystander-a"), self.plan.pod("bystander-b"))
        self.outside = frozenset(a for pod in self.bystanders for a in pod.addresses)
        self.marker = f"STOQ-DEMONSTRATION-{secrets.token_hex(16)};"
        self.path = schedule.find(options.path) if options.path else None
        self.state = State.create(self.plan.run, PURPOSE)
        self.mesh: Mesh | None = None
        self.checks: list[Check] = []

    def progress(self, text: str) -> None:
        """One line on standard error, with the time since the start."""
        print(f"[{time.monotonic() - self.started:5.1f} s] {text}", file=sys.stderr, flush=True)

    def check(self, check: Check) -> None:
        """Notes a check and says how it went."""
        self.checks.append(check)
        self.progress(f"{'ok    ' if check.ok else 'FAILED'} {check.name}: {check.detail}")

    def run(self) -> Report:
        """Everything; what it made is in `state`. Raises when the mesh does not come up."""
        self.progress(f"making {len(self.plan.pods)} network namespaces, MTU {self.plan.mtu}")
        links = {}
        if self.path is not None:
            self.progress(f"the client's link is a path: {self.path.description}")
            links["client"] = path.link(self.state, self.path)
        netns.build(self.plan, self.state, links)
        kernel = self._start_kernel()
        counting = self._capture("count", sniff.NOT_STOQ, sniff.HEAD_BYTES)
        whole = self._capture("full", "", sniff.WHOLE)
        with ThreadPoolExecutor(2) as pool:
            large = pool.submit(self._large_files)
            database = pool.submit(apps.postgres_prepare, self.state)
            mesh = self._start_mesh()
            self._start_programs(database)
            self._control_traffic()
            self._small_traffic()
            self._search(whole)
            seen = self._handshakes(whole)
            for sample in large.result():
                self.check(traffic.fetch(self.client, self.server, sample))
        rate = self._throughput()
        counted = self._count(counting)
        told = {pod.name: self._connections(mesh, pod) for pod in self.pods}
        ids = {pod.name: mesh.spiffe_id(pod) for pod in self.pods}
        by_name = {pod.name: pod for pod in self.pods}
        dialled = connections.dialled(told, by_name, ids, seen, STOQ_PORT)
        owners = {pod.ipv6: ids[pod.name] for pod in self.pods}
        self.check(connections.suite_check(dialled))
        self.check(connections.identity_check(told, owners, STOQ_PORT))
        if self.path is None:
            # What is lost on the way is sent again, and that takes round trips too.
            self.check(connections.round_trip_check(dialled))
        if kernel is not None:
            self.check(kernel.passed(self.pods))
            self.check(kernel.holds(mesh, self.client, self.server))
        return Report(
            run=self.plan.run,
            mtu=self.plan.mtu,
            seconds=round(time.monotonic() - self.started, 1),
            pods=[
                PodReport(pod.name, pod.netns, str(pod.ipv6), ids[pod.name], mesh.metrics_url(pod))
                for pod in self.pods
            ],
            connections=dialled,
            plaintext_packets=counted.plaintext_packets,
            exempt_packets=counted.exempt,
            throughput_bits_per_second=rate,
            checks=self.checks,
        )

    def _capture(self, name: str, expression: str, snapshot: int) -> sniff.Capture:
        return sniff.Capture.start(
            self.state, name, self.plan.fabric, expression=expression, snapshot=snapshot
        )

    def _start_kernel(self) -> Kernel | None:
        if not self.options.ebpf:
            return None
        self.progress("starting the node agent: strict mode in the kernel")
        return Kernel(self.plan, self.state, self.pods)

    def _start_mesh(self) -> Mesh:
        self.progress("starting the control process: registry and certificate authority")
        settings = MeshSettings(capture=self.options.capture)
        mesh = self.mesh = Mesh(self.state, self.plan.pod("control"), settings)
        for pod in self.pods:
            mesh.enrol(pod)
        mesh.start_control()
        self.progress(f"starting {len(self.pods)} sidecars")
        for pod in self.pods:
            mesh.start_sidecar(pod)
        mesh.wait_ready(self.pods)
        return mesh

    def _start_programs(self, database: "Future[Path]") -> None:
        self.progress("starting nginx, PostgreSQL and iperf3 in the server's pod")
        self.files = self.state.folder / "files"
        self.files.mkdir(exist_ok=True)
        self.small = [
            files.marked(self.files, f"{count}", count, self.marker.encode()) for count in SMALL
        ]
        apps.nginx(self.state, self.server, self.files)
        apps.nginx(self.state, self.bystanders[1], self.files)
        apps.iperf_server(self.state, self.server)
        apps.postgres(self.state, self.server, database.result())

    def _large_files(self) -> list[files.Sample]:
        # Not in the run's folder: /run is memory, often less than this.
        folder = Path(tempfile.mkdtemp(prefix=f"stoq-{self.plan.run}-", dir="/var/tmp"))
        self.state.add_folder(folder)
        folder.chmod(0o755)
        samples = []
        for count in LARGE_AFAR if self.path else LARGE:
            samples.append(files.random(folder, str(count), count))
            (self.state.folder / "files").mkdir(exist_ok=True)
            (self.state.folder / "files" / str(count)).symlink_to(folder / str(count))
        return samples

    def _control_traffic(self) -> None:
        one, other = self.bystanders
        sample = self.small[-1]
        check = traffic.fetch(one, other, sample)
        if not check.ok:
            self.check(Check("bystanders outside the mesh", ok=False, detail=check.detail))

    def _small_traffic(self) -> None:
        for sample in self.small:
            self.check(traffic.fetch(self.client, self.server, sample))
        if len(self.pods) > 2:
            self.check(traffic.fetch_together(self.pods[1:], self.server, self.small[-1]))
        self.check(traffic.server_first(self.client, self.server, self.marker))

    def _search(self, whole: sniff.Capture) -> None:
        self.full_dropped = whole.stop()
        found, control = sniff.find_marker(
            sniff.packets(whole.file), self.marker.encode(), self.outside
        )
        detail = f"found in {found} packets of the mesh, in {control} of the bystanders' plaintext"
        self.check(Check("payload on the wire", ok=found == 0 and control > 0, detail=detail))

    def _handshakes(self, whole: sniff.Capture) -> list[handshakes.Handshake]:
        seen = handshakes.handshakes(sniff.packets(whole.file), (STOQ_PORT,))
        if not self.options.keep:
            whole.file.unlink()
        return seen

    def _throughput(self) -> float:
        rate = 0.0

        def action() -> str:
            nonlocal rate
            rate = apps.iperf(self.client, self.server, IPERF_SECONDS).bits_per_second
            if rate <= 0:
                raise ValueError("nothing arrived")
            return f"{rate / 1e9:.2f} Gbit/s"

        self.check(traffic.attempt("iperf3, one stream", action))
        return rate

    def _count(self, counting: sniff.Capture) -> sniff.Count:
        dropped = counting.stop() + self.full_dropped
        counted = sniff.count(sniff.packets(counting.file), self.outside, dropped)
        witnessed = sum(counted.bystanders.values())
        self.check(
            Check(
                "the witness can see",
                ok=witnessed > 0 and dropped == 0,
                detail=f"{witnessed} plaintext packets between the bystanders, {dropped} missed",
            )
        )
        worst = sorted(counted.plaintext.items(), key=lambda item: -item[1])[:3]
        detail = f"{counted.plaintext_packets} between pods of the mesh"
        detail += "".join(f"; {label}: {count}" for label, count in worst)
        self.check(Check("plaintext packets", counted.plaintext_packets == 0, detail))
        return counted

    @staticmethod
    def _connections(mesh: Mesh, pod: Pod) -> list[dict[str, Any]]:
        told = mesh.admin(pod, "/connections")
        listed = told["connections"] if isinstance(told, dict) else told
        return [dict(info) for info in listed]

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


def programs_missing() -> list[str]:
    """Programs that the demonstration calls and this machine does not have."""
    wanted = ("curl", "initdb", "ip", "iperf3", "nft", "nginx", "nsenter", "psql", "setpriv")
    elsewhere = {"initdb": list(Path("/usr/lib/postgresql").glob("*/bin/initdb"))}
    return [
        name
        for name in (*wanted, "ss", "tcpdump", "unshare")
        if shutil.which(name) is None and not elsewhere.get(name)
    ]
