"""What the tables in memory are made of: numpy arrays that grow by half, and whose row is which."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

_FIRST = 8
_COMPACT_FROM = 1_024
_ROW_BYTES = 220  # measured: of one row of one owner


class Column:
    """Append at the end; read, or write in place, through ``values``, a view that the next append may outdate."""

    __slots__ = ("_array", "_size")

    def __init__(self, dtype: npt.DTypeLike, *width: int) -> None:
        """``width``: of each value, where it is itself an array."""
        self._array = np.zeros((_FIRST, *width), dtype)
        self._size = 0

    @classmethod
    def of(cls, values: npt.NDArray[Any]) -> Column:
        """These, which become its own."""
        made = cls.__new__(cls)
        made._array, made._size = values, len(values)
        return made

    def __len__(self) -> int:
        return self._size

    def extend(self, values: npt.NDArray[Any]) -> None:
        missing = self._size + len(values) - len(self._array)
        if missing > 0:
            more = np.zeros((max(missing, self._size // 2), *self._array.shape[1:]), self._array.dtype)
            self._array = np.concatenate([self._array, more])
        self._array[self._size : self._size + len(values)] = values
        self._size += len(values)

    def append(self, value: float | npt.NDArray[Any]) -> None:
        if self._size == len(self._array):
            more = self._array[: self._size // 2 + 1]
            self._array = np.concatenate([self._array, np.zeros_like(more)])
        self._array[self._size] = value
        self._size += 1

    def fit(self) -> None:
        """Take no room for more than there is, until something is added."""
        self._array = self._array[: max(1, self._size)].copy()

    def keep(self, rows: npt.NDArray[np.int64]) -> None:
        """Only these rows, in a new array: a view of the old one stays as it is."""
        kept = np.zeros((max(_FIRST, len(rows)), *self._array.shape[1:]), self._array.dtype)
        kept[: len(rows)] = self._array[rows]
        self._array, self._size = kept, len(rows)

    @property
    def values(self) -> npt.NDArray[Any]:
        return self._array[: self._size]

    @property
    def size_bytes(self) -> int:
        return self._array.nbytes


class Rows:
    """Which rows of a table are whose. Rows are appended, die, and are numbered anew once most of them are dead."""

    def __init__(self) -> None:
        self.owners: list[str] = []  # of each row, the dead included; grows, and is replaced when they are left out
        self.live = 0
        self._of: dict[str, list[int]] = {}

    def __len__(self) -> int:
        return len(self.owners)

    @property
    def size_bytes(self) -> int:
        return _ROW_BYTES * len(self.owners)

    def add(self, owner: str) -> int:
        """The number of a new row."""
        number = len(self.owners)
        self.owners.append(owner)
        self._of.setdefault(owner, []).append(number)
        self.live += 1
        return number

    def remove(self, owner: str) -> list[int]:
        """The rows that were this one's and are dead now."""
        dead = self._of.pop(owner, [])
        self.live -= len(dead)
        return dead

    def compact(self) -> npt.NDArray[np.int64] | None:
        """Once more than half of many are dead: the rows that every column must keep, numbered from 0 from now on."""
        if len(self.owners) <= _COMPACT_FROM or self.live * 2 >= len(self.owners):
            return None
        keep = np.array(sorted(n for numbers in self._of.values() for n in numbers), np.int64)
        self.owners = [self.owners[n] for n in keep]
        self._of = {}
        for number, owner in enumerate(self.owners):
            self._of.setdefault(owner, []).append(number)
        return keep


When = TypeVar("When", int, npt.NDArray[np.int64])


def meets(starts: When, ends: When, start: int | None, end: int | None) -> bool | npt.NDArray[np.bool_]:
    """Whether a range, or which of many, meets [start, end); None is no bound.

    A range without length counts as a point. Without any bound the answer is True, for many too.
    """
    late_enough = start is None or (ends > start) | (starts >= start)
    return late_enough & (end is None or starts < end)
