"""Objects between two real engines on loopback, by the API layer's doors."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from stoq.api.client import ApiClient
from stoq.api.errors import BadRequest, NotFound, TimedOut, Unauthorised, Unavailable
from stoq.api.objects import ObjectAsker, ReceivedObject, ask_object, serve_objects
from stoq.engine import CertificateAuthority, Engine, EngineSettings, Limits, Listener, Shadow
from support import engines
from support.interop import TABLE
from support.patience import PATIENCE

LARGEST = 3_000_000


@dataclass(frozen=True)
class Sending:
    """An engine that sends, and one that receives."""

    near: Engine
    far: Engine

    def client(self, *, lanes: int = 1, shard_size: int = 65_536) -> ApiClient:
        remote = f"[::1]:{self.far.local_port('stoq')}"
        sender = self.near.object_sender(remote, engines.SERVER, lanes=lanes, shard_size=shard_size)
        return ApiClient(self.near.dialler(remote), objects=sender)


@pytest.fixture
async def sending(ca: CertificateAuthority) -> AsyncIterator[Sending]:
    settings = EngineSettings(
        workers=2,
        stoq=Listener(listen="[::1]:0"),
        limits=Limits(object_bytes=LARGEST),
        log_level="error",
    )
    near_tls = engines.identity(ca, engines.CLIENT, max_shard=0)
    far_tls = engines.identity(ca, engines.SERVER, max_shard=65_536)
    async with (
        Engine(engines.client_settings(), near_tls) as near,
        Engine(settings, far_tls) as far,
    ):
        far.set_table(TABLE)
        yield Sending(near, far)


async def test_an_object_comes_to_the_handler_as_it_was_sent(sending: Sending) -> None:
    data = secrets.token_bytes(LARGEST)
    taken: asyncio.Queue[ReceivedObject] = asyncio.Queue()
    serving = asyncio.create_task(serve_objects(sending.far.object_receiver(), taken.put))
    await sending.client(lanes=3).send_object(data)
    received = await asyncio.wait_for(taken.get(), PATIENCE)
    assert received.data == data
    assert received.sender == engines.CLIENT
    assert len(received.transfer) == 16
    assert len(sending.near.connections()) == 3
    await sending.far.stop()
    await asyncio.wait_for(serving, PATIENCE)


async def test_a_handler_that_fails_gets_the_next_object(sending: Sending) -> None:
    taken: list[bytes] = []

    async def fail_first(received: ReceivedObject) -> None:
        taken.append(received.data)
        if len(taken) == 1:
            raise RuntimeError("no room on the disk")

    serving = asyncio.create_task(serve_objects(sending.far.object_receiver(), fail_first))
    for data in (b"first", b"second"):
        await sending.client().send_object(data)
    await sending.far.drain(0.1)
    await asyncio.wait_for(serving, PATIENCE)
    assert taken[:2] == [b"first", b"second"]


async def test_without_a_receiver_the_sender_is_unauthorised(sending: Sending) -> None:
    with pytest.raises(Unauthorised, match="takes no objects"):
        await sending.client().send_object(b"data")


async def test_an_object_beyond_the_limit_is_a_bad_request(sending: Sending) -> None:
    sending.far.object_receiver()
    with pytest.raises(BadRequest, match="send it in parts"):
        await sending.client().send_object(bytes(LARGEST + 1))


async def test_shards_that_the_peer_does_not_take_are_named_with_their_size(
    sending: Sending,
) -> None:
    sending.far.object_receiver()
    with pytest.raises(Unavailable, match="at most 65536 bytes, and these have 100000"):
        await sending.client(shard_size=100_000).send_object(b"data")


async def test_an_object_that_nobody_answers_is_given_up(sending: Sending) -> None:
    remote = "[::1]:9"
    client = ApiClient(
        sending.near.dialler(remote), objects=sending.near.object_sender(remote, engines.SERVER)
    )
    with pytest.raises((TimedOut, Unavailable)):
        await client.send_object(b"data", timeout=0.3)


async def test_what_cannot_be_sent_to_anybody_is_a_value_error(sending: Sending) -> None:
    with pytest.raises(ValueError, match="take other shards"):
        await sending.client(shard_size=1).send_object(bytes(5000))
    with pytest.raises(ValueError, match="0 lanes"):
        await sending.client(lanes=0).send_object(b"data")
    with pytest.raises(ValueError, match="give it `objects`"):
        await ApiClient(sending.near.dialler("[::1]:9")).send_object(b"data")


def test_a_shard_larger_than_the_protocol_has_is_refused_by_its_name(
    ca: CertificateAuthority,
) -> None:
    with pytest.raises(ValueError, match="max_shard: 1048577 is more than 1048576"):
        engines.identity(ca, engines.CLIENT, max_shard=1_048_577)


@pytest.mark.parametrize(
    ("shadows", "wrong"),
    [
        ([Shadow("[::1]:9", engines.SERVER, 0)], "share of 0: 1 to 10000"),
        ([Shadow("[::1]:9", engines.SERVER, 70_000)], "share of 70000: 1 to 10000"),
        ([Shadow("[::1]", engines.SERVER)], "no address and port"),
        ([Shadow("[::1]:9", "db")], "shadows: .*db"),
        ([Shadow("[::1]:9", engines.SERVER)] * 5, "5 shadows: at most 4"),
    ],
)
async def test_shadows_that_cannot_be_are_a_value_error(
    sending: Sending, shadows: list[Shadow], wrong: str
) -> None:
    sender = sending.near.object_sender("[::1]:9", engines.SERVER, shadows=shadows)
    with pytest.raises(ValueError, match=wrong):
        await sender.send(b"data")


async def test_shadows_are_told_whom_the_original_is_for(sending: Sending) -> None:
    sender = sending.near.object_sender("[::1]:9", shadows=[Shadow("[::1]:9", engines.SERVER)])
    with pytest.raises(ValueError, match="say whom the object is for"):
        await sender.send(b"data")


async def test_whose_copies_are_taken_are_identities(sending: Sending) -> None:
    with pytest.raises(ValueError, match=r"mirrors_from: .*db"):
        sending.far.object_receiver(mirrors_from=["db"])


@pytest.fixture
async def late(ca: CertificateAuthority) -> AsyncIterator[Engine]:
    """An engine that was not there when the object was sent."""
    tls = engines.identity(ca, engines.CLIENT, max_shard=65_536)
    async with Engine(engines.client_settings(), tls) as made:
        yield made


async def sent(sending: Sending, data: bytes) -> ReceivedObject:
    """An object that the far engine has."""
    receiver = sending.far.object_receiver()
    await sending.client().send_object(data)
    return await receiver.receive()


def holder(late: Engine, sending: Sending) -> ObjectAsker:
    return late.object_asker(f"[::1]:{sending.far.local_port('stoq')}", engines.SERVER)


async def test_an_object_can_be_asked_of_a_peer_that_holds_it(
    sending: Sending, late: Engine
) -> None:
    sending.far.hold_objects(16_000_000)
    data = secrets.token_bytes(200_000)
    received = await sent(sending, data)
    asker = holder(late, sending)
    found = await ask_object([asker], received.transfer, PATIENCE)
    assert (found.data, found.sender) == (data, engines.SERVER)
    with pytest.raises(Unavailable, match="come already"):
        await ask_object([asker], received.transfer, PATIENCE)


async def test_the_next_holder_is_asked_when_one_is_not_whom_it_should_be(
    sending: Sending, late: Engine
) -> None:
    sending.far.hold_objects(16_000_000, [engines.CLIENT])
    received = await sent(sending, b"data")
    stranger = late.object_asker(f"[::1]:{sending.far.local_port('stoq')}", engines.CLIENT)
    holders = [stranger, holder(late, sending)]
    assert (await ask_object(holders, received.transfer, PATIENCE)).data == b"data"


async def test_an_object_that_was_signed_is_known_to_be_its_authors_wherever_it_is_had(
    sending: Sending, late: Engine
) -> None:
    sending.far.hold_objects(16_000_000)
    receiver = sending.far.object_receiver(signer=engines.CLIENT)
    data = secrets.token_bytes(200_000)
    await sending.client(lanes=2).send_object(data, sign=True)
    received = await receiver.receive()
    assert (received.data, received.signer) == (data, engines.CLIENT)
    remote = f"[::1]:{sending.far.local_port('stoq')}"
    other = late.object_asker(remote, engines.SERVER, signer=engines.SERVER)
    with pytest.raises(Unavailable, match="not signed by whom it must be"):
        await ask_object([other], received.transfer, PATIENCE)
    right = late.object_asker(remote, engines.SERVER, signer=engines.CLIENT)
    found = await ask_object([other, right], received.transfer, PATIENCE)
    assert (found.data, found.sender, found.signer) == (data, engines.SERVER, engines.CLIENT)
    (known,) = {made.signatures for made in late.connections()}
    assert known is not None
    assert (known.verified, known.refused, known.signer) == (3, 0, engines.CLIENT)
    assert sending.near.snapshot().counters.signatures_made == 1


async def test_who_does_not_sign_where_that_is_required_is_unauthorised(sending: Sending) -> None:
    sending.far.object_receiver(signer=engines.SERVER)
    for sign in (False, True):
        with pytest.raises(Unauthorised, match="what a certain identity has signed"):
            await sending.client().send_object(b"data", sign=sign)


async def test_who_must_have_signed_is_an_identity(sending: Sending, late: Engine) -> None:
    with pytest.raises(ValueError, match=r"signer: .*db"):
        sending.far.object_receiver(signer="db")
    with pytest.raises(ValueError, match=r"signer: .*db"):
        await late.object_asker("[::1]:9", signer="db").ask(bytes(16))


async def test_an_object_that_nobody_holds_for_us_is_not_found(
    sending: Sending, late: Engine
) -> None:
    sending.far.hold_objects(16_000_000, [engines.SERVER])
    received = await sent(sending, b"data")
    with pytest.raises(NotFound, match=f"{received.transfer.hex()}: none of 1"):
        await ask_object([holder(late, sending)], received.transfer, PATIENCE)


async def test_a_holder_that_does_not_answer_is_given_up(late: Engine) -> None:
    with pytest.raises((TimedOut, Unavailable)):
        await ask_object([late.object_asker("[::1]:9")], bytes(16), 0.3)


async def test_an_object_that_comes_while_its_asker_gives_up_takes_no_room(
    sending: Sending, late: Engine
) -> None:
    sending.far.hold_objects(16_000_000)
    asker = holder(late, sending)
    for times in range(5):  # What waits of one holder's objects is bounded by 12 MiB.
        received = await sent(sending, secrets.token_bytes(LARGEST))
        asking = asyncio.create_task(asker.ask(received.transfer))
        await asyncio.sleep(0)
        # Timers run behind what has come, and nothing has run since it came.
        asyncio.get_running_loop().call_later(0, asking.cancel)
        while late.snapshot().counters.objects_received == times:
            time.sleep(0.001)  # noqa: ASYNC251 - so that both happen at once
        with pytest.raises(asyncio.CancelledError):
            await asking
    received = await sent(sending, b"data")
    assert (await ask_object([asker], received.transfer, PATIENCE)).data == b"data"


async def test_what_is_no_transfer_or_identity_is_a_value_error(late: Engine) -> None:
    with pytest.raises(ValueError, match="transfer: 3 bytes"):
        await late.object_asker("[::1]:9").ask(b"abc")
    with pytest.raises(ValueError, match=r"askers: .*db"):
        late.hold_objects(1, ["db"])
