"""Snapshots and connections: the Python types are what a real engine says."""

import json

import msgspec
import pytest

from stoq import _engine
from stoq.engine import Adapt, Adaptation, ConnectionInfo, Snapshot, TlsContext
from support import engines
from support.engines import Pair, opened


def names(struct: type[msgspec.Struct]) -> set[str]:
    return set(struct.__struct_fields__)


def test_every_field_of_a_snapshot_has_a_place_in_python() -> None:
    native = _engine.Engine("{}", TlsContext())
    try:
        said = json.loads(native.snapshot())
    finally:
        native.shutdown()
    known = msgspec.json.decode(json.dumps(said), type=Snapshot)
    assert set(said) == names(Snapshot)
    assert set(said["counters"]) == names(type(known.counters))
    assert set(said["gauges"]) == names(type(known.gauges))
    assert set(said["handshake_seconds"]) == names(type(known.handshake_seconds))
    assert len(known.handshake_seconds.counts) == len(known.handshake_seconds.bounds) + 1


async def test_what_happened_is_counted(pair: Pair) -> None:
    await opened(pair)
    client = pair.client.snapshot()
    assert client.counters.connections_dialled == 1
    assert client.counters.handshakes_completed == 1
    assert client.counters.handshakes_resumed == 0
    assert client.counters.udp_datagrams_sent > 0
    assert sum(client.handshake_seconds.counts) == 1
    assert client.uptime_seconds > 0
    assert client.workers == 1


async def test_a_connection_tells_what_was_negotiated(pair: Pair) -> None:
    await opened(pair)
    (mine,) = pair.client.connections()
    assert mine.initiator == "dialled"
    assert mine.state == "established"
    assert mine.remote == pair.remote
    assert mine.spiffe_id == engines.SERVER
    assert mine.key_exchange == "X25519MLKEM768"
    assert mine.signature == mine.local_signature == "Ed25519+FALCON-1024"
    assert mine.cipher == "AES-256-GCM"
    assert mine.profile == "hybrid-1024"
    assert mine.handshake_seconds is not None
    assert mine.streams == 1
    (theirs,) = pair.server.connections()
    assert theirs.initiator == "accepted"
    assert theirs.spiffe_id == engines.CLIENT


async def test_every_field_of_a_connection_has_a_place_in_python(pair: Pair) -> None:
    await opened(pair)
    (said,) = json.loads(pair.client._native.connections())
    assert set(said) == names(ConnectionInfo)


async def test_adaptation_is_told_and_pinned_while_it_runs(pair: Pair) -> None:
    await opened(pair)
    pair.client.adapt_now()
    pair.client.set_adaptation(Adapt(tier="home", congestion="newreno"))
    (said,) = json.loads(pair.client._native.connections())
    assert set(said["adaptation"]) == names(Adaptation)
    (mine,) = pair.client.connections()
    assert mine.adaptation is not None
    assert mine.adaptation.tier == "home"
    pinned, judged = mine.adaptation.changes
    assert (pinned.to, pinned.cause, pinned.applied) == ("home", "policy", True)
    assert judged.cause == "manual"
    with pytest.raises(ValueError, match=r"adapt\.congestion: .*vegas"):
        pair.client.set_adaptation(Adapt(congestion="vegas"))
    with pytest.raises(ValueError, match=r"adapt\.mode: off"):
        pair.client.set_adaptation(Adapt(mode="off"))
