"""Waiting for what must come to hold."""

from __future__ import annotations

import time
from collections.abc import Callable


def until(holds: Callable[[], bool], within_s: float = 5.0) -> None:
    """AssertionError where it does not within so many seconds."""
    end = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < end, f"does not hold within {within_s} s"
        time.sleep(0.01)
