"""A copy of a log's file as it is at one moment, made while others read and write it."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from services.common.log.base import LogError
from services.common.log.sqlite.format import PAGE_BYTES
from services.common.log.sqlite.tables import FORMAT, FORMATS_BEFORE

_PAGES = 4096  # of one step
_BUSY_S = 5.0
Progress = Callable[[int, int], None]  # bytes done, bytes in all


def copy(source: Path, target: Path, progress: Progress) -> None:
    """Write the file at ``source`` to ``target``, a new file (0600), whole and on disk when it returns. LogError for no
    log of Mneme; OSError and sqlite3.Error, and then ``target`` may be there in part.

    Writers go on meanwhile. What they write waits in the WAL until the copy is made, and so do the last traces of what
    is erased meanwhile: its receipt is pending for so long.
    """
    os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    with closing(_opened(source)) as db, closing(sqlite3.connect(target, isolation_level=None)) as copied:
        (format_,) = db.execute("PRAGMA user_version").fetchone()
        if format_ not in (*FORMATS_BEFORE, FORMAT):
            raise LogError(f"{source}: no log that this version of Mneme knows (format {format_}).")
        copied.execute("PRAGMA synchronous = OFF")  # synchronised once, below
        # Its own snapshot: without one SQLite begins the copy anew whenever somebody has written.
        db.execute("BEGIN")
        db.execute("SELECT count(*) FROM topics").fetchone()
        db.backup(
            copied,
            pages=_PAGES,
            sleep=0,
            progress=lambda _, left, all_: progress((all_ - left) * PAGE_BYTES, all_ * PAGE_BYTES),
        )
        db.execute("COMMIT")
        copied.execute("PRAGMA journal_mode = DELETE")  # one file, with nothing beside it
    fd = os.open(target, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _opened(path: Path) -> sqlite3.Connection:
    if not path.is_file():  # SQLite would make it
        raise LogError(f"{path}: there is no log.")
    return sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None)
