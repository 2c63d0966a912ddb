"""API streams between two real engines on loopback."""

import asyncio

import pytest

from stoq.api.stream import ByteStream, StreamError, StreamReset
from stoq.engine import Engine
from support import engines
from support.engines import Pair, opened


async def echo(stream: ByteStream) -> None:
    while data := await stream.recv():
        await stream.send(data)
    await stream.send(b"", end=True)


async def read_all(stream: ByteStream) -> bytes:
    return b"".join([piece async for piece in pieces(stream)])


async def pieces(stream: ByteStream):
    while piece := await stream.recv():
        yield piece


async def test_what_is_sent_comes_back_whole_and_in_order(pair: Pair) -> None:
    near, far = await opened(pair)
    data = bytes(range(256)) * 20_000
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(echo(far))
        tasks.create_task(near.send(data, end=True))
        answer = tasks.create_task(read_all(near))
    assert answer.result() == data


async def test_each_side_knows_who_the_other_is(pair: Pair) -> None:
    near, far = await opened(pair)
    assert near.peer is not None
    assert far.peer is not None
    assert near.peer.spiffe_id == engines.SERVER
    assert far.peer.spiffe_id == engines.CLIENT
    assert near.peer.not_after > 0
    assert len(bytes.fromhex(near.peer.serial)) > 0
    assert near.remote == pair.remote
    assert far.remote.startswith("[::1]:")


async def test_the_evidence_names_the_hybrid_suite(pair: Pair) -> None:
    near, _ = await opened(pair)
    far = near.far  # type: ignore[attr-defined]
    assert far.key_exchange == "X25519MLKEM768"
    assert far.peer_signature == "Ed25519+FALCON-1024"
    assert far.local_signature == "Ed25519+FALCON-1024"
    assert far.cipher == "AES-256-GCM"
    assert far.profile == "hybrid-1024"
    assert not far.resumed


async def test_both_sides_export_the_same_keying_material(pair: Pair) -> None:
    near, far = await opened(pair)
    material = near.exporter("EXPORTER-test")
    assert len(material) == 32
    assert far.exporter("EXPORTER-test") == material
    assert far.exporter("EXPORTER-test", b"context") != material


async def test_a_slow_reader_holds_the_sender_back(pair: Pair) -> None:
    near, far = await opened(pair)
    data = bytes(32_000_000)
    sending = asyncio.create_task(near.send(data, end=True))
    await asyncio.sleep(0.3)
    assert not sending.done()
    received = await read_all(far)
    await sending
    assert len(received) == len(data)


async def test_a_reset_is_seen_with_its_code(pair: Pair) -> None:
    near, far = await opened(pair)
    near.reset(0x16)
    with pytest.raises(StreamReset) as caught:
        await far.recv()
    assert caught.value.code == 0x16
    with pytest.raises(StreamError):
        await near.send(b"more")
    with pytest.raises(StreamError):
        await near.recv()
    near.reset(0x16)


async def test_an_unknown_reset_code_is_refused(pair: Pair) -> None:
    near, _ = await opened(pair)
    with pytest.raises(ValueError, match="code: 0x1 "):
        near.reset(1)


async def test_a_closed_stream_still_delivers_what_was_sent(pair: Pair) -> None:
    near, far = await opened(pair)
    await near.send(b"last words")
    near.close()
    near.close()
    assert await read_all(far) == b"last words"
    with pytest.raises(StreamError, match="closed here"):
        await near.recv()
    with pytest.raises(StreamError):
        near.exporter("EXPORTER-test")
    assert near.peer is not None


async def test_a_peer_that_closes_early_still_gets_its_answer_across(pair: Pair) -> None:
    near, far = await opened(pair)
    data = bytes(200_000)
    await far.send(data, end=True)
    far.close()
    assert await read_all(near) == data
    with pytest.raises(StreamError, match="takes no more bytes"):
        while True:
            await near.send(b"more")
            await asyncio.sleep(0.01)


async def test_a_cancelled_receive_loses_nothing(pair: Pair) -> None:
    near, far = await opened(pair)
    waiting = asyncio.create_task(far.recv())
    await asyncio.sleep(0.05)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await near.send(b"later")
    assert await far.recv() == b"later"


async def test_a_cancelled_open_leaves_no_stream_behind(pair: Pair) -> None:
    # Nobody listens on that port, so the dial waits.
    opening = asyncio.create_task(pair.client.dialler("[::1]:9", engines.SERVER).open())
    await asyncio.sleep(0.05)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    near, _ = await opened(pair)
    near.close()


async def test_a_dial_without_an_answer_says_what_to_check(impatient: Engine) -> None:
    with pytest.raises(StreamError, match="UDP 9"):
        await impatient.dialler("[::1]:9", engines.SERVER).open()


async def test_another_identity_than_the_expected_one_is_refused(pair: Pair) -> None:
    with pytest.raises(StreamError) as caught:
        await pair.client.dialler(pair.remote, engines.CLIENT).open()
    assert engines.SERVER in str(caught.value)


@pytest.mark.parametrize(
    ("remote", "expect", "field"),
    [
        ("localhost:14012", None, "remote"),
        ("[::1]", None, "remote"),
        ("[::1]:14012", "spiffe://td", "expect"),
    ],
)
async def test_wrong_arguments_are_named(
    pair: Pair, remote: str, expect: str | None, field: str
) -> None:
    with pytest.raises(ValueError, match=f"^{field}: "):
        await pair.client.dialler(remote, expect).open()


async def test_many_streams_share_one_connection(pair: Pair) -> None:
    dialler = pair.client.dialler(pair.remote, engines.SERVER)
    acceptor = pair.server.acceptor()

    async def serve() -> None:
        async with asyncio.TaskGroup() as tasks:
            for _ in range(50):
                tasks.create_task(echo(await acceptor.accept()))

    async def call(number: int) -> bytes:
        stream = await dialler.open()
        await stream.send(number.to_bytes(4, "big"), end=True)
        answer = await read_all(stream)
        stream.close()
        return answer

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(serve())
        calls = [tasks.create_task(call(number)) for number in range(50)]
    assert [task.result() for task in calls] == [n.to_bytes(4, "big") for n in range(50)]
    assert pair.client.snapshot().counters.connections_dialled == 1


async def test_a_stopped_engine_fails_what_was_waiting(pair: Pair) -> None:
    near, far = await opened(pair)
    acceptor = pair.server.acceptor()
    waiting = asyncio.create_task(far.recv())
    accepting = asyncio.create_task(acceptor.accept())
    await asyncio.sleep(0)
    await pair.server.stop()
    with pytest.raises(StreamError, match="shut down"):
        await waiting
    with pytest.raises(StreamError, match="shut down"):
        await accepting
    with pytest.raises(StreamError, match="shut down"):
        await acceptor.accept()
    with pytest.raises(StreamError):
        await near.recv()
    with pytest.raises(StreamError, match="shut down"):
        await pair.server.dialler(pair.remote).open()


async def test_an_engine_that_serves_nobody_denies_streams(pair: Pair) -> None:
    near = await pair.client.dialler(pair.remote, engines.SERVER).open()
    with pytest.raises(StreamReset) as caught:
        await near.send(b"anybody there?")
        await near.recv()
    assert caught.value.code == 0x18
