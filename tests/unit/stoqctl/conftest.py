import asyncio
import json
import socket
import threading
import time
from contextlib import closing
from http import HTTPStatus
from typing import Any

import pytest
from typer.testing import CliRunner

from stoq.http import HttpServer, Response, plain
from stoqctl.app import app
from stoqctl.errors import StoqctlError

NOW = time.time()

WORKLOAD = {
    "uid": "shop/web", "name": "web", "namespace": "shop", "port": 14008,
    "spiffe_id": "spiffe://example.org/ns/shop/sa/web", "addresses": ["fd00::2"],
}  # fmt: skip

SERVICE = {
    "name": "db", "namespace": "shop", "vips": ["fd53::99"], "spiffe_ids": [],
    "ports": [{"port": 80, "target": 8080}, {"port": 443, "target": 443}],
    "endpoints": [{"address": "fd00::3", "weight": 1}],
}  # fmt: skip

ADAPTATION: dict[str, Any] = {
    "tier": "standard", "measured_tier": "standard", "confidence": 0.75, "congestion": "bbr3",
    "receive_window": 16_000_000, "send_window": 16_000_000, "gso_segments": 32,
    "pacing_rate": 47_000_000, "min_rtt_seconds": 0.0402, "jitter_seconds": 0.001,
    "delivery_rate": 45_500_000, "loss_ratio": 0.001, "application_limited_ratio": 0.0,
    "packets_per_wake_up": 12.5,
    "delivered_bytes": 1500, "lost_bytes": 2, "ecn_marks": 0,
    "changes": [
        {"age_seconds": 61.0, "from": "performance", "to": "standard", "cause": "measured",
         "applied": True},
    ],
}  # fmt: skip

BINDING = {
    "policy": {"policy": "shop/wan", "max_tier": "standard", "max_rate": 200_000_000,
               "dry_run": False},
    "pins": {"tier": "home", "congestion": ""},
    "binds": {"mode": "on", "tier": "home", "min_tier": None, "max_tier": "standard",
              "congestion": None, "max_rate": 200_000_000, "receive_window": None,
              "send_window": [12_000, 70_000]},
}  # fmt: skip

CONNECTION = {
    "state": "established", "spiffe_id": "spiffe://example.org/ns/shop/sa/db",
    "remote": "[fd00::3]:14008", "key_exchange": "X25519MLKEM768",
    "signature": "Ed25519+FALCON-1024", "cipher": "AES-256-GCM", "profile": "hybrid-1024",
    "resumed": True, "age_seconds": 90.0, "bytes_sent": 1500, "bytes_received": 2_000_000,
    "adaptation": ADAPTATION,
}  # fmt: skip


def config(**changes):
    """What a sidecar's /config says when all is well."""
    page = {
        "settings": {
            "pod": {"name": "web", "namespace": "shop"},
            "identity": {"profile": "hybrid-1024", "trust_domain": "example.org"},
            "control": {"address": "[fd00::1]:14012"},
        },
        "captured_udp": True,
        "addresses": ["fd00::2"],
        "identity": {
            "spiffe_id": WORKLOAD["spiffe_id"], "obtained": NOW - 60, "expires": NOW + 86340,
            "renewals": 1, "failures": 0, "last_error": "",
        },
        "discovery": {
            "version": 7, "updated": NOW - 5, "stale": False, "reconnects": 0, "last_error": "",
        },
        "registry": {
            "mesh": {"trust_domain": "example.org", "inbound": "strict", "outbound": "allow"},
            "trust": {
                "roots": 1,
                "revoked": ["0a"],
                "revoked_identities": [{"spiffe_id": "spiffe://old", "before": 7}],
            },
            "workloads": {"shop/web": WORKLOAD},
            "services": {"shop/db": SERVICE},
        },
        "failing": [],
        "blocking": {},
    }  # fmt: skip
    return page | changes


class Sidecar(threading.Thread):
    """The pages of a sidecar, served by the real HTTP server on a port of its own."""

    def __init__(self):
        super().__init__(daemon=True)
        self.pages = {"/config": config(), "/connections": [CONNECTION], "/path": {}}
        self.listener = socket.create_server(("::1", 0), family=socket.AF_INET6)
        self.told = []
        self.url = f"http://[::1]:{self.listener.getsockname()[1]}"
        self.loop = asyncio.new_event_loop()

    def run(self):
        self.task = self.loop.create_task(self.serve())
        with closing(self.loop):
            self.loop.run_until_complete(asyncio.wait([self.task]))

    async def serve(self):
        async def page(request):
            if request.path not in self.pages:
                return plain("no such page", HTTPStatus.NOT_FOUND)
            return Response(json.dumps(self.pages[request.path]).encode())

        async def junk(_request):
            return Response(b"<html>")

        async def path(request):
            report = self.pages["/path"].get(request.query["address"])
            if report is None:
                return plain("no meshed pod has it", HTTPStatus.BAD_REQUEST)
            return Response(json.dumps(report).encode())

        async def adapt(request):
            if request.query.get("tier") == "fast":
                return plain("adapt.tier: no tier is called 'fast'", HTTPStatus.BAD_REQUEST)
            self.told.append((request.path, request.query))
            return Response(b"{}")

        routes = {("POST", "/adapt"): adapt, ("POST", "/adapt-now"): adapt}
        routes |= {("GET", name): page for name in ("/adapt", "/config", "/connections")}
        routes |= {("GET", "/path"): path, ("GET", "/junk"): junk}
        await HttpServer("sidecar", routes).serve([self.listener])

    def stop(self):
        self.loop.call_soon_threadsafe(self.task.cancel)
        self.join(5)


@pytest.fixture
def sidecar():
    thread = Sidecar()
    thread.start()
    yield thread
    thread.stop()


@pytest.fixture
def stoqctl():
    """Runs the command line; returns status and output, with expected errors as the program
    prints them."""

    def run(*arguments):
        result = CliRunner().invoke(app, [str(argument) for argument in arguments])
        if isinstance(result.exception, StoqctlError):
            return 1, f"stoqctl: {result.exception}"
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result.exit_code, result.output

    return run
