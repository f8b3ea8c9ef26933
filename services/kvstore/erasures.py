"""What was erased, remembered across restarts: the newest epoch of each namespace, and erased engram ids.

Epochs alone refuse every honest late put; the ids refuse one that names a fresh epoch and an erased engram. Only
digests are kept: no namespace, no id.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from services.common.ledger.erasures import Erasure

_SCHEMA = """
CREATE TABLE IF NOT EXISTS epochs (namespace BLOB PRIMARY KEY, epoch INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS positions (partition INTEGER PRIMARY KEY, next INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS erased (number INTEGER PRIMARY KEY, engram BLOB NOT NULL UNIQUE);
"""


class Erasures:
    """Keeps the newest ``limit`` erased ids and all epochs. One thread."""

    def __init__(self, path: Path, limit: int) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._limit = limit
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        self._db.executescript(_SCHEMA)
        self._epochs: dict[bytes, int] = dict(self._db.execute("SELECT namespace, epoch FROM epochs"))
        self.positions: dict[int, int] = dict(self._db.execute("SELECT partition, next FROM positions"))
        self._erased: set[bytes] = {row[0] for row in self._db.execute("SELECT engram FROM erased")}

    def record(self, erasures: Sequence[Erasure], positions: Mapping[int, int] = MappingProxyType({})) -> None:
        """Durable when this returns. An older epoch than is known changes nothing but adds its ids.

        ``positions``: how far the ledger was read for them, the next offset by partition.
        """
        epochs = {_digest(e.namespace): e.epoch for e in sorted(erasures, key=lambda e: e.epoch)}
        newer = {n: epoch for n, epoch in epochs.items() if epoch > self._epochs.get(n, 0)}
        ids = [i for e in erasures for i in dict.fromkeys(_digest(e.namespace, id) for id in e.engram_ids)]
        self._db.execute("BEGIN IMMEDIATE")
        try:
            self._db.executemany("INSERT OR REPLACE INTO epochs VALUES (?, ?)", newer.items())
            self._db.executemany("INSERT OR IGNORE INTO erased (engram) VALUES (?)", ((i,) for i in ids))
            self._db.executemany("INSERT OR REPLACE INTO positions VALUES (?, ?)", positions.items())
            excess = self._db.execute("SELECT count(*) FROM erased").fetchone()[0] - self._limit
            oldest = self._db.execute("SELECT engram FROM erased ORDER BY number LIMIT ?", (max(0, excess),)).fetchall()
            self._db.executemany("DELETE FROM erased WHERE engram = ?", oldest)
            self._db.execute("COMMIT")
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._epochs.update(newer)
        self.positions.update(positions)
        self._erased.update(ids)
        self._erased.difference_update(row[0] for row in oldest)

    def epoch(self, namespace: str) -> int:
        """The newest epoch heard of; 0 when nothing was erased."""
        return self._epochs.get(_digest(namespace), 0)

    def any_erased(self, engrams: Iterable[tuple[str, str]]) -> bool:
        """Whether one of these (namespace, engram id) was erased."""
        return any(_digest(namespace, id) in self._erased for namespace, id in engrams)

    def close(self) -> None:
        self._db.close()


def _digest(*parts: str) -> bytes:
    bound = b"".join(len(p.encode()).to_bytes(4, "big") + p.encode() for p in parts)
    return hashlib.blake2b(bound, digest_size=16).digest()
