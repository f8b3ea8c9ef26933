"""Which partitions of the ledger a process holds while it serves: they are taken and let go under its calls."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from google.protobuf.message import Message

from services.common.ledger import topics
from services.common.log.base import partition_of
from services.common.serving.serving import Call
from services.common.serving.shards import Moved
from services.episodic.service import Episodic

T = TypeVar("T")
_LOOK_S = 0.01
_DRAIN_S = 5.0  # for calls that work when their partition is let go; whoever waits longer asks elsewhere


class Holding:
    """Of one event loop at a time. A call that waits looks at ``leaving``, and ends; one that works is waited for."""

    def __init__(self, episodic: Episodic) -> None:
        self._episodic = episodic
        self._calls = Counter[int]()
        self._changing = asyncio.Lock()
        self.leaving = set[int]()

    async def hold(self, assigned: Callable[[], Collection[int]]) -> list[int]:
        """Hold the partitions that ``assigned`` gives and no others, none of which any other process holds; those held.

        It is asked in a thread, once nothing else changes what is held: so that the last word counts. Once this
        returns, what was let go may be taken elsewhere. StillRunning, LogError, IndexUnavailable: asked again, it goes
        on.
        """
        async with self._changing:
            wanted = set(await asyncio.to_thread(assigned))
            held = {partition.number for partition in self._episodic.partitions}
            for number in sorted((held | self.leaving) - wanted):
                self.leaving.add(number)
                await self._drained(number)
                await asyncio.to_thread(self._episodic.let_go, number)
                self.leaving.remove(number)
            for number in sorted(wanted - held):
                await asyncio.to_thread(self._episodic.take, number)
            return [partition.number for partition in self._episodic.partitions]

    async def _drained(self, number: int) -> None:
        ends_at = time.monotonic() + _DRAIN_S
        while self._calls[number] and time.monotonic() < ends_at:
            await asyncio.sleep(_LOOK_S)

    def counted(self, function: Callable[..., Awaitable[T]]) -> Callable[..., Awaitable[T]]:
        """A handler's function, that the partitions of its request are not taken away from. Moved where one is not
        here."""

        async def counted(request: Message, *more: Any) -> T:
            with self._within(self._asked_of(request, more[-1])):
                return await function(request, *more)

        return counted

    def require_staying(self, partitions: Iterable[int]) -> None:
        """Moved where one of them is leaving."""
        if not self.leaving.isdisjoint(partitions):
            raise Moved

    @contextmanager
    def _within(self, partitions: Sequence[int]) -> Iterator[None]:
        self.require_staying(partitions)
        self._calls.update(partitions)
        try:
            yield
        finally:
            self._calls.subtract(partitions)

    def _asked_of(self, request: Any, call: Call) -> list[int]:
        """The partitions of the namespaces that a request names; where it names none, those it is taken to be of."""
        count = self._episodic.log.partitions(topics.LEDGER)
        if hasattr(request, "namespace"):
            names = {request.namespace, *getattr(request, "scopes", ())}
            return sorted({partition_of(name.encode(), count) for name in names})
        if call.partitions is None:
            return []
        if call.partitions != {number for number in range(count) if self._episodic.owns(number)}:
            raise Moved
        return sorted(call.partitions)
