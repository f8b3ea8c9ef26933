"""Gathers a client's stream into pages: what arrived while the last page was away, within bounds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass

from services.gateway.sizes import require_size


@dataclass(frozen=True, slots=True)
class PageLimits:
    messages: int
    bytes: int
    window_s: float  # how long to wait for more once something is there
    message_bytes: int


class Gatherer:
    """Reads ``source`` up to one page ahead; then the client waits. Of one task that reads pages."""

    def __init__(self, source: AsyncIterator[bytes], limits: PageLimits, method: str = "") -> None:
        """``method`` of the messages, to say which field makes one too large."""
        self._limits = limits
        self._method = method
        self._page: list[bytes] = []
        self._bytes = 0
        self._changed = asyncio.Event()
        self._reader = asyncio.create_task(self._read(source))
        self._reader.add_done_callback(lambda _: self._changed.set())

    async def next(self) -> list[bytes]:
        """The next page; [] at the end of the stream. INVALID_FIELD, with its ``index``, for a message that is too
        large; what came before it is in the pages before."""
        await self._until(lambda: bool(self._page) or self._reader.done())
        with suppress(TimeoutError):
            async with asyncio.timeout(self._limits.window_s):
                await self._until(lambda: self._full() or self._reader.done())
        if not self._page:
            self._reader.result()  # raises what the reader raised
        page, self._page, self._bytes = self._page, [], 0
        self._changed.set()
        return page

    async def close(self) -> None:
        self._reader.cancel()
        await asyncio.gather(self._reader, return_exceptions=True)

    async def _read(self, source: AsyncIterator[bytes]) -> None:
        index = 0
        async for message in source:
            require_size(message, self._limits.message_bytes, self._method, index)
            index += 1
            await self._until(lambda: not self._full())
            self._page.append(message)
            self._bytes += len(message)
            self._changed.set()

    def _full(self) -> bool:
        return len(self._page) >= self._limits.messages or self._bytes >= self._limits.bytes

    async def _until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self._changed.clear()
            await self._changed.wait()
