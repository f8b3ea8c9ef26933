"""Rows of the index: one for each key of an engram, as they are written and as they are read back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from services.episodic.plugins.base import Vector

SLOTS = 4  # filterable metadata fields of each type in a namespace
NO_NUMBER = -np.finfo(np.float64).max.item()  # stands where a row has no such number


@dataclass(frozen=True, slots=True)
class Row:
    """One key of an engram."""

    id: str
    number: int  # 0 carries the sealed engram
    pseudonym: str  # of the namespace, in hex
    kind: str
    active: bool
    session: str  # keyed hash, as actor, source and metadata texts are
    actor: str
    source: str
    start_us: int
    end_us: int
    seq: int
    feed_offset: int
    rows: int  # rows of this engram
    dense_weight: float
    sparse_weight: float
    dense: Vector | None  # where Milvus searches it; else it is sealed, and nothing else
    terms: Mapping[int, int]
    sealed: bytes = b""
    sealed_dense: bytes = b""
    texts: Mapping[int, str] = field(default_factory=dict)  # metadata slot -> keyed hash
    numbers: Mapping[int, float] = field(default_factory=dict)

    @property
    def pk(self) -> str:
        return pk(self.id, self.number)


def pk(id: str, number: int) -> str:
    return f"{id}#{number}"


@dataclass(frozen=True, slots=True)
class Found:
    """One row of an engram as read back."""

    id: str
    number: int
    pseudonym: str
    rows: int
    feed_offset: int
    sealed: bytes
    terms: Mapping[int, int]
    sparse_weight: float
    dense_weight: float
    sealed_dense: bytes  # empty where the row has none, or it was not asked for
