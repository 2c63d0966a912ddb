"""What the registry says is signed by the control plane, with real keys and certificates."""

import time
from dataclasses import dataclass, field
from hashlib import sha256

import msgspec
import pytest

from stoq import constants
from stoq.engine import CertificateAuthority, TlsContext
from stoq.registry import MeshEntry, TrustEntry, WatchMessage, WorkloadEntry
from stoq.sealing import KEPT, VALID, Opener, Sealer, Unsealed
from support import engines

OPERATOR = constants.operator_spiffe_id(engines.TRUST_DOMAIN)
NODE = "shop/web-0"
NOW = int(time.time())


@pytest.fixture(scope="module")
def ca() -> CertificateAuthority:
    return engines.authority()


@pytest.fixture(scope="module")
def operator(ca: CertificateAuthority) -> TlsContext:
    return engines.identity(ca, OPERATOR)


@pytest.fixture
def sidecar(ca: CertificateAuthority) -> TlsContext:
    return engines.identity(ca, engines.CLIENT)


@dataclass
class Clock:
    at: float = field(default=NOW)

    def __call__(self) -> float:
        return self.at


def delta(version: int) -> WatchMessage:
    return WatchMessage(type="delta", epoch="e", version=version, base=version - 1)


def snapshot(name: str) -> WatchMessage:
    own = WorkloadEntry(
        uid="u", name=name, namespace="shop", spiffe_id=engines.CLIENT, addresses=("fd00::1",)
    )
    mesh = MeshEntry(trust_domain=engines.TRUST_DOMAIN, own=own)
    return WatchMessage(
        type="snapshot", epoch="e", version=1, mesh=mesh, trust=TrustEntry(roots=(b"root",))
    )


def opener(tls: TlsContext, *, required: bool = False) -> Opener:
    return Opener(tls.verify_statement, OPERATOR, required=required)


@pytest.mark.parametrize("message", [delta(2), snapshot("web-0")], ids=["delta", "snapshot"])
def test_what_was_sealed_comes_out_as_it_was(
    operator: TlsContext, sidecar: TlsContext, message: WatchMessage
) -> None:
    sealed = Sealer(operator.sign_statement, time.time).seal(message, b"")
    assert (sealed.mesh, sealed.trust, sealed.version) == (None, None, message.version)
    # As a stream brings it.
    came = msgspec.msgpack.decode(msgspec.msgpack.encode(sealed), type=WatchMessage)
    assert opener(sidecar, required=True).open(came, NODE) == message


def test_the_certificate_comes_once_on_a_stream(operator: TlsContext, sidecar: TlsContext) -> None:
    sealer, taking = Sealer(operator.sign_statement, time.time), opener(sidecar)
    first = sealer.seal(delta(2), b"")
    second = sealer.seal(delta(3), first.certificate)
    assert second.certificate == b""
    assert [taking.open(message, NODE) for message in (first, second)] == [delta(2), delta(3)]


def test_a_content_is_signed_once_and_again_when_its_signature_is_half_over(
    operator: TlsContext,
) -> None:
    clock = Clock()
    sealer = Sealer(operator.sign_statement, clock)
    made = {sealer.seal(delta(2), b"").signature for _ in range(5000)}
    assert (len(made), sealer.signed) == (1, 1)
    clock.at += VALID / 2
    assert sealer.seal(delta(2), b"").signature not in made
    assert sealer.signed == 2


def test_only_the_latest_signatures_are_remembered(operator: TlsContext) -> None:
    sealer = Sealer(operator.sign_statement, time.time)
    for version in range(KEPT + 1):
        sealer.seal(delta(version), b"")
    sealer.seal(delta(KEPT), b"")
    assert sealer.signed == KEPT + 1
    sealer.seal(delta(0), b"")
    assert sealer.signed == KEPT + 2


def test_with_another_certificate_everything_is_signed_anew(ca: CertificateAuthority) -> None:
    tls = engines.identity(ca, OPERATOR)
    sealer = Sealer(tls.sign_statement, time.time)
    first = sealer.seal(delta(2), b"")
    renewed = engines.give_identity(tls, ca, OPERATOR)
    sealer.forget()
    second = sealer.seal(delta(2), first.certificate)
    assert (second.certificate, sealer.signed) == (renewed, 2)


def test_without_an_identity_nothing_is_sealed(ca: CertificateAuthority) -> None:
    message = delta(2)
    assert Sealer(engines.anonymous(ca).sign_statement, time.time).seal(message, b"") is message


def test_an_older_control_plane_is_believed_unless_signatures_are_required(
    sidecar: TlsContext,
) -> None:
    assert opener(sidecar).open(delta(2), NODE) == delta(2)
    with pytest.raises(Unsealed, match=r"not signed by .*stoq-operator.*STOQ_DISCOVERY_SIGNED"):
        opener(sidecar, required=True).open(delta(2), NODE)


def test_what_was_changed_is_not_used(operator: TlsContext, sidecar: TlsContext) -> None:
    sealed = Sealer(operator.sign_statement, time.time).seal(delta(2), b"")
    other = msgspec.msgpack.encode(delta(3))
    for changed in (
        msgspec.structs.replace(sealed, sealed=other),
        msgspec.structs.replace(sealed, signature=sealed.signature[:-1] + b"\1"),
        msgspec.structs.replace(sealed, signature=b""),
        msgspec.structs.replace(sealed, certificate=b""),
        msgspec.structs.replace(sealed, certificate=b"none"),
    ):
        with pytest.raises(Unsealed, match="version 2 of the registry"):
            opener(sidecar).open(changed, NODE)


def test_what_another_member_of_the_mesh_signs_is_not_used(
    ca: CertificateAuthority, sidecar: TlsContext
) -> None:
    forging = Sealer(engines.identity(ca, engines.CLIENT).sign_statement, time.time)
    with pytest.raises(Unsealed, match=f"signed by {engines.CLIENT}, not by {OPERATOR}"):
        opener(sidecar).open(forging.seal(delta(2), b""), NODE)


@pytest.mark.parametrize("signer", [engines.CLIENT, OPERATOR])
@pytest.mark.parametrize("content", [b"no msgpack", b"\x81\xa1x" + b"\x91" * 100_000 + b"\xc0"])
def test_bytes_that_are_no_message_are_not_used_whoever_signed_them(
    ca: CertificateAuthority, sidecar: TlsContext, signer: str, content: bytes
) -> None:
    signed = engines.identity(ca, signer).sign_statement(sha256(content).digest(), NOW + VALID)
    assert signed is not None
    sealed = WatchMessage(
        type="delta",
        epoch="e",
        version=2,
        sealed=content,
        certificate=signed[0],
        signature=signed[1],
    )
    other = "is signed by" if signer == engines.CLIENT else "version 2 of the registry: "
    with pytest.raises(Unsealed, match=other):
        opener(sidecar).open(sealed, NODE)


def test_what_was_said_to_another_workload_is_not_used(
    operator: TlsContext, sidecar: TlsContext
) -> None:
    sealed = Sealer(operator.sign_statement, time.time).seal(snapshot("db-0"), b"")
    with pytest.raises(Unsealed, match="is for shop/db-0, not for shop/web-0"):
        opener(sidecar).open(sealed, NODE)


def test_what_was_kept_for_too_long_is_not_used(operator: TlsContext, sidecar: TlsContext) -> None:
    sealed = Sealer(operator.sign_statement, Clock(NOW - VALID - 1)).seal(delta(2), b"")
    with pytest.raises(Unsealed, match="the signature ended at"):
        opener(sidecar).open(sealed, NODE)


def test_what_a_revoked_control_plane_signed_is_not_used(
    ca: CertificateAuthority, operator: TlsContext, sidecar: TlsContext
) -> None:
    sealed = Sealer(operator.sign_statement, time.time).seal(delta(2), b"")
    soon = int(time.time()) + 60  # its certificate is of this test
    sidecar.set_trust(engines.TRUST_DOMAIN, [ca.root], revoked_identities=[(OPERATOR, soon)])
    with pytest.raises(Unsealed, match="the signer's certificate"):
        opener(sidecar).open(sealed, NODE)
