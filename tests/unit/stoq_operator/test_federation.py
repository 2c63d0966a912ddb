"""Roots of other meshes: from the MeshConfig to what every sidecar trusts."""

import pytest

from stoq import pem
from stoq.engine import HybridKey
from stoq.records.errors import RecordError
from stoq.registry import FederatedTrust
from stoq_operator.derive import derive
from stoq_operator.memo import Memo
from support.engines import CLIENT, authority
from support.records import by_key, mesh


def bundle(*certificates: bytes) -> str:
    return "".join(pem.encode(der).decode() for der in certificates)


def derived(*bundles: tuple[str, str], memo: Memo | None = None):
    config = mesh(federated=[{"trustDomain": domain, "bundle": text} for domain, text in bundles])
    return config, derive(by_key(config), config.spec, {}, memo)


def test_a_mesh_trusts_the_roots_of_those_it_names():
    two, next_two, three = authority("two").root, authority("two").root, authority("three").root
    _, found = derived(("two", bundle(two, next_two)), ("three", bundle(three)))
    assert found.federation.domains == (
        FederatedTrust("two", (two, next_two)),
        FederatedTrust("three", (three,)),
    )
    assert found.problems == {}


def test_what_is_no_root_of_the_domain_leaves_it_out_and_the_others_stay():
    ca = authority("two")
    key = HybridKey.generate("hybrid-1024")
    other = authority("test.example")
    leaf = other.issue(key.csr(), CLIENT, other.certificate.not_before, other.certificate.not_after)
    for text, says in (
        (bundle(ca.root, other.root), "certificate 2 is a root of spiffe://test.example"),
        (bundle(leaf), "is a leaf of"),
        ("", "at least one is needed"),
        (bundle(b"junk"), "left out"),
    ):
        config, found = derived(("two", text), ("test.example", bundle(other.root)))
        assert found.federation.domains == (FederatedTrust("test.example", (other.root,)),)
        problem = found.problems[config.key]
        assert problem.reason == "BundleUnusable"
        assert "spec.federated[0].bundle of two" in problem.text
        assert says in problem.text


def test_roots_are_read_again_only_when_they_change():
    memo = Memo()
    pair = ("two", bundle(authority("two").root))
    once, again = (derived(pair, memo=memo)[1] for _ in range(2))
    assert once.federation is again.federation


@pytest.mark.parametrize(
    ("bundles", "says"),
    [
        ([("example.org", "x")], "this mesh's own"),
        ([("two", "x"), ("two", "y")], "spec.federated[0] already"),
        ([("Two", "x")], "spec.federated[0].trustDomain"),
        ([("two", "x" * 65_537)], "65537 characters"),
        ([(f"two{number}", "x") for number in range(17)], "16 at most"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_its_field(bundles, says):
    with pytest.raises(RecordError) as caught:
        derived(*bundles)
    assert says in str(caught.value)
