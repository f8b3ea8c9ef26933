"""Episodes of a fixed number of units: the naive plug-in, and the baseline for the others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from services.perception.sessions.segmentation.base import Cut, Unit, Vectors

_ID_LENGTH = 1  # bytes that hold the length of an id


@dataclass(frozen=True, slots=True)
class FixedSize:
    """Cuts after every ``units`` units. Needs no vectors."""

    name: ClassVar[str] = "fixed"
    needs_vectors: ClassVar[bool] = False

    units: int = 16

    def push(self, state: bytes, unit: Unit, vectors: Vectors) -> tuple[bytes, list[Cut]]:
        ids = [*_unpack(state), unit.id]
        if len(ids) < self.units:
            return _pack(ids), []
        return b"", [Cut(len(ids), "count")]

    def end(self, state: bytes, vectors: Vectors) -> tuple[bytes, list[Cut]]:
        return b"", []

    def drop(self, state: bytes, ids: frozenset[bytes]) -> bytes:
        return _pack([i for i in _unpack(state) if i not in ids])


def _pack(ids: list[bytes]) -> bytes:
    return b"".join(len(i).to_bytes(_ID_LENGTH, "big") + i for i in ids)


def _unpack(state: bytes) -> list[bytes]:
    ids, at = [], 0
    while at < len(state):
        length = state[at]
        ids.append(state[at + _ID_LENGTH : at + _ID_LENGTH + length])
        at += _ID_LENGTH + length
    return ids
