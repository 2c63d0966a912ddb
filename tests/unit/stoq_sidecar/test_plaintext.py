"""What a sidecar says of its own plaintext, which the node agent asks for."""

from pathlib import Path

import msgspec
import pytest

from stoq import plaintext
from stoq.engine import Flow, Snapshot
from stoq_sidecar import plaintext as page
from unit.stoq_sidecar.test_metrics import FLOW, snapshot

__all__ = ["snapshot"]

SNMP = "Ip: Forwarding\nIp: 1\nTcp: RtoMin ActiveOpens RetransSegs\nTcp: 200 4 7\n"


def plain(**fields: int) -> Flow:
    return msgspec.structs.replace(FLOW, connection_security_policy="unknown", **fields)


def test_only_flows_in_plaintext_count(snapshot: Snapshot) -> None:
    flows = (
        FLOW,
        plain(opened=3, closed=1, sent_bytes=20, received_bytes=9_000),
        plain(opened=2, closed=2, sent_bytes=5),
    )
    counters = msgspec.structs.replace(snapshot.counters, captured_udp_plain_bytes=40)
    told = msgspec.structs.replace(snapshot, flows=flows, counters=counters)
    found = page.figures(told, "x", page.Resolved(tcp=100, udp=30), 1_500)
    assert found == plaintext.Figures(
        instance="x",
        sent_bytes=125,
        connections=2,
        retransmitted_bytes=1_500,
        datagram_bytes=70,
    )


def test_the_page_is_read_back_and_its_instance_is_drawn_at_each_start(
    snapshot: Snapshot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "snmp").write_text(SNMP)
    monkeypatch.setattr(page, "SNMP", tmp_path / "snmp")
    asked = page.Resolved(3, 4)
    first, second = (page.Page(lambda: snapshot, lambda: asked, 1_500) for _ in range(2))
    told = plaintext.decode(first.render())
    assert (told.sent_bytes, told.connections, told.retransmitted_bytes) == (3, 0, 10_500)
    assert told.instance == plaintext.decode(first.render()).instance
    assert told.instance != plaintext.decode(second.render()).instance


def test_a_page_of_a_sidecar_that_counts_no_datagrams_is_read() -> None:
    older = b'{"instance":"x","sent_bytes":1,"connections":0,"retransmitted_bytes":0}'
    assert plaintext.decode(older).datagram_bytes is None


def test_this_kernel_tells_what_is_sent_again() -> None:
    assert page.retransmitted(page.SNMP.read_text()) >= 0
    assert page.retransmitted(SNMP) == 7


@pytest.mark.parametrize("text", ["", SNMP.replace("RetransSegs", "Other"), "Tcp: RetransSegs\n"])
def test_a_kernel_that_does_not_tell_is_named(text: str) -> None:
    with pytest.raises(ValueError, match="RetransSegs"):
        page.retransmitted(text)
