"""Places for calls: so many at once, so many waiting, the rest refused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from services.common import telemetry
from services.gateway.errors import overloaded


class Limiter:
    """At most ``running`` inside ``place`` and ``waiting`` before it. Of one event loop."""

    def __init__(self, what: str, running: int, waiting: int) -> None:
        self._what = what
        self._places = asyncio.Semaphore(running)
        self._free_to_wait = waiting
        self._gauge = telemetry.QUEUE.labels("gateway", what)

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """Hold a place; wait for one where waiting is allowed, as long as the caller's deadline lets it. OVERLOADED."""
        if self._places.locked():
            await self._wait()
        else:
            await self._places.acquire()
        try:
            yield
        finally:
            self._places.release()

    async def _wait(self) -> None:
        if self._free_to_wait == 0:
            raise overloaded(self._what)
        self._free_to_wait -= 1
        self._gauge.inc()
        try:
            await self._places.acquire()
        finally:
            self._free_to_wait += 1
            self._gauge.dec()
