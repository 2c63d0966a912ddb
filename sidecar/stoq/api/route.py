"""Where a call goes: which of a service's endpoints is tried next.

A `Route` is asked for one `Leg` after the other until a call has reached somebody. What has been
delivered is never sent twice: whether it may be done twice only the caller knows.
"""

import asyncio
from collections.abc import Callable, Collection
from typing import Protocol

from stoq.api.balance import Balancer, Target
from stoq.api.errors import Unavailable
from stoq.api.stream import Dialler


class Leg(Protocol):
    """One attempt of a call."""

    @property
    def dialler(self) -> Dialler:
        """Opens the stream for it."""

    def ended(self, *, reached: bool | None) -> None:
        """The attempt is over: it was taken, nobody has seen it (False), or neither is known."""


class Route(Protocol):
    """Chooses where calls go."""

    async def pick(self, tried: Collection[Leg]) -> Leg | None:
        """The next leg for a call that these could not deliver; None when there is no other.
        Raises an `ApiError` when there is none at all.
        """


class Direct:
    """One endpoint: there is no other to try. A `Route` and its own `Leg`."""

    def __init__(self, dialler: Dialler) -> None:
        self.dialler = dialler

    async def pick(self, tried: Collection[Leg]) -> Leg | None:
        """Itself, once."""
        return None if tried else self

    def ended(self, *, reached: bool | None) -> None:
        """Nothing follows from it."""


class Resolver(Protocol):
    """Knows the endpoints of a name."""

    @property
    def version(self) -> int:
        """Another one after every change; what was resolved before may be kept until then."""

    async def resolve(self, name: str) -> tuple[Target, ...]:
        """The endpoints now. Raises `NotFound` for a name that nobody has; waits while nothing is
        known about any.
        """


Dial = Callable[[str, str], Dialler]
"""Takes address with port and the SPIFFE id to be proven, as `Engine.dialler` does."""


class _Attempt:
    """An attempt at one target."""

    __slots__ = ("_balancer", "_over", "dialler", "target")

    def __init__(self, balancer: Balancer, target: Target, dialler: Dialler) -> None:
        self._balancer = balancer
        self._over = False
        self.target = target
        self.dialler = dialler
        balancer.began(target)

    def ended(self, *, reached: bool | None) -> None:
        if not self._over:
            self._over = True
            now = asyncio.get_running_loop().time()
            self._balancer.ended(self.target, now, reached=reached)


class Named:
    """The endpoints of a name, which change while it is used; a `Route`.

    Calls are spread by weight and by how many are under way; what refused or could not be reached
    is left alone for a while.
    """

    def __init__(self, name: str, resolver: Resolver, dial: Dial) -> None:
        self._resolver = resolver
        self._dial = dial
        self._name = name
        self._balancer = Balancer()
        self._diallers: dict[Target, Dialler] = {}
        self._version: int | None = None

    async def pick(self, tried: Collection[Leg]) -> Leg | None:
        """See `Route`."""
        if self._version != self._resolver.version:
            await self._resolve()
        if not self._diallers:
            raise Unavailable(f"{self._name} has no endpoint now; try again later", untouched=True)
        seen = {leg.target for leg in tried if isinstance(leg, _Attempt)}
        target = self._balancer.pick(seen, asyncio.get_running_loop().time())
        if target is None:
            return None
        return _Attempt(self._balancer, target, self._diallers[target])

    async def _resolve(self) -> None:
        targets = await self._resolver.resolve(self._name)
        # Of this moment: there is no await between what was resolved and its number.
        self._version = self._resolver.version
        self._balancer.update(targets)
        self._diallers = {
            target: self._diallers.get(target) or self._dial(target.address, target.spiffe_id)
            for target in targets
        }
