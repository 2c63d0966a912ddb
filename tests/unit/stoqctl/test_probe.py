"""`stoqctl probe` against real engines on loopback."""

import asyncio
import base64
import json
import socket
import time
from collections.abc import Iterator

import pytest

from stoq import pem
from stoq.engine import CertificateAuthority, Engine, EngineSettings, HybridKey, Listener
from stoq_reference.endpoint import Endpoint
from stoq_reference.probe import probe
from support import engines, reference


@pytest.fixture(scope="module")
def ca() -> CertificateAuthority:
    return engines.authority()


@pytest.fixture(scope="module")
def engine(ca: CertificateAuthority) -> Iterator[Engine]:
    """An engine with both listeners; its workers need no loop of ours."""
    settings = EngineSettings(
        workers=1,
        stoq=Listener(listen="[::1]:0"),
        bootstrap=Listener(listen="[::1]:0"),
        log_level="error",
    )
    made = Engine(settings, engines.identity(ca, engines.SERVER))
    made.set_table(json.dumps({
        "version": 1, "inbound": "strict", "outbound": "meshOnly",
        "own": {"name": "server", "namespace": "shop", "addresses": ["fd00::2"]},
    }))  # fmt: skip
    yield made
    asyncio.run(made.stop())


@pytest.fixture
def bundle(ca: CertificateAuthority, tmp_path) -> str:
    file = tmp_path / "bundle.pem"
    file.write_bytes(pem.encode(ca.root))
    return str(file)


def target(engine: Engine, listener: str) -> str:
    return f"[::1]:{engine.local_port(listener)}"


def test_an_endpoint_shows_who_it_is_and_keeps_the_rules(engine, bundle, stoqctl) -> None:
    status, text = stoqctl("probe", target(engine, "bootstrap"), "--bundle", bundle)
    assert status == 0, text
    for part in (engines.SERVER, "ED25519_FALCON_1024", "AES_256_GCM_SHA384", "S1 bad heads"):
        assert part in text


def test_a_mesh_port_shows_who_it_is_and_wants_a_certificate(engine, bundle, stoqctl) -> None:
    _, text = stoqctl("probe", target(engine, "stoq"), "--bundle", bundle, "--json")
    found = json.loads(text)
    assert found["answered"]
    assert found["spiffe_id"] == engines.SERVER
    assert "no certificate" in found["closed"]


async def test_a_refusal_that_comes_with_the_end_of_the_handshake_hides_nothing(ca, engine) -> None:
    # A machine so busy that both are mostly there when the program gets to look.
    loop, looks = asyncio.get_running_loop(), True

    def busy() -> None:
        time.sleep(0.02)
        if looks:
            loop.call_soon(busy)

    busy()
    nobody = Endpoint(reference.policy(ca))
    for _ in range(6):
        found = await probe("::1", engine.local_port("stoq"), nobody, timeout=20)
        assert (found.answered, found.spiffe_id) == (True, engines.SERVER)
        assert "no certificate" in found.closed
    looks = False


def test_with_a_certificate_a_mesh_port_talks_on(ca, engine, bundle, tmp_path, stoqctl) -> None:
    now, key = int(time.time()), HybridKey.generate()
    leaf = ca.issue(key.csr(), engines.CLIENT, now - 60, now + 600)
    (tmp_path / "leaf.pem").write_bytes(pem.encode(leaf))
    (tmp_path / "leaf.key").write_text(base64.b64encode(key.to_bytes()).decode())
    own = ("--certificate", str(tmp_path / "leaf.pem"), "--key", str(tmp_path / "leaf.key"))
    status, text = stoqctl("probe", target(engine, "stoq"), "--bundle", bundle, *own, "--json")
    found = json.loads(text)
    assert (status, found["closed"], set(found["rules"].values())) == (0, "", {True})


def test_another_id_than_expected_is_no_answer(engine, bundle, stoqctl) -> None:
    other = f"spiffe://{engines.TRUST_DOMAIN}/ns/shop/sa/other"
    address = target(engine, "bootstrap")
    status, text = stoqctl("probe", address, "--bundle", bundle, "--expect", other)
    assert status == 1
    assert f"not {other}" in text


def test_a_qlog_is_written(engine, bundle, tmp_path, stoqctl) -> None:
    traces = tmp_path / "traces"
    stoqctl("probe", target(engine, "bootstrap"), "--bundle", bundle, "--qlog", str(traces))
    (trace,) = traces.glob("*.qlog")
    assert json.loads(trace.read_text())["traces"][0]["events"]


def test_silence_is_told_from_refusal(bundle, stoqctl) -> None:
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as silent:
        silent.bind(("::1", 0))
        address = f"[::1]:{silent.getsockname()[1]}"
        status, text = stoqctl("probe", address, "--bundle", bundle, "--timeout", "0.3")
    assert status == 1
    assert "nothing came within 0.3 s" in text


@pytest.mark.parametrize(
    ("address", "options", "complaint"),
    [
        ("localhost", (), "is no address"),
        ("fd00::1:14008", (), "needs brackets"),
        ("10.0.0.1:70000", (), "not 1-65535"),
        ("[::1]:1", ("--key", "nowhere"), "belong together"),
        ("[::1]:1", ("--certificate", "nowhere", "--key", "nowhere"), "cannot be read"),
    ],
)
def test_what_cannot_be_used_is_named(bundle, stoqctl, address, options, complaint) -> None:
    status, text = stoqctl("probe", address, "--bundle", bundle, *options)
    assert status == 1
    assert complaint in text


def test_a_bundle_without_roots_is_refused(tmp_path, stoqctl) -> None:
    file = tmp_path / "bundle.pem"
    file.write_text("nothing")
    status, text = stoqctl("probe", "[::1]:1", "--bundle", str(file))
    assert status == 1
    assert "see --bundle" in text
