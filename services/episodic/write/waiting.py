"""Calls that wait for the index to get somewhere: one look for all of them, however many they are."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from services.episodic.write.progress import Progress

_LOOK_S = 0.004  # between two looks


class Waiting:
    """Waits for positions of the ledger to be applied and visible. Of one event loop at a time."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._turns: dict[asyncio.Future[None], Mapping[int, int]] = {}
        self._looking: asyncio.Task[None] | None = None

    async def reached(self, wanted: Mapping[int, int], within_s: float) -> bool:
        """Whether everything before these offsets is visible, now or within the time."""
        if self._progress.reached(wanted):
            return True
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._turns[turn] = wanted
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look())
        try:
            await asyncio.wait([turn], timeout=within_s)
            return turn.done()
        finally:
            del self._turns[turn]

    async def _look(self) -> None:
        seen: Sequence[int] = ()
        while self._turns:
            now = self._progress.snapshot()
            if now != seen:
                seen = now
                for turn, wanted in self._turns.items():
                    if not turn.done() and all(now[p] >= offset for p, offset in wanted.items()):
                        turn.set_result(None)
            await asyncio.sleep(_LOOK_S)
