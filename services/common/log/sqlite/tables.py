"""The tables of a log's file: topics, partitions, records.

A record's row id is ``(partition id << 40) + offset``, so a partition is one range of one table. Offsets are dense
when appended. In COMPACT topics every append notes which record it supersedes, so compaction reads nothing else.
"""

from __future__ import annotations

import hashlib
import sqlite3
from dataclasses import dataclass

from services.common.log.base import (
    Cleanup,
    LogError,
    Message,
    Record,
    TopicMismatch,
    TopicPartition,
    TopicSpec,
)
from services.common.log.sqlite.format import unpack

FORMAT = 3  # user_version of the file
# The same, by a Mneme that knows no pseudonyms of namespaces (1), or no trees of keys (2), and would pass over what has
# one.
FORMATS_BEFORE = (1, 2)
OFFSET_BITS = 40
MAX_OFFSET = 1 << OFFSET_BITS
BATCH_ROWS = 256  # of one read, and so of the time a reader holds a snapshot
_BATCH_BYTES = 8 * 1024 * 1024
DELETE_ROWS = 2_000  # of one write, so that nobody waits long for the lock

SCHEMA = """
CREATE TABLE IF NOT EXISTS topics (
  topic TEXT PRIMARY KEY, partitions INTEGER, cleanup TEXT, retention_s INTEGER, compaction_bound_s INTEGER,
  max_message_bytes INTEGER, first_id INTEGER);
-- first: offsets below are gone. next: the offset of the next append.
CREATE TABLE IF NOT EXISTS partitions (id INTEGER PRIMARY KEY, first INTEGER, next INTEGER);
CREATE TABLE IF NOT EXISTS records (
  id INTEGER PRIMARY KEY, timestamp_ms INTEGER, body BLOB);
-- COMPACT topics only: the newest record of each key (its hash), and the records that may go (deletions: after a
-- while).
CREATE TABLE IF NOT EXISTS newest (partition INTEGER, key BLOB, record INTEGER, PRIMARY KEY (partition, key))
  WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS obsolete (record INTEGER PRIMARY KEY, since_ms INTEGER, is_deletion INTEGER);
CREATE TABLE IF NOT EXISTS offsets (grp TEXT, partition INTEGER, next INTEGER, PRIMARY KEY (grp, partition))
  WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS members (
  grp TEXT, member TEXT, topics TEXT, session_ms INTEGER, expires_ms INTEGER, PRIMARY KEY (grp, member))
  WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS claims (grp TEXT, partition INTEGER, member TEXT, PRIMARY KEY (grp, partition))
  WITHOUT ROWID;
-- Who holds each name of transactions: a log that some process opened.
CREATE TABLE IF NOT EXISTS holders (name TEXT PRIMARY KEY, holder TEXT) WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True)
class Topic:
    spec: TopicSpec
    first_id: int

    def partition_id(self, partition: int) -> int:
        if not 0 <= partition < self.spec.partitions:
            raise LogError(f"{self.spec.name}: no partition {partition}; it has {self.spec.partitions}.")
        return self.first_id + partition

    def record_range(self) -> tuple[int, int]:
        return record_id(self.first_id, 0), record_id(self.first_id + self.spec.partitions, 0)


def record_id(partition_id: int, offset: int) -> int:
    return (partition_id << OFFSET_BITS) + offset


def offset(record: int) -> int:
    return record & (MAX_OFFSET - 1)


def find_topic(db: sqlite3.Connection, name: str) -> Topic | None:
    row = db.execute("SELECT * FROM topics WHERE topic = ?", (name,)).fetchone()
    if row is None:
        return None
    topic, partitions, cleanup, retention_s, compaction_bound_s, max_message_bytes, first_id = row
    spec = TopicSpec(topic, partitions, Cleanup(cleanup), retention_s, compaction_bound_s, max_message_bytes)
    return Topic(spec, first_id)


def insert_topic(db: sqlite3.Connection, spec: TopicSpec) -> None:
    (first_id,) = db.execute("SELECT 1 + coalesce(max(id), 0) FROM partitions").fetchone()
    db.execute(
        "INSERT INTO topics VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            spec.name,
            spec.partitions,
            spec.cleanup.value,
            spec.retention_s,
            spec.compaction_bound_s,
            spec.max_message_bytes,
            first_id,
        ),
    )
    db.executemany("INSERT INTO partitions VALUES (?, 0, 0)", ((first_id + n,) for n in range(spec.partitions)))


def require_same(spec: TopicSpec, found: TopicSpec) -> None:
    if (spec.partitions, spec.cleanup, spec.retention_s) != (found.partitions, found.cleanup, found.retention_s):
        raise TopicMismatch(
            f"{spec.name}: the log has it with {_describe(found)}, asked for is {_describe(spec)}. "
            "Set the configuration to what the log has, or start with a new log."
        )


def _describe(spec: TopicSpec) -> str:
    retention = "" if spec.retention_s is None else f" after {spec.retention_s} s"
    return f"{spec.partitions} partitions, cleanup {spec.cleanup.value}{retention}"


def note_newest(db: sqlite3.Connection, partition_id: int, message: Message, record: int, now_ms: int) -> None:
    key = key_hash(message.key)
    row = db.execute("SELECT record FROM newest WHERE partition = ? AND key = ?", (partition_id, key)).fetchone()
    if row is not None:
        db.execute("INSERT OR REPLACE INTO obsolete VALUES (?, ?, 0)", (row[0], now_ms))
    if message.value is None:
        db.execute("INSERT INTO obsolete VALUES (?, ?, 1)", (record, now_ms))
    db.execute("INSERT OR REPLACE INTO newest VALUES (?, ?, ?)", (partition_id, key, record))


def key_hash(key: bytes) -> bytes:
    """Keys may name people, and rows of ``newest`` may leave copies behind."""
    return hashlib.blake2b(key, digest_size=16).digest()


def drop(db: sqlite3.Connection, partition_id: int, *, below: int = MAX_OFFSET, older_ms: int | None = None) -> int:
    """Drop a partition's first records: those below an offset, or up to the first that is not older. Some at a time."""
    rows = db.execute(
        "SELECT id, timestamp_ms FROM records WHERE id >= ? AND id < ? ORDER BY id LIMIT ?",
        (record_id(partition_id, 0), record_id(partition_id, below), DELETE_ROWS),
    ).fetchall()
    ids = []
    for record, timestamp_ms in rows:
        if older_ms is not None and timestamp_ms >= older_ms:
            break
        ids.append(record)
    if ids:
        db.execute("DELETE FROM records WHERE id >= ? AND id <= ?", (ids[0], ids[-1]))
        db.execute("UPDATE partitions SET first = ? WHERE id = ?", (offset(ids[-1]) + 1, partition_id))
    return len(ids)


def first_offset(db: sqlite3.Connection, partition_id: int) -> int:
    (first,) = db.execute("SELECT first FROM partitions WHERE id = ?", (partition_id,)).fetchone()
    return int(first)


def end_offset(db: sqlite3.Connection, partition_id: int) -> int:
    row = db.execute(
        "SELECT id FROM records WHERE id >= ? AND id < ? ORDER BY id DESC LIMIT 1",
        (record_id(partition_id, 0), record_id(partition_id + 1, 0)),
    ).fetchone()
    return offset(row[0]) + 1 if row is not None else first_offset(db, partition_id)


def fetch(
    db: sqlite3.Connection, of: TopicPartition, partition_id: int, start: int, end: int, limit: int
) -> list[Record]:
    """Records of [start, end), at most ``limit`` and about ``_BATCH_BYTES``: a short snapshot."""
    cursor = db.execute(
        "SELECT id, timestamp_ms, body FROM records WHERE id >= ? AND id < ? ORDER BY id LIMIT ?",
        (record_id(partition_id, max(0, start)), record_id(partition_id, min(end, MAX_OFFSET)), limit),
    )
    records: list[Record] = []
    room = _BATCH_BYTES
    for record, timestamp_ms, body in cursor:
        key, value, headers = unpack(body)
        records.append(Record(of.topic, of.partition, offset(record), key, value, headers, timestamp_ms))
        room -= len(body)
        if room <= 0:
            break
    cursor.close()
    return records
