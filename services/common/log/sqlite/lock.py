"""The writers' lock of a log's file, over all processes that have it open."""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from services.common.files import try_lock
from services.common.log.base import LogUnavailable


class WriterLock:
    """One writer at a time over all processes, handed on by the kernel: a waiting writer sleeps until it is its turn.

    SQLite's own busy handler polls, so that one of two busy writers may starve for seconds.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._turn = threading.Lock()  # of this process's threads
        self._waiting: _Waiting | None = None  # still waiting for a caller that gave up
        os.close(self._open())

    @contextmanager
    def held(self, timeout_s: float) -> Iterator[None]:
        """LogUnavailable when others keep it beyond ``timeout_s``, a stopped process say."""
        deadline = time.monotonic() + timeout_s
        if not self._turn.acquire(timeout=max(0.0, timeout_s)):
            raise self._kept_by_others(timeout_s)
        try:
            fd = self._acquire(deadline)
            if fd is None:
                raise self._kept_by_others(timeout_s)
            try:
                yield
            finally:
                os.close(fd)  # unlocks, too
        finally:
            self._turn.release()

    def _acquire(self, deadline: float) -> int | None:
        while True:
            if self._waiting is None:
                fd = self._open()
                if try_lock(fd):
                    return fd
                self._waiting = _Waiting(fd)
            got = self._waiting.wait(deadline - time.monotonic())
            if got is not None or self._waiting.is_over:
                self._waiting = None
            if got is not None or time.monotonic() >= deadline:
                return got

    def _open(self) -> int:
        return os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def _kept_by_others(self, timeout_s: float) -> LogUnavailable:
        return LogUnavailable(
            f"{self._path}: other writers kept the log for {timeout_s:g} s (timeout_s). Look for a stopped process "
            "that has this file open, and end it; or allow more time."
        )


class _Waiting:
    """A thread that sleeps in flock, because flock knows no timeout. A caller that gives up leaves it to the next."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._changed = threading.Condition()
        self._wanted = False
        self._locked = False
        self.is_over = False  # it got the lock, nobody wanted it any more, and it was let go
        threading.Thread(target=self._run, name="log-writer-lock", daemon=True).start()

    def _run(self) -> None:
        fcntl.flock(self._fd, fcntl.LOCK_EX)
        with self._changed:
            self._locked = True
            if self._wanted:
                self._changed.notify()
            else:
                self._let_go()

    def wait(self, timeout_s: float) -> int | None:
        """The locked file, the caller's to close; None when the time is up or it is over."""
        with self._changed:
            if self.is_over:
                return None
            self._wanted = True
            try:
                self._changed.wait_for(lambda: self._locked, max(0.0, timeout_s))
            except BaseException:
                if self._locked:
                    self._let_go()
                raise
            finally:
                self._wanted = False
            return self._fd if self._locked else None

    def _let_go(self) -> None:
        os.close(self._fd)
        self.is_over = True
