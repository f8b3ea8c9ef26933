"""Which shard of episodic serves what: the log's assignment of partitions, followed, and calls that wait for it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TypeVar

from services.common.ledger.assignment import Assignment, Assignments
from services.common.log.base import LogError
from services.common.serving.serving import CallContext, NotYet
from services.common.serving.shards import Moved

T = TypeVar("T")
_log = logging.getLogger(__name__)
_SOON_S = 0.1  # between two looks while a partition moves
_AGAIN_S = 0.2  # until a call asks again where nothing is seen to have changed


class Routes:
    """Of one event loop."""

    def __init__(self, assignments: Assignments, period_s: float) -> None:
        """``assignments``: refreshed. ``period_s``: between two looks while no partition moves. LogUnavailable."""
        self.now = assignments.required
        self._assignments = assignments
        self._period_s = period_s
        self._waiting = set[asyncio.Future[None]]()
        self._asked = asyncio.Event()

    async def settled(self, call: Callable[[Assignment, CallContext], Awaitable[T]], context: CallContext) -> T:
        """What ``call`` gives, made again while it is told Moved, within the time of the call.

        NotYet where an impatient one would have to wait. Moved when the time is over.
        """
        ends_at = time.monotonic() + context.timeout_s
        while True:
            now = self.now
            try:
                return await call(now, context)
            except Moved:
                if not context.patient:
                    raise NotYet from None
                if time.monotonic() + _SOON_S > ends_at:
                    raise
            await self.changed(now, min(_AGAIN_S, ends_at - time.monotonic()))
            context = replace(context, timeout_s=max(0.0, ends_at - time.monotonic()))

    async def changed(self, seen: Assignment, within_s: float | None = None) -> None:
        """Until the assignment is another than ``seen``, or the time has passed. With a time, it is looked for soon."""
        if self.now is not seen:
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.add(turn)
        if within_s is not None:
            self._asked.set()
        try:
            await asyncio.wait([turn], timeout=within_s)
        finally:
            self._waiting.discard(turn)

    async def follow(self) -> None:
        """Look for ever. While the log does not answer, what was known stays."""
        while True:
            if self._asked.is_set() or self.now.moving:
                await asyncio.sleep(_SOON_S)
            else:
                try:
                    async with asyncio.timeout(self._period_s):
                        await self._asked.wait()
                except TimeoutError:
                    pass
            self._asked.clear()
            try:
                await asyncio.to_thread(self._assignments.refresh)
            except LogError:
                _log.warning("the assignment of partitions cannot be read; what is known stays", exc_info=True)
            self._take()

    def _take(self) -> None:
        if self._assignments.now is not None and self._assignments.now != self.now:
            self.now = self._assignments.now
            for turn in self._waiting:
                if not turn.done():
                    turn.set_result(None)
