"""Threads for work that would hold the event loop, shared fairly: one of a principal at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


class FairThreads:
    """A few threads of one event loop. Who asks for much waits for oneself, another for one piece of work of each.

    How many wait is bounded by the calls that the service takes.
    """

    def __init__(self, threads: int, name: str) -> None:
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix=name)
        # Principals with work here, and how many of their calls.
        self._turns: dict[str, tuple[asyncio.Lock, int]] = {}

    async def run(self, principal: str, work: Callable[[], T]) -> T:
        """What ``work`` returns or raises. A caller who leaves gives up the place in the queue."""
        lock, calls = self._turns.get(principal, (asyncio.Lock(), 0))
        self._turns[principal] = lock, calls + 1
        try:
            async with lock:
                return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            lock, calls = self._turns[principal]
            if calls == 1:
                del self._turns[principal]
            else:
                self._turns[principal] = lock, calls - 1

    @property
    def principals(self) -> int:
        """Who has work here now."""
        return len(self._turns)
