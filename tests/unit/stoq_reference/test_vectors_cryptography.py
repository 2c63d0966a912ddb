"""The reference decides on keys, signatures and certificates as docs/vectors says."""

from hashlib import sha256

import pytest
from aioquic.buffer import Buffer
from aioquic.tls import Alert, Epoch
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from stoq_reference import composite, key_exchange
from stoq_reference.authorise import Policy, authorise
from stoq_reference.certificate import parse_root
from stoq_reference.client_handshake import ClientContext
from stoq_reference.composite import PublicKeys, Scheme, certificate_verify_content
from stoq_reference.endpoint import Endpoint
from stoq_reference.errors import Refused
from stoq_reference.handshake import HybridContext
from stoq_reference.pre_tbs import pre_tbs
from stoq_reference.server_handshake import ServerContext
from support import engines, reference
from support.vectors import Case, cases, vectors

CERTIFICATES = vectors("certificates.json")
ROOTS = {root["trust_domain"]: [bytes.fromhex(root["hex"])] for root in CERTIFICATES["roots"]}
EXCHANGE = vectors("key-exchange.json")
KEYS = vectors("certificate-verify.json")["keys"]


def test_the_secret_of_a_key_exchange() -> None:
    names = ("ml_kem_seed", "x25519", "share", "answer", "secret")
    case = {name: bytes.fromhex(EXCHANGE[name]) for name in names}
    offer = key_exchange.Offer(
        MLKEM768PrivateKey.from_seed_bytes(case["ml_kem_seed"]),
        X25519PrivateKey.from_private_bytes(case["x25519"]),
    )
    assert offer.share == case["share"]
    assert offer.secret(case["answer"]) == case["secret"]


@cases("key-exchange.json", "invalid_shares")
def test_a_share_that_is_none_is_refused(case: Case) -> None:
    with pytest.raises(ValueError, match="."):
        key_exchange.answer(bytes.fromhex(case["hex"]))


@pytest.mark.parametrize("keys", KEYS, ids=[hex(keys["scheme"]) for keys in KEYS])
def test_signatures_of_certificate_verify(keys: Case) -> None:
    assert vectors("certificate-verify.json")["label"] == composite.LABEL.hex()
    public = PublicKeys(
        bytes.fromhex(keys["ed25519"]), bytes.fromhex(keys["falcon"]), Scheme(keys["scheme"])
    )

    def fault(case: Case) -> str | None:
        content = certificate_verify_content(bytes.fromhex(case["content"]))
        return public.verify(content, bytes.fromhex(case["signature"]))

    assert [fault(case) for case in keys["valid"]] == [None]
    assert [case["name"] for case in keys["invalid"] if fault(case) is None] == []


def test_roots_are_named_by_both_keys() -> None:
    for case in CERTIFICATES["roots"]:
        root = parse_root(bytes.fromhex(case["hex"]))
        assert root.trust_domain == case["trust_domain"]
        assert root.keys.authority_key_id.hex() == case["key_id"]


@cases("certificates.json")
def test_good_certificates_are_read(case: Case) -> None:
    leaf = authorise(bytes.fromhex(case["hex"]), Policy(ROOTS), CERTIFICATES["now"])
    assert case["value"] == {
        "spiffe_id": leaf.spiffe_id,
        "serial": f"{leaf.serial:x}",
        "not_before": leaf.not_before,
        "not_after": leaf.not_after,
        "ed25519": leaf.keys.ed25519.hex(),
        "scheme": leaf.keys.scheme,
        "falcon_key_id": leaf.keys.falcon_key_id.hex(),
        "authority_key_id": leaf.authority_key_id.hex(),
        "pre_tbs_sha256": sha256(pre_tbs(leaf.x509.tbs_certificate_bytes)).hexdigest(),
    }


@cases("certificates.json", "invalid")
def test_bad_certificates_are_refused_for_the_right_reason(case: Case) -> None:
    with pytest.raises(Refused) as refused:
        authorise(bytes.fromhex(case["hex"]), Policy(ROOTS), CERTIFICATES["now"])
    assert refused.value.reason.text == case["reason"]
    assert refused.value.reason.alert == case["alert"]


HANDSHAKES = vectors("handshakes.json")
RECORDED = pytest.mark.parametrize(
    "case", HANDSHAKES["handshakes"], ids=[case["client"] for case in HANDSHAKES["handshakes"]]
)


def trusting() -> Endpoint:
    """An endpoint that trusts the root of the recorded handshakes, at their time."""
    policy = Policy({HANDSHAKES["trust_domain"]: [bytes.fromhex(HANDSHAKES["root"])]})
    own = reference.identity(engines.authority(), engines.SERVER)
    return Endpoint(policy, own, clock=lambda: HANDSHAKES["now"])


def said_to(context: HybridContext, message: bytes) -> set[Epoch]:
    """Hands a context a message; the kinds of packets that it answers in."""
    output = {epoch: Buffer(capacity=16384) for epoch in Epoch}
    context.handle_message(message, output)
    return {epoch for epoch, buffer in output.items() if buffer.tell()}


def refusal_of(context: HybridContext, case: Case, peer: str) -> int:
    """The alert for a recorded flight, after its hello was taken."""
    said_to(context, bytes.fromhex(case[f"{peer}_hello"]))
    with pytest.raises(Alert) as refused:
        said_to(context, bytes.fromhex(case[f"{peer}_flight"]))
    return refused.value.description


@RECORDED
def test_a_recorded_client_is_answered_and_then_refused(case: Case) -> None:
    server = ServerContext(trusting())
    assert refusal_of(server, case, "client") == HANDSHAKES["alert"]


@RECORDED
def test_a_recorded_server_is_refused(case: Case) -> None:
    client = ClientContext(trusting())
    assert said_to(client, b"") == {Epoch.INITIAL}
    assert refusal_of(client, case, "server") == HANDSHAKES["alert"]
