"""Clients of one kind, used one at a time each."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, Protocol, TypeVar

from kafka import errors as kafka_errors

from services.common.log.kafka.wire import left


class _Closable(Protocol):
    def close(self) -> None: ...


_C = TypeVar("_C", bound=_Closable)


class Pool(Generic[_C]):
    """Clients that are made when none is idle; at most ``limit`` are taken at once."""

    def __init__(self, make: Callable[[], _C], limit: int | None) -> None:
        self._make = make
        self._room = None if limit is None else threading.Semaphore(limit)
        self._idle: list[_C] = []
        self._closed = False

    @contextmanager
    def taken(self, deadline: float) -> Iterator[_C]:
        if self._room is not None and not self._room.acquire(timeout=left(deadline)):
            raise kafka_errors.KafkaTimeoutError("other transactions of this process were not done in time")
        try:
            try:
                client = self._idle.pop()
            except IndexError:
                client = self._make()
            try:
                yield client
            finally:
                if self._closed:
                    client.close()
                else:
                    self._idle.append(client)
        finally:
            if self._room is not None:
                self._room.release()

    def close(self) -> None:
        self._closed = True
        while self._idle:
            self._idle.pop().close()
