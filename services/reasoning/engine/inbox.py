"""What callers on any thread want of the engine's loop, and its sleep until one does. One lock over all of it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from typing import TypeAlias

from services.reasoning.engine.port import EngineDown, Refused

Command: TypeAlias = Callable[[], None]


class Inbox:
    """Commands and cancels on their way to the loop, and how many requests wait: counted here and nowhere else.

    ``take``, ``settle`` and ``sleep`` are the loop's; all else is for any thread.
    """

    def __init__(self, max_waiting: int) -> None:
        self._max_waiting = max_waiting
        self._lock = threading.Condition()
        # At most max_waiting submits, and the drops that somebody waits for; cancels of known requests only.
        self._commands: list[Command] = []
        self._cancels: set[str] = set()
        # Accepted and not ended, as far as the loop has said; those of them that came since the last take.
        self._known: set[str] = set()
        self._new: set[str] = set()
        self._waiting = 0
        self._refused = 0
        self._woken = False
        self._closed = False

    @property
    def closed(self) -> bool:
        return self._closed

    @property
    def refused(self) -> int:
        """Requests that found the queue full."""
        return self._refused

    def submit(self, request_id: str, command: Command) -> None:
        """Accepts a request. Refused when the queue is full or the id is in use; EngineDown."""
        with self._lock:
            self._check_open()
            if request_id in self._known:
                raise Refused(f"A request with the id {request_id} is running. Choose another.", "id")
            if self._waiting >= self._max_waiting:
                self._refused += 1
                raise Refused(f"{self._max_waiting} requests wait already. Try again later.", overloaded=True)
            self._known.add(request_id)
            self._new.add(request_id)
            self._waiting += 1
            self._commands.append(command)
            self._wake()

    def cancel(self, request_id: str) -> None:
        with self._lock:
            if request_id in self._known:
                self._cancels.add(request_id)
                self._wake()

    def call(self, command: Command) -> None:
        """Anything else that the loop is to do. EngineDown."""
        with self._lock:
            self._check_open()
            self._commands.append(command)
            self._wake()

    def wake(self) -> None:
        """There may be something to do: a reader has made room, a put has ended."""
        with self._lock:
            self._wake()

    def close(self) -> None:
        """Nothing is accepted any more; what has been is still there to be taken."""
        with self._lock:
            self._closed = True
            self._wake()

    def take(self) -> tuple[list[Command], set[str]]:
        """Commands to run, in order, and then requests to cancel: no cancel is taken without its submit.

        Whatever woke the loop until now is seen by what it does next.
        """
        with self._lock:
            commands, self._commands = self._commands, []
            cancels, self._cancels = self._cancels, set()
            self._new.clear()
            self._woken = False
            return commands, cancels

    def settle(self, live: Collection[str], waiting: int) -> None:
        """What the loop has of all that was taken: requests that are not ended, and how many of them wait."""
        with self._lock:
            self._known = self._new.union(live)
            self._waiting = len(self._new) + waiting
            self._cancels &= self._known

    def sleep(self, timeout_s: float) -> None:
        """Until something came since the last take."""
        with self._lock:
            self._lock.wait_for(lambda: self._woken, timeout_s)

    def _wake(self) -> None:
        self._woken = True
        self._lock.notify()

    def _check_open(self) -> None:
        if self._closed:
            raise EngineDown("the engine is not running")
