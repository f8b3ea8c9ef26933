"""Episodes cut where the text surprises, refined by modularity: EM-LLM's segmentation on embeddings of turns.

Source: Fountas et al., "Human-like Episodic Memory for Infinite Context LLMs", ICLR 2025, arXiv 2407.09450, in a form
that needs no language model. With e_i the unit's embedding:

1. A time gap is a hard boundary: longer than ``gap_s``, or far out in the distribution of the session's gaps.
2. surprise s_i = 1 - cos(mean of the ``context`` units before i, mean of units i..i+2);
   i may begin an episode if s_i > mean + gamma * sd of the last ``window`` values, ``min_units`` after the last one.
3. When the next candidate (or a hard boundary) is known, the one before it moves to the place that splits best:
   argmax_t of the modularity of the two parts of A_ij = max(0, e_i . e_j); ties to the earliest t.

An episode of fewer than twice ``min_units`` cannot be split, so nothing is embedded before an open one is that long:
short sessions cost no model. Vectors are kept as 16-bit integers and everything up to the threshold is integer
arithmetic: a replay on another processor cuts alike unless the embedder itself differs, and what was cut is in the
ledger anyway.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from services.perception.sessions.segmentation.base import Cut, Unit, Vector, Vectors

LOOKAHEAD = 2  # units after i that its surprise needs
WARM_UP = 8  # surprises (or gaps) seen before their statistics count
_SCALE = 16_384  # of a component; 14 bits and sign
_MIN_SPREAD = math.log(2)  # a session of even gaps is not cut at a slightly longer one

_Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Surprise:
    """Parameters; see the module's text."""

    name: ClassVar[str] = "surprise"
    needs_vectors: ClassVar[bool] = True

    gamma: float = 1.0
    window: int = 64
    context: int = 8
    min_units: int = 4
    gap_s: float = 1800.0
    gap_sigma: float = 2.0

    def push(self, state: bytes, unit: Unit, vectors: Vectors) -> tuple[bytes, list[Cut]]:
        session = _Session.load(state)
        cuts: list[Cut] = []
        if self._is_gap(session, unit.at):
            cuts = self._end(session, reason="gap")
        session.add(unit, self.window)
        if session.open >= 2 * self.min_units:
            session.embed(vectors)
            cuts += self._advance(session)
        return session.dump(), cuts

    def end(self, state: bytes, vectors: Vectors) -> tuple[bytes, list[Cut]]:
        session = _Session.load(state)
        cuts = self._end(session, reason=None)
        return session.dump(), cuts

    def drop(self, state: bytes, ids: frozenset[bytes]) -> bytes:
        session = _Session.load(state)
        if not session.drop(ids, self.min_units):
            return state
        return session.dump()

    def _is_gap(self, session: _Session, at: float) -> bool:
        if not session.open:
            return False
        gap = at - session.units[-1].at
        if gap > self.gap_s:
            return True
        if gap <= 0 or len(session.log_gaps) < WARM_UP:
            return False
        mean, sd = _statistics(session.log_gaps)
        return math.log(gap) > mean + self.gap_sigma * max(sd, _MIN_SPREAD)

    def _advance(self, session: _Session) -> list[Cut]:
        """Measure the units whose look-ahead is complete, in order, and cut where two candidates enclose an episode."""
        cuts: list[Cut] = []
        while session.unmeasured > LOOKAHEAD:
            i = len(session.units) - session.unmeasured
            session.unmeasured -= 1
            if i > 0:
                cuts += self._measure(session, i)
        return cuts

    def _measure(self, session: _Session, i: int) -> list[Cut]:
        surprise = self._surprise(session, i)
        begins = _exceeds(surprise, session.window, self.gamma)
        session.window = [*session.window, surprise][-self.window :]
        before = i - (len(session.units) - session.open)  # open units before the candidate
        if not begins or before - (session.pending or 0) < self.min_units:
            return []
        cuts = [] if session.pending is None else [self._cut_pending(session, before)]
        session.pending = before - sum(cut.units for cut in cuts)
        return cuts

    def _surprise(self, session: _Session, i: int) -> float:
        before = _sum(session.units[max(0, i - self.context) : i])
        after = _sum(session.units[i : i + LOOKAHEAD + 1])
        norms = math.sqrt(int(before @ before)) * math.sqrt(int(after @ after))
        return round(1.0 - int(before @ after) / norms, 6) if norms else 1.0

    def _cut_pending(self, session: _Session, until: int) -> Cut:
        """Refine the pending boundary within the open units before ``until``, and close what lies before it."""
        open_units = session.units[len(session.units) - session.open :]
        vectors = np.stack([_vector(u) for u in open_units[:until]])
        cut = best_split(_affinity(vectors), self.min_units)
        session.close(cut, self.context)
        return Cut(cut, "surprise")

    def _end(self, session: _Session, reason: str | None) -> list[Cut]:
        """Close everything; with a ``reason``, the last episode too is a cut of ours."""
        cuts = []
        if session.pending is not None and session.open - session.pending >= self.min_units:
            cuts.append(self._cut_pending(session, session.open))
        if reason is not None and session.open:
            cuts.append(Cut(session.open, reason))
        session.units, session.open, session.unmeasured, session.pending = [], 0, 0, None
        return cuts


def best_split(affinity: _Ints, min_units: int) -> int:
    """Where to split n units in two, at least ``min_units`` a side, for the highest modularity; ties to the earliest.

    Q(t) = sum over both parts of (A_ij - k_i k_j / 2m) / 2m, in whole numbers, so that ties are ties.
    """
    n = len(affinity)
    if n < 2 * min_units:
        raise ValueError(f"{n} units cannot be split into parts of at least {min_units}")
    degrees = [int(k) for k in affinity.sum(axis=1)]
    total = sum(degrees)
    blocks = affinity.cumsum(axis=0).cumsum(axis=1)
    best, best_q = min_units, None
    for t in range(min_units, n - min_units + 1):
        inside_left = int(blocks[t - 1, t - 1])
        inside_right = int(blocks[-1, -1]) - int(blocks[t - 1, -1]) - int(blocks[-1, t - 1]) + inside_left
        left = sum(degrees[:t])
        q = (inside_left + inside_right) * total - left * left - (total - left) ** 2
        if best_q is None or q > best_q:
            best, best_q = t, q
    return best


def _affinity(vectors: _Ints) -> _Ints:
    affinity: _Ints = np.maximum(vectors @ vectors.T, 0)
    return affinity


def _exceeds(surprise: float, window: list[float], gamma: float) -> bool:
    if math.isinf(gamma):
        return gamma < 0
    if len(window) < WARM_UP:
        return False
    mean, sd = _statistics(window)
    return surprise > mean + gamma * sd


def _statistics(values: list[float]) -> tuple[float, float]:
    mean = math.fsum(values) / len(values)
    variance = math.fsum((v - mean) ** 2 for v in values) / len(values)
    # Equal values have no spread, whatever the rounding of their mean says.
    return (values[0], 0.0) if len(set(values)) == 1 else (mean, math.sqrt(variance))


def _quantise(vector: Vector) -> _Ints:
    quantised: _Ints = np.clip(np.rint(vector * _SCALE), -32_767, 32_767).astype(np.int64)
    return quantised


def _sum(units: list[_Kept]) -> _Ints:
    total: _Ints = np.stack([_vector(u) for u in units]).sum(axis=0)
    return total


def _vector(unit: _Kept) -> _Ints:
    assert unit.vector is not None  # embedded before anything is measured
    return unit.vector


@dataclass(slots=True, eq=False)
class _Kept:
    id: bytes
    at: float
    vector: _Ints | None = None


@dataclass(slots=True)
class _Session:
    """What is carried from unit to unit: the open units and the few before them, and two windows of statistics."""

    units: list[_Kept] = field(default_factory=list)
    open: int = 0  # the last so many of ``units`` are open; those before are context
    unmeasured: int = 0  # the last so many have no surprise yet
    pending: int | None = None  # open units before the candidate boundary that waits for the next one
    window: list[float] = field(default_factory=list)  # surprises
    log_gaps: list[float] = field(default_factory=list)

    def add(self, unit: Unit, window: int) -> None:
        if self.units and unit.at > self.units[-1].at:
            self.log_gaps = [*self.log_gaps, round(math.log(unit.at - self.units[-1].at), 6)][-window:]
        self.units.append(_Kept(unit.id, unit.at))
        self.open += 1
        self.unmeasured += 1

    def embed(self, vectors: Vectors) -> None:
        """Fetch the vectors that are missing: always those of the newest units."""
        missing = [u for u in self.units if u.vector is None]
        if missing:
            for unit, vector in zip(missing, vectors([u.id for u in missing]), strict=True):
                unit.vector = _quantise(vector)

    def close(self, count: int, context: int) -> None:
        """The oldest ``count`` open units are closed; the last ``context`` of them stay as context."""
        self.open -= count
        self.units = self.units[max(0, len(self.units) - self.open - context) :]
        self.pending = None

    def drop(self, ids: frozenset[bytes], min_units: int) -> bool:
        """Take units out, with every statistic, since surprises and gaps are computed from neighbours too."""
        count = len(self.units)
        gone = [i for i, u in enumerate(self.units) if u.id in ids]
        if not gone:
            return False
        if self.pending is not None:
            first_open = count - self.open
            self.pending -= sum(first_open <= i < first_open + self.pending for i in gone)
        self.unmeasured -= sum(i >= count - self.unmeasured for i in gone)
        self.open -= sum(i >= count - self.open for i in gone)
        self.units = [u for u in self.units if u.id not in ids]
        self.window, self.log_gaps = [], []
        if self.pending is not None and self.pending < min_units:
            self.pending = None
        return True

    def dump(self) -> bytes:
        head = {
            "ids": [u.id.hex() for u in self.units],
            "at": [u.at for u in self.units],
            "open": self.open,
            "unmeasured": self.unmeasured,
            "pending": self.pending,
            "window": self.window,
            "log_gaps": self.log_gaps,
            "embedded": sum(u.vector is not None for u in self.units),
        }
        raw = json.dumps(head, separators=(",", ":")).encode()
        vectors = b"".join(u.vector.astype("<i2").tobytes() for u in self.units if u.vector is not None)
        return len(raw).to_bytes(4, "big") + raw + vectors

    @classmethod
    def load(cls, state: bytes) -> _Session:
        if not state:
            return cls()
        size = int.from_bytes(state[:4], "big")
        head: dict[str, Any] = json.loads(state[4 : 4 + size])
        units = [_Kept(bytes.fromhex(i), at) for i, at in zip(head["ids"], head["at"], strict=True)]
        flat = np.frombuffer(state[4 + size :], dtype="<i2").astype(np.int64)
        if head["embedded"]:
            vectors = flat.reshape(head["embedded"], -1)
            for unit, vector in zip(units[: len(vectors)], vectors, strict=True):
                unit.vector = vector
        return cls(units, head["open"], head["unmeasured"], head["pending"], head["window"], head["log_gaps"])
