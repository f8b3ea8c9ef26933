"""The log on one machine: a SQLite file that several processes open at once."""

from __future__ import annotations

import os
import secrets
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from services.common.log.base import (
    Appended,
    Cleanup,
    Consumer,
    Fenced,
    LogError,
    LogUnavailable,
    Message,
    MessageTooLarge,
    Record,
    TopicPartition,
    TopicSpec,
    Transaction,
)
from services.common.log.sqlite.consumer import SqliteConsumer
from services.common.log.sqlite.database import Database
from services.common.log.sqlite.format import pack, unpack
from services.common.log.sqlite.tables import (
    BATCH_ROWS,
    DELETE_ROWS,
    OFFSET_BITS,
    Topic,
    drop,
    end_offset,
    fetch,
    find_topic,
    insert_topic,
    key_hash,
    note_newest,
    record_id,
    require_same,
)


class SqliteLog:
    """The log port on one file. Any number of processes may open the same path; thread-safe.

    max_page_count: SQLite's bound on the file, in pages of 1 KiB. None: the disk is the bound.
    tombstone_retention_s: how long a deletion stays readable in a COMPACT topic, for readers that were away.
    housekeeping_s: how often appends and polls look for records that retention or compaction has to remove.
    clock: Unix seconds; the same for every process on the file.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        max_page_count: int | None = None,
        tombstone_retention_s: float = 86_400.0,
        housekeeping_s: float = 15.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._db = Database(Path(path), max_page_count, clock)
        self._tombstone_retention_ms = int(tombstone_retention_s * 1000)
        self._housekeeping_s = housekeeping_s
        self._next_housekeeping = 0.0
        self._next_emptying = 0.0
        self._has_removed = False  # what housekeeping removed may still be in the WAL
        self._holders: dict[str, str] = {}  # by name of transactions: as whom this log takes it
        self._taken: set[str] = set()  # holders that have their name
        self._topics: dict[str, Topic] = {}

    # Topics

    def ensure_topics(self, specs: Sequence[TopicSpec]) -> None:
        with self._db.writing() as db:
            for spec in specs:
                found = find_topic(db, spec.name)
                if found is None:
                    insert_topic(db, spec)
                else:
                    require_same(spec, found.spec)
                    db.execute(
                        "UPDATE topics SET compaction_bound_s = ?, max_message_bytes = ? WHERE topic = ?",
                        (spec.compaction_bound_s, spec.max_message_bytes, spec.name),
                    )
        self._topics = {}

    def partitions(self, topic: str) -> int:
        return self._topic(topic).spec.partitions

    def end_offset(self, topic: str, partition: int) -> int:
        with self._db.connection() as db:
            return end_offset(db, self._topic(topic).partition_id(partition))

    # Writing

    def append(self, messages: Sequence[Message], timeout_s: float = 10.0) -> list[Appended]:
        for message in messages:
            self._check(message)
        with self._db.writing(timeout_s) as db:
            appended = self._append(db, messages)
        self._empty_wal()
        return appended

    @contextmanager
    def transaction(
        self, consumer: Consumer | None = None, name: str | None = None, timeout_s: float = 10.0
    ) -> Iterator[Transaction]:
        if consumer is not None and not (isinstance(consumer, SqliteConsumer) and consumer.belongs_to(self._db)):
            raise TypeError("transaction(consumer): a consumer of another log.")
        tx = Transaction(self._check, consumer is not None)
        try:
            holder = None if name is None else self._holder(name, timeout_s)
            yield tx
            with self._db.writing(timeout_s) as db:
                if name is not None and holder is not None:
                    self._require_holding(db, name, holder)
                if consumer is not None and tx.offsets:
                    consumer.store(db, tx.offsets)
                appended = self._append(db, tx.messages)
        except BaseException:
            if consumer is not None:
                consumer.rewind()
            raise
        tx.ended(appended)

    def let_go(self, name: str) -> None:
        self._taken.discard(self._holders.pop(name, ""))

    def _holder(self, name: str, timeout_s: float) -> str:
        """As whom this log holds a name, which it takes where it does not."""
        holder = self._holders.setdefault(name, secrets.token_hex(8))
        if holder not in self._taken:
            with self._db.writing(timeout_s) as db:
                db.execute("INSERT OR REPLACE INTO holders VALUES (?, ?)", (name, holder))
            self._taken.add(holder)
        return holder

    def _require_holding(self, db: sqlite3.Connection, name: str, holder: str) -> None:
        """Fenced where another took the name since, or this log let it go."""
        (now,) = db.execute("SELECT holder FROM holders WHERE name = ?", (name,)).fetchone()
        if holder != self._holders.get(name):
            raise Fenced(f"{name} was let go meanwhile. Start from the committed offset.")
        if holder != now:
            self.let_go(name)
            raise Fenced(f"another holder took {name}. Start from the committed offset.")

    def _check(self, message: Message) -> None:
        topic = self._topic(message.topic)
        topic.partition_id(message.partition_in(topic.spec.partitions))
        if message.size_bytes > topic.spec.max_message_bytes:
            raise MessageTooLarge(
                f"{message.topic}: a message of {message.size_bytes} bytes; the topic takes "
                f"{topic.spec.max_message_bytes} (max_message_bytes). Split it, or raise the limit."
            )

    def _append(self, db: sqlite3.Connection, messages: Sequence[Message]) -> list[Appended]:
        self._keep_house(db)  # first: it may free the pages that the append needs
        now_ms = self._db.now_ms()
        nexts: dict[int, int] = {}
        appended = []
        for message in messages:
            topic = self._topic(message.topic)
            partition = message.partition_in(topic.spec.partitions)
            partition_id = topic.partition_id(partition)
            if partition_id not in nexts:
                (nexts[partition_id],) = db.execute(
                    "SELECT next FROM partitions WHERE id = ?", (partition_id,)
                ).fetchone()
            offset = nexts[partition_id]
            nexts[partition_id] += 1
            record = record_id(partition_id, offset)
            db.execute(
                "INSERT INTO records VALUES (?, ?, ?)",
                (record, now_ms, pack(message, erasable=topic.spec.cleanup is not Cleanup.KEEP)),
            )
            if topic.spec.cleanup is Cleanup.COMPACT:
                note_newest(db, partition_id, message, record, now_ms)
            appended.append(Appended(message.topic, partition, offset))
        db.executemany("UPDATE partitions SET next = ? WHERE id = ?", ((n, p) for p, n in nexts.items()))
        return appended

    # Reading

    def read(self, topic: str, partition: int, start: int = 0, end: int | None = None) -> Iterator[Record]:
        partition_id = self._topic(topic).partition_id(partition)
        if end is None:
            end = self.end_offset(topic, partition)
        return self._read(TopicPartition(topic, partition), partition_id, start, end)

    def _read(self, of: TopicPartition, partition_id: int, start: int, end: int) -> Iterator[Record]:
        while start < end:
            with self._db.connection() as db:
                batch = fetch(db, of, partition_id, start, end, BATCH_ROWS)
            if not batch:
                return
            yield from batch
            start = batch[-1].offset + 1

    def subscribe(
        self, group: str, topics: Sequence[str], session_timeout_s: float = 10.0, *, partition: int | None = None
    ) -> SqliteConsumer:
        partition_ids = {
            TopicPartition(name, n): self._topic(name).partition_id(n)
            for name in topics
            for n in (range(self.partitions(name)) if partition is None else [partition])
        }
        return SqliteConsumer(self._db, self.keep_house, group, partition_ids, session_timeout_s)

    # Removing

    def trim(self, topic: str, partition: int, before: int) -> None:
        found = self._topic(topic)
        if found.spec.cleanup is not Cleanup.EXPIRE:
            raise LogError(f"{topic}: a {found.spec.cleanup.value} topic cannot be trimmed. Only EXPIRE topics can.")
        partition_id = found.partition_id(partition)
        while True:
            with self._db.writing() as db:
                dropped = drop(db, partition_id, below=before)
            if dropped < DELETE_ROWS:
                return

    def compact(self, topic: str) -> None:
        found = self._topic(topic)
        if found.spec.cleanup is not Cleanup.COMPACT:
            raise LogError(f"{topic}: a {found.spec.cleanup.value} topic is never compacted. Only COMPACT topics are.")
        low, high = found.record_range()
        while True:
            with self._db.writing() as db:
                removed = self._remove_obsolete(db, low, high, superseded_before_ms=self._db.now_ms() + 1)
            if removed < DELETE_ROWS:
                return

    def scrub(self) -> float:
        """Checkpoint and empty the WAL; deleted rows are overwritten in the file itself (secure_delete)."""
        self._db.checkpoint()
        return 0.0

    def stored_bytes(self, topic: str) -> int | None:
        return None

    def _keep_house(self, db: sqlite3.Connection) -> None:
        """Remove some of what retention and compaction bounds want gone; the next round takes the rest."""
        if time.monotonic() < self._next_housekeeping:
            return
        now_ms = self._db.now_ms()
        removed = 0
        for (name,) in db.execute("SELECT topic FROM topics").fetchall():
            topic = self._topic(name)
            spec = topic.spec
            if spec.cleanup is Cleanup.EXPIRE and spec.retention_s is not None:
                for partition in range(spec.partitions):
                    removed += drop(db, topic.partition_id(partition), older_ms=now_ms - spec.retention_s * 1000)
            elif spec.cleanup is Cleanup.COMPACT:
                # Half the bound is for waiting until somebody comes by here.
                removed += self._remove_obsolete(db, *topic.record_range(), now_ms - spec.compaction_bound_s * 500)
        self._has_removed |= removed > 0
        self._next_housekeeping = time.monotonic() + (0.0 if removed >= DELETE_ROWS else self._housekeeping_s)

    def keep_house(self) -> None:
        """What an append does in passing, for a log that is only polled."""
        if time.monotonic() >= self._next_housekeeping:
            with self._db.writing() as db:
                self._keep_house(db)
        self._empty_wal()

    def _empty_wal(self) -> None:
        """Where housekeeping removed something: on an idle log nothing else ever takes its bytes out of the WAL."""
        if self._has_removed and time.monotonic() >= self._next_emptying:
            self._next_emptying = time.monotonic() + self._housekeeping_s
            self._has_removed = False
            is_empty = False
            with suppress(LogUnavailable):  # what was appended is; the next round tries again
                is_empty = self._db.empty_wal()
            self._has_removed |= not is_empty

    def _remove_obsolete(self, db: sqlite3.Connection, low: int, high: int, superseded_before_ms: int) -> int:
        rows = db.execute(
            "SELECT record, is_deletion FROM obsolete WHERE record >= ? AND record < ? AND since_ms < "
            "CASE is_deletion WHEN 0 THEN ? ELSE ? END LIMIT ?",
            (low, high, superseded_before_ms, self._db.now_ms() - self._tombstone_retention_ms, DELETE_ROWS),
        ).fetchall()
        for record, is_deletion in rows:
            if is_deletion:
                (body,) = db.execute("SELECT body FROM records WHERE id = ?", (record,)).fetchone()
                db.execute(
                    "DELETE FROM newest WHERE partition = ? AND key = ?",
                    (record >> OFFSET_BITS, key_hash(unpack(body)[0])),
                )
            db.execute("DELETE FROM records WHERE id = ?", (record,))
            db.execute("DELETE FROM obsolete WHERE record = ?", (record,))
        return len(rows)

    def close(self) -> None:
        self._db.close()

    def _topic(self, name: str) -> Topic:
        topic = self._topics.get(name)
        if topic is None:
            with self._db.connection() as db:
                topic = find_topic(db, name)
            if topic is None:
                raise LogError(f"{name}: there is no such topic. Name it in ensure_topics first.")
            self._topics[name] = topic
        return topic
