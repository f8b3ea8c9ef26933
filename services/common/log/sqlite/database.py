"""The file of a log: connections to it, and one write transaction at a time over all processes.

Readers never wait (WAL). Writers of all processes queue for a file lock, which the kernel hands on and takes away
from the dead; each write is one ``BEGIN IMMEDIATE``, synchronised to disk before it returns. Reads are short:
a reader that stays in a transaction would keep the WAL from being checkpointed.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from services.common.log.base import LogError, LogUnavailable
from services.common.log.sqlite.format import PAGE_BYTES
from services.common.log.sqlite.lock import WriterLock
from services.common.log.sqlite.tables import FORMAT, FORMATS_BEFORE, SCHEMA

_SCRUB_S = 10.0
_MOMENT_S = 0.5
_BUSY_S = 5.0  # for what does not take the writers' lock: recovery after a crash, other programs

_REMEDIES = {
    sqlite3.SQLITE_FULL: "Make room on the disk (or raise max_page_count), then try again.",
    sqlite3.SQLITE_IOERR: "Look at the disk and at limits on file sizes (ulimit -f), then try again.",
    sqlite3.SQLITE_BUSY: "Another program keeps the file locked: end it, then try again.",
    sqlite3.SQLITE_LOCKED: "Another program keeps the file locked: end it, then try again.",
    sqlite3.SQLITE_CANTOPEN: "Let this user read and write the file and its folder.",
    sqlite3.SQLITE_READONLY: "Let this user write the file and its folder.",
    sqlite3.SQLITE_PERM: "Let this user read and write the file and its folder.",
    sqlite3.SQLITE_NOTADB: "This is no log of Mneme: name another file.",
    sqlite3.SQLITE_CORRUPT: "The file is damaged: restore it from a backup.",
}


class Database:
    """One file, opened by any number of processes and threads."""

    def __init__(self, path: Path, max_page_count: int | None, clock: Callable[[], float]) -> None:
        self.path = path
        self.members_dir = path.with_name(path.name + "-members")  # a locked file for each consumer that lives
        self._max_page_count = max_page_count
        self._clock = clock
        self._idle: list[sqlite3.Connection] = []
        self._closed = False
        if not path.parent.is_dir():
            raise LogUnavailable(f"{path}: there is no folder {path.parent}. Make it, or name another.")
        with self._translating():
            self._lock = WriterLock(path.with_name(path.name + "-lock"))
            self._create()

    @contextmanager
    def connection(self) -> Iterator[sqlite3.Connection]:
        """A connection that no other thread uses meanwhile. After an error it is not used again."""
        if self._closed:
            raise LogError(f"{self.path}: this log was closed.")
        with self._translating():
            try:
                db = self._idle.pop()
            except IndexError:
                db = self._connect()
            try:
                yield db
            except BaseException:
                db.close()  # rolls back, too
                raise
            if self._closed:
                db.close()
            else:
                self._idle.append(db)

    @contextmanager
    def writing(self, timeout_s: float = 10.0) -> Iterator[sqlite3.Connection]:
        """One write transaction, alone on the file. Committed and on disk when the block ends without exception."""
        with self._lock.held(timeout_s), self.connection() as db:
            db.execute("BEGIN IMMEDIATE")
            yield db
            db.execute("COMMIT")

    def checkpoint(self) -> None:
        """Bring the WAL into the file, and empty it. LogUnavailable where a reader keeps it."""
        with self._lock.held(_SCRUB_S), self.connection() as db:
            deadline = time.monotonic() + _SCRUB_S
            while True:
                (busy, _, _) = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
                if not busy:
                    return
                if time.monotonic() > deadline:
                    raise LogUnavailable(
                        f"{self.path}: a reader has kept its snapshot for {_SCRUB_S:.0f} s, so deleted bytes are "
                        "still in the WAL. End programs that hold the file open (sqlite3, backups), and scrub again."
                    )
                time.sleep(0.01)

    def empty_wal(self) -> bool:
        """As ``checkpoint``, where nobody is in the way: whether the WAL is empty now."""
        with self._lock.held(_MOMENT_S), self.connection() as db:
            db.execute("PRAGMA busy_timeout = 0")
            (busy, _, _) = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            db.execute(f"PRAGMA busy_timeout = {int(_BUSY_S * 1000)}")
        return not busy

    def close(self) -> None:
        self._closed = True
        while self._idle:
            self._idle.pop().close()

    def now_ms(self) -> int:
        return int(self._clock() * 1000)

    def _create(self) -> None:
        # Made here and not by SQLite, so that only this user can read it; WAL and index inherit that.
        os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        self.members_dir.mkdir(mode=0o700, exist_ok=True)
        with self.writing() as db:
            (found,) = db.execute("PRAGMA user_version").fetchone()
            if found not in (0, *FORMATS_BEFORE, FORMAT):
                raise LogError(
                    f"{self.path}: written in format {found}; this version of Mneme knows {FORMAT}. "
                    "Use the version that wrote it, or name another file."
                )
            (page_bytes,) = db.execute("PRAGMA page_size").fetchone()
            if page_bytes != PAGE_BYTES:  # made by another program; deleted bytes would not be gone, see ``format``
                raise LogError(f"{self.path}: a SQLite file, but no log of Mneme. Name another file.")
            for statement in SCHEMA.split(";"):
                db.execute(statement)
            if found != FORMAT:
                db.execute(f"PRAGMA user_version = {FORMAT}")

    def _connect(self) -> sqlite3.Connection:
        db = sqlite3.connect(self.path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
        db.execute(f"PRAGMA page_size = {PAGE_BYTES}")  # of a new file; see ``format``
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA wal_autocheckpoint = 4000")
        db.execute("PRAGMA cache_size = -8000")
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA secure_delete = ON")
        db.execute("PRAGMA temp_store = MEMORY")  # or deleted text may stay behind in a temporary file
        if self._max_page_count is not None:
            db.execute(f"PRAGMA max_page_count = {int(self._max_page_count)}")
        return db

    @contextmanager
    def _translating(self) -> Iterator[None]:
        """SQLite's and the system's errors as the port's."""
        try:
            yield
        except sqlite3.DatabaseError as error:
            code = getattr(error, "sqlite_errorcode", None)
            remedy = None if code is None else _REMEDIES.get(code & 0xFF)
            if remedy is None:
                raise
            # Without its sync, a commit may or may not survive a crash; every other failure leaves nothing behind.
            in_doubt = code == sqlite3.SQLITE_IOERR_FSYNC
            raise LogUnavailable(f"{self.path}: {error}. {remedy}", in_doubt=in_doubt) from error
        except OSError as error:
            raise LogUnavailable(f"{self.path}: {error}. Make room, or let this user write there.") from error


def data_version(db: sqlite3.Connection) -> int:
    """Changes whenever another connection commits; asking costs microseconds."""
    return int(db.execute("PRAGMA data_version").fetchone()[0])


def await_change(db: sqlite3.Connection, version: int, deadline: float) -> None:
    pause_s = 0.001
    while time.monotonic() < deadline and data_version(db) == version:
        time.sleep(pause_s)
        pause_s = min(pause_s * 1.3, 0.01)
