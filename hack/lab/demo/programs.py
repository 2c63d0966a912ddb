"""What the demonstration shows unless a scenario is asked for: unmodified programs over TCP."""

import tempfile
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Final

from lab import apps
from lab.demo import connections, files, traffic
from lab.demo.kernel import guarded, lent, strict
from lab.demo.kernel.agent import Agent
from lab.demo.kernel.joined import Joining
from lab.demo.options import Options
from lab.demo.report import Check
from lab.demo.scenario import Scenario
from lab.demo.stage import Stage
from lab.mesh import Mesh, MeshSettings
from lab.netlab import path, schedule
from lab.netlab.schedule import Schedule
from lab.netns import Link
from lab.node import PAGES

SMALL: Final = (1, 1000, 64_000, 1_000_000)
"""Sizes of the files of which every packet is kept and searched."""
LARGE: Final = (100_000_000, 1_000_000_000)
LARGE_AFAR: Final = (5_000_000,)
"""The same over a path of hack/netlab."""
IPERF_SECONDS: Final = 4


def scenario(options: Options) -> Scenario:
    """As the options say. Raises ScheduleError for a path that cannot be."""
    line = schedule.find(options.path) if options.path else None
    clients = ["client", *(f"client-{number}" for number in range(2, options.pods))]
    meshed = ("server", *clients)
    return Scenario(
        summary="unmodified programs over TCP",
        pods=(*meshed, "control"),
        play=lambda stage: _Play(stage, meshed, line).run(),
        programs=("initdb", "iperf3", "nginx", "psql", "ss"),
    )


class _Play:
    """One run. The steps are methods, in the order in which they happen."""

    def __init__(self, stage: Stage, meshed: tuple[str, ...], line: Schedule | None) -> None:
        self.stage = stage
        self.state = stage.state
        self.line = line
        self.pods = [stage.pod(name) for name in meshed]
        self.server, self.client = self.pods[0], self.pods[1]

    def run(self) -> None:
        """Everything. Raises when the mesh does not come up."""
        stage, options = self.stage, self.stage.options
        stage.build(self._links())
        agent = self._start_agent()
        capture = options.capture if agent is None else "agent"
        with ThreadPoolExecutor(2) as pool:
            large = pool.submit(self._large_files)
            database = pool.submit(apps.postgres_prepare, self.state)
            mesh = stage.start_mesh(self.pods, MeshSettings(capture=capture))
            self._start_programs(database)
            self._control_traffic()
            self._small_traffic()
            stage.search()
            self.large = large.result()
            for sample in self.large:
                stage.check(traffic.fetch(self.client, self.server, sample))
        stage.rate = self._throughput()
        stage.count()
        found = stage.evidence(mesh, self.pods)
        if self.line is None:
            # What is lost on the way is sent again, and that takes round trips too.
            stage.check(connections.round_trip_check(found))
        if agent is not None:
            self._kernel(agent, mesh)
        url = f"http://[{self.server.ipv6}]:{apps.HTTP_PORT}/1000"
        stage.hints.append(f"ip netns exec {self.client.netns} curl -s '{url}'")

    def _links(self) -> Mapping[str, Link]:
        if self.line is None:
            return {}
        self.stage.progress(f"the client's link is a path: {self.line.description}")
        return {"client": path.link(self.state, self.line)}

    def _start_agent(self) -> Agent | None:
        if not self.stage.options.ebpf:
            return None
        self.stage.progress("starting the node agent: capture, and strict mode in the kernel")
        return Agent(self.stage, self.pods)

    def _kernel(self, agent: Agent, mesh: Mesh) -> None:
        """What the agent and the kernel do beside: with `--ebpf`."""
        stage, client, server, sample = self.stage, self.client, self.server, self.small[-1]
        stage.check(strict.passed(agent, self.pods))
        stage.check(guarded.show(stage, agent, client, server, sample))
        if self.line is None:
            # Both are for the links that pods have of a node.
            Joining(stage, agent, mesh, (client, server), (sample, self.large[-1])).show()
            if why := agent.lends:
                stage.progress(f"AF_XDP is not shown: {why}")
            else:
                stage.check(lent.show(stage, agent, mesh, client, server, sample))
        stage.check(strict.holds(stage, agent, mesh, client, server))
        pages = f"curl -s '{PAGES}/metrics'"
        stage.hints.append(f"ip netns exec {stage.plan.fabric} {pages}   # the agent's")

    def _start_programs(self, database: "Future[Path]") -> None:
        self.stage.progress("starting nginx, PostgreSQL and iperf3 in the server's pod")
        folder = self.state.folder / "files"
        folder.mkdir(exist_ok=True)
        marker = self.stage.marker.encode()
        self.small = [files.marked(folder, f"{count}", count, marker) for count in SMALL]
        apps.nginx(self.state, self.server, folder)
        apps.nginx(self.state, self.stage.bystanders[1], folder)
        apps.iperf_server(self.state, self.server)
        apps.postgres(self.state, self.server, database.result())

    def _large_files(self) -> list[files.Sample]:
        # Not in the run's folder: /run is memory, often less than this.
        run = self.stage.plan.run
        folder = Path(tempfile.mkdtemp(prefix=f"stoq-{run}-", dir="/var/tmp"))
        self.state.add_folder(folder)
        folder.chmod(0o755)
        samples = []
        for count in LARGE_AFAR if self.line else LARGE:
            samples.append(files.random(folder, str(count), count))
            (self.state.folder / "files").mkdir(exist_ok=True)
            (self.state.folder / "files" / str(count)).symlink_to(folder / str(count))
        return samples

    def _control_traffic(self) -> None:
        one, other = self.stage.bystanders
        check = traffic.fetch(one, other, self.small[-1])
        if not check.ok:
            self.stage.check(Check("bystanders outside the mesh", ok=False, detail=check.detail))

    def _small_traffic(self) -> None:
        for sample in self.small:
            self.stage.check(traffic.fetch(self.client, self.server, sample))
        if len(self.pods) > 2:
            clients = self.pods[1:]
            self.stage.check(traffic.fetch_together(clients, self.server, self.small[-1]))
        marker = self.stage.marker
        self.stage.check(traffic.server_first(self.client, self.server, marker))

    def _throughput(self) -> float:
        rate = 0.0

        def action() -> str:
            nonlocal rate
            rate = apps.iperf(self.client, self.server, IPERF_SECONDS).bits_per_second
            if rate <= 0:
                raise ValueError("nothing arrived")
            return f"{rate / 1e9:.2f} Gbit/s"

        self.stage.check(traffic.attempt("iperf3, one stream", action))
        return rate
