"""A log that dies at the n-th thing asked of it: before, during or right after a transaction, at a poll, at a read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from services.common.log.base import Consumer, Log, Transaction


class Crash(Exception):
    """The process dies here."""


class CrashingLog:
    """Delegates to a real log; raises Crash at the n-th point. What was committed before stays committed."""

    def __init__(self, log: Log, points: int) -> None:
        self._log = log
        self._left = points

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    def _point(self) -> None:
        self._left -= 1
        if self._left == 0:
            raise Crash

    def read(self, *args: Any, **options: Any) -> Any:
        self._point()
        return self._log.read(*args, **options)

    def subscribe(self, *args: Any, **options: Any) -> Consumer:
        return _CrashingConsumer(self._log.subscribe(*args, **options), self)

    @contextmanager
    def transaction(self, consumer: Consumer | None = None, **options: Any) -> Iterator[Transaction]:
        self._point()
        real = consumer.real if isinstance(consumer, _CrashingConsumer) else consumer
        with self._log.transaction(real, **options) as tx:
            yield tx
            self._point()  # everything appended, nothing committed
        self._point()  # committed, and nobody knows


class _CrashingConsumer:
    def __init__(self, real: Consumer, log: CrashingLog) -> None:
        self.real = real
        self._crashing = log

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)

    def poll(self, *args: Any, **options: Any) -> Any:
        records = self.real.poll(*args, **options)
        self._crashing._point()
        return records
