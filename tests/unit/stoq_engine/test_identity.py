"""Keys, certificates, trust: what the control plane and the agent do with them."""

import time

import pytest
from cryptography import x509

from stoq.api.stream import StreamError
from stoq.engine import CertificateAuthority, Engine, HybridKey, TlsContext, parse_certificate
from support import engines

NOW = int(time.time())


def test_a_leaf_says_what_was_issued(ca: CertificateAuthority) -> None:
    key = HybridKey.generate()
    leaf = ca.issue(key.csr(), engines.CLIENT, NOW - 5, NOW + 100)
    read = parse_certificate(leaf)
    assert (read.kind, read.spiffe_id) == ("leaf", engines.CLIENT)
    assert (read.not_before, read.not_after) == (NOW - 5, NOW + 100)
    assert read.falcon == "FALCON-1024"
    assert len(read.falcon_key_id) == 32
    assert read.serial in repr(read)


def test_ordinary_tools_read_a_leaf(ca: CertificateAuthority) -> None:
    leaf = ca.issue(HybridKey.generate().csr(), engines.CLIENT, NOW - 5, NOW + 100)
    read = x509.load_der_x509_certificate(leaf)
    names = read.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == [engines.CLIENT]
    assert f"{read.serial_number:x}" == parse_certificate(leaf).serial
    oids = {extension.oid.dotted_string for extension in read.extensions}
    assert {"2.5.29.72", "2.5.29.73", "2.5.29.74"} <= oids


def test_a_root_says_whom_it_speaks_for(ca: CertificateAuthority) -> None:
    read = parse_certificate(ca.root)
    assert (read.kind, read.spiffe_id) == ("root", f"spiffe://{engines.TRUST_DOMAIN}")
    assert read.serial == ca.certificate.serial
    assert engines.TRUST_DOMAIN in repr(ca)


def test_a_stored_authority_goes_on(ca: CertificateAuthority) -> None:
    stored = ca.key.to_bytes()
    again = CertificateAuthority.from_parts(HybridKey.from_bytes(stored), ca.root)
    assert again.root == ca.root
    again.issue(HybridKey.generate().csr(), engines.CLIENT, NOW - 5, NOW + 100)
    with pytest.raises(ValueError, match="^root: "):
        CertificateAuthority.from_parts(HybridKey.generate(), ca.root)


@pytest.mark.parametrize(
    ("spiffe_id", "life", "named"),
    [
        ("spiffe://other.example/ns/a/sa/b", (NOW, NOW + 10), "other.example"),
        ("spiffe://test.example/a", (NOW, NOW + 10), "^spiffe_id: "),
        (engines.CLIENT, (NOW, NOW - 10), str(NOW)),
        (engines.CLIENT, (NOW, NOW + 10**9), str(NOW + 10**9)),
    ],
    # Every process that runs tests must know them by the same names, whenever it began.
    ids=["another domain", "no workload", "over before it begins", "too long"],
)
def test_what_an_authority_does_not_sign_is_named(
    ca: CertificateAuthority, spiffe_id: str, life: tuple[int, int], named: str
) -> None:
    with pytest.raises(ValueError, match=named):
        ca.issue(HybridKey.generate().csr(), spiffe_id, *life)


def test_bytes_that_are_no_request_or_certificate_are_refused(ca: CertificateAuthority) -> None:
    with pytest.raises(ValueError, match="^csr: "):
        ca.issue(b"\x30\x00", engines.CLIENT, NOW, NOW + 10)
    with pytest.raises(ValueError, match="^certificate: "):
        parse_certificate(b"")
    with pytest.raises(ValueError, match="^trust_domain: "):
        CertificateAuthority.create("Not A Domain", NOW, NOW + 10)
    with pytest.raises(ValueError, match=str(NOW)):
        CertificateAuthority.create("td", NOW, NOW - 1)


def test_keys_are_restored_from_bytes_and_never_shown() -> None:
    key = HybridKey.generate("hybrid-512")
    stored = key.to_bytes()
    again = HybridKey.from_bytes(stored)
    assert again.ed25519_public == key.ed25519_public
    assert again.falcon_public == key.falcon_public
    assert stored[:8].hex() not in repr(key)
    with pytest.raises(ValueError, match="too short"):
        HybridKey.from_bytes(b"x")
    with pytest.raises(ValueError, match="^profile: "):
        HybridKey.generate("rot13")


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"profile": "classical"}, "^profile: .*refused"),
        ({"profile": "none", "allow_classical": True}, "^profile: "),
        ({"aead": "ROT13"}, "^aead: "),
        ({"tokens": "paper"}, "^tokens: .*paper"),
        ({"packet_reserve": 257}, "^packet_reserve: 257 is more than 256"),
    ],
)
def test_a_context_that_cannot_be_is_refused(arguments: dict[str, object], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        TlsContext(**arguments)  # type: ignore[arg-type]


def test_a_context_may_be_classical_or_smaller_if_asked_for() -> None:
    TlsContext(profile="classical", allow_classical=True)
    context = TlsContext(profile="hybrid-512", aead="AES-128-GCM", tickets=False)
    assert "Hybrid512" in repr(context)
    assert context.ticket_counts() == (0, 0)


def test_keys_of_tickets_have_32_bytes_and_are_not_printed() -> None:
    tls = TlsContext()
    tls.set_ticket_keys([(1_767_225_600, bytes(range(100, 132)))])
    assert "100" not in repr(tls)
    with pytest.raises(ValueError, match="32"):
        tls.set_ticket_keys([(1_767_225_600, b"short")])


def test_trust_that_cannot_be_is_named(ca: CertificateAuthority) -> None:
    tls = TlsContext()
    leaf = ca.issue(HybridKey.generate().csr(), engines.CLIENT, NOW, NOW + 10)
    with pytest.raises(ValueError, match="^trust_domain: "):
        tls.set_trust("", [ca.root])
    with pytest.raises(ValueError, match=r"^roots\[1\]: "):
        tls.set_trust(engines.TRUST_DOMAIN, [ca.root, leaf])
    for serial in ("", "xyz", "abc", "é1"):
        with pytest.raises(ValueError, match=r"^revoked\[0\]: "):
            tls.set_trust(engines.TRUST_DOMAIN, [ca.root], [serial])
    with pytest.raises(ValueError, match=r'^federated\["b"\]\[0\]: '):
        tls.set_trust(engines.TRUST_DOMAIN, [ca.root], [], {"b": [b""]})
    tls.set_trust(engines.TRUST_DOMAIN, [ca.root], ["00ff"], {"b.example": [ca.root]})


def test_a_certificate_of_another_key_is_no_identity(ca: CertificateAuthority) -> None:
    tls = engines.anonymous(ca)
    leaf = ca.issue(HybridKey.generate().csr(), engines.CLIENT, NOW - 5, NOW + 100)
    with pytest.raises(ValueError, match="key"):
        tls.set_identity(HybridKey.generate(), leaf)


async def test_a_client_without_certificate_may_bootstrap(ca: CertificateAuthority) -> None:
    server_tls = engines.identity(ca, engines.SERVER)
    async with (
        Engine(engines.server_settings(), server_tls) as server,
        Engine(engines.client_settings(), engines.anonymous(ca)) as client,
    ):
        acceptor = server.acceptor()
        stream = await client.dialler(engines.address(server), engines.SERVER).open()
        await stream.send(b"csr")
        far = await acceptor.accept()
        assert far.peer is None
        assert stream.peer is not None
        assert stream.peer.spiffe_id == engines.SERVER


async def test_a_revoked_peer_loses_its_connection(ca: CertificateAuthority) -> None:
    server_tls = engines.identity(ca, engines.SERVER)
    async with (
        Engine(engines.server_settings(), server_tls) as server,
        Engine(engines.client_settings(), engines.identity(ca, engines.CLIENT)) as client,
    ):
        acceptor = server.acceptor()
        stream = await client.dialler(engines.address(server), engines.SERVER).open()
        await stream.send(b"hello")
        far = await acceptor.accept()
        assert far.peer is not None
        server_tls.set_trust(engines.TRUST_DOMAIN, [ca.root], [far.peer.serial])
        server.reauthorise()
        with pytest.raises(StreamError, match="revoked"):
            await stream.recv()
        # In TLS 1.3 a client is connected before the server has seen its certificate.
        with pytest.raises(StreamError):
            again = await client.dialler(engines.address(server), engines.SERVER).open()
            await again.recv()


async def test_a_forgotten_identity_is_not_presented(ca: CertificateAuthority) -> None:
    server_tls = engines.identity(ca, engines.SERVER)
    async with (
        Engine(engines.server_settings(), server_tls) as server,
        Engine(engines.client_settings(), engines.identity(ca, engines.CLIENT)) as client,
    ):
        server_tls.clear_identity()
        with pytest.raises(StreamError):
            await client.dialler(engines.address(server), engines.SERVER).open()


async def test_a_drained_engine_has_stopped(ca: CertificateAuthority) -> None:
    engine = Engine(engines.server_settings(), engines.identity(ca, engines.SERVER))
    await engine.drain(0.2)
    with pytest.raises(StreamError, match="shut down"):
        await engine.dialler("[::1]:9").open()
    await engine.stop()
    with pytest.raises(ValueError, match="^seconds: "):
        await engine.drain(-1)
