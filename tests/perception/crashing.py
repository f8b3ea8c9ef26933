"""Logs that fail at the worst moment: in doubt, or dying at the n-th thing asked (transactions, polls, reads)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from services.common.log.base import Consumer, Log, LogUnavailable, Transaction


class DoubtfulLog:
    """Delegates to a real log; every append and transaction takes effect and is reported as in doubt.

    ``before_it_tells``: what another thread does between the two.
    """

    def __init__(self, log: Log, before_it_tells: Callable[[], object]) -> None:
        self._log = log
        self._before_it_tells = before_it_tells

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    def append(self, *args: Any, **options: Any) -> Any:
        self._log.append(*args, **options)
        self._tell()

    @contextmanager
    def transaction(self, consumer: Consumer | None = None, **options: Any) -> Iterator[Transaction]:
        with self._log.transaction(consumer, **options) as tx:
            yield tx
        self._tell()

    def _tell(self) -> None:
        self._before_it_tells()
        raise LogUnavailable("the broker fell silent while it was committing", in_doubt=True)


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
