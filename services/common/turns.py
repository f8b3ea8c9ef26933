"""Whose turn it is to compute. Python computes in one thread at a time: threads alone share nothing fairly.

Work that may take long calls ``checkpoint`` on its way. There it gives way to whoever has used less of the processor
lately, and ends where nobody waits for it any more. ``FairThreads`` begin and end the pieces.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Set
from contextlib import contextmanager

_COUNTED_S = 0.005  # of a processor: less than that is not counted yet
_AHEAD_S = 0.05  # of a processor, that one may have used more than another who works: many go on beside each other
_YOUNG_S = 0.2  # of a processor: work that has used less of it itself is so far ahead of work that has used more
_CREDIT_S = 0.1  # of a processor, that one who begins to work has used less than those who work, at most
_GIVES_WAY_S = 1.0  # at most, at one checkpoint
_LOOKS_AGAIN_S = 0.02  # what the other has used meanwhile nobody tells
_WAITS_S = 0.03  # who has used no processor for so long waits for something else, and nobody gives way to him
_HALVED_S = 1.0  # in which half of what one has used is forgotten

_own = threading.local()


def checkpoint() -> None:
    """Long work calls it every few hundredths of a second, where it holds no lock.

    In a piece of work: those who work too and have used less of the processor lately go on first, and of those who have
    used nearly as much, whose work has just begun; and work whose caller has left ends here (asyncio.CancelledError).
    Elsewhere nothing happens.
    """
    piece: Piece | None = getattr(_own, "piece", None)
    if piece is not None and not piece.is_held:
        piece.turns.give_way(piece)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """While it runs, checkpoints of this thread do nothing: around work that holds a lock."""
    piece: Piece | None = getattr(_own, "piece", None)
    if piece is None or piece.is_held:
        yield
        return
    piece.is_held = True
    try:
        yield
    finally:
        piece.is_held = False


class Piece:
    """Work that a thread does now, for ``key``."""

    __slots__ = ("_began", "_clock", "_counted", "_moved", "is_held", "is_paused", "key", "left", "most", "turns")

    def __init__(self, turns: Turns, key: str, left: threading.Event, most: Callable[[], int]) -> None:
        """In its thread. ``left``: its caller has gone; ``most``: threads with this very function that may go on at
        once for one key."""
        self.turns, self.key, self.left, self.most = turns, key, left, most
        self.is_paused = self.is_held = False
        self._clock = _clock_of_this_thread()
        self._counted = 0.0
        self.count()
        self._began = self._counted
        self._moved = 0.0, time.monotonic()  # what was uncounted when it was last seen to be more, and when

    def seen(self) -> float | None:
        """As ``uncounted``; None where it neither computes nor would if it were not paused. Under the lock of
        ``turns``."""
        uncounted, now = self.uncounted(), time.monotonic()
        if self.is_paused or uncounted != self._moved[0]:
            self._moved = uncounted, now
        return uncounted if now - self._moved[1] < _WAITS_S else None

    def uncounted(self) -> float:
        """Seconds of a processor that its thread has used since they were counted. In any thread, while it is done."""
        return time.clock_gettime(self._clock) - self._counted if self._clock is not None else 0.0

    def count(self) -> float:
        """As ``uncounted``, which begins anew."""
        seconds = self.uncounted()
        self._counted += seconds
        return seconds

    def age_s(self, uncounted: float) -> float:
        """Seconds of a processor that it has used, as far as that counts."""
        return min(_YOUNG_S, self._counted - self._began + uncounted)


def _clock_of_this_thread() -> int | None:
    """None where the system has none that another thread can read (macOS): nobody gives way there."""
    return time.pthread_getcpuclockid(threading.get_ident()) if hasattr(time, "pthread_getcpuclockid") else None


class Turns:
    """Of all work that is done in a process. Thread-safe."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._pieces: set[Piece] = set()
        self._used = _Used()

    @contextmanager
    def piece(self, key: str, left: threading.Event, most: Callable[[], int]) -> Iterator[None]:
        """The thread's work while it runs: see ``Piece``."""
        piece = Piece(self, key, left, most)
        with self._changed:
            used = self._used_of(self._working())
            if used and key not in used:
                self._used.note(key, max(0.0, min(used.values()) - _CREDIT_S - self._used[key]))
            self._pieces.add(piece)
        _own.piece = piece
        try:
            yield
        finally:
            del _own.piece
            with self._changed:
                self._pieces.remove(piece)
                self._used.note(key, piece.count())
                self._used.keep({each.key for each in self._pieces})
                self._changed.notify_all()

    def give_way(self, piece: Piece) -> None:
        """See ``checkpoint``: until it is the turn of the thread's piece."""
        if piece.uncounted() >= _COUNTED_S:
            until = time.monotonic() + _GIVES_WAY_S
            with self._changed:
                self._used.note(piece.key, piece.count())
                self._changed.notify_all()
                piece.is_paused = True
                while self._is_others_turn(piece) and time.monotonic() < until and not piece.left.is_set():
                    self._changed.wait(_LOOKS_AGAIN_S)
                piece.is_paused = False
        if piece.left.is_set():
            raise asyncio.CancelledError

    def _is_others_turn(self, piece: Piece) -> bool:
        """Whether another who works too has used less, or of its own key as many go on as may."""
        working = self._working()
        like = [each for each in working if each.key == piece.key and each.most == piece.most]
        if sum(each is not piece and not each.is_paused for each in like) >= piece.most():
            return True
        used = self._used_of(working)
        own = used[piece.key] + piece.age_s(working[piece])
        others = (used[each.key] + each.age_s(new) for each, new in working.items() if each.key != piece.key)
        return min(others, default=own) < own - _AHEAD_S

    def _working(self) -> dict[Piece, float]:
        """Those that compute, and what they have used uncounted."""
        return {each: new for each in self._pieces if (new := each.seen()) is not None}

    def _used_of(self, working: Mapping[Piece, float]) -> dict[str, float]:
        used = {key: self._used[key] for key in {each.key for each in working}}
        for each, new in working.items():
            used[each.key] += new
        return used


class _Used:
    """Seconds of a processor that each key has used lately: halved each second."""

    def __init__(self) -> None:
        self._used: dict[str, tuple[float, float]] = {}  # seconds, and when they were counted

    def note(self, key: str, seconds: float) -> None:
        self._used[key] = self[key] + seconds, time.monotonic()

    def __getitem__(self, key: str) -> float:
        seconds, at = self._used.get(key, (0.0, 0.0))
        return seconds * 0.5 ** ((time.monotonic() - at) / _HALVED_S) if seconds else 0.0

    def keep(self, keys: Set[str]) -> None:
        """Forget whoever is not of these and has used next to nothing."""
        for key in [each for each in self._used if each not in keys and self[each] < _COUNTED_S]:
            del self._used[key]


TURNS = Turns()
