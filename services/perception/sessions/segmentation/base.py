"""The segmentation port: where, inside a session, one event ends and the next begins.

A plug-in is a pure fold. It is given the units of one session in order and says how many of the open ones make a
finished episode; it knows no text, storage, clock or network. Limits that hold whatever the plug-in says (a
session's end, span, count, idle time) are applied around it by ``services.perception.sessions.segment``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np
import numpy.typing as npt

Vector = npt.NDArray[np.float32]  # unit norm
# Vectors of units by id, given by the host when a plug-in asks. Each costs an embedding.
Vectors = Callable[[Sequence[bytes]], Sequence[Vector]]


@dataclass(frozen=True, slots=True)
class Unit:
    """One observation, as a plug-in sees it."""

    id: bytes
    at: float  # event time, seconds since the epoch


@dataclass(frozen=True, slots=True)
class Cut:
    """The oldest ``units`` open units are an episode. ``reason`` as in the ledger's EpisodeClosed."""

    units: int
    reason: str


class Segmentation(Protocol):
    """One way to cut. The state is bytes of the plug-in's own making; ``b""`` is a session that has just begun.

    Every implementation keeps, for any sequence of calls:

    * episodes partition the units: cuts never exceed what is open, in order, each at least one unit;
    * same state, unit and vectors, same answer: a replay from a checkpoint cuts where it was cut;
    * vectors are asked for only of units that were pushed and neither closed long ago nor dropped;
    * nothing of a dropped unit is left in the state.
    """

    name: ClassVar[str]
    needs_vectors: ClassVar[bool]

    def push(self, state: bytes, unit: Unit, vectors: Vectors) -> tuple[bytes, list[Cut]]:
        """Take the next unit. Cuts are counted with it among the open ones."""
        ...

    def end(self, state: bytes, vectors: Vectors) -> tuple[bytes, list[Cut]]:
        """The host closes the episode here. Cuts to make before it; what they leave is closed by the host, and
        the state returned has no open unit."""
        ...

    def drop(self, state: bytes, ids: frozenset[bytes]) -> bytes:
        """The state without these units and without anything computed from them."""
        ...
