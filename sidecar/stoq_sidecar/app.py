"""Wires the sidecar: who is started, in which order, and how all of it ends.

Order at start: capture's sockets are taken (mode `node`); the engine starts and refuses
everything; then, side by side, identity and registry, the capture probe and the pages. The pod is
ready when identity, registry and capture have each said so. In mode `init` capture comes meanwhile:
`stoq-init` starts behind the sidecar, so nothing before the probe may rest on it.
"""

import asyncio
import logging
import os
import random
import secrets
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from stoq import constants, logs
from stoq.broker import client as broker
from stoq.capture import addresses
from stoq.capture.plan import Address
from stoq.http import HttpServer, Routes
from stoq.registry import RegistryState
from stoq.settings.options import dump
from stoq_sidecar import (
    admin,
    capture_probe,
    client_address,
    crypto,
    discovery,
    health,
    path,
    svid,
)
from stoq_sidecar.backoff import Backoff
from stoq_sidecar.ca_client import CertificateAuthority
from stoq_sidecar.cpus import workers
from stoq_sidecar.data_plane import DataPlane
from stoq_sidecar.discovery import Discovery
from stoq_sidecar.dns.counts import Counts
from stoq_sidecar.dns.resolver import Resolver
from stoq_sidecar.engine_settings import Surroundings
from stoq_sidecar.identity import Renewal
from stoq_sidecar.listeners import Pages
from stoq_sidecar.metrics import Metrics, Sources
from stoq_sidecar.path import PathReport
from stoq_sidecar.plaintext import Page, Resolved
from stoq_sidecar.readiness import Readiness
from stoq_sidecar.settings import Settings
from stoq_sidecar.splicing import Splicing
from stoq_sidecar.svid import SvidKeeper
from stoq_sidecar.table import Pod

log = logging.getLogger("stoq.app")

RETRY: Final = Backoff(0.1, 2.0)
"""For what comes into being at about the time the sidecar starts: the node agent's socket, the
bundle's file."""


class StartError(Exception):
    """The sidecar cannot run in this pod; the text says why and what to do."""


class App:
    """One sidecar, made and run in one event loop."""

    def __init__(self, settings: Settings, pages: Pages) -> None:
        """`pages` are closed when `run` ends."""
        self._settings = settings
        self._listeners = pages
        self._level = settings.log.level
        self._stop = asyncio.Event()
        latches = [svid.LATCH, discovery.LATCH, crypto.LATCH]
        if settings.capture.mode != "none":
            latches.append(capture_probe.LATCH)
        self.readiness = Readiness(latches)
        self._own: tuple[Address, ...] = ()
        self._client_address = dict.fromkeys(client_address.FAMILIES, False)
        self._captured_udp = False
        self._plane: DataPlane | None = None
        self._resolver: Resolver | None = None
        self._keeper: SvidKeeper | None = None
        self._follower: Discovery | None = None
        self._splicing: Splicing | None = None

    def stop(self) -> None:
        """Drains and ends (SIGTERM, POST /drain)."""
        self.readiness.drain()
        self._stop.set()

    def reload(self, read_settings: Callable[[], Settings]) -> None:
        """Reads settings, token and bundle again (SIGHUP): log level and SVID change at once, the
        rest is named as needing a restart.
        """
        try:
            fresh = read_settings()
            if self._plane is not None:
                self._plane.trust_bundle()
        except Exception as error:
            log.error("not reloaded: %s", error)
            return
        self._set_level(fresh.log.level)
        old, new = dump(self._settings), dump(fresh)
        changed = [
            f"{group}.{name}"
            for group, options in new.items()
            for name, value in options.items()
            if value != old[group][name] and (group, name) != ("log", "level")
        ]
        if changed:
            log.warning("these settings take a restart: %s", ", ".join(changed))
        if self._keeper is not None:
            self._keeper.renew_now()
        log.info("reloaded")

    async def run(self) -> None:
        """Runs until told to stop. Raises StartError, OSError (a port is taken), ValueError (the
        engine refuses a setting).
        """
        try:
            await self._run()
        finally:
            self._listeners.close()

    async def _run(self) -> None:
        settings = self._settings
        _check_user(settings)
        ipv6 = addresses.ipv6_available()
        self._own = settings.pod.addresses or tuple(addresses.own_addresses())
        count = workers(settings.data.workers)
        passed = await self._passed_sockets(count)
        self._captured_udp = passed is not None and bool(passed.udp)
        around = Surroundings(
            sockets=passed,
            mtu=addresses.link_mtu(),
            workers=count,
            nonce=secrets.token_bytes(capture_probe.NONCE_BYTES),
            ipv6=ipv6,
        )
        self._plane = DataPlane(settings, around, self._pod())
        if settings.dns.enabled:
            self._resolver = Resolver(settings, self._stale, ipv6=ipv6)
        async with self._plane.engine, asyncio.TaskGroup() as tasks:
            served = [tasks.create_task(page) for page in self._pages(self._plane, around.mtu)]
            if self._resolver is not None:
                served.append(tasks.create_task(self._resolver.serve()))
            running = [
                tasks.create_task(self._enrol(self._plane)),
                tasks.create_task(self._prove_capture(self._plane, around)),
            ]
            await self._stop.wait()
            # Their streams would keep the engine from being done before the time is up.
            for task in running:
                task.cancel()
            await asyncio.wait(running)
            log.info("draining for at most %g s", settings.shutdown.drain_seconds)
            await self._plane.engine.drain(settings.shutdown.drain_seconds)
            for task in served:
                task.cancel()
        log.info("ended")

    def _pod(self) -> Pod:
        pod, capture = self._settings.pod, self._settings.capture
        return Pod(
            pod.name,
            pod.namespace,
            self._own,
            pod.node,
            probe_sources=(*pod.host_addresses, *addresses.gateways()),
            probe_ports=tuple(port for ports in capture.probe_ports for port in ports.numbers()),
            inbound=pod.inbound,
            outbound=pod.outbound,
            copies=self._settings.frames.mirrors,
        )

    async def _enrol(self, plane: DataPlane) -> None:
        """Gets an identity, then follows the registry; neither ends."""
        identity, follow = self._settings.identity, self._settings.discovery
        await self._bundle_trusted(plane)
        node = f"{self._settings.pod.namespace}/{self._settings.pod.name}"
        retry = Backoff(identity.retry_min_seconds, identity.retry_max_seconds)
        renewal = Renewal(identity.renew_at, identity.renew_jitter)
        authority = CertificateAuthority(plane.dialler, self._settings)
        again = Backoff(follow.retry_min_seconds, follow.retry_max_seconds)
        keeper = SvidKeeper(authority, plane, renewal, retry, self.readiness)
        follower = Discovery(
            plane.dialler,
            partial(self._use, plane),
            node,
            again,
            self.readiness,
            keeper.renew_now,
            plane.opener(),
        )
        self._keeper, self._follower = keeper, follower
        plane.on_installed = partial(self._settle, plane)
        async with asyncio.TaskGroup() as tasks:
            if self._settings.capture.mode == "node":
                ask = partial(broker.splice, server_uid=self._settings.capture.broker_uid)
                idle = self._settings.data.pool_idle_seconds
                self._splicing = Splicing(plane.engine, self._own, ask, idle)
                tasks.create_task(self._splicing.run())
            tasks.create_task(keeper.run())
            await keeper.first.wait()
            tasks.create_task(follower.run())

    def _use(self, plane: DataPlane, state: RegistryState) -> None:
        """Puts a state in force; names never lead where the engine does not go yet."""
        was_due = plane.crypto.due
        plane.use(state)
        if plane.crypto.due and not was_due and self._keeper is not None:
            self._keeper.renew_now()
        self._settle(plane)
        if self._resolver is not None:
            self._resolver.use(state)
        if self._splicing is not None:
            self._splicing.use(state)

    def _settle(self, plane: DataPlane) -> None:
        """Peers that require the mesh's crypto profile would refuse an identity of another one."""
        known = self._follower is not None and self._follower.state is not None
        if crypto.LATCH not in self.readiness.blocking() or not known:
            return
        if plane.crypto.refused:
            self.readiness.note(
                crypto.LATCH, "waits for a certificate of the mesh's crypto profile"
            )
        else:
            self.readiness.drop(crypto.LATCH)

    async def _bundle_trusted(self, plane: DataPlane) -> None:
        failures = 0
        while True:
            try:
                plane.trust_bundle()
            except (OSError, ValueError) as error:
                failures += 1
                why = f"no trust bundle (STOQ_IDENTITY_BUNDLE_FILE): {error}"
                self.readiness.note(svid.LATCH, why)
                await asyncio.sleep(RETRY.delay(failures, random.random()))  # noqa: S311
            else:
                return

    async def _passed_sockets(self, count: int) -> broker.Sockets | None:
        """Says meanwhile on port 14020 what it waits for."""
        if self._settings.capture.mode != "node":
            return None
        server = HttpServer("stoq-sidecar", health.probes(self.readiness))
        saying = asyncio.create_task(server.serve([self._listeners.everywhere.dup()]))
        try:
            return await self._asked_for_sockets(count)
        finally:
            saying.cancel()
            await asyncio.wait([saying])

    async def _asked_for_sockets(self, count: int) -> broker.Sockets:
        capture = self._settings.capture
        loop = asyncio.get_running_loop()
        deadline = loop.time() + capture.broker_seconds
        failures = 0
        while True:
            try:
                passed = await asyncio.to_thread(
                    broker.sockets,
                    count,
                    capture.broker_uid,
                    transparent=capture.client_address != "off",
                    udp=capture.udp != "off",
                    needs_udp=capture.udp == "on",
                    af_xdp=capture.af_xdp != "off",
                )
                if passed.no_af_xdp:
                    log.warning("STOQ goes by the kernel's stack: %s", passed.no_af_xdp)
                if passed.af_xdp and passed.af_xdp.left:
                    log.warning("AF_XDP: %s", passed.af_xdp.left)
                return passed
            except broker.BrokerError as error:
                failures += 1
                if loop.time() > deadline:
                    raise StartError(f"no sockets from the node agent: {error}") from error
                self.readiness.note(capture_probe.LATCH, str(error))
                await asyncio.sleep(RETRY.delay(failures, random.random()))  # noqa: S311

    async def _prove_capture(self, plane: DataPlane, around: Surroundings) -> None:
        capture = self._settings.capture
        if capture.mode == "none":
            return
        hosts = capture_probe.hosts(ipv6=around.ipv6, ipv4=not self._settings.link.ipv6_only)
        await capture_probe.verify(hosts, around.nonce, self.readiness, capture.verify_seconds)
        # What the application is shown rests on what capture has programmed. Its routes are there
        # before the rules that the probe has found (`stoq.capture.force`).
        self._client_address = await asyncio.to_thread(
            client_address.found, capture, around.sockets, ipv6=around.ipv6
        )
        plane.engine.set_transparent(transparent=any(self._client_address.values()))
        self.readiness.drop(capture_probe.LATCH)

    def _pages(self, plane: DataPlane, mtu: int) -> list[Any]:
        counts = self._resolver.counts if self._resolver else Counts()
        metrics = Metrics(
            Sources(
                snapshot=plane.snapshot,
                svid=lambda: self._keeper.status if self._keeper else svid.SvidStatus(),
                discovery=self._discovery_status,
                ready=lambda: self.readiness.ready,
                dns=counts.families if self._resolver else tuple,
                client_address=lambda: self._client_address,
                version=constants.VERSION,
            )
        )
        actions = admin.Actions(
            config=partial(self._config, plane),
            connections=plane.connections,
            path=partial(self._path, plane),
            adaptation=plane.adaptation.describe,
            adapt=plane.adaptation.pin,
            adapt_now=plane.engine.adapt_now,
            level=lambda: self._level,
            set_level=self._set_level,
            drain=self._drain_requested,
        )
        loopback, everywhere = self._listeners.administration, self._listeners.everywhere
        sent = Page(plane.snapshot, lambda: Resolved(counts.tcp_bytes, counts.udp_bytes), mtu)
        health_routes = health.routes(
            self.readiness, metrics.render, metrics.content_type, sent.render
        )
        admin_routes: Routes = admin.routes(actions)
        return [
            HttpServer("stoq-sidecar administration", admin_routes).serve(loopback),
            HttpServer("stoq-sidecar", health_routes).serve([everywhere]),
        ]

    async def _path(self, plane: DataPlane, address: str) -> PathReport:
        workload = path.find(self._follower.state if self._follower else None, address)
        prober = path.Prober(plane.engine.dialler, plane.engine.connections)
        return await prober.measure(workload, address)

    def _stale(self) -> bool:
        return self._discovery_status().stale

    def _discovery_status(self) -> discovery.DiscoveryStatus:
        return self._follower.status if self._follower else discovery.DiscoveryStatus()

    def _config(self, plane: DataPlane) -> dict[str, Any]:
        return admin.config_page(
            settings=dump(self._settings),
            engine=plane.engine.settings(),
            own=self._own,
            captured_udp=self._captured_udp,
            svid=self._keeper.status if self._keeper else svid.SvidStatus(),
            crypto=plane.crypto.describe(),
            discovery=self._discovery_status(),
            state=self._follower.state if self._follower else None,
            failing=plane.snapshot().services,
            blocking=self.readiness.blocking(),
        )

    def _set_level(self, level: str) -> None:
        logs.set_level(level)
        if self._plane is not None:
            self._plane.set_level(level)
        self._level = level

    async def _drain_requested(self) -> None:
        self.stop()


def _check_user(settings: Settings) -> None:
    """Capture lets one user out; as any other the sidecar would capture itself, for ever."""
    wanted = settings.capture.sidecar_uid
    if settings.capture.mode != "none" and os.getuid() != wanted:
        raise StartError(
            f"running as uid {os.getuid()}, but capture lets out uid {wanted}: start the sidecar "
            f"as that user (setpriv --reuid {wanted} --regid {wanted} --clear-groups, in "
            "Kubernetes runAsUser), or name this one in STOQ_CAPTURE_SIDECAR_UID for stoq-init too"
        )
