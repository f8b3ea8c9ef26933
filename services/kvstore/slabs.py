"""Cuts the payload into slots: extents of one size, each cut into slots of one class on first use.

A fleet serves a few models, so a few block sizes; an extent whose last block went returns to all classes.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from services.kvstore.layout import PAGE, round_up


@dataclass(slots=True)
class _Extent:
    slot_bytes: int
    free: list[int]
    slots: int


@dataclass(slots=True)
class Slabs:
    """Offsets of slots within the arena file; holds no bytes."""

    payload_offset: int
    payload_bytes: int
    extent_bytes: int
    _unused: list[int] = field(init=False)
    _extents: dict[int, _Extent] = field(init=False, default_factory=dict)
    _open: dict[int, dict[int, None]] = field(init=False, default_factory=dict)  # class -> extents with a free slot

    def __post_init__(self) -> None:
        self._unused = list(range(self.payload_bytes // self.extent_bytes))[::-1]

    @staticmethod
    def slot_bytes(length: int) -> int:
        """The class of a block: its length in whole pages."""
        return round_up(max(length, 1), PAGE)

    def allocate(self, length: int) -> int | None:
        """The offset of a free slot, or None when one must be made free first."""
        size = self.slot_bytes(length)
        open_extents = self._open.setdefault(size, {})
        if not open_extents:
            if not self._unused:
                return None
            self._cut(self._unused.pop(), size)
        number = next(iter(open_extents))
        extent = self._extents[number]
        offset = extent.free.pop()
        if not extent.free:
            del open_extents[number]
        return offset

    def free(self, offset: int) -> None:
        """Give a slot back."""
        number = self.extent_of(offset)
        extent = self._extents[number]
        extent.free.append(offset)
        self._open[extent.slot_bytes][number] = None
        if len(extent.free) == extent.slots:
            del self._extents[number], self._open[extent.slot_bytes][number]
            self._unused.append(number)

    def extent_of(self, offset: int) -> int:
        return (offset - self.payload_offset) // self.extent_bytes

    def _cut(self, number: int, size: int) -> None:
        start = self.payload_offset + number * self.extent_bytes
        slots = self.extent_bytes // size
        self._extents[number] = _Extent(size, [start + i * size for i in reversed(range(slots))], slots)
        self._open[size][number] = None
