"""A crowd of pods that join at once, each with a token that the API server reviews."""

import asyncio
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from stoq.api.call import Context
from stoq.signing import SignRequest, binding
from stoq_operator.attest import Refused
from stoq_operator.podadmission import REVIEWS_AT_ONCE, PodTokens
from support.patience import until

EXPORTER = b"e" * 32
CROWD = 5 * REVIEWS_AT_ONCE


@dataclass
class Reviewer:
    """An API server that takes its time, and knows nobody."""

    answering: asyncio.Event = field(default_factory=asyncio.Event)
    waiting: int = 0
    most: int = 0
    asked: int = 0

    async def request(self, *_: Any, **__: Any) -> dict[str, Any]:
        self.asked += 1
        self.waiting += 1
        self.most = max(self.most, self.waiting)
        await self.answering.wait()
        self.waiting -= 1
        return {"status": {"authenticated": False}}


async def test_a_crowd_is_reviewed_a_few_at_a_time_and_nobody_is_left_out() -> None:
    server = Reviewer()
    tokens = PodTokens(server)  # type: ignore[arg-type]  # It asks for nothing else.
    stream = SimpleNamespace(exporter=lambda *_: EXPORTER)
    context = Context(peer=None, remote="", deadline=None, stream=stream)  # type: ignore[arg-type]

    async def join(number: int) -> str:
        token = f"{number:040}"
        request = SignRequest(csr=b"csr", token=token, binding=binding(token, EXPORTER))
        try:
            await tokens.admit(request, context, SimpleNamespace)  # type: ignore[arg-type]
        except Refused as refused:
            return str(refused)
        raise AssertionError("a token that is not authentic was admitted")

    crowd = [asyncio.create_task(join(number)) for number in range(CROWD)]
    await until(lambda: server.waiting >= REVIEWS_AT_ONCE)
    server.answering.set()
    answers = await asyncio.gather(*crowd)
    assert server.asked == CROWD
    assert server.most == REVIEWS_AT_ONCE
    assert all("does not accept the token" in answer for answer in answers)
