"""The index in files: a SQLite file for each generation of a partition, in which the rows of a namespace lie together.

It only keeps rows: terms and vectors are searched in memory, of the namespaces that are asked for. So it takes no
memory for the others, and a namespace is read in the time that its own rows take. (Milvus Lite has all of its rows in
memory, 7 KB for each, and takes 30 us to open one and 0.5 s to find 1,000 of a namespace among 100,000.)

A write is on disk when it returns. One process owns the folder.
"""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

import numpy as np

from services.common.files import try_lock
from services.episodic.search.index import IndexUnavailable
from services.episodic.search.rows import Found, Row

FORMAT = 1
_PAGE_BYTES = 16_384  # some six rows; fewer would leave much of each page empty
_BUSY_S = 5.0
_MANY = 500
# Of a row's key; above them is the number of its namespace, so that the rows of one lie together.
_SPACE_BITS = 32
_SCHEMA = (
    "CREATE TABLE follows (feed_offset INTEGER NOT NULL)",
    "INSERT INTO follows VALUES (0)",  # of a new file that is not filled: another index may be, meanwhile
    "CREATE TABLE spaces (number INTEGER PRIMARY KEY, pseudonym BLOB NOT NULL UNIQUE)",
    """CREATE TABLE rows (
        key INTEGER PRIMARY KEY, id TEXT NOT NULL, number INTEGER NOT NULL, rows INTEGER NOT NULL,
        feed_offset INTEGER NOT NULL, dense_weight REAL NOT NULL, sparse_weight REAL NOT NULL,
        terms BLOB NOT NULL, sealed BLOB NOT NULL, sealed_dense BLOB NOT NULL)""",
    "CREATE UNIQUE INDEX by_id ON rows (id, number)",
    f"PRAGMA user_version = {FORMAT}",
)
_PUT = """INSERT INTO rows VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id, number) DO UPDATE SET
    rows = excluded.rows, feed_offset = excluded.feed_offset, dense_weight = excluded.dense_weight,
    sparse_weight = excluded.sparse_weight, terms = excluded.terms, sealed = excluded.sealed,
    sealed_dense = excluded.sealed_dense"""
_ROWS = f"""SELECT r.id, r.number, lower(hex(s.pseudonym)), r.rows, r.feed_offset, r.sealed, r.terms, r.sparse_weight,
    r.dense_weight, {{}} FROM rows r JOIN spaces s ON s.number = r.key >> {_SPACE_BITS}
    WHERE r.key BETWEEN ? AND ? ORDER BY r.key"""
_log = logging.getLogger(__name__)


class SqliteCollection:
    """Rows of one generation, in one file."""

    vector_search = None

    def __init__(self, path: Path) -> None:
        self.path = path
        self._idle: list[sqlite3.Connection] = []
        self._is_closed = False

    def write(self, new: Sequence[Row], gone: Sequence[str] = ()) -> None:
        with self._connection() as db:
            db.execute("BEGIN IMMEDIATE")
            self._put(db, new)
            self._delete(db, gone)
            db.execute("COMMIT")

    def copy(self, rows: Iterable[Found], follows: int | None) -> None:
        """Add rows that another index gave, which followed the feed so far; None where it did not know."""
        rows = iter(rows)
        while some := list(islice(rows, _MANY)):
            with self._connection() as db:
                db.execute("BEGIN IMMEDIATE")
                self._put(db, some)
                db.execute("COMMIT")
        self._note(follows)

    def _put(self, db: sqlite3.Connection, rows: Iterable[Row | Found]) -> None:
        free: dict[str, int] = {}
        for row in rows:
            if row.pseudonym not in free:
                free[row.pseudonym] = _free_key(db, _space(db, bytes.fromhex(row.pseudonym), make=True))
            key = free[row.pseudonym]
            free[row.pseudonym] += 1
            terms = np.array([*row.terms.keys(), *row.terms.values()], "<u4").tobytes()
            weights = row.dense_weight, row.sparse_weight
            fields = (row.id, row.number, row.rows, row.feed_offset, *weights, terms, row.sealed, row.sealed_dense)
            db.execute(_PUT, (key, *fields))

    def _delete(self, db: sqlite3.Connection, gone: Sequence[str]) -> None:
        spaces: set[int] = set()
        for row in gone:
            id, number = row.rsplit("#", 1)
            for (key,) in db.execute("DELETE FROM rows WHERE id = ? AND number = ? RETURNING key", (id, int(number))):
                spaces.add(key >> _SPACE_BITS)
        for space in spaces:
            if db.execute("SELECT 1 FROM rows WHERE key BETWEEN ? AND ? LIMIT 1", _keys(space)).fetchone() is None:
                db.execute("DELETE FROM spaces WHERE number = ?", (space,))

    @property
    def follows(self) -> int | None:
        with self._connection() as db:
            found = db.execute("SELECT feed_offset FROM follows").fetchone()
        return int(found[0]) if found is not None else None

    def flush(self, follows: int) -> None:
        self._note(follows)

    def _note(self, follows: int | None) -> None:
        with self._connection() as db:
            db.execute("BEGIN IMMEDIATE")
            db.execute("DELETE FROM follows")
            if follows is not None:
                db.execute("INSERT INTO follows VALUES (?)", (follows,))
            db.execute("COMMIT")

    def sealed(self, ids: Sequence[str]) -> dict[str, bytes]:
        out: dict[str, bytes] = {}
        with self._connection() as db:
            for start in range(0, len(ids), _MANY):
                some = ids[start : start + _MANY]
                marks = ", ".join("?" * len(some))
                out.update(db.execute(f"SELECT id, sealed FROM rows WHERE number = 0 AND id IN ({marks})", some))
        return out

    def rows(self, pseudonym: str | None = None, *, vectors: bool = False) -> Iterator[Found]:
        """As they were at one moment."""
        with self._connection() as db:
            first, last = (0, 2**63 - 1) if pseudonym is None else _keys(_space(db, bytes.fromhex(pseudonym)))
            cursor = db.execute(_ROWS.format("sealed_dense" if vectors else "x''"), (first, last))
            while some := cursor.fetchmany(_MANY):
                for id, number, space, count, offset, sealed, terms, sparse, weight, dense in some:
                    yield Found(id, number, space, count, offset, sealed, _terms(terms), sparse, weight, dense)

    def close(self) -> None:
        self._is_closed = True
        while self._idle:
            self._idle.pop().close()

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        """One that no other thread uses meanwhile. After an error it is not used again."""
        with translating(self.path):
            if self._is_closed:
                raise IndexUnavailable(f"{self.path}: it is closed. Start Mneme again.")
            try:
                db = self._idle.pop()
            except IndexError:
                db = _connect(self.path)
            try:
                yield db
            except BaseException:
                db.close()  # rolls back, too
                raise
            if self._is_closed:
                db.close()
            else:
                self._idle.append(db)


class SqliteIndex:
    """The files of a partition, in a folder of its own."""

    searches_vectors = False

    def __init__(self, folder: Path) -> None:
        """IndexUnavailable, where another process owns the folder, or it cannot be written."""
        self._folder, self._lock = folder, -1
        self._open: dict[int, SqliteCollection] = {}
        with translating(folder):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            if not try_lock(self._lock):
                self.close()
                raise IndexUnavailable(f"episodic.index_uri: another process uses {folder}. Stop it, or name another.")

    def open(self, generation: int) -> tuple[SqliteCollection, bool]:
        path = self.path_of(generation)
        with translating(path):
            if path.exists() and (fault := _fault(path)):
                _log.warning(
                    "an index file is of no use; it is filled again from the feed", extra={"error": f"{path}: {fault}"}
                )
                self.drop(generation)
            made = not path.exists()
            if made:
                _make(path)
        self._open[generation] = collection = SqliteCollection(path)
        return collection, made

    def drop(self, generation: int) -> None:
        if (collection := self._open.pop(generation, None)) is not None:
            collection.close()
        path = self.path_of(generation)
        with translating(path):
            for each in (path, path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")):
                each.unlink(missing_ok=True)

    def generations(self) -> list[int]:
        return sorted(int(path.stem) for path in self._folder.glob("*.rows") if path.stem.isdecimal())

    def path_of(self, generation: int) -> Path:
        return self._folder / f"{generation}.rows"

    def close(self) -> None:
        for collection in self._open.values():
            collection.close()
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


@contextmanager
def translating(path: Path) -> Iterator[None]:
    """SQLite's and the system's errors as the port's."""
    try:
        yield
    except (sqlite3.DatabaseError, OSError) as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            remedy = "Remove the file and start Mneme again: it is filled from the feed."
        else:
            remedy = "Make room on the disk, or let this user write there."
        raise IndexUnavailable(f"episodic.index_uri: {path}: {error}. {remedy}") from error


def _connect(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
    db.execute(f"PRAGMA page_size = {_PAGE_BYTES}")  # of a new file
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    db.execute("PRAGMA cache_size = -1000")
    db.execute("PRAGMA secure_delete = ON")
    return db


def _make(path: Path) -> None:
    """A new file, whole or not there."""
    part = path.with_name(f"{path.name}.part")
    for left in path.parent.glob(f"{part.name}*"):
        left.unlink()
    os.close(os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))  # only this user may read it
    db = _connect(part)
    for statement in _SCHEMA:
        db.execute(statement)
    db.close()  # the last connection brings the WAL into the file, and removes it
    os.rename(part, path)


def _fault(path: Path) -> str:
    """Why a file cannot be used; "" where it can, as far as SQLite tells at once: that it is cut short, say."""
    try:
        db = _connect(path)
        try:
            (found,) = db.execute("PRAGMA user_version").fetchone()
            if found != FORMAT:
                return f"format: it is of {found}, and {FORMAT} is read here"
            db.execute("SELECT 1 FROM rows JOIN spaces LIMIT 1").fetchall()
            return ""
        finally:
            db.close()
    except sqlite3.DatabaseError as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            return f"content: {error}"
        raise


def _space(db: sqlite3.Connection, pseudonym: bytes, *, make: bool = False) -> int:
    """The number of a namespace; 0 where there is none."""
    found = db.execute("SELECT number FROM spaces WHERE pseudonym = ?", (pseudonym,)).fetchone()
    if found is None and make:
        found = db.execute("INSERT INTO spaces (pseudonym) VALUES (?) RETURNING number", (pseudonym,)).fetchone()
    return int(found[0]) if found is not None else 0


def _keys(space: int) -> tuple[int, int]:
    """The first and the last key that rows of it may have."""
    return space << _SPACE_BITS, (space + 1 << _SPACE_BITS) - 1


def _free_key(db: sqlite3.Connection, space: int) -> int:
    (last,) = db.execute("SELECT max(key) FROM rows WHERE key BETWEEN ? AND ?", _keys(space)).fetchone()
    return _keys(space)[0] if last is None else last + 1


def _terms(packed: bytes) -> dict[int, int]:
    terms, counts = np.frombuffer(packed, "<u4").reshape(2, -1).tolist()
    return dict(zip(terms, counts, strict=True))
