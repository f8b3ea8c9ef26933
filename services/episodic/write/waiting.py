"""Calls that wait for the index to get somewhere: one look for all of them, however many they are."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping

from services.episodic.write.progress import Progress

_LOOK_S = 0.004  # between two looks


class Waiting:
    """Waits for positions of the ledger to be applied and visible. Of one event loop at a time."""

    def __init__(self, progress: Progress, leaving: Collection[int] = ()) -> None:
        """``leaving``: partitions, as of any moment, for which there is nothing to wait here any more."""
        self._progress = progress
        self._leaving = leaving
        self._turns: dict[asyncio.Future[bool], Mapping[int, int]] = {}
        self._looking: asyncio.Task[None] | None = None

    async def reached(self, wanted: Mapping[int, int], within_s: float) -> bool:
        """Whether everything before these offsets is visible, now or within the time, or while the partitions stay."""
        if self._progress.reached(wanted):
            return True
        turn: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._turns[turn] = wanted
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look())
        try:
            await asyncio.wait([turn], timeout=within_s)
            return turn.done() and turn.result()
        finally:
            del self._turns[turn]

    async def _look(self) -> None:
        seen: object = None
        while self._turns:
            now, leaving = self._progress.snapshot(), frozenset(self._leaving)
            if (now, leaving) != seen:
                seen = (now, leaving)
                for turn, wanted in self._turns.items():
                    if not turn.done() and all(now[p] >= offset for p, offset in wanted.items()):
                        turn.set_result(True)
                    elif not turn.done() and not leaving.isdisjoint(wanted):
                        turn.set_result(False)
            await asyncio.sleep(_LOOK_S)
