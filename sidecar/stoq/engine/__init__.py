"""The engine's Python face: start it, tell it what to do, ask it what it does.

    tls = TlsContext()
    tls.set_trust("prod.example.org", [root])
    tls.set_identity(key, certificate)
    async with Engine(EngineSettings(stoq=Listener(listen="[::]:14008")), tls) as engine:
        engine.set_table(document)
        stream = await engine.dialler("[fd00::1]:14012", expect=operator).open()

Bytes of applications never pass through Python; only API streams do.
"""

from stoq._engine import (
    Certificate,
    CertificateAuthority,
    HybridKey,
    TlsContext,
    parse_certificate,
)
from stoq.engine.facade import Engine
from stoq.engine.objects import Shadow
from stoq.engine.settings import (
    Adapt,
    EngineSettings,
    Gateway,
    Limits,
    Listener,
    Pool,
    Transport,
    Udp,
)
from stoq.engine.snapshot import (
    Access,
    Adaptation,
    AdaptationChange,
    ConnectionInfo,
    Counters,
    Flow,
    Gauges,
    Histogram,
    Service,
    Snapshot,
)

__all__ = [
    "Access",
    "Adapt",
    "Adaptation",
    "AdaptationChange",
    "Certificate",
    "CertificateAuthority",
    "ConnectionInfo",
    "Counters",
    "Engine",
    "EngineSettings",
    "Flow",
    "Gateway",
    "Gauges",
    "Histogram",
    "HybridKey",
    "Limits",
    "Listener",
    "Pool",
    "Service",
    "Shadow",
    "Snapshot",
    "TlsContext",
    "Transport",
    "Udp",
    "parse_certificate",
]
