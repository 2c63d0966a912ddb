"""Settings: the Python defaults are the engine's, and mistakes are named."""

import json
import socket

import pytest

from stoq import _engine
from stoq.engine import (
    Adapt,
    EngineSettings,
    Gateway,
    Limits,
    Listener,
    Pool,
    TlsContext,
    Transport,
)
from support import engines


def test_the_defaults_are_the_engines() -> None:
    native = _engine.Engine("{}", TlsContext())
    try:
        assert json.loads(native.settings()) == json.loads(EngineSettings().to_json())
    finally:
        native.shutdown()


async def test_settings_reach_the_engine_as_they_are() -> None:
    settings = EngineSettings(
        name="web-0",
        namespace="shop",
        workers=1,
        stoq=Listener(listen="[::1]:0"),
        inbound=Listener(listen="[::1]:0"),
        outbound=Listener(listen="[::1]:0"),
        probe_nonce="0" * 32,
        ipv6_only=True,
        transport=Transport(mtu=9000),
        adapt=Adapt(mode="dry-run", max_tier="home", send_window=(20_000, 30_000)),
        gateway=Gateway(routes=9),
        limits=Limits(relays=7),
        pool=Pool(idle_ms=5),
        log_level="error",
    )
    async with engines.Engine(settings, TlsContext()) as engine:
        assert json.loads(engine.settings()) == json.loads(settings.to_json())
        assert all(engine.local_port(name) for name in ("stoq", "inbound", "outbound"))
        assert engine.local_port("bootstrap") is None
        engine.set_log_level("debug")
        with pytest.raises(ValueError, match="^listener: "):
            engine.local_port("udp")
        with pytest.raises(ValueError, match="^level: "):
            engine.set_log_level("loud")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        (EngineSettings(transport=Transport(mtu=500)), "transport.mtu = 500"),
        (EngineSettings(adapt=Adapt(tier="fast")), "setting adapt.tier: no tier is called"),
        (EngineSettings(workers=65), "workers = 65"),
        (EngineSettings(gateway=Gateway(gateways=9)), "gateway.gateways = 9"),
        (EngineSettings(probe_nonce="zz"), "probe_nonce = zz"),
        (
            EngineSettings(stoq=Listener(listen="14008")),
            "setting stoq.listen: invalid socket address",
        ),
        (
            EngineSettings(ipv6_only=True, stoq=Listener(listen="127.0.0.1:0")),
            "stoq.listen = 127.0.0.1:0",
        ),
        (
            EngineSettings(transport=Transport(stream_window=64_000, connection_window=32_000)),
            "transport.connection_window = 32000",
        ),
    ],
)
def test_a_setting_that_cannot_be_is_named(settings: EngineSettings, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        engines.Engine(settings, TlsContext())


def test_an_unknown_setting_is_refused() -> None:
    with pytest.raises(ValueError, match="setting transport.mtuu: unknown field `mtuu`"):
        _engine.Engine('{"transport": {"mtuu": 1}}', TlsContext())
    with pytest.raises(ValueError, match="settings: trailing characters"):
        _engine.Engine("{}}", TlsContext())


def test_an_address_in_use_is_an_error_of_the_kernel() -> None:
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as taken:
        listener = Listener(listen=f"[::1]:{taken.getsockname()[1]}")
        with pytest.raises(OSError, match="outbound.listen"):
            engines.Engine(EngineSettings(outbound=listener), TlsContext())


async def test_a_table_that_cannot_be_is_named_and_changes_nothing() -> None:
    async with engines.Engine(engines.client_settings(), TlsContext()) as engine:
        own = {"name": "a", "namespace": "b", "addresses": ["fd00::1"]}
        table = {"version": 3, "own": own, "inbound": "strict", "outbound": "allow"}
        engine.set_table(json.dumps(table))
        assert engine.snapshot().table_version == 3
        with pytest.raises(ValueError, match="field inbound"):
            engine.set_table(json.dumps({**table, "version": 4, "inbound": "open"}))
        assert engine.snapshot().table_version == 3
