"""What a namespace says that it takes of memory is what it takes: the budget counts it."""

from __future__ import annotations

import random
import tracemalloc
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from services.common.models.embed import DIMENSION
from services.episodic.plugins.base import Filter
from services.episodic.state.slots import Document, Slot
from services.episodic.state.space import Space
from tests.episodic.test_directory import SLOT

VOCABULARY = 20_000
WORDS = 34


def some(count: int) -> list[tuple[Slot, Document]]:
    """Turns whose words are as unevenly frequent as those of a language; with strings of their own."""
    draw = random.Random(count)
    weights = np.cumsum([1 / (rank + 3) for rank in range(VOCABULARY)]).tolist()
    made = []
    for n in range(count):
        slot = replace(
            SLOT,
            id=f"{n:032x}",
            session=f"session {n // 20}",
            place=n,
            id_mac=draw.randbytes(16),
            content_mac=draw.randbytes(16),
            session_mac=draw.randbytes(16),
            seal_key=f"{n:024x}",
            detail_key=f"{n + 1:024x}",
        )
        terms = draw.choices(range(VOCABULARY), cum_weights=weights, k=WORDS)
        made.append((slot, Document(Counter(term * 200_003 % 2**32 for term in terms), 1.0)))
    return made


@pytest.mark.parametrize("count", [10, 100, 1_000, 5_000])
@pytest.mark.parametrize("holds_vectors", [True, False])
def test_the_size_that_is_counted_is_the_size_that_is_taken(count: int, holds_vectors: bool) -> None:
    told, vector = some(count), np.zeros(DIMENSION, np.float32)
    tracemalloc.start()
    try:
        space = Space(holds_vectors=holds_vectors)
        for slot, document in told:
            own = replace(slot, id=slot.id[:16] + slot.id[16:], id_mac=bytes([*slot.id_mac]))
            space.put(own, [Document(dict(document.counts), 1.0)], [(1.0, vector)])
        space.fit()
        counted = space.size_bytes
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    beside = 800 * count  # what the slots share with those that were made before
    assert 0.7 <= counted / (taken + beside) <= 1.5, (counted, taken + beside)


def test_what_was_removed_is_not_counted_for_long() -> None:
    told, vector, space = some(3_000), np.zeros(DIMENSION, np.float32), Space()
    for slot, document in told:
        space.put(slot, [document], [(1.0, vector)])
    full = space.size_bytes
    for slot, _ in told[10:]:
        space.remove(slot.id)
    assert space.size_bytes < full / 2


def test_it_finds_the_same_added_one_by_one_and_many_at_once() -> None:
    told, vector = some(300), np.zeros(DIMENSION, np.float32)
    one_by_one, at_once = Space(), Space()
    for slot, document in told:
        for space in (one_by_one, at_once):
            space.put(slot, [document], [(1.0, vector)])
        assert one_by_one.size_bytes > 0  # which posts what was added
    for slot, document in told[:80:2]:
        for space in (one_by_one, at_once):
            space.put(replace(slot, version=1), [Document({**document.counts, 7: 1}, 1.0)], [])
    query = {term: 1.0 for term in told[100][1].counts}
    assert one_by_one.search(query, 50, Filter()) == at_once.search(query, 50, Filter())
    assert {one_by_one.idf(term) for term in query} == {at_once.idf(term) for term in query}
    assert one_by_one.idf(7) == at_once.idf(7)
