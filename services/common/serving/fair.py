"""Threads shared by callers: one who asks for much waits behind himself, not in front of the others."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Hashable, Set
from concurrent.futures import Executor, Future
from functools import partial
from typing import Any, Generic, ParamSpec, TypeVar

from services.common.turns import TURNS

P = ParamSpec("P")
T = TypeVar("T")
K = TypeVar("K", bound=Hashable)

_Waiting = tuple[Future[Any], Callable[[], Any], threading.Event]  # what becomes of it, the work, its caller has left
_ACTIVE_S = 1.0  # who has asked for something within it counts as one who calls now


class Lately(Generic[K]):
    """Who has asked for something within the last second. Of one thread, or under its user's lock."""

    def __init__(self) -> None:
        self._asked: dict[K, float] = {}  # when, the last ones behind

    def note(self, key: K) -> None:
        self._asked.pop(key, None)
        self._asked[key] = time.monotonic()

    def keys(self) -> Set[K]:
        recent = time.monotonic() - _ACTIVE_S
        while self._asked and next(iter(self._asked.values())) < recent:
            del self._asked[next(iter(self._asked))]
        return self._asked.keys()


class FairThreads(Executor):
    """``threads`` threads; work of one key has at most ``per_key`` of them, and while others call too, no more than its
    share of the cores. Of the keys that wait, the one with the fewest threads is next, and of those the one that has
    got nothing for longest. What is submitted is not bounded here.

    ``key`` says, where work is submitted, for whom it is done. A thread starts when there is work for one more. What is
    done gives way to others at its checkpoints (``services.common.turns``).
    """

    def __init__(self, threads: int, per_key: int, key: Callable[[], str], name: str, cores: int | None = None) -> None:
        self._most_threads = threads
        self._name = name
        self._per_key = per_key
        self._key = key
        self._cores = cores or len(os.sched_getaffinity(0))
        self._lately: Lately[str] = Lately()
        self._changed = threading.Condition()
        self._waiting: dict[str, deque[_Waiting]] = {}
        self._running: Counter[str] = Counter()
        self._closed = False
        self._threads: list[threading.Thread] = []

    def submit(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """As ``Executor.submit``. RuntimeError after ``shutdown``."""
        return self._submit(self._key(), partial(function, *args, **kwargs), threading.Event())

    async def run(self, key: str, work: Callable[[], T], *, to_the_end: bool = False) -> T:
        """What ``work``, done for ``key``, returns or raises. A caller who leaves gives up the place in the queue; what
        is done already ends at its next checkpoint, unless it is to be done to the end.
        """
        left = threading.Event()
        try:
            return await asyncio.wrap_future(self._submit(key, work, left))
        except asyncio.CancelledError:
            if not to_the_end:
                left.set()
            raise

    def _submit(self, key: str, work: Callable[[], T], left: threading.Event) -> Future[T]:
        future: Future[T] = Future()
        with self._changed:
            if self._closed:
                raise RuntimeError("the threads have ended")
            self._lately.note(key)
            self._waiting.setdefault(key, deque()).append((future, work, left))
            if len(self._threads) < self._most_threads:
                self._start()
            self._changed.notify()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """As ``Executor.shutdown``."""
        with self._changed:
            self._closed = True
            if cancel_futures:
                for future, *_ in (each for queue in self._waiting.values() for each in queue):
                    future.cancel()
                self._waiting.clear()
            self._changed.notify_all()
        if wait:
            for thread in self._threads:
                thread.join()

    def _start(self) -> None:
        thread = threading.Thread(target=self._work, name=f"{self._name}-{len(self._threads)}", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _work(self) -> None:
        while (taken := self._take()) is not None:
            key, (future, function, left) = taken
            try:
                if future.set_running_or_notify_cancel():
                    with TURNS.piece(key, left, self._go_on):
                        _fulfil(future, function)
            finally:
                del future, function, left, taken  # nothing of a call is kept until the next one comes
                with self._changed:
                    self._running[key] -= 1
                    self._running += Counter()  # forgets who has none
                    if key in self._waiting:
                        self._waiting[key] = self._waiting.pop(key)  # behind those that got nothing meanwhile
                    self._changed.notify_all()  # one may be there to be done now, or the end

    def _take(self) -> tuple[str, _Waiting] | None:
        """The next piece of work; None once there is none and the threads are to end."""
        with self._changed:
            while (key := self._next()) is None:
                if self._closed and not self._waiting:
                    return None
                self._changed.wait()
            queue = self._waiting.pop(key)
            first = queue.popleft()
            if queue:
                self._waiting[key] = queue  # behind those that have waited longer now
            self._running[key] += 1
            if self._waiting:
                self._changed.notify()  # more may be allowed now than was when it came
            return key, first

    def _next(self) -> str | None:
        most = self._most()
        free = [key for key in self._waiting if self._running[key] < most]
        return min(free, key=lambda key: self._running[key], default=None)

    def _go_on(self) -> int:
        """Threads of one key that may go on now."""
        with self._changed:
            return self._most()

    def _most(self) -> int:
        """Threads of one key, now. What others have beyond the cores is waited for by whoever computes."""
        callers = len(self._lately.keys() | self._running.keys() | self._waiting.keys())
        return self._per_key if callers < 2 else max(1, min(self._per_key, self._cores // callers))


class InTurn:
    """A lock that threads get in the order in which they asked for it: who lets go and asks again is behind those that
    wait. Not reentrant.
    """

    def __init__(self) -> None:
        self._changing = threading.Lock()
        self._held = False
        self._waiting: deque[threading.Lock] = deque()

    def __enter__(self) -> None:
        with self._changing:
            if not self._held:
                self._held = True
                return
            turn = threading.Lock()
            turn.acquire()
            self._waiting.append(turn)
        turn.acquire()

    def __exit__(self, *_: object) -> None:
        with self._changing:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._held = False


def _fulfil(future: Future[Any], function: Callable[[], Any]) -> None:
    try:
        result = function()
    except BaseException as error:  # noqa: BLE001 - it is the caller's: the future raises it
        future.set_exception(error)
    else:
        future.set_result(result)
