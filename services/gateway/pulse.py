"""Whether an application answers, known before a call has to find out.

The application keeps a stream open and writes to it four times a second. A stream, because it has its place in the
replica already: a ping would wait behind the calls of a busy replica, and busy is not dead. Whatever else the
application answers counts as well. So does, for a while, that its thread is seen to run, or to wait for a core: where
many processes want few cores a message comes late.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager, suppress

from services.common.liveness import Seen
from services.common.serving.errors import MnemeError
from services.gateway.errors import unavailable

_log = logging.getLogger(__name__)

_TICK_S = 0.25
_AGAIN_S = 0.2
_REOPEN_S = 10.0
# Calls in flight are given up only when nothing was heard for longer: they may still end well.
_GIVE_UP = 1.2
# An idle thread wakes for its next message; one that has not run for so long is frozen, or waits for something else.
_RAN_S = 3 * _TICK_S


class Pulse:
    """Of one application. Of one event loop."""

    def __init__(
        self,
        app: str,
        open: Callable[[], AsyncGenerator[bytes, None]],
        silence_s: float,
        stream_s: float = 20.0,
        busy_s: float = 10.0,
    ) -> None:
        """``open`` opens the application's stream, of names of the thread that answers; ``silence_s``: nothing heard
        for so long is no answer, nor is it for ``busy_s`` where that thread runs.

        ``stream_s``: after it we end the stream and open another, long before the application would end it. One that
        ends while we are frozen would hold the application up.
        """
        self._app = app
        self._open = open
        self._silence_s = silence_s
        self._stream_s = stream_s
        self._busy_s = busy_s
        self._thread, self._seen = b"", Seen()
        self._ran_at = float("-inf")
        self._heard_at = time.monotonic()
        self._was_heard = False
        self._silent = False
        self._in_flight: set[asyncio.Timeout] = set()
        self._tasks = [asyncio.create_task(self._listen()), asyncio.create_task(self._watch())]

    def hear(self) -> None:
        """The application has just answered something."""
        now = time.monotonic()
        if self._silent and self._was_heard:
            seconds = round(now - self._heard_at, 1)
            _log.warning("an application answers again", extra={"application": self._app, "seconds": seconds})
        self._heard_at, self._was_heard, self._silent = now, True, False

    def require(self, *, heard: bool = False) -> None:
        """SERVICE_UNAVAILABLE when the application does not answer, or, with ``heard``, has not done so yet."""
        if self._silent or (heard and not self._was_heard):
            raise unavailable(self._app)

    @asynccontextmanager
    async def in_flight(self) -> AsyncIterator[None]:
        """End the block with SERVICE_UNAVAILABLE once the application has been silent for too long."""
        try:
            async with asyncio.timeout(None) as end:
                self._in_flight.add(end)
                try:
                    yield
                finally:
                    self._in_flight.discard(end)
        except TimeoutError:
            if end.expired():
                raise unavailable(self._app) from None
            raise

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _listen(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                over = loop.time() + self._stream_s
                async with asyncio.timeout(_REOPEN_S) as patience, aclosing(self._open()) as beats:
                    async for beat in beats:
                        self.hear()
                        if beat != self._thread:
                            self._thread, self._seen = beat, Seen(beat)
                        if loop.time() > over:
                            break
                        patience.reschedule(loop.time() + _REOPEN_S)
            except TimeoutError:
                continue  # whatever became of the stream, another one may be heard
            except MnemeError as error:
                if error.reason == "OVERLOADED":  # it has no place for another stream: it is busy, not dead
                    self.hear()
                await asyncio.sleep(_AGAIN_S)

    async def _watch(self) -> None:
        while True:
            before = time.monotonic()
            await asyncio.sleep(_TICK_S)
            now = time.monotonic()
            if now - before > 2 * _TICK_S:
                continue  # we were late ourselves: what was said meanwhile is still to be read
            silent_s = now - self._heard_at
            if self._is_busy(now, silent_s):
                continue
            if silent_s > self._silence_s and not self._silent:
                self._silent = True
                if self._was_heard:
                    extra = {"application": self._app, "seconds": round(silent_s, 1), "count": len(self._in_flight)}
                    _log.warning("an application does not answer; its calls are refused", extra=extra)
            if silent_s > _GIVE_UP * self._silence_s:
                self._give_up()

    def _is_busy(self, now: float, silent_s: float) -> bool:
        """Whether it is not heard of because it waits for a core, or computes."""
        if silent_s > _TICK_S and self._seen.has_run():
            self._ran_at = now
        return silent_s < self._busy_s and now - self._ran_at < _RAN_S

    def _give_up(self) -> None:
        now = asyncio.get_running_loop().time()
        for end in self._in_flight:
            with suppress(RuntimeError):  # it is ending by itself just now
                end.reschedule(now)
        self._in_flight.clear()
