"""Stopping: a signal ends the block in which a service runs, and the service with it."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from services.cli.up.ray import stop_ray

if TYPE_CHECKING:
    from services.cli.up.watch import Watch

_SIGNALS = (signal.SIGINT, signal.SIGTERM)

watching: list[Watch] = []  # one, while a service of this process is up
ending: list[Callable[[], object]] = []  # to be done before Ray stops, the last first


class _Stop(BaseException):
    """SIGINT or SIGTERM came."""


@contextmanager
def stopping() -> Iterator[None]:
    """Stop the service when the block ends, for whatever reason; SIGINT and SIGTERM end the block."""
    end_block_on_signals()
    try:
        yield
    except _Stop:
        pass
    finally:
        _ignore_signals()
        _shut_down()


def end_block_on_signals() -> None:
    def stop(*_: object) -> None:
        _ignore_signals()
        raise _Stop

    for number in _SIGNALS:
        signal.signal(number, stop)


def _ignore_signals() -> None:
    """A stop is under way: a signal must not cut it short."""
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def _shut_down() -> None:
    """Let every replica end what it does, then stop Ray and what watched it."""
    while ending:
        ending.pop()()
    for watch in watching:
        watch.leave_replicas()
    if "ray" in sys.modules:
        stop_ray()
    while watching:
        watching.pop().stop()


def wait_for_signal() -> None:
    """Block until SIGINT or SIGTERM ends the block of ``stopping``."""
    threading.Event().wait()
