"""The four measurements, one after the other in one cluster."""

import asyncio
import math
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from benchlib import procfs
from benchlib.errors import BenchError
from benchlib.scale import fleet, objects, priority, programs
from benchlib.scale.api import connected
from benchlib.scale.fleet import Fleet
from benchlib.scale.objects import PODS_PER_NODE
from benchlib.scale.programs import Program
from benchlib.scale.progress import Progress, say
from benchlib.scale.protocol import Setup
from benchlib.scale.quantiles import Histogram, histogram, percentile
from benchlib.scale.settings import CREATED, Settings
from benchlib.scale.world import World, prepared, server_address

LONGEST: Final = 60.0
"""Seconds after which a change counts as never seen by those that have not seen it."""

CREATORS: Final = 2
"""Pods that are created at the same time while the webhook is measured."""

Apart = Callable[[], AbstractContextManager[None]]
"""Gives API server and webhook the CPUs first, while the block lasts."""

LATE: Final = 40_000
"""Number of the first pod that becomes ready while it is watched."""

ADMISSION: Final = "apiserver_admission_webhook_admission_duration_seconds"

TRUST_DOMAIN: Final = "cluster.local"


@dataclass(slots=True)
class Results:
    """Figures by name; times in seconds, memory in MB of 10^6 bytes."""

    figures: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def set(self, **figures: float) -> None:
        """Adds, and says, some."""
        self.figures.update(figures)
        say(", ".join(f"{name} {value:.4g}" for name, value in figures.items()))


async def run(settings: Settings, kubeconfig: Path, folder: Path) -> Results:
    """Measures. Raises BenchError."""
    results = Results()
    address = server_address(kubeconfig)
    ours = programs.local_address(address)
    server = priority.api_server(address)
    async with connected(kubeconfig) as api, prepared(api) as world:
        operator, registry = programs.operator(kubeconfig, folder)
        hook, port = programs.webhook(kubeconfig, folder, ours)

        def apart() -> AbstractContextManager[None]:
            return priority.first([server, hook.pid])

        try:
            for item in objects.webhook(ours, port):
                await api.apply(item)
            await world.grow(settings.watched)
            operator.start()
            hook.start()
            await operator.ready()
            await hook.ready()
            setup = Setup(registry=registry, bundle=await world.bundle(), trust_domain=TRUST_DOMAIN)
            async with fleet.started(setup, settings.sidecars) as sidecars:
                await _measure(settings, results, world, operator, sidecars, apart)
        finally:
            await hook.stop()
            await operator.stop()
    return results


async def _measure(
    settings: Settings,
    results: Results,
    world: World,
    operator: Program,
    sidecars: Fleet,
    apart: Apart,
) -> None:
    results.set(operator_rss_no_sidecars_mb=operator.rss_mb)
    await sidecars.joined(await world.members(0, settings.watched), settings.watched)
    await _changes(settings, results, world, sidecars)
    await _injected(world)
    with apart():
        await _webhook("quiet", settings, results, world)
        await _webhook("watched", settings, results, world, busy=True, rate=CREATED)
    results.set(operator_rss_watched_mb=operator.rss_mb)
    await _many(settings, results, world, operator, sidecars)
    with apart():
        await _webhook("webhook", settings, results, world, busy=True, rate=CREATED)
        await _webhook("flood", settings, results, world, busy=True)
    await _webhook("shared", settings, results, world, busy=True, rate=CREATED)
    for _ in range(settings.restarts):
        await _restart(settings, results, operator, sidecars)


async def _changes(settings: Settings, results: Results, world: World, sidecars: Fleet) -> None:
    """From an apply, or a pod becoming ready, to every sidecar."""
    record: list[float] = []
    slowest: list[float] = []
    progress = Progress("records applied", settings.changes)
    for number in range(settings.changes):
        name = f"change-{number}"
        task = await sidecars.seen(LONGEST, service=f"{objects.NAMESPACE}/{name}")
        began = time.monotonic()
        await world.api.apply(objects.record(name, objects.address(number)))
        times = [moment - began for moment in await task]
        record += times
        slowest += times[-1:]
        progress.done()
    _spread(results, "record", record, slowest, settings.watched * settings.changes)
    ready: list[float] = []
    slowest = []
    progress = Progress("pods made ready", settings.changes)
    await world.api.apply(objects.selecting("late", {"late": "yes"}))
    for number in range(LATE, LATE + settings.changes):
        pod = await world.start(number, ready=False, label="yes")
        await asyncio.sleep(0.5)
        key = f"{objects.NAMESPACE}/late"
        task = await sidecars.seen(LONGEST, service=key, endpoint=objects.address(number))
        began = time.monotonic()
        await world.set_ready(number, pod, ready=True)
        times = [moment - began for moment in await task]
        ready += times
        slowest += times[-1:]
        progress.done()
    _spread(results, "ready", ready, slowest, settings.watched * settings.changes)


def _spread(
    results: Results, name: str, times: list[float], slowest: list[float], wanted: int
) -> None:
    results.set(
        **{
            f"{name}_p50_s": percentile(times, 0.5),
            f"{name}_p99_s": percentile(times, 0.99),
            f"{name}_max_s": max(times),
            f"{name}_slowest_sidecar_p50_s": percentile(slowest, 0.5),
            f"{name}_never_seen": float(wanted - len(times)),
        }
    )


async def _many(
    settings: Settings, results: Results, world: World, operator: Program, sidecars: Fleet
) -> None:
    """Memory and CPU with many workloads and records, and what a sidecar must receive."""
    before = await sidecars.standing()
    began, busy = time.monotonic(), operator.cpu_seconds
    await world.add_records(settings.records)
    await world.grow(settings.workloads)
    results.set(
        filling_s=time.monotonic() - began, filling_operator_cpu_s=operator.cpu_seconds - busy
    )
    last = f"{objects.NAMESPACE}/record-{settings.records - 1:05d}"
    await (await sidecars.seen(4 * LONGEST, service=last))
    results.set(operator_rss_full_watched_mb=operator.rss_mb)
    after = await sidecars.standing()
    results.set(filling_bytes_per_sidecar=(after.received - before.received) / settings.watched)
    members = await world.members(settings.watched, settings.sidecars)
    began, busy = time.monotonic(), operator.cpu_seconds
    before = after
    await sidecars.joined(members, settings.sidecars)
    after = await sidecars.standing()
    newcomers = settings.sidecars - settings.watched
    results.set(
        joining_s=time.monotonic() - began,
        joining_operator_cpu_s=operator.cpu_seconds - busy,
        joining_operator_peak_mb=operator.peak_mb,
        snapshot_bytes=float(after.largest),
        joining_bytes_per_sidecar=(after.received - before.received) / max(1, newcomers),
    )
    await _idle(settings, results, operator, sidecars)


async def _idle(settings: Settings, results: Results, operator: Program, sidecars: Fleet) -> None:
    before = await sidecars.standing()
    busy, machine = operator.cpu_seconds, procfs.machine_time().busy
    began = time.monotonic()
    await asyncio.sleep(settings.seconds)
    passed = time.monotonic() - began
    after = await sidecars.standing()
    results.set(
        operator_rss_full_mb=operator.rss_mb,
        operator_idle_cores=(operator.cpu_seconds - busy) / passed,
        machine_idle_busy_cores=(procfs.machine_time().busy - machine) / passed,
        idle_bytes_per_sidecar_per_s=(after.received - before.received)
        / settings.sidecars
        / passed,
    )


async def _injected(world: World) -> None:
    """Waits until the API server knows whom the webhook's certificate is of. Raises BenchError."""
    end = time.monotonic() + LONGEST
    while True:
        try:
            await world.api.create(objects.plain_pod(), options="?dryRun=All")
        except BenchError:
            if time.monotonic() > end:
                raise
            await asyncio.sleep(0.2)
        else:
            return


async def _webhook(
    name: str,
    settings: Settings,
    results: Results,
    world: World,
    *,
    busy: bool = False,
    rate: float = math.inf,
) -> None:
    """Latency of injection by the API server's histogram.

    `busy`: while records come and go; `rate`: of pods a second, else as many as two creators can.
    """
    before = await _admissions(world)
    changes: list[int] = []
    load = asyncio.create_task(_load(world, settings.pace, changes)) if busy else None
    try:
        await asyncio.sleep(2 if not settings.smoke else 0)

        began = time.monotonic()
        whole: list[float] = []

        async def create(number: int) -> None:
            await asyncio.sleep(began + number / rate - time.monotonic())
            asked = time.monotonic()
            made = await world.api.create(objects.plain_pod(), options="?dryRun=All")
            whole.append(time.monotonic() - asked)
            names = [item["name"] for item in made["spec"].get("initContainers") or ()]
            assert "stoq-sidecar" in names, f"a pod was not injected: {names}"

        await world.api.each("dry-run pods", range(settings.pods), create, at_once=CREATORS)
    finally:
        if load is not None:
            load.cancel()
    found = (await _admissions(world)).since(before)
    figures = {
        "count": found.count,
        "mean_s": found.total / found.count,
        "p50_s": found.quantile(0.5),
        "p99_s": found.quantile(0.99),
        "within_5_ms": dict(found.bounds).get(0.005, 0.0) / found.count,
        "within_25_ms": dict(found.bounds).get(0.025, 0.0) / found.count,
        "whole_p50_s": percentile(whole, 0.5),
        "whole_p99_s": percentile(whole, 0.99),
        "load_changes": float(len(changes)),
    }
    results.set(**{f"{name}_{key}": value for key, value in figures.items()})


async def _admissions(world: World) -> Histogram:
    page = await world.api.request("GET", "/metrics")
    return histogram(page, ADMISSION, name=objects.WEBHOOK, operation="CREATE")


async def _load(world: World, pace: int, changes: list[int]) -> None:
    """Keeps the registry busy until cancelled: a record is changed, and every sidecar is told."""
    while True:
        number = len(changes)
        await world.api.apply(objects.record("load", objects.address(number % PODS_PER_NODE)))
        changes.append(number)
        await asyncio.sleep(1 / pace)


async def _restart(
    settings: Settings, results: Results, operator: Program, sidecars: Fleet
) -> None:
    """From the moment the operator is told to end until every sidecar is up to date again."""
    before = await sidecars.standing()
    task = await sidecars.seen(4 * LONGEST, not_epoch=before.epoch)
    began = time.monotonic()
    await operator.stop()
    stopped = time.monotonic()
    operator.start()
    await operator.ready()
    ready = time.monotonic()
    times = await task
    after = await sidecars.standing()
    results.set(
        restart_stop_s=stopped - began,
        restart_start_s=ready - stopped,
        restart_p50_s=percentile(times, 0.5) - began,
        restart_p99_s=percentile(times, 0.99) - began,
        restart_all_s=times[-1] - began,
        restart_never=float(settings.sidecars - len(times)),
        restart_operator_cpu_s=operator.cpu_seconds,
        restart_operator_rss_mb=operator.rss_mb,
        restart_snapshots=float(after.snapshots - before.snapshots),
        restart_bytes_per_sidecar=(after.received - before.received) / settings.sidecars,
    )
