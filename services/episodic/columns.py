"""A numpy array that grows by doubling."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

_FIRST = 8


class Column:
    """Append at the end; read, or write in place, through ``values``, a view that the next append may outdate."""

    __slots__ = ("_array", "_size")

    def __init__(self, dtype: npt.DTypeLike) -> None:
        self._array = np.zeros(_FIRST, dtype)
        self._size = 0

    def append(self, value: float) -> None:
        if self._size == len(self._array):
            self._array = np.concatenate([self._array, np.zeros_like(self._array)])
        self._array[self._size] = value
        self._size += 1

    @property
    def values(self) -> npt.NDArray[Any]:
        return self._array[: self._size]


def meets(
    starts: npt.NDArray[np.int64], ends: npt.NDArray[np.int64], start: int | None, end: int | None
) -> npt.NDArray[np.bool_]:
    """Which ranges meet [start, end); None is no bound. A range without length counts as a point."""
    met = np.ones(len(starts), np.bool_)
    if start is not None:
        met &= np.maximum(ends, starts + 1) > start
    if end is not None:
        met &= starts < end
    return met
