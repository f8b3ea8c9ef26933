"""Waiting for one's own record: what is written can be read a moment later."""

from __future__ import annotations

import time
from collections.abc import Callable

from services.common.log.base import LogUnavailable

_WITHIN_S = 10.0  # a transaction that is open holds back what was written after it began
_LOOK_S = 0.02


def until_read(refresh: Callable[[], None], is_read: Callable[[], bool], what: str) -> None:
    """``refresh`` until ``is_read``. LogUnavailable, naming ``what``, where that takes too long; what it raises."""
    ends_at = time.monotonic() + _WITHIN_S
    refresh()
    while not is_read():
        if time.monotonic() > ends_at:
            raise LogUnavailable(f"{what} is written, and cannot be read yet")
        time.sleep(_LOOK_S)
        refresh()
