"""Long streams: places of their own, a share for each token and tenant, and an end when the token's own comes."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

from services.common.serving.errors import MnemeError
from services.gateway.errors import overloaded, overloaded_tenant, overloaded_token


class Places:
    """At most ``total`` streams at once, ``per_token`` of them by one token and ``per_tenant`` by all of a tenant's;
    nobody waits. Of one event loop."""

    def __init__(self, total: int, per_token: int, per_tenant: int) -> None:
        self._total = total
        self._per_token = per_token
        self._per_tenant = per_tenant
        self._open: Counter[str] = Counter()
        self._open_by: Counter[str] = Counter()

    @contextmanager
    def place(self, token_id: str, tenant: str) -> Iterator[None]:
        """Hold a place. OVERLOADED when there is none, for anybody, for this token or for its tenant."""
        if self._open[token_id] >= self._per_token:
            raise overloaded_token(self._per_token)
        if self._open_by[tenant] >= self._per_tenant:
            raise overloaded_tenant("streams")
        if self._open.total() >= self._total:
            raise overloaded("streams")
        self._open[token_id] += 1
        self._open_by[tenant] += 1
        try:
            yield
        finally:
            self._open[token_id] -= 1
            self._open_by[tenant] -= 1
            self._open += Counter()  # forgets who has none
            self._open_by += Counter()


@asynccontextmanager
async def while_allowed(check: Callable[[], object], period_s: float) -> AsyncIterator[None]:
    """Ask ``check`` every ``period_s`` seconds; end the block with its MnemeError once it raises one.

    ``check`` must then raise it again: a token that was revoked or has expired stays so.
    """
    try:
        async with asyncio.timeout(None) as end:
            asking = asyncio.create_task(_end_when_refused(check, period_s, end))
            try:
                yield
            finally:
                asking.cancel()
    except TimeoutError:
        if end.expired():
            check()
        raise


async def _end_when_refused(check: Callable[[], object], period_s: float, end: asyncio.Timeout) -> None:
    while True:
        await asyncio.sleep(period_s)
        try:
            check()
        except MnemeError:
            end.reschedule(asyncio.get_running_loop().time())
            return
