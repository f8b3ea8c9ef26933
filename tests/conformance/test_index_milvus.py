"""The index's port: files, Milvus Lite that keeps vectors, that searches them, and a real server answer alike."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pymilvus.client.grpc_handler import GrpcHandler

from services.common.models.embed import DIMENSION
from services.episodic.plugins.base import Vector
from services.episodic.search.index import Collection, Index
from services.episodic.search.milvus import MilvusIndex
from services.episodic.search.opening import opened
from services.episodic.search.rows import NO_NUMBER, Row, pk
from services.episodic.search.sqlite import SqliteIndex

OURS, THEIRS = "a" * 32, "b" * 32


def unit(at: int) -> Vector:
    vector: Vector = np.zeros(DIMENSION, np.float32)
    vector[at] = 1.0
    return vector


def row(id: str, number: int = 0, *, of: str = OURS, **more: object) -> Row:
    fields: dict[str, object] = dict(
        id=id,
        number=number,
        pseudonym=of,
        kind="turn",
        active=True,
        session="s",
        actor="",
        source="",
        start_us=1_000,
        end_us=2_000,
        seq=0,
        feed_offset=7,
        rows=1,
        dense_weight=0.0,
        sparse_weight=1.0,
        dense=None,
        terms={1: 2, 2**32 - 2: 1},
        sealed=b"sealed " + id.encode() if number == 0 else b"",
    )
    return Row(**{**fields, **more})  # type: ignore[arg-type]


def near(id: str, at: int, **more: object) -> Row:
    """A row that Milvus is to search by a vector."""
    return row(id, **{"dense": unit(at), "dense_weight": 1.0, **more})  # type: ignore[arg-type]


FILES, KEEPING, SEARCHING, SERVER = "files", "Lite, keeping vectors", "Lite, searching them", "server"


@pytest.fixture(params=[FILES, KEEPING, SEARCHING, SERVER])
def index(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Index]:
    index: Index
    if request.param == FILES:
        index = SqliteIndex(tmp_path / "index")
    elif request.param == SERVER:
        index = MilvusIndex(request.getfixturevalue("milvus_server").fresh())
    else:
        index = MilvusIndex(str(tmp_path / "index.db"), searches_vectors=request.param == SEARCHING)
    yield index
    index.close()


@pytest.fixture
def collection(index: Index) -> Collection:
    collection, made = index.open(1)
    assert made
    return collection


@pytest.mark.parametrize("index", [KEEPING, SEARCHING], indirect=True)  # a server of 2.3 has one index alone
def test_what_was_killed_between_two_of_its_indexes_is_opened(index: Index) -> None:
    calls = 0
    real = GrpcHandler.create_index

    def create(*args: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise KeyboardInterrupt  # the process ends here
        return real(*args, **named)

    with pytest.MonkeyPatch.context() as killed:
        killed.setattr(GrpcHandler, "create_index", create)
        with pytest.raises(KeyboardInterrupt):
            index.open(1)
    collection, made = index.open(1)
    assert not made
    collection.write([row("x")])
    assert collection.sealed(["x"])
    index.open(1)  # with nothing left to make


def test_rows_come_back_as_written_and_are_replaced_whole(
    request: pytest.FixtureRequest, index: Index, collection: Collection
) -> None:
    many = {n * 200_003 + 1: 1 + n % 300 for n in range(20_000)}  # as many as a text of 60,000 bytes may hold
    sealed = bytes(range(256)) * 350  # more than one field takes
    collection.write([row("x", rows=2, sealed=sealed), row("x", 1, terms=many), row("y", of=THEIRS, terms={})])
    assert collection.sealed(["x", "y", "gone"]) == {"x": sealed, "y": b"sealed y"}
    found = {(r.id, r.number): r for r in collection.rows()}
    assert {key: dict(r.terms) for key, r in found.items()} == {
        ("x", 0): {1: 2, 2**32 - 2: 1},
        ("x", 1): many,
        ("y", 0): {},
    }
    assert (found["x", 0].rows, found["x", 0].feed_offset, found["x", 0].sparse_weight) == (2, 7, 1.0)
    assert {r.id for r in collection.rows(THEIRS)} == {"y"}
    collection.write([row("x", sealed=b"new", terms={5: 1})], [pk("x", 1)])
    [again] = collection.rows(OURS)
    assert (again.sealed, dict(again.terms), again.rows) == (b"new", {5: 1}, 1)
    collection.flush(8)
    reopened, made = index.open(1)
    assert not made
    assert reopened.follows == (None if request.node.callspec.params["index"] == SERVER else 8)
    assert {r.id: r.sealed for r in reopened.rows()} == {"x": b"new", "y": b"sealed y"}


def test_what_is_replaced_again_and_again_is_there_once(collection: Collection) -> None:
    """In pieces, of many namespaces: an upsert with a partition key lost rows on old servers."""
    spaces = [f"{n:032x}" for n in range(20)]
    for version in (1, 2):
        for start in range(0, 210, 70):
            numbers = range(start, start + 70)
            collection.write([row(f"e{n}", of=spaces[n % 20], feed_offset=version) for n in numbers])
    found = list(collection.rows())
    assert sorted(r.id for r in found) == sorted(f"e{n}" for n in range(210))
    assert {r.feed_offset for r in found} == {2}
    for number, space in enumerate(spaces):
        assert {r.id for r in collection.rows(space)} == {f"e{n}" for n in range(number, 210, 20)}


def test_who_reads_while_it_is_written_and_flushed_misses_nothing_that_was_there(
    request: pytest.FixtureRequest, collection: Collection
) -> None:
    ids = [f"there{n}" for n in range(60)]
    ended, missed = threading.Event(), list[str]()

    def read() -> None:
        while not ended.is_set():
            for what, found in ("rows", {r.id for r in collection.rows(OURS)}), ("sealed", set(collection.sealed(ids))):
                missed.extend(f"{id} of {what}" for id in ids if id not in found)

    collection.write([row(id) for id in ids])
    request.addfinalizer(partial(sys.setswitchinterval, sys.getswitchinterval()))
    sys.setswitchinterval(1e-5)
    with ThreadPoolExecutor(2) as readers:
        reading = [readers.submit(read) for _ in range(2)]
        for n in range(25):
            collection.write([row(id) for id in ids])
            collection.write([row(f"new{n}", of=THEIRS)])
            collection.flush(n)
        ended.set()
        for each in reading:
            each.result(60)
    assert not missed, missed[:5]


def test_what_is_deleted_is_nowhere(index: Index, collection: Collection) -> None:
    collection.write([row("x"), row("y"), row("z", of=THEIRS)])
    collection.flush(8)
    collection.write((), [pk("x", 0), pk("z", 0), pk("never", 0)])
    assert collection.sealed(["x", "y", "z"]) == {"y": b"sealed y"}
    assert [r.id for r in collection.rows()] == ["y"]
    index.open(3)
    assert index.generations() == [1, 3]
    index.drop(1)
    index.drop(2)
    assert index.generations() == [3]


@pytest.mark.parametrize("index", [SEARCHING, SERVER], indirect=True)
def test_the_nearest_are_found_as_filtered(collection: Collection) -> None:
    collection.write(
        [
            near("a", 0, numbers={0: 5.0}, texts={1: "attic"}),
            near("half", 0, dense_weight=0.5),
            near("b", 1, numbers={0: -3.0}),
            near("old", 0, active=False),
            row("no vector"),
            near("theirs", 0, of=THEIRS),
        ]
    )

    searching = collection.vector_search
    assert searching is not None

    def found(where: str) -> dict[str, float]:
        hits = searching.search(unit(0), 10, f'pseudonym == "{OURS}"{where}')
        return {id: round(score, 4) for id, score in hits}

    assert found(" and active == true") == {"a": 1.0, "half": 0.5, "b": 0.0}
    assert found(' and m_text_1 == "attic"') == {"a": 1.0}
    assert found(f" and m_num_0 > {NO_NUMBER!r} and m_num_0 < 9.0") == {"a": 1.0, "b": 0.0}
    assert found(" and m_num_0 >= 4.0") == {"a": 1.0}
    assert found(" and end_us >= 2000 and start_us < 1001 and kind in ['turn']").keys() == {"a", "half", "b", "old"}
    exact = {id: (weight, vector) for id, weight, vector in searching.vectors(f'pseudonym == "{OURS}"')}
    assert exact.keys() == {"a", "half", "b", "old"}
    assert exact["half"][0] == 0.5
    assert np.array_equal(exact["b"][1], unit(1))


@pytest.mark.parametrize("index", [SERVER], indirect=True)
def test_what_was_written_is_seen_at_once_and_no_search_waits_for_it(collection: Collection) -> None:
    waits, searching = [], collection.vector_search
    assert searching is not None
    for n in range(10):
        collection.write([near(f"e{n}", n)])
        start = time.perf_counter()
        [(id, score)] = searching.search(unit(n), 1, f'pseudonym == "{OURS}"')
        assert (id, round(score, 4)) == (f"e{n}", 1.0)
        assert collection.sealed([f"e{n}"])
        waits.append(time.perf_counter() - start)
    assert sorted(waits)[5] < 0.15, "a read that waits for the server's next tick takes 200 ms"


OPENS = """
import sys
from pathlib import Path
from services.episodic.search.opening import opened
print(opened(sys.argv[1], Path(sys.argv[2]), 0).generations())
"""


def opened_elsewhere(uri: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """What another process sees of an index."""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    return subprocess.run(
        [sys.executable, "-c", OPENS, uri, str(folder)], env=env, capture_output=True, text=True, timeout=120
    )


@pytest.mark.parametrize("uri", ["", "sqlite"])
def test_an_embedded_index_is_of_one_process_until_it_closes_it(tmp_path: Path, uri: str) -> None:
    """Then another may open it, as when its partition moves; and this one again."""
    index = opened(uri, tmp_path, 0)
    index.open(3)[0].write([row("a")])
    refused = opened_elsewhere(uri, tmp_path).stderr.strip().splitlines()[-1]
    assert re.search("IndexUnavailable: episodic.index_uri: .*another process us", refused)
    index.close()
    elsewhere = opened_elsewhere(uri, tmp_path)
    assert elsewhere.stdout == "[3]\n", elsewhere.stderr
    again = opened(uri, tmp_path, 0)
    assert [found.id for found in again.open(3)[0].rows()] == ["a"]
    again.close()
