"""The annotations are listed once, and each is read."""

from dataclasses import fields

import pytest

from stoq.injection.annotations import AnnotationError, Wishes, read

EXAMPLES = Wishes(
    exclude_outbound_ports="443",
    exclude_outbound_cidrs="fd00::/64",
    exclude_inbound_ports="9090",
    capture_udp="off",
    exclude_outbound_udp_ports="123",
    exclude_inbound_udp_ports="5060",
    client_address="off",
    cpu_request="10m",
    memory_request="64Mi",
    cpu_limit="1",
    memory_limit="1Gi",
    log_level="debug",
    inbound="strict",
    outbound="meshOnly",
)


def annotations(wishes: Wishes) -> dict[str, str]:
    return {
        f"stoq.dev/{item.name.replace('_', '-')}": getattr(wishes, item.name)
        for item in fields(Wishes)
    }


def test_every_annotation_is_read_back() -> None:
    assert read(annotations(EXAMPLES)) == EXAMPLES


def test_no_annotation_is_no_wish_and_others_are_not_ours() -> None:
    assert read({"app": "x", "stoq.dev/status": "{}", "example.org/cpu-limit": "?"}) == Wishes()


def test_an_unknown_annotation_is_answered_with_all_there_are() -> None:
    with pytest.raises(AnnotationError) as caught:
        read({"stoq.dev/cpu_request": "1"})
    for name in annotations(EXAMPLES):
        assert name in str(caught.value)
