"""The tables in memory: what was removed leaves no trace in answers, and not for ever in memory."""

from __future__ import annotations

import random

import numpy as np
import pytest

from services.common.models.embed import DIMENSION
from services.episodic.plugins.base import Vector
from services.episodic.search.columns import meets
from services.episodic.search.terms import Lexicon
from services.episodic.search.times import Times
from services.episodic.search.vectors import Vectors

RNG = random.Random(7)
FEW = 100
MANY = 4_000  # replacements, several times what is kept before a table is written anew
ANY = (None, None)


def vector(n: int) -> Vector:
    row: Vector = np.random.default_rng(n).normal(size=DIMENSION).astype(np.float32)
    return row / np.linalg.norm(row)


def test_times_after_many_replacements() -> None:
    times, fresh = Times(), Times()
    for n in range(FEW):
        times.add(f"e{n}", (n, n + 5), [(1_000 + n, 1_001 + n)])
        fresh.add(f"e{n}", (n, n + 5), [(1_000 + n, 1_001 + n)])
    for _ in range(MANY):
        n = RNG.randrange(FEW)
        times.remove(f"e{n}")
        times.add(f"e{n}", (n, n + 5), [(1_000 + n, 1_001 + n)])
    assert sorted(times.nearest(20, 30)) == sorted(fresh.nearest(20, 30))
    assert sorted(times.nearest(1_020, 1_030)) == sorted(fresh.nearest(1_020, 1_030))
    assert times.span() == fresh.span() == (0, FEW + 4)
    assert len(times._starts.values) <= 2_048
    for n in range(FEW):
        times.remove(f"e{n}")
    assert times.span() is None


def test_lexicon_after_many_replacements() -> None:
    lexicon, fresh = Lexicon(), Lexicon()
    texts = {f"e{n}": {n % 7: 1 + n % 3, 100 + n: 2} for n in range(FEW)}
    for owner, counts in texts.items():
        lexicon.add(owner, {1_000_000: 1, **counts}, 1.0, (0, 1))
        fresh.add(owner, counts, 1.0, (0, 1))
    for owner in [*texts, *RNG.choices(list(texts), k=MANY)]:
        lexicon.remove(owner)
        lexicon.add(owner, texts[owner], 1.0, (0, 1))
    for query in ({3: 1.0}, {3: 1.0, 103: 2.0, 5: 1.0}, {1_000_000: 1.0}):
        found = lexicon.search(query, FEW, lambda owner: True, ANY)
        assert dict(found) == pytest.approx(dict(fresh.search(query, FEW, lambda owner: True, ANY)))
    assert (lexicon.documents, lexicon.idf(3)) == (fresh.documents, fresh.idf(3))
    assert len(lexicon._weights.values) <= 2_048
    for owner in texts:
        lexicon.remove(owner)
    assert lexicon.search({3: 1.0}, 1, lambda owner: True, ANY) == []


def test_vectors_after_many_replacements() -> None:
    vectors = Vectors()
    rows = {f"e{n}": vector(n) for n in range(FEW)}
    for owner, row in rows.items():
        vectors.add(owner, row, 0.5, (3, 4))
    for owner in [*rows, *RNG.choices(list(rows), k=MANY)]:
        vectors.remove(owner)
        vectors.add(owner, rows[owner], 1.0, (0, 1))
    snapshot = vectors.snapshot()
    for owner in ("e0", "e31", "e99"):
        found = dict(snapshot.nearest(rows[owner], 0, 1))
        assert found == pytest.approx({o: float(rows[o] @ rows[owner]) for o in rows}, abs=2e-6)
    assert list(snapshot.nearest(rows["e0"], 3, 4)) == []
    assert len(snapshot.rows) <= 2_048
    for owner in rows:
        vectors.remove(owner)
    assert list(vectors.snapshot().nearest(rows["e0"], None, None)) == []


@pytest.mark.parametrize("start", [None, 2, 3, 4])
@pytest.mark.parametrize("end", [None, 3, 4, 5])
def test_one_rule_says_which_events_meet_a_range(start: int | None, end: int | None) -> None:
    if start is not None and end is not None and start >= end:
        return
    ranges = [(low, high) for low in range(7) for high in range(low, 7)]
    expected = [
        any((start is None or start <= t) and (end is None or t < end) for t in range(low, max(high, low + 1)))
        for low, high in ranges
    ]
    assert [bool(meets(low, high, start, end)) for low, high in ranges] == expected
    lows, highs = np.array(ranges, np.int64).T
    assert list(np.ones(len(ranges), np.bool_) & meets(lows, highs, start, end)) == expected
