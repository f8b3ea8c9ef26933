"""The staging ring: ranges lent to clients to write blocks into, given back in any order, bounded in time.

The ring holds no lock against a client that writes late into a range it lost: whatever it spoils does not verify.
"""

from __future__ import annotations

import itertools
from collections import OrderedDict
from dataclasses import dataclass, field

from services.kvstore.layout import PAGE, round_up


@dataclass(slots=True)
class Reservation:
    holder: str
    start: int  # virtual: grows for ever; modulo the ring's size it is an offset
    offsets: tuple[int, ...]
    block_bytes: int
    ends_at: float
    done: bool = False
    # Offsets to overwrite when it ends. A slot leaves this set once its block was put or refused; before, and again
    # after an erasure, it may hold erased text that nobody would look for.
    unsettled: set[int] = field(init=False)

    def __post_init__(self) -> None:
        self.unsettled = set(self.offsets)

    def covers(self, offset: int, length: int) -> bool:
        return offset in self.offsets and 0 < length <= self.block_bytes


class StagingRing:
    """Offsets within the staging file; holds no bytes."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._head = 0
        self._tail = 0
        self._lent: OrderedDict[int, Reservation] = OrderedDict()
        self._ids = itertools.count(1)

    @property
    def used_bytes(self) -> int:
        return self._head - self._tail

    def reserve(self, holder: str, blocks: int, block_bytes: int, ends_at: float) -> tuple[int, Reservation] | None:
        """Up to ``blocks`` slots; None when there is no room for one."""
        step = round_up(block_bytes, PAGE)
        start = self._head
        if start % self._size + step > self._size:
            start = round_up(start, self._size)  # a slot does not wrap
        room = min(self._size - (start - self._tail), self._size - start % self._size)
        granted = min(blocks, room // step)
        if granted <= 0:
            return None
        first = start % self._size
        offsets = tuple(first + i * step for i in range(granted))
        number = next(self._ids)
        self._lent[number] = reservation = Reservation(holder, start, offsets, block_bytes, ends_at)
        self._head = start + granted * step
        return number, reservation

    def get(self, number: int) -> Reservation | None:
        reservation = self._lent.get(number)
        return None if reservation is None or reservation.done else reservation

    def release(self, number: int) -> None:
        """Give a reservation back; the ring moves on past the oldest ones that are done."""
        if number in self._lent:
            self._lent[number].done = True
        while self._lent and next(iter(self._lent.values())).done:
            self._lent.popitem(last=False)
        if self._lent:
            self._tail = next(iter(self._lent.values())).start
        else:
            self._head = self._tail = 0  # an empty ring has room for its whole size in one piece

    def expired(self, now: float) -> list[int]:
        return [number for number, r in self._lent.items() if not r.done and r.ends_at <= now]

    def lent(self) -> list[Reservation]:
        return [r for r in self._lent.values() if not r.done]
