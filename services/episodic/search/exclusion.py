"""Many readers or one writer, by threads of one process."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Exclusion:
    """A writer that waits goes before whoever asks to read then: readers that never pause do not keep it out. Not
    reentrant."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._readers = 0
        self._waiting = 0  # writers
        self._is_written = False

    @contextmanager
    def reading(self) -> Iterator[None]:
        with self._changed:
            self._changed.wait_for(lambda: not self._is_written and not self._waiting)
            self._readers += 1
        try:
            yield
        finally:
            with self._changed:
                self._readers -= 1
                self._changed.notify_all()

    @contextmanager
    def writing(self) -> Iterator[None]:
        with self._changed:
            self._waiting += 1
            try:
                self._changed.wait_for(lambda: not self._is_written and not self._readers)
                self._is_written = True
            finally:
                self._waiting -= 1
                self._changed.notify_all()  # readers that let it go first, where it was interrupted
        try:
            yield
        finally:
            with self._changed:
                self._is_written = False
                self._changed.notify_all()
