"""The reference decides on signatures over manifests as docs/vectors says."""

import pytest

from stoq_reference import frames
from stoq_reference.authorise import Policy
from stoq_reference.certificate import parse_leaf
from stoq_reference.codes import StreamCode
from stoq_reference.frames import Key, Manifest, Signature
from stoq_reference.shards import Refused
from stoq_reference.signatures import KeyRing, Said
from support.vectors import Case, cases, vectors

SIGNATURES = vectors("signatures.json")


def signer(case: Case) -> str | None:
    """Who signed the manifest behind the case's frames."""
    roots = [bytes.fromhex(root) for root in SIGNATURES["roots"]]
    revoked = frozenset((int(SIGNATURES["revoked"], 16),))
    policy = Policy({"mesh.test": roots}, revoked_serials=revoked)
    ring = KeyRing(policy, lambda: SIGNATURES["now"])
    peer = parse_leaf(bytes.fromhex(SIGNATURES["peer"]))
    said = Said(peer, peer.keys.falcon_key_id)
    for encoded in case["frames"]:
        frame, _ = frames.decode(bytes.fromhex(encoded))
        assert isinstance(frame, Key | Signature)
        ring.take(said, frame)
    manifest, _ = frames.decode(bytes.fromhex(SIGNATURES["manifest"]))
    assert isinstance(manifest, Manifest)
    return said.signed(manifest)


@cases("signatures.json", "valid")
def test_a_manifest_is_signed_by_whom_its_signature_says(case: Case) -> None:
    assert signer(case) == case["signer"]


@cases("signatures.json", "invalid")
def test_a_signature_that_is_not_acceptable_is_refused(case: Case) -> None:
    with pytest.raises(Refused) as refused:
        signer(case)
    assert refused.value.code == StreamCode.BAD_SIGNATURE
