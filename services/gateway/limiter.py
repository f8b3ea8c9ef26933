"""Places for calls, shared by tenants and their principals: so many at once, so many waiting, the rest refused."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

from services.common import telemetry
from services.common.serving.fair import Lately
from services.gateway.errors import overloaded, overloaded_principal, overloaded_tenant

_ALL = sys.maxsize


class _Key(NamedTuple):
    tenant: str
    key: str


class Limiter:
    """At most ``running`` inside ``place`` and ``waiting`` before it, of which one key has at most its share, and all
    keys of a tenant ``keys_per_tenant`` times as much; while others call too, a tenant has an even share of
    ``contended`` places, and a key an even one of its tenant's, and one at least.

    Of the tenants that wait, the one that holds least is next, and of those the one that has waited longest; of its
    keys likewise. Of one event loop.
    """

    def __init__(
        self,
        what: str,
        running: int,
        waiting: int,
        running_per_key: int = _ALL,
        waiting_per_key: int = _ALL,
        contended: int = _ALL,
        keys_per_tenant: int = 1,
    ) -> None:
        self._what = what
        self._free = running
        self._free_to_wait = waiting
        self._running_per_key = running_per_key
        self._waiting_per_key = waiting_per_key
        self._contended = contended
        self._keys_per_tenant = keys_per_tenant
        self._lately: Lately[_Key] = Lately()
        self._held: Counter[_Key] = Counter()
        self._held_by: Counter[str] = Counter()
        self._waiting: dict[str, dict[_Key, deque[asyncio.Future[None]]]] = {}  # by tenant
        self._gauge = telemetry.QUEUE.labels("gateway", what)

    @asynccontextmanager
    async def place(self, key: str = "", tenant: str | None = None) -> AsyncIterator[None]:
        """Hold a place; wait for one where waiting is allowed, as long as the caller's deadline lets it. OVERLOADED.

        ``tenant`` None: the key is one by itself.
        """
        await self.take(key, tenant)
        try:
            yield
        finally:
            self.give_back(key, tenant)

    async def take(self, key: str = "", tenant: str | None = None) -> None:
        """As ``place``, until ``give_back``."""
        of = _Key(key if tenant is None else tenant, key)
        self._lately.note(of)
        if self._free and self._has_room(of, self._callers()):
            self._hold(of)
        else:
            await self._wait(of)

    def give_back(self, key: str = "", tenant: str | None = None) -> None:
        self._let_go(_Key(key if tenant is None else tenant, key))

    def _hold(self, key: _Key) -> None:
        self._free -= 1
        self._held[key] += 1
        self._held_by[key.tenant] += 1

    def _let_go(self, key: _Key) -> None:
        self._free += 1
        self._held[key] -= 1
        self._held_by[key.tenant] -= 1
        self._held += Counter()  # forgets who has none
        self._held_by += Counter()
        self._hand_out()

    async def _wait(self, key: _Key) -> None:
        """Returns with a place."""
        queues = self._waiting.get(key.tenant, {})
        if len(queues.get(key, ())) >= self._waiting_per_key:
            raise overloaded_principal(self._what)
        if sum(map(len, queues.values())) >= self._waiting_per_key * self._keys_per_tenant:
            raise overloaded_tenant(self._what)
        if self._free_to_wait == 0:
            raise overloaded(self._what)
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(key.tenant, {}).setdefault(key, deque()).append(turn)
        self._free_to_wait -= 1
        self._gauge.inc()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._let_go(key)  # it came at the very moment
            else:
                self._leave(key, turn)
            raise
        finally:
            self._free_to_wait += 1
            self._gauge.dec()

    def _hand_out(self) -> None:
        while self._free and (key := self._next()) is not None:
            turn = self._turn(key)
            if not turn.done():  # else its caller has just given up
                self._hold(key)
                turn.set_result(None)

    def _turn(self, key: _Key) -> asyncio.Future[None]:
        """The first that waits; key and tenant go behind those that have waited longer now."""
        queues = self._waiting.pop(key.tenant)
        queue = queues.pop(key)
        turn = queue.popleft()
        if queue:
            queues[key] = queue
        if queues:
            self._waiting[key.tenant] = queues
        return turn

    def _next(self) -> _Key | None:
        callers = self._callers()
        free = [key for queues in self._waiting.values() for key in queues if self._has_room(key, callers)]
        return min(free, key=lambda key: (self._held_by[key.tenant], self._held[key]), default=None)

    def _callers(self) -> Counter[str]:
        """How many keys of each tenant call now."""
        waiting = (key for queues in self._waiting.values() for key in queues)
        return Counter(key.tenant for key in {*self._lately.keys(), *self._held, *waiting})

    def _has_room(self, key: _Key, callers: Counter[str]) -> bool:
        own = self._running_per_key
        together = min(sys.maxsize, own * self._keys_per_tenant)
        if len(callers) > 1:
            together = min(together, max(1, self._contended // len(callers)))
        if callers[key.tenant] > 1:
            own = min(own, max(1, min(together, self._contended) // callers[key.tenant]))
        return self._held[key] < own and self._held_by[key.tenant] < together

    def _leave(self, key: _Key, turn: asyncio.Future[None]) -> None:
        queues = self._waiting.get(key.tenant, {})
        queue = queues.get(key, deque())
        if turn in queue:
            queue.remove(turn)
            if not queue:
                del queues[key]
            if not queues:
                del self._waiting[key.tenant]
