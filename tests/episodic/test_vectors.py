"""Exact search in memory, against a loop written out."""

from __future__ import annotations

import threading

import numpy as np
import numpy.typing as npt
import pytest

from services.common.models.embed import DIMENSION
from services.episodic.plugins.base import Filter
from services.episodic.search.vectors import Vectors
from services.episodic.state.directory import Directory
from services.episodic.state.slots import Slot

RNG = np.random.default_rng(5)


def unit(count: int) -> npt.NDArray[np.float32]:
    rows: npt.NDArray[np.float32] = RNG.normal(size=(count, DIMENSION)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows


@pytest.mark.parametrize("count", [1, 7, 300, 2_500])
def test_nearest_first_with_weights_times_and_removed_keys(count: int) -> None:
    table, rows, query = Vectors(), unit(count), unit(1)[0]
    weights = RNG.choice([0.5, 1.0], count)
    for n in range(count):
        table.add(f"e{n // 2}", rows[n], float(weights[n]), (n, n + n % 3))
    gone = {f"e{n}" for n in range(0, count, 5)} - {"e1"}
    for owner in gone:
        table.remove(owner)
    for start, end in ((None, None), (count // 3, None), (None, count // 2), (count // 3, count // 3 + 2)):
        expected = [
            (round(float(rows[n] @ query) * weights[n], 5), f"e{n // 2}")
            for n in range(count)
            if f"e{n // 2}" not in gone
            and (start is None or max(n + n % 3, n + 1) > start)
            and (end is None or n < end)
        ]
        found = list(table.snapshot().nearest(query, start, end))
        assert len(found) == len(expected)
        assert [score for _, score in found] == sorted((score for _, score in found), reverse=True)
        np.testing.assert_allclose(
            sorted(score for _, score in found), sorted(score for score, _ in expected), atol=2e-5
        )
        assert sorted(owner for owner, _ in found) == sorted(owner for _, owner in expected)


def test_a_snapshot_is_searched_while_others_write() -> None:
    table, rows = Vectors(), unit(3_000)
    for n in range(1_500):
        table.add(f"e{n}", rows[n], 1.0, (n, n))
    before = table.snapshot()
    for n in range(1_500, 3_000):
        table.add(f"e{n}", rows[n], 1.0, (n, n))
    owner, score = next(before.nearest(rows[7], None, None))
    assert owner == "e7"
    assert score == pytest.approx(1.0, abs=1e-5)
    assert len(list(before.nearest(rows[7], None, None))) == 1_500
    for n in range(2_900):  # past the rewrite
        table.remove(f"e{n}")
    assert next(owner for owner, _ in table.snapshot().nearest(rows[2_950], None, None)) == "e2950"
    assert len(list(table.snapshot().nearest(rows[0], None, None))) == 100


def test_a_removed_key_leaves_no_bytes() -> None:
    table, rows = Vectors(), unit(3)
    for n in range(3):
        table.add(f"e{n}", rows[n], 1.0, (n, n))
    table.remove("e1")
    assert not table.snapshot().rows[1].any()
    assert table.snapshot().rows[0].any()


def test_an_engram_that_is_replaced_in_mid_search_is_found_in_it() -> None:
    table, rows = Vectors(), unit(50)
    for n in range(50):
        table.add(f"e{n}", rows[n], 1.0, (n, n))
    under_way, second = table.snapshot(), table.snapshot()
    table.remove("e7")
    table.add("e7", rows[7], 1.0, (7, 7))
    owner, score = next(under_way.nearest(rows[7], None, None))
    assert owner == "e7"
    assert score == pytest.approx(1.0, abs=1e-5)
    table.end(second)
    assert second.rows[7].any(), "another search still reads it"
    table.end(under_way)
    assert not under_way.rows[7].any(), "the bytes go with the last search that could see them"
    later = table.snapshot()
    table.remove("e8")
    table.end(later)
    assert not later.rows[8].any()
    assert later.rows[9].any()
    for _ in range(2_000):  # past a compaction, with a search under way
        under_way = table.snapshot()
        table.remove("e9")
        table.add("e9", rows[9], 1.0, (9, 9))
        assert next(under_way.nearest(rows[9], None, None))[0] == "e9"
        table.end(under_way)


def slot(id: str) -> Slot:
    return Slot(
        id=id,
        namespace="n",
        kind="turn",
        state="active",
        session="s",
        actor="",
        source="",
        metadata={},
        start_us=1,
        end_us=1,
        shown_us=(0, 0),
        times_us=(),
        sources=(),
        seq=1,
        place=1,
        version=1,
        id_mac=b"",
        content_mac=b"",
        session_mac=b"",
        superseded_by="",
        seal_key="",
        detail_key="",
        partition=0,
        feed_offset=0,
        rows=1,
    )


def test_recall_never_misses_an_engram_because_it_is_being_replaced() -> None:
    directory, rows = Directory(), unit(4_000)
    for n in range(4_000):
        directory.put(slot(f"e{n}"), [], [(1.0, rows[n])])
    stop = threading.Event()

    def replace() -> None:
        while not stop.is_set():
            directory.put(slot("e7"), [], [(1.0, rows[7])])

    thread = threading.Thread(target=replace)
    thread.start()
    try:
        for _ in range(300):
            [(found, score)] = directory.nearest("n", rows[7], 1, Filter())
            assert found.id == "e7"
            assert score == pytest.approx(1.0, abs=1e-5)
    finally:
        stop.set()
        thread.join()
