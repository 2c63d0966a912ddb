"""When a sidecar makes its offers, and when it takes them back."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from stoq.api.stream import ConnectionLost
from stoq.broker.client import BrokerError
from stoq.broker.protocol import Offer, Spliced
from stoq.engine import ConnectionInfo
from stoq_sidecar import splicing
from stoq_sidecar.splicing import Splicing
from support.patience import until
from unit.stoq_sidecar.test_offers import OWN, PORTS, connection, known


class Around:
    """An engine's connections, and a broker."""

    def __init__(self) -> None:
        self.met: list[ConnectionInfo] = [connection("[fd00::a]:14008")]
        self.offers: list[Offer] = []
        self.dialled: list[tuple[str, str | None]] = []
        self.pairs = 0
        self.broken = ""

    def connections(self) -> list[ConnectionInfo]:
        return self.met

    def dialler(self, remote: str, expect: str | None = None) -> Any:
        self.dialled.append((remote, expect))
        return self

    async def open(self) -> None:
        raise ConnectionLost("nobody is there")

    def ask(self, offer: Offer) -> Spliced:
        if self.broken:
            raise BrokerError(self.broken)
        self.offers.append(offer)
        return Spliced(seconds=5.0, pairs=self.pairs)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(splicing, "LOOK_SECONDS", 0.02)
    monkeypatch.setattr(splicing, "AGAIN_SECONDS", 0.02)


@asynccontextmanager
async def offering(around: Around, idle: float = 300.0) -> AsyncIterator[Splicing]:
    made = Splicing(around, OWN, around.ask, idle)
    task = asyncio.create_task(made.run())
    try:
        yield made
    finally:
        task.cancel()
        await asyncio.wait([task])


async def test_an_offer_is_made_again_and_again_and_withdrawn_once() -> None:
    around = Around()
    async with offering(around) as made:
        made.use(known(*PORTS).state)
        await until(lambda: len(around.offers) > 2)
        assert all(offer.peers for offer in around.offers)
        made.use(known(*PORTS, node_local="encrypted").state)
        await until(lambda: not around.offers[-1].peers)
        told = len(around.offers)
        await asyncio.sleep(0.1)
        assert len(around.offers) == told, "nobody is bothered where no policy asks for it"


async def test_without_the_policy_or_a_peer_the_broker_is_not_asked() -> None:
    around = Around()
    async with offering(around) as made:
        made.use(known(*PORTS, node_local="encrypted").state)
        await asyncio.sleep(0.05)
        around.met = []
        made.use(known(*PORTS).state)
        await asyncio.sleep(0.05)
        assert around.offers == []


async def test_a_connection_that_is_gone_takes_its_peer_out_of_the_offer() -> None:
    around = Around()
    async with offering(around) as made:
        made.use(known(*PORTS).state)
        await until(lambda: bool(around.offers))
        around.met = []
        await until(lambda: not around.offers[-1].peers)


async def test_a_broker_that_takes_no_offers_is_told_of_once_and_asked_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    around = Around()
    around.broken = "nobody is joined here"
    async with offering(around) as made:
        made.use(known(*PORTS).state)
        await asyncio.sleep(0.1)
        assert caplog.text.count("nobody is joined here") == 1
        around.broken = ""
        await until(lambda: bool(around.offers))


async def test_connections_of_joined_pods_are_used_so_that_they_stay() -> None:
    around = Around()
    around.pairs = 1
    around.met = [msgspec.structs.replace(around.met[0], initiator="dialled")]
    async with offering(around, idle=0.06) as made:
        made.use(known(*PORTS).state)
        await until(lambda: len(around.dialled) > 2)
        assert around.dialled[0] == ("[fd00::a]:14008", "spiffe://td/ns/shop/sa/web")
        assert made.pairs == 1
