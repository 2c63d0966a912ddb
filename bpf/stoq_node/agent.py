"""Runs the agent: a list of pods and the interfaces of the node go in, the kernel follows."""

import asyncio
import logging
from contextlib import suppress
from pathlib import Path
from typing import Final

from stoq import health
from stoq.program import together
from stoq_node import links
from stoq_node._kernel import KernelError
from stoq_node.barred import Barred
from stoq_node.bypass import Bypasses
from stoq_node.capabilities import (
    BPFFS,
    Capability,
    Facts,
    barred,
    decide,
    lacking,
    supported,
)
from stoq_node.captures import Captures
from stoq_node.complaints import Complaints
from stoq_node.consents import Member
from stoq_node.enforce import Enforcer
from stoq_node.facts import gather, mounted
from stoq_node.kernel import Kernel
from stoq_node.lending import AUTO, OFF, lender
from stoq_node.metrics import Metrics
from stoq_node.pinned import AgentError, Folder
from stoq_node.podfile import PodFile
from stoq_node.pods import Pod, Source
from stoq_node.programs import Programs, load
from stoq_node.report import Known, status
from stoq_node.settings import Settings
from stoq_node.splicing import Splicer
from stoq_node.trial import choice, tried
from stoq_node.uplink import Uplink, modes

log: Final = logging.getLogger("stoq.node")


async def serve(settings: Settings, stop: asyncio.Event) -> None:
    """Runs until `stop` is set; what is in force then stays in force.

    Raises `AgentError`, `ApiError`, `KernelError` and `OSError` for what keeps it from starting.
    """
    listener = health.listen(settings.listen.metrics, "STOQ_LISTEN_METRICS")
    cluster, kernel = None, None
    mode, namespaces = settings.af_xdp.mode, settings.capture.namespaces
    af_xdp = await asyncio.to_thread(choice, mode, namespaces)
    if settings.kubernetes.node:
        # Only now: without Kubernetes its client need not be installed.
        from stoq_node.kube import Cluster

        lends = lender(OFF if mode == AUTO and af_xdp.lacking else mode)
        cluster = Cluster(settings.kubernetes, settings.capture, lends)
    try:
        there = mounted(settings.kernel.pins) == BPFFS
        folder = Folder(settings.kernel.pins) if there else None
        programs = load(folder.pins if folder is not None else None)
        capture = await asyncio.to_thread(tried, namespaces)
        where = (settings.kernel.pins, settings.guard.interface)
        facts = gather(*where, programs.refused, capture, af_xdp.lacking, af_xdp.chosen)
        found = decide(facts)
        for one in found:
            log.info("capability %s: %s", one.name, one.said)
        if folder is None:
            if cluster is not None:
                await cluster.reporter.publish(status(Known(facts, found)))
            raise AgentError(found[0].reason)
        source = cluster.pods if cluster is not None else PodFile(Path(settings.pods.file))
        captures = cluster.captures if cluster is not None else None
        kernel = _kernel(settings, folder, programs, facts, found)
        kernel.splicer = _splicer(folder, programs, kernel.enforcer, captures, found)
        bypasses = None
        if kernel.enforcer is not None and settings.bypass.seconds:
            notices = cluster.bypassed if cluster is not None else None
            bypasses = Bypasses(kernel.enforcer, settings.bypass.seconds, notices)
        complaints = Complaints(cluster.unenforced) if cluster is not None else None
        agent = Agent(source, kernel, captures, bypasses, complaints, settings.pods.verify_seconds)
        enforcer = kernel.enforcer or kernel.barred
        parts = (enforcer, kernel.uplink, captures, bypasses, kernel.splicer)
        metrics = Metrics(found, *parts, af_xdp.measured, lambda: bool(source.problem))
        pages = health.server("stoq-node", metrics.page, lambda: agent.missing(found))
        beside = (
            (*cluster.parts(), cluster.reporter.run(lambda: status(agent.known(facts, found))))
            if cluster is not None
            else ()
        )
        async with together(agent.run(), pages.serve([listener]), *beside):
            await stop.wait()
            log.info("stopping; what is in force stays")
    finally:
        if kernel is not None:
            kernel.close()
        if cluster is not None:
            await cluster.close()


def _kernel(
    settings: Settings,
    folder: Folder,
    programs: Programs,
    facts: Facts,
    found: tuple[Capability, ...],
) -> Kernel:
    enforcer = None
    # An old kernel takes the programs, and has no links for them.
    able = supported(found, "strict") and supported(found, "account")
    if able and programs.strict is not None and programs.account is not None:
        enforcer = Enforcer(folder.pins, programs.strict, programs.account)
    # Of what a verifier writes the first line: this is said of each pod.
    why = barred(facts).partition("\n")[0]
    shut = Barred(folder.pins, why) if enforcer is None and why else None
    name = facts.uplink.name if facts.uplink else ""
    uplink = Uplink(folder, name, modes(settings.guard.mode, found), settings.guard)
    return Kernel(folder, enforcer, uplink, barred=shut)


def _splicer(
    folder: Folder,
    programs: Programs,
    enforcer: Enforcer | None,
    captures: Captures | None,
    found: tuple[Capability, ...],
) -> Splicer | None:
    """What joins pods, if it can be done: those that are captured and enforced here."""
    if captures is None or enforcer is None or programs.splice is None:
        return None
    if not supported(found, "splice"):
        return None

    def members() -> dict[str, Member]:
        return {uid: one for uid, one in captures.members.items() if one.link in enforcer.links}

    splicer = Splicer(programs.splice, folder.pins, members)
    captures.splices(splicer.join)
    return splicer


class Agent:
    """Brings pods, interfaces and kernel together, whenever one of them changes."""

    def __init__(
        self,
        source: Source,
        kernel: Kernel,
        captures: Captures | None,
        bypasses: Bypasses | None,
        complaints: Complaints | None,
        seconds: float,
    ) -> None:
        self._source = source
        self._kernel = kernel
        self._captures = captures
        self._bypasses = bypasses
        self._complaints = complaints
        self._seconds = seconds
        self._pods: tuple[Pod, ...] | None = None
        self._changed = asyncio.Event()
        self._problem = ""

    def missing(self, found: tuple[Capability, ...]) -> str:
        """What readiness waits for; nothing if for no more."""
        if self._kernel.enforcer is None:
            return "; ".join(one.reason for one in lacking(found))
        if self._pods is None:
            return self._source.problem or "the pods are not read yet"
        return self._problem or "; ".join(self._kernel.failed.values())

    def known(self, facts: Facts, found: tuple[Capability, ...]) -> Known:
        """What there is to say of the node."""
        kernel, guard = self._kernel, self._kernel.uplink
        able = kernel.enforcer or kernel.barred
        failed = dict(kernel.failed) if able and self._pods is not None else None
        if failed is not None and self._problem:
            failed["the kernel"] = self._problem
        if failed is not None and self._captures is not None:
            failed |= {pod: f"capture: {why}" for pod, why in self._captures.failed.items()}
        return Known(
            facts,
            found,
            guard=guard.mode,
            guard_problem=guard.problem,
            failed=failed,
            bypassed=self._bypasses.alarms if self._bypasses else None,
        )

    async def run(self) -> None:
        """Works until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow())
            tasks.create_task(self._keep())
            if self._bypasses is not None:
                tasks.create_task(self._bypasses.run())
            if self._kernel.splicer is not None:
                tasks.create_task(self._kernel.splicer.run())
            if self._complaints is not None:
                kernel = self._kernel
                run = self._complaints.run(lambda: self._pods or (), lambda: kernel.failed)
                tasks.create_task(run)

    async def _follow(self) -> None:
        async for pods in self._source.watch():
            log.info("%d pods", len(pods))
            self._pods = pods
            self._changed.set()

    async def _keep(self) -> None:
        loop = asyncio.get_running_loop()
        with links.news() as news:

            def noticed() -> None:
                links.drain(news)
                self._changed.set()

            loop.add_reader(news, noticed)
            try:
                while True:
                    self._apply()
                    with suppress(TimeoutError):
                        await asyncio.wait_for(self._changed.wait(), self._seconds)
                    self._changed.clear()
            finally:
                loop.remove_reader(news)

    def _apply(self) -> None:
        problem = ""
        try:
            self._kernel.apply(self._pods)
        except (AgentError, KernelError, OSError) as error:
            problem = str(error)
            if problem != self._problem:
                log.error("%s; it is tried again", problem)
        self._problem = problem
