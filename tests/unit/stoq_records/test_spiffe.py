import pytest

from stoq.spiffe import MAX_LENGTH, SpiffeError, SpiffeId, check_trust_domain


def test_an_id_is_taken_apart_and_put_together():
    found = SpiffeId.parse("spiffe://prod.example.org/ns/shop/sa/web-0")
    assert (found.trust_domain, found.namespace, found.service_account) == (
        "prod.example.org",
        "shop",
        "web-0",
    )
    assert str(found) == "spiffe://prod.example.org/ns/shop/sa/web-0"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "begin with spiffe://"),
        ("SPIFFE://a/ns/b/sa/c", "begin with spiffe://"),
        ("spiffe:///ns/b/sa/c", "no trust domain"),
        ("spiffe://A/ns/b/sa/c", "no trust domain"),
        ("spiffe://a:1/ns/b/sa/c", "no trust domain"),
        ("spiffe://a", "names no workload"),
        ("spiffe://a/ns/b/sa/c/d", "names no workload"),
        ("spiffe://a/ns/b/sa/", "names no workload"),
        ("spiffe://a/ns/../sa/c", "names no workload"),
        ("spiffe://a/ns/b%2e/sa/c", "names no workload"),
        ("spiffe://a/ns/b\0/sa/c", "names no workload"),
        ("spiffe://a/ns/é/sa/c", "names no workload"),
        ("spiffe://a/ns/b/sa/c\n", "names no workload"),
        ("spiffe://a/ns/b/sa/" + "c" * MAX_LENGTH, "at most 2048"),
    ],
)
def test_what_breaks_a_rule_is_refused_with_the_part_at_fault(text, why):
    with pytest.raises(SpiffeError, match=why):
        SpiffeId.parse(text)


def test_trust_domains_have_a_longest_length():
    assert check_trust_domain("a" * 255)
    with pytest.raises(SpiffeError):
        check_trust_domain("a" * 256)
