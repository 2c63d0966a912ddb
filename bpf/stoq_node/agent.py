"""Runs the agent: a list of pods and the interfaces of the node go in, the kernel follows."""

import asyncio
import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from stoq import health
from stoq.program import together
from stoq_node import links
from stoq_node._kernel import KernelError, Pins
from stoq_node.bypass import Bypasses
from stoq_node.capabilities import BPFFS, Capability, Facts, decide, supported
from stoq_node.captures import Captures
from stoq_node.enforce import Enforcer
from stoq_node.facts import gather, mounted
from stoq_node.metrics import Metrics
from stoq_node.notices import Notices
from stoq_node.podfile import PodFile
from stoq_node.pods import Pod, Source
from stoq_node.programs import Programs, load
from stoq_node.report import Known, status
from stoq_node.settings import Settings
from stoq_node.trial import tried
from stoq_node.uplink import OFF, Uplink, modes

log: Final = logging.getLogger("stoq.node")


class AgentError(Exception):
    """The agent cannot run here; the text says why and what to do."""


@contextmanager
def alone(pins: str) -> Iterator[None]:
    """Holds the folder of the pins: two agents would undo each other's work.

    Raises `AgentError` when another agent holds it.
    """
    folder = os.open(pins, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(folder)
        raise AgentError(
            f"another agent holds {pins}: end it first, or give this one a folder of its own with "
            "STOQ_KERNEL_PINS"
        ) from error
    try:
        yield
    finally:
        os.close(folder)


async def serve(settings: Settings, stop: asyncio.Event) -> None:
    """Runs until `stop` is set; what is in force then stays in force.

    Raises `AgentError`, `ApiError`, `KernelError` and `OSError` for what keeps it from starting.
    """
    listener = health.listen(settings.listen.metrics, "STOQ_LISTEN_METRICS")
    cluster = None
    if settings.kubernetes.node:
        # Only now: without Kubernetes its client need not be installed.
        from stoq_node.kube import Cluster

        cluster = Cluster(settings.kubernetes, settings.capture)
    try:
        with _pins(settings.kernel.pins) as pins:
            programs = load(pins)
            capture = await asyncio.to_thread(tried, settings.capture.namespaces)
            where = (settings.kernel.pins, settings.guard.interface)
            facts = gather(*where, programs.refused, capture)
            found = decide(facts)
            for one in found:
                reason = f"no: {one.reason}"
                log.info("capability %s: %s", one.name, "yes" if one.supported else reason)
            if pins is None:
                if cluster is not None:
                    await cluster.reporter.publish(status(Known(facts, found)))
                raise AgentError(found[0].reason)
            source = cluster.pods if cluster is not None else PodFile(Path(settings.pods.file))
            captures = cluster.captures if cluster is not None else None
            notices = cluster.bypassed if cluster is not None else None
            agent = _agent(settings, pins, programs, facts, found, source, captures, notices)
            metrics = Metrics(
                found,
                agent.enforcer,
                agent.uplink,
                captures,
                agent.bypasses,
                lambda: bool(source.problem),
            )
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
        if cluster is not None:
            await cluster.close()


@contextmanager
def _pins(folder: str) -> Iterator[Pins | None]:
    """The pins, this agent's alone; None where there can be none."""
    if mounted(folder) != BPFFS:
        yield None
        return
    # First: it makes the folder.
    pins = Pins(folder)
    with alone(folder):
        yield pins


def _agent(
    settings: Settings,
    pins: Pins,
    programs: Programs,
    facts: Facts,
    found: tuple[Capability, ...],
    source: Source,
    captures: Captures | None,
    notices: Notices | None,
) -> "Agent":
    enforcer = None
    # An old kernel takes the programs, and has no links for them.
    able = supported(found, "strict") and supported(found, "account")
    if able and programs.strict is not None and programs.account is not None:
        enforcer = Enforcer(pins, programs.strict, programs.account)
    uplink = None
    if programs.guards:
        name = facts.uplink.name if facts.uplink else ""
        to_try = modes(settings.guard.mode, found)
        uplink = Uplink(pins, programs.guards, name, to_try, settings.guard)
    bypasses = None
    if enforcer is not None and settings.bypass.seconds:
        bypasses = Bypasses(enforcer, settings.bypass.seconds, notices)
    return Agent(source, enforcer, uplink, captures, bypasses, settings.pods.verify_seconds)


class Agent:
    """Brings pods, interfaces and kernel together, whenever one of them changes."""

    def __init__(
        self,
        source: Source,
        enforcer: Enforcer | None,
        uplink: Uplink | None,
        captures: Captures | None,
        bypasses: Bypasses | None,
        seconds: float,
    ) -> None:
        self._source = source
        self.enforcer = enforcer
        self.uplink = uplink
        self._captures = captures
        self.bypasses = bypasses
        self._seconds = seconds
        self._pods: tuple[Pod, ...] | None = None
        self._changed = asyncio.Event()
        self._problem = ""

    def missing(self, found: tuple[Capability, ...]) -> str:
        """What readiness waits for; nothing if for no more."""
        if self.enforcer is None:
            return "; ".join(one.reason for one in found if one.reason)
        if self._pods is None:
            return self._source.problem or "the pods are not read yet"
        return self._problem or "; ".join(self.enforcer.failed.values())

    def known(self, facts: Facts, found: tuple[Capability, ...]) -> Known:
        """What there is to say of the node."""
        failed = dict(self.enforcer.failed) if self.enforcer and self._pods is not None else None
        if failed is not None and self._problem:
            failed["the kernel"] = self._problem
        if failed is not None and self._captures is not None:
            failed |= {pod: f"capture: {why}" for pod, why in self._captures.failed.items()}
        guard = self.uplink
        return Known(
            facts,
            found,
            guard=guard.mode if guard else OFF,
            guard_problem=guard.problem if guard else "",
            failed=failed,
            bypassed=self.bypasses.alarms if self.bypasses else None,
        )

    async def run(self) -> None:
        """Works until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow())
            tasks.create_task(self._keep())
            if self.bypasses is not None:
                tasks.create_task(self.bypasses.run())

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
            if self.uplink is not None:
                self.uplink.apply()
            if self.enforcer is not None and self._pods is not None:
                self.enforcer.apply(self._pods)
        except KernelError as error:
            problem = str(error)
            if problem != self._problem:
                log.error("%s; it is tried again", problem)
        self._problem = problem
