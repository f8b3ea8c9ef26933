"""From the engine's loop to one reader: a bounded queue of events that ends."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator

from services.reasoning.engine.port import Event, Finished

# How long past the request's deadline a reader waits for the engine to say so, in seconds.
_GRACE_S = 10.0


class TokenStream:
    """An EventStream. The loop writes, never blocking; one reader reads from a thread or an event loop."""

    def __init__(self, samples: int, capacity: int, deadline_s: float, on_read: Callable[[], None]) -> None:
        """``on_read`` is called after the reader took events from a full stream: its sequences may go on."""
        self._open = samples
        self._capacity = capacity
        self._give_up = time.monotonic() + deadline_s + _GRACE_S
        self._on_read = on_read
        self._events: deque[Event] = deque()
        self._ready = threading.Condition()
        self._wake: Callable[[], None] | None = None

    @property
    def full(self) -> bool:
        """The reader lags: nothing more should be computed for it."""
        return len(self._events) >= self._capacity

    def write(self, event: Event) -> None:
        """Adds an event. The writer stops by itself at ``full``; the last events of samples always fit."""
        with self._ready:
            self._events.append(event)
            self._ready.notify()
            if self._wake is not None:
                self._wake()

    def __iter__(self) -> Iterator[Event]:
        while self._open:
            with self._ready:
                if not self._ready.wait_for(lambda: self._events, timeout=self._give_up - time.monotonic()):
                    raise TimeoutError("the engine did not end the request by its deadline")
            yield from self._take()

    async def __aiter__(self) -> AsyncIterator[Event]:
        loop = asyncio.get_running_loop()
        arrived = asyncio.Event()

        def wake() -> None:
            # A closed loop has taken its reader with it.
            if not loop.is_closed():
                loop.call_soon_threadsafe(arrived.set)

        with self._ready:
            self._wake = wake
        try:
            while self._open:
                arrived.clear()
                if not self._events:
                    await asyncio.wait_for(arrived.wait(), timeout=self._give_up - time.monotonic())
                for event in self._take():
                    yield event
        finally:
            with self._ready:
                self._wake = None

    def _take(self) -> Iterator[Event]:
        """Events that are there, one by one, so that a slow reader keeps the stream full."""
        while self._events:
            was_full = self.full
            event = self._events.popleft()
            if was_full and not self.full:
                self._on_read()
            if isinstance(event, Finished):
                self._open -= 1
            yield event
