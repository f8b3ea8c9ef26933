"""Places for calls, shared by principals: so many at once, so many waiting, the rest refused."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from services.common import telemetry
from services.common.serving.fair import Lately
from services.gateway.errors import overloaded, overloaded_principal

_ALL = sys.maxsize


class Limiter:
    """At most ``running`` inside ``place`` and ``waiting`` before it, of which one key has at most its share; while
    others call too, an even one of ``contended`` places, and one at least.

    Of the keys that wait, the one that holds least is next, and of those the one that has waited longest. Of one event
    loop.
    """

    def __init__(
        self,
        what: str,
        running: int,
        waiting: int,
        running_per_key: int = _ALL,
        waiting_per_key: int = _ALL,
        contended: int = _ALL,
    ) -> None:
        self._what = what
        self._free = running
        self._free_to_wait = waiting
        self._running_per_key = running_per_key
        self._waiting_per_key = waiting_per_key
        self._contended = contended
        self._lately = Lately()
        self._held: Counter[str] = Counter()
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}
        self._gauge = telemetry.QUEUE.labels("gateway", what)

    @asynccontextmanager
    async def place(self, key: str = "") -> AsyncIterator[None]:
        """Hold a place; wait for one where waiting is allowed, as long as the caller's deadline lets it. OVERLOADED."""
        await self.take(key)
        try:
            yield
        finally:
            self.give_back(key)

    async def take(self, key: str = "") -> None:
        """As ``place``, until ``give_back``."""
        self._lately.note(key)
        if self._free and self._held[key] < self._most():
            self._free -= 1
            self._held[key] += 1
        else:
            await self._wait(key)

    def give_back(self, key: str = "") -> None:
        self._free += 1
        self._held[key] -= 1
        self._held += Counter()  # forgets who has none
        self._hand_out()

    async def _wait(self, key: str) -> None:
        """Returns with a place."""
        queue = self._waiting.get(key, ())
        if len(queue) >= self._waiting_per_key:
            raise overloaded_principal(self._what)
        if self._free_to_wait == 0:
            raise overloaded(self._what)
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(key, deque()).append(turn)
        self._free_to_wait -= 1
        self._gauge.inc()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.give_back(key)  # it came at the very moment
            else:
                self._leave(key, turn)
            raise
        finally:
            self._free_to_wait += 1
            self._gauge.dec()

    def _hand_out(self) -> None:
        while self._free and (key := self._next()) is not None:
            queue = self._waiting.pop(key)
            turn = queue.popleft()
            if queue:
                self._waiting[key] = queue  # behind those that have waited longer now
            if not turn.done():  # else its caller has just given up
                self._free -= 1
                self._held[key] += 1
                turn.set_result(None)

    def _next(self) -> str | None:
        most = self._most()
        free = [key for key in self._waiting if self._held[key] < most]
        return min(free, key=lambda key: self._held[key], default=None)

    def _most(self) -> int:
        """Places of one key, now."""
        callers = self._lately.keys() | self._held.keys() | self._waiting.keys()
        if len(callers) < 2:
            return self._running_per_key
        return min(self._running_per_key, max(1, self._contended // len(callers)))

    def _leave(self, key: str, turn: asyncio.Future[None]) -> None:
        queue = self._waiting.get(key, deque())
        if turn in queue:
            queue.remove(turn)
            if not queue:
                del self._waiting[key]
