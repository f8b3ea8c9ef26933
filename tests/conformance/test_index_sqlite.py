"""The index in files: what is wrong with a file is said, and whatever ends the process, what was written is there."""

from __future__ import annotations

import logging
import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from services.episodic.search import sqlite
from services.episodic.search.index import IndexUnavailable
from services.episodic.search.milvus import MilvusIndex
from services.episodic.search.opening import in_files
from services.episodic.search.rows import Found, pk
from services.episodic.search.sqlite import SqliteIndex
from tests.conformance.test_index_milvus import OURS, THEIRS, row

_WRITER = """
import sys
from pathlib import Path
from services.episodic.search.sqlite import SqliteIndex
from tests.conformance.test_index_milvus import row
collection, _ = SqliteIndex(Path(sys.argv[1])).open(1)
for n in range(10_000):
    collection.write([row(f"e{n}", k, sealed=bytes(3_000)) for k in range(3)])
    print(n, flush=True)
"""


def written(folder: Path, count: int = 40) -> Path:
    index = SqliteIndex(folder)
    collection, made = index.open(1)
    assert made
    collection.write([row(f"e{n}", sealed=bytes(5_000)) for n in range(count)])
    index.close()
    return index.path_of(1)


def test_killed_in_the_middle_of_writes_each_is_whole_or_not_there(tmp_path: Path) -> None:
    writer = subprocess.Popen([sys.executable, "-c", _WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    last = [int(writer.stdout.readline()) for _ in range(30)][-1]
    writer.send_signal(signal.SIGKILL)
    last = max(last, *map(int, writer.stdout.read().split()), 0)
    writer.wait()
    collection, made = SqliteIndex(tmp_path).open(1)
    assert not made
    rows = [(found.id, found.number) for found in collection.rows(OURS)]
    there = len(rows) // 3
    assert there in (last + 1, last + 2), "what was acknowledged, and perhaps the one after it"
    assert rows == [(f"e{n}", k) for n in range(there) for k in range(3)]


def spoil(path: Path, how: str) -> str:
    """What the log is to say of it."""
    if how == "truncated":
        os.truncate(path, path.stat().st_size // 2)
        return "content: database disk image is malformed"
    if how == "of another format":
        db = sqlite3.connect(path)
        db.execute("PRAGMA user_version = 77")
        db.close()
        return "format: it is of 77"
    if how == "no database":
        path.write_bytes(b"nothing of the kind" * 1_000)
        return "content"
    path.write_bytes(b"")
    return "format: it is of 0"


@pytest.mark.parametrize("how", ["truncated", "of another format", "no database", "empty"])
def test_a_file_of_no_use_is_named_and_made_anew(tmp_path: Path, how: str, caplog: pytest.LogCaptureFixture) -> None:
    path = written(tmp_path)
    said = spoil(path, how)
    caplog.set_level(logging.WARNING)
    index = SqliteIndex(tmp_path)
    collection, made = index.open(1)
    assert made
    assert list(collection.rows()) == []
    [record] = [r for r in caplog.records if "of no use" in r.message]
    assert f"{path}: {said}" in record.error  # type: ignore[attr-defined]
    collection.write([row("x")])
    index.close()
    assert path.stat().st_mode & 0o077 == 0


def test_what_turns_out_damaged_while_it_is_read_says_so(tmp_path: Path) -> None:
    path = written(tmp_path)
    raw = bytearray(path.read_bytes())
    raw[9 * 16_384 : 12 * 16_384] = os.urandom(3 * 16_384)  # pages of rows
    path.write_bytes(raw)
    collection, made = SqliteIndex(tmp_path).open(1)
    assert not made
    with pytest.raises(IndexUnavailable, match=r"1\.rows: .*malformed.*Remove the file"):
        list(collection.rows(OURS))


def test_one_process_owns_the_folder(tmp_path: Path) -> None:
    index = SqliteIndex(tmp_path)
    with pytest.raises(IndexUnavailable, match="episodic.index_uri: another process uses"):
        SqliteIndex(tmp_path)
    index.close()
    SqliteIndex(tmp_path).close()


def test_a_full_disk_says_so_and_what_was_there_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path)
    connect = sqlite._connect

    def small(path: Path) -> sqlite3.Connection:
        db = connect(path)
        db.execute("PRAGMA max_page_count = 40")
        return db

    monkeypatch.setattr(sqlite, "_connect", small)
    collection, _ = SqliteIndex(tmp_path).open(1)
    with pytest.raises(IndexUnavailable, match="full. Make room on the disk"):
        collection.write([row(f"x{n}", sealed=bytes(5_000)) for n in range(400)], [pk("e0", 0)])
    assert {found.id for found in collection.rows()} == {f"e{n}" for n in range(40)}
    collection.write((), [pk("e0", 0)])
    assert len(list(collection.rows())) == 39


def test_of_a_namespace_that_holds_nothing_any_more_nothing_stays(tmp_path: Path) -> None:
    index = SqliteIndex(tmp_path)
    collection, _ = index.open(1)
    collection.write([row("x"), row("y", of=THEIRS)])
    collection.write((), [pk("x", 0)])
    collection.write([row("z", of=THEIRS)])
    index.close()
    content = index.path_of(1).read_bytes()
    assert bytes.fromhex(OURS) not in content
    assert bytes.fromhex(THEIRS) in content


def test_readers_see_a_namespace_as_it_was_at_one_moment(tmp_path: Path) -> None:
    collection, _ = SqliteIndex(tmp_path).open(1)
    collection.write([row(f"e{n}") for n in range(1_200)])
    rows = collection.rows(OURS)
    first = next(rows)
    collection.write([row("late")], [pk(f"e{n}", 0) for n in range(1_200)])
    assert [first.id, *(found.id for found in rows)] == [f"e{n}" for n in range(1_200)]
    assert [found.id for found in collection.rows(OURS)] == ["late"]


@pytest.mark.parametrize("is_cut_short", [False, True])
def test_what_milvus_lite_kept_is_taken_over(
    tmp_path: Path, is_cut_short: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    lite = MilvusIndex(str(tmp_path / "3.db"), 3)
    kept, _ = lite.open(2)
    kept.write([row(f"e{n}", of=(OURS, THEIRS)[n % 2], sealed_dense=b"v%d" % n) for n in range(1_200)])
    before = sorted(kept.rows(vectors=True), key=lambda found: found.id)
    lite.close()
    if is_cut_short:
        put, left = sqlite.SqliteCollection._put, [1]

        def killed(*args: object) -> None:
            left[0] -= 1
            if left[0] < 0:
                raise KeyboardInterrupt  # the process ends here
            put(*args)  # type: ignore[arg-type]

        with monkeypatch.context() as once:
            once.setattr(sqlite.SqliteCollection, "_put", killed)
            with pytest.raises(KeyboardInterrupt):
                in_files(tmp_path, 3)
    index = in_files(tmp_path, 3)
    collection, made = index.open(2)
    assert not made

    def comparable(found: Found) -> tuple[object, ...]:
        return (*(getattr(found, name) for name in Found.__slots__ if name != "terms"), dict(found.terms))

    after = sorted(collection.rows(vectors=True), key=lambda found: found.id)
    assert list(map(comparable, after)) == list(map(comparable, before))
    assert not (tmp_path / "3.db").exists()
    index.close()
