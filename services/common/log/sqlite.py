"""The log on one machine: a SQLite file that several processes open at once.

Readers never wait (WAL). Writers of all processes queue for a file lock, which the kernel hands on and takes away
from the dead; each write is one ``BEGIN IMMEDIATE``, synchronised to disk before it returns. Reads are short:
a reader that stays in a transaction would keep the WAL from being checkpointed.

A record's row id is ``(partition id << 40) + offset``, so a partition is one range of one table. Offsets are dense
when appended. In COMPACT topics every append notes which record it supersedes, so compaction reads nothing else.

What is deleted is gone from the file. ``secure_delete`` alone does not do that: when SQLite balances its tree it
moves small rows between pages and leaves copies in the gaps. So whatever may be deleted (COMPACT, EXPIRE) lies on
overflow pages of its own, which never move and are zeroed when they are freed; see ``_pack``.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import secrets
import sqlite3
import struct
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import chain
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
    TopicMismatch,
    TopicPartition,
    TopicSpec,
    Transaction,
)

_OFFSET_BITS = 40
_PAGE_BYTES = 1024
_FORMAT = 1  # user_version of the file
_BATCH_ROWS = 256  # of one read, and so of the time a reader holds a snapshot
_BATCH_BYTES = 8 * 1024 * 1024
_DELETE_ROWS = 2_000  # of one write, so that nobody waits long for the lock
_BUSY_S = 5.0  # for what does not take the writers' lock: recovery after a crash, other programs
_SCRUB_S = 10.0
_LOOK_AGAIN_S = 0.25  # while waiting for records: are the other members of the group still there?

_SCHEMA = """
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
"""


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
        self._path = Path(path)
        self._max_page_count = max_page_count
        self._tombstone_retention_ms = int(tombstone_retention_s * 1000)
        self._housekeeping_s = housekeeping_s
        self._next_housekeeping = 0.0
        self._clock = clock
        self._topics: dict[str, _Topic] = {}
        self._idle: list[sqlite3.Connection] = []
        self._closed = False
        if not self._path.parent.is_dir():
            raise LogUnavailable(f"{self._path}: there is no folder {self._path.parent}. Make it, or name another.")
        with self._translating():
            self._lock = _WriterLock(self._path.with_name(self._path.name + "-lock"))
            self.members_dir = self._path.with_name(self._path.name + "-members")
            self._create()

    # Topics

    def ensure_topics(self, specs: Sequence[TopicSpec]) -> None:
        with self.writing() as db:
            for spec in specs:
                found = _find_topic(db, spec.name)
                if found is None:
                    _insert_topic(db, spec)
                else:
                    _require_same(spec, found.spec)
                    db.execute(
                        "UPDATE topics SET compaction_bound_s = ?, max_message_bytes = ? WHERE topic = ?",
                        (spec.compaction_bound_s, spec.max_message_bytes, spec.name),
                    )
        self._topics = {}

    def partitions(self, topic: str) -> int:
        return self._topic(topic).spec.partitions

    def end_offset(self, topic: str, partition: int) -> int:
        with self.connection() as db:
            return _end(db, self._topic(topic).partition_id(partition))

    # Writing

    def append(self, messages: Sequence[Message], timeout_s: float = 10.0) -> list[Appended]:
        for message in messages:
            self._check(message)
        with self.writing(timeout_s) as db:
            return self._append(db, messages)

    @contextmanager
    def transaction(
        self, consumer: Consumer | None = None, name: str | None = None, timeout_s: float = 10.0
    ) -> Iterator[Transaction]:
        """As the port says; ``name`` fences nobody here, because writers are serialised anyway."""
        if consumer is not None and not (isinstance(consumer, SqliteConsumer) and consumer.belongs_to(self)):
            raise TypeError("transaction(consumer): a consumer of another log.")
        tx = Transaction(self._check, consumer is not None)
        try:
            yield tx
            with self.writing(timeout_s) as db:
                if consumer is not None and tx.offsets:
                    consumer.store(db, tx.offsets)
                appended = self._append(db, tx.messages)
        except BaseException:
            if consumer is not None:
                consumer.rewind()
            raise
        tx.ended(appended)

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
        now_ms = self.now_ms()
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
            record = _record_id(partition_id, offset)
            db.execute(
                "INSERT INTO records VALUES (?, ?, ?)",
                (record, now_ms, _pack(message, erasable=topic.spec.cleanup is not Cleanup.KEEP)),
            )
            if topic.spec.cleanup is Cleanup.COMPACT:
                _note_newest(db, partition_id, message, record, now_ms)
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
            with self.connection() as db:
                batch = _fetch(db, of, partition_id, start, end, _BATCH_ROWS)
            if not batch:
                return
            yield from batch
            start = batch[-1].offset + 1

    def subscribe(self, group: str, topics: Sequence[str], session_timeout_s: float = 10.0) -> SqliteConsumer:
        partition_ids = {
            TopicPartition(name, n): self._topic(name).partition_id(n)
            for name in topics
            for n in range(self.partitions(name))
        }
        return SqliteConsumer(self, group, partition_ids, session_timeout_s)

    # Removing

    def trim(self, topic: str, partition: int, before: int) -> None:
        found = self._topic(topic)
        if found.spec.cleanup is not Cleanup.EXPIRE:
            raise LogError(f"{topic}: a {found.spec.cleanup.value} topic cannot be trimmed. Only EXPIRE topics can.")
        partition_id = found.partition_id(partition)
        while True:
            with self.writing() as db:
                dropped = _drop(db, partition_id, below=before)
            if dropped < _DELETE_ROWS:
                return

    def compact(self, topic: str) -> None:
        found = self._topic(topic)
        if found.spec.cleanup is not Cleanup.COMPACT:
            raise LogError(f"{topic}: a {found.spec.cleanup.value} topic is never compacted. Only COMPACT topics are.")
        low, high = found.record_range()
        while True:
            with self.writing() as db:
                removed = self._remove_obsolete(db, low, high, superseded_before_ms=self.now_ms() + 1)
            if removed < _DELETE_ROWS:
                return

    def scrub(self) -> float:
        """Checkpoint and empty the WAL; deleted rows are overwritten in the file itself (secure_delete)."""
        with self._lock.held(_SCRUB_S), self.connection() as db:
            deadline = time.monotonic() + _SCRUB_S
            while True:
                (busy, _, _) = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
                if not busy:
                    return 0.0
                if time.monotonic() > deadline:
                    raise LogUnavailable(
                        f"{self._path}: a reader has kept its snapshot for {_SCRUB_S:.0f} s, so deleted bytes are "
                        "still in the WAL. End programs that hold the file open (sqlite3, backups), and scrub again."
                    )
                time.sleep(0.01)

    def _keep_house(self, db: sqlite3.Connection) -> None:
        """Remove some of what retention and compaction bounds want gone; the next round takes the rest."""
        if time.monotonic() < self._next_housekeeping:
            return
        now_ms = self.now_ms()
        removed = 0
        for (name,) in db.execute("SELECT topic FROM topics").fetchall():
            topic = self._topic(name)
            spec = topic.spec
            if spec.cleanup is Cleanup.EXPIRE and spec.retention_s is not None:
                for partition in range(spec.partitions):
                    removed += _drop(db, topic.partition_id(partition), older_ms=now_ms - spec.retention_s * 1000)
            elif spec.cleanup is Cleanup.COMPACT:
                # Half the bound is for waiting until somebody comes by here.
                removed += self._remove_obsolete(db, *topic.record_range(), now_ms - spec.compaction_bound_s * 500)
        self._next_housekeeping = time.monotonic() + (0.0 if removed >= _DELETE_ROWS else self._housekeeping_s)

    def keep_house(self) -> None:
        """What an append does in passing, for a log that is only polled."""
        if time.monotonic() >= self._next_housekeeping:
            with self.writing() as db:
                self._keep_house(db)

    def _remove_obsolete(self, db: sqlite3.Connection, low: int, high: int, superseded_before_ms: int) -> int:
        rows = db.execute(
            "SELECT record, is_deletion FROM obsolete WHERE record >= ? AND record < ? AND since_ms < "
            "CASE is_deletion WHEN 0 THEN ? ELSE ? END LIMIT ?",
            (low, high, superseded_before_ms, self.now_ms() - self._tombstone_retention_ms, _DELETE_ROWS),
        ).fetchall()
        for record, is_deletion in rows:
            if is_deletion:
                (body,) = db.execute("SELECT body FROM records WHERE id = ?", (record,)).fetchone()
                db.execute(
                    "DELETE FROM newest WHERE partition = ? AND key = ?",
                    (record >> _OFFSET_BITS, _key_hash(_unpack(body)[0])),
                )
            db.execute("DELETE FROM records WHERE id = ?", (record,))
            db.execute("DELETE FROM obsolete WHERE record = ?", (record,))
        return len(rows)

    def close(self) -> None:
        self._closed = True
        while self._idle:
            self._idle.pop().close()

    # Connections

    def _create(self) -> None:
        # Made here and not by SQLite, so that only this user can read it; WAL and index inherit that.
        os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        self.members_dir.mkdir(mode=0o700, exist_ok=True)
        with self.writing() as db:
            (found,) = db.execute("PRAGMA user_version").fetchone()
            if found not in (0, _FORMAT):
                raise LogError(
                    f"{self._path}: written in format {found}; this version of Mneme knows {_FORMAT}. "
                    "Use the version that wrote it, or name another file."
                )
            (page_bytes,) = db.execute("PRAGMA page_size").fetchone()
            if page_bytes != _PAGE_BYTES:  # made by another program; deleted bytes would not be gone, see _pack
                raise LogError(f"{self._path}: a SQLite file, but no log of Mneme. Name another file.")
            for statement in _SCHEMA.split(";"):
                db.execute(statement)
            if found == 0:
                db.execute(f"PRAGMA user_version = {_FORMAT}")

    def _connect(self) -> sqlite3.Connection:
        db = sqlite3.connect(self._path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
        db.execute(f"PRAGMA page_size = {_PAGE_BYTES}")  # of a new file; see _pack
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
    def connection(self) -> Iterator[sqlite3.Connection]:
        """A connection that no other thread uses meanwhile. After an error it is not used again."""
        if self._closed:
            raise LogError(f"{self._path}: this log was closed.")
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
            raise LogUnavailable(f"{self._path}: {error}. {remedy}", in_doubt=in_doubt) from error
        except OSError as error:
            raise LogUnavailable(f"{self._path}: {error}. Make room, or let this user write there.") from error

    def now_ms(self) -> int:
        return int(self._clock() * 1000)

    def _topic(self, name: str) -> _Topic:
        topic = self._topics.get(name)
        if topic is None:
            with self.connection() as db:
                topic = _find_topic(db, name)
            if topic is None:
                raise LogError(f"{name}: there is no such topic. Name it in ensure_topics first.")
            self._topics[name] = topic
        return topic


class SqliteConsumer:
    """A member of a group. A partition changes hands when its owner polls, leaves, times out or dies."""

    def __init__(
        self, log: SqliteLog, group: str, partition_ids: dict[TopicPartition, int], session_timeout_s: float
    ) -> None:
        self._log = log
        self._group = group
        self._partition_ids = partition_ids
        self._topics = sorted({p.topic for p in partition_ids})
        self._session_ms = int(session_timeout_s * 1000)
        self._presence: _Presence | None = None  # None: not a member (yet, or any more)
        self._claims: list[TopicPartition] = []
        self._positions: dict[TopicPartition, int] = {}
        self._closed = False

    def belongs_to(self, log: SqliteLog) -> bool:
        return self._log is log

    def poll(
        self, max_records: int = 256, timeout_s: float = 0.2, without: Collection[TopicPartition] = ()
    ) -> list[Record]:
        if self._closed:
            raise LogError(f"{self._group}: this consumer was closed.")
        deadline = time.monotonic() + timeout_s
        self._log.keep_house()
        with self._log.connection() as db:
            while True:
                version = _data_version(db)
                self._check_in(db)
                records = self._fetch(db, max_records, without)
                if records or time.monotonic() >= deadline:
                    return records
                _await_change(db, version, min(deadline, time.monotonic() + _LOOK_AGAIN_S))

    def assignment(self) -> frozenset[TopicPartition]:
        return frozenset(self._claims)

    def seek(self, partition: TopicPartition, offset: int) -> None:
        if partition not in self._claims:
            raise Fenced(f"{self._group}: {partition} is not this consumer's. Poll, and look at assignment().")
        self._positions[partition] = offset

    def rewind(self) -> None:
        """Read again from the committed offsets."""
        self._positions.clear()

    def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        with self._log.writing() as db:
            self.store(db, offsets)

    def committed(self, partition: TopicPartition) -> int:
        with self._log.connection() as db:
            return self._committed(db, partition)

    def lag(self) -> int:
        with self._log.connection() as db:
            return sum(max(0, _end(db, self._partition_ids[p]) - self._committed(db, p)) for p in self._claims)

    def close(self) -> None:
        """Leave the group: others may take the partitions at once."""
        if self._closed:
            return
        self._closed = True
        self._claims = []
        if self._presence is not None:
            # When the log cannot be written (any more), the others notice by the released presence.
            with suppress(LogError), self._log.writing() as db:
                _expel(db, self._group, self._presence.member)
            self._presence.release()
            self._presence = None

    def store(self, db: sqlite3.Connection, offsets: Mapping[TopicPartition, int]) -> None:
        """Write offsets in a transaction of the caller; Fenced unless this is still the owner."""
        group = _load_group(db, self._group)
        me = group.members.get(self._presence.member) if self._presence is not None else None
        if me is None or not me.is_live(self._log.now_ms()):
            raise Fenced(
                f"{self._group}: this consumer left its group, or did not poll for {self._session_ms / 1000:g} s "
                "(session_timeout_s). Poll again: records come again from the committed offsets."
            )
        for partition, offset in offsets.items():
            partition_id = self._partition_ids.get(partition)
            if partition_id is None or group.claims.get(partition_id) != me.name:
                raise Fenced(f"{self._group}: {partition} went to another consumer, or was never this one's.")
            db.execute("INSERT OR REPLACE INTO offsets VALUES (?, ?, ?)", (self._group, partition_id, offset))

    def _committed(self, db: sqlite3.Connection, partition: TopicPartition) -> int:
        partition_id = self._partition_ids[partition]
        row = db.execute(
            "SELECT next FROM offsets WHERE grp = ? AND partition = ?", (self._group, partition_id)
        ).fetchone()
        return int(row[0]) if row is not None else _first(db, partition_id)

    def _fetch(self, db: sqlite3.Connection, max_records: int, without: Collection[TopicPartition]) -> list[Record]:
        records: list[Record] = []
        for partition in [p for p in self._claims if p not in without]:
            position = self._positions.get(partition)
            if position is None:
                position = self._committed(db, partition)
            room = min(max_records - len(records), _BATCH_ROWS)
            batch = _fetch(db, partition, self._partition_ids[partition], position, _MAX_OFFSET, room)
            self._positions[partition] = batch[-1].offset + 1 if batch else position
            records += batch
            if len(records) >= max_records:
                break
        if self._claims:  # the next poll begins with another partition, or a busy one would starve the rest
            self._claims.append(self._claims.pop(0))
        return records

    # Membership

    def _check_in(self, db: sqlite3.Connection) -> None:
        """Renew the membership, let go what others should have, take what is free. Mostly: find nothing to do."""
        if self._has_to_act(_load_group(db, self._group)):
            with self._log.writing() as writing:
                self._act(writing, _load_group(writing, self._group))

    def _has_to_act(self, group: _Group) -> bool:
        now_ms = self._log.now_ms()
        me = group.members.get(self._presence.member) if self._presence is not None else None
        if me is None or not me.is_live(now_ms) or me.expires_ms - now_ms < self._session_ms * 2 // 3:
            return True
        if any(self._is_gone(m, now_ms) for m in group.members.values()):
            return True
        mine = {p for p, owner in group.claims.items() if owner == me.name}
        should_have = self._share(group, me.name)
        return bool(mine - should_have or should_have - set(group.claims))

    def _act(self, db: sqlite3.Connection, group: _Group) -> None:
        now_ms = self._log.now_ms()
        for member in group.members.values():
            if self._is_gone(member, now_ms):
                _expel(db, self._group, member.name)
        group = _load_group(db, self._group)
        if self._presence is None or self._presence.member not in group.members:
            self._join()
        assert self._presence is not None
        name = self._presence.member
        db.execute(
            "INSERT OR REPLACE INTO members VALUES (?, ?, ?, ?, ?)",
            (self._group, name, json.dumps(self._topics), self._session_ms, now_ms + self._session_ms),
        )
        group = _load_group(db, self._group)
        should_have = self._share(group, name)
        mine = {p for p, owner in group.claims.items() if owner == name}
        for partition_id in mine - should_have:
            db.execute("DELETE FROM claims WHERE grp = ? AND partition = ?", (self._group, partition_id))
        for partition_id in should_have - set(group.claims):
            db.execute("INSERT INTO claims VALUES (?, ?, ?)", (self._group, partition_id, name))
        now_mine = (mine & should_have) | (should_have - set(group.claims))
        self._claims = [p for p, partition_id in self._partition_ids.items() if partition_id in now_mine]
        self._positions = {p: offset for p, offset in self._positions.items() if p in self._claims}

    def _join(self) -> None:
        """Become a member under a new name, so that whatever the old one began is fenced."""
        if self._presence is not None:
            self._presence.release()
        self._presence = _Presence(self._log.members_dir)
        self._positions.clear()

    def _is_gone(self, member: _Member, now_ms: int) -> bool:
        if not member.is_live(now_ms):
            return True
        is_me = self._presence is not None and member.name == self._presence.member
        return not is_me and _is_released(self._log.members_dir / member.name)

    def _share(self, group: _Group, name: str) -> set[int]:
        """Partitions that a member should have: dealt out in turn, so those of one number in all topics go together."""
        share = set()
        for partition, partition_id in self._partition_ids.items():
            interested = sorted(m.name for m in group.members.values() if partition.topic in m.topics)
            if interested[partition.partition % len(interested)] == name:
                share.add(partition_id)
        return share


@dataclass(frozen=True, slots=True)
class _Member:
    name: str
    topics: frozenset[str]
    session_ms: int
    expires_ms: int

    def is_live(self, now_ms: int) -> bool:
        """Whether it polled in time. An expiry too far ahead was written before the clock was set back."""
        return now_ms < self.expires_ms <= now_ms + self.session_ms


@dataclass(frozen=True, slots=True)
class _Group:
    members: dict[str, _Member]
    claims: dict[int, str]  # partition id to member


@dataclass(frozen=True, slots=True)
class _Topic:
    spec: TopicSpec
    first_id: int

    def partition_id(self, partition: int) -> int:
        if not 0 <= partition < self.spec.partitions:
            raise LogError(f"{self.spec.name}: no partition {partition}; it has {self.spec.partitions}.")
        return self.first_id + partition

    def record_range(self) -> tuple[int, int]:
        return _record_id(self.first_id, 0), _record_id(self.first_id + self.spec.partitions, 0)


class _Presence:
    """A locked file that says a member's process lives: the kernel unlocks it when the process dies, however."""

    def __init__(self, folder: Path) -> None:
        self.member = secrets.token_hex(8)
        self._path = folder / self.member
        self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._fd, fcntl.LOCK_EX)

    def release(self) -> None:
        self._path.unlink(missing_ok=True)
        os.close(self._fd)


def _is_released(path: Path) -> bool:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(fd)
    path.unlink(missing_ok=True)  # its process died and left it
    return True


class _WriterLock:
    """One writer at a time over all processes, handed on by the kernel: a waiting writer sleeps until it is its turn.

    SQLite's own busy handler polls, so that one of two busy writers may starve for seconds.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._turn = threading.Lock()  # of this process's threads
        self._waiting: _Waiting | None = None  # still waiting for a caller that gave up
        os.close(self._open())

    @contextmanager
    def held(self, timeout_s: float) -> Iterator[None]:
        """LogUnavailable when others keep it beyond ``timeout_s``, a stopped process say."""
        deadline = time.monotonic() + timeout_s
        if not self._turn.acquire(timeout=max(0.0, timeout_s)):
            raise self._kept_by_others(timeout_s)
        try:
            fd = self._acquire(deadline)
            if fd is None:
                raise self._kept_by_others(timeout_s)
            try:
                yield
            finally:
                os.close(fd)  # unlocks, too
        finally:
            self._turn.release()

    def _acquire(self, deadline: float) -> int | None:
        while True:
            if self._waiting is None:
                fd = self._open()
                if _try_lock(fd):
                    return fd
                self._waiting = _Waiting(fd)
            got = self._waiting.wait(deadline - time.monotonic())
            if got is not None or self._waiting.is_over:
                self._waiting = None
            if got is not None or time.monotonic() >= deadline:
                return got

    def _open(self) -> int:
        return os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def _kept_by_others(self, timeout_s: float) -> LogUnavailable:
        return LogUnavailable(
            f"{self._path}: other writers kept the log for {timeout_s:g} s (timeout_s). Look for a stopped process "
            "that has this file open, and end it; or allow more time."
        )


class _Waiting:
    """A thread that sleeps in flock, because flock knows no timeout. A caller that gives up leaves it to the next."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._changed = threading.Condition()
        self._wanted = False
        self._locked = False
        self.is_over = False  # it got the lock, nobody wanted it any more, and it was let go
        threading.Thread(target=self._run, name="log-writer-lock", daemon=True).start()

    def _run(self) -> None:
        fcntl.flock(self._fd, fcntl.LOCK_EX)
        with self._changed:
            self._locked = True
            if self._wanted:
                self._changed.notify()
            else:
                self._let_go()

    def wait(self, timeout_s: float) -> int | None:
        """The locked file, the caller's to close; None when the time is up or it is over."""
        with self._changed:
            if self.is_over:
                return None
            self._wanted = True
            try:
                self._changed.wait_for(lambda: self._locked, max(0.0, timeout_s))
            except BaseException:
                if self._locked:
                    self._let_go()
                raise
            finally:
                self._wanted = False
            return self._fd if self._locked else None

    def _let_go(self) -> None:
        os.close(self._fd)
        self.is_over = True


def _try_lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


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

_MAX_OFFSET = 1 << _OFFSET_BITS


def _record_id(partition_id: int, offset: int) -> int:
    return (partition_id << _OFFSET_BITS) + offset


def _offset(record: int) -> int:
    return record & (_MAX_OFFSET - 1)


def _find_topic(db: sqlite3.Connection, name: str) -> _Topic | None:
    row = db.execute("SELECT * FROM topics WHERE topic = ?", (name,)).fetchone()
    if row is None:
        return None
    topic, partitions, cleanup, retention_s, compaction_bound_s, max_message_bytes, first_id = row
    spec = TopicSpec(topic, partitions, Cleanup(cleanup), retention_s, compaction_bound_s, max_message_bytes)
    return _Topic(spec, first_id)


def _insert_topic(db: sqlite3.Connection, spec: TopicSpec) -> None:
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


def _note_newest(db: sqlite3.Connection, partition_id: int, message: Message, record: int, now_ms: int) -> None:
    key = _key_hash(message.key)
    row = db.execute("SELECT record FROM newest WHERE partition = ? AND key = ?", (partition_id, key)).fetchone()
    if row is not None:
        db.execute("INSERT OR REPLACE INTO obsolete VALUES (?, ?, 0)", (row[0], now_ms))
    if message.value is None:
        db.execute("INSERT INTO obsolete VALUES (?, ?, 1)", (record, now_ms))
    db.execute("INSERT OR REPLACE INTO newest VALUES (?, ?, ?)", (partition_id, key, record))


def _key_hash(key: bytes) -> bytes:
    """Keys may name people, and rows of ``newest`` may leave copies behind."""
    return hashlib.blake2b(key, digest_size=16).digest()


def _drop(db: sqlite3.Connection, partition_id: int, *, below: int = _MAX_OFFSET, older_ms: int | None = None) -> int:
    """Drop a partition's first records: those below an offset, or up to the first that is not older. Some at a time."""
    rows = db.execute(
        "SELECT id, timestamp_ms FROM records WHERE id >= ? AND id < ? ORDER BY id LIMIT ?",
        (_record_id(partition_id, 0), _record_id(partition_id, below), _DELETE_ROWS),
    ).fetchall()
    ids = []
    for record, timestamp_ms in rows:
        if older_ms is not None and timestamp_ms >= older_ms:
            break
        ids.append(record)
    if ids:
        db.execute("DELETE FROM records WHERE id >= ? AND id <= ?", (ids[0], ids[-1]))
        db.execute("UPDATE partitions SET first = ? WHERE id = ?", (_offset(ids[-1]) + 1, partition_id))
    return len(ids)


def _first(db: sqlite3.Connection, partition_id: int) -> int:
    (first,) = db.execute("SELECT first FROM partitions WHERE id = ?", (partition_id,)).fetchone()
    return int(first)


def _end(db: sqlite3.Connection, partition_id: int) -> int:
    row = db.execute(
        "SELECT id FROM records WHERE id >= ? AND id < ? ORDER BY id DESC LIMIT 1",
        (_record_id(partition_id, 0), _record_id(partition_id + 1, 0)),
    ).fetchone()
    return _offset(row[0]) + 1 if row is not None else _first(db, partition_id)


def _fetch(
    db: sqlite3.Connection, of: TopicPartition, partition_id: int, start: int, end: int, limit: int
) -> list[Record]:
    """Records of [start, end), at most ``limit`` and about ``_BATCH_BYTES``: a short snapshot."""
    cursor = db.execute(
        "SELECT id, timestamp_ms, body FROM records WHERE id >= ? AND id < ? ORDER BY id LIMIT ?",
        (_record_id(partition_id, max(0, start)), _record_id(partition_id, min(end, _MAX_OFFSET)), limit),
    )
    records: list[Record] = []
    room = _BATCH_BYTES
    for record, timestamp_ms, body in cursor:
        key, value, headers = _unpack(body)
        records.append(Record(of.topic, of.partition, _offset(record), key, value, headers, timestamp_ms))
        room -= len(body)
        if room <= 0:
            break
    cursor.close()
    return records


def _load_group(db: sqlite3.Connection, group: str) -> _Group:
    members = {
        name: _Member(name, frozenset(json.loads(topics)), session_ms, expires_ms)
        for name, topics, session_ms, expires_ms in db.execute(
            "SELECT member, topics, session_ms, expires_ms FROM members WHERE grp = ?", (group,)
        )
    }
    return _Group(members, dict(db.execute("SELECT partition, member FROM claims WHERE grp = ?", (group,)).fetchall()))


def _expel(db: sqlite3.Connection, group: str, member: str) -> None:
    db.execute("DELETE FROM members WHERE grp = ? AND member = ?", (group, member))
    db.execute("DELETE FROM claims WHERE grp = ? AND member = ?", (group, member))


def _data_version(db: sqlite3.Connection) -> int:
    """Changes whenever another connection commits; asking costs microseconds."""
    return int(db.execute("PRAGMA data_version").fetchone()[0])


def _await_change(db: sqlite3.Connection, version: int, deadline: float) -> None:
    pause_s = 0.001
    while time.monotonic() < deadline and _data_version(db) == version:
        time.sleep(pause_s)
        pause_s = min(pause_s * 1.3, 0.01)


def _require_same(spec: TopicSpec, found: TopicSpec) -> None:
    if (spec.partitions, spec.cleanup, spec.retention_s) != (found.partitions, found.cleanup, found.retention_s):
        raise TopicMismatch(
            f"{spec.name}: the log has it with {_describe(found)}, asked for is {_describe(spec)}. "
            "Set the configuration to what the log has, or start with a new log."
        )


def _describe(spec: TopicSpec) -> str:
    retention = "" if spec.retention_s is None else f" after {spec.retention_s} s"
    return f"{spec.partitions} partitions, cleanup {spec.cleanup.value}{retention}"


# How a record's body is laid out: leading zeros (their number first), lengths, key, headers, value, zeros.
_LEAD = struct.Struct(">H")
_LENGTHS = struct.Struct(">IIi")  # key, headers, value; -1: the value is None

# SQLite keeps the first bytes of a row in the tree and the rest on overflow pages, once a row is longer than
# _IN_TREE_MAX. Then it keeps _IN_TREE + (size - _IN_TREE) % _ON_PAGE bytes in the tree, or just _IN_TREE when that
# would be more than _IN_TREE_MAX (its file format, section 1.6). A body that is to leave no trace is therefore
# padded to a little less than a whole number of overflow pages, and begins with zeros that fill the tree's share.
_ON_PAGE = _PAGE_BYTES - 4
_IN_TREE_MAX = _PAGE_BYTES - 35
_IN_TREE = (_PAGE_BYTES - 12) * 32 // 255 - 23
_ROW_HEADER_MAX = 16  # record header and timestamp, before the body


def _pack(message: Message, *, erasable: bool) -> bytes:
    headers = b"".join(map(_sized, chain.from_iterable((k.encode(), v) for k, v in message.headers.items())))
    value = message.value
    lengths = _LENGTHS.pack(len(message.key), len(headers), -1 if value is None else len(value))
    content = b"".join((lengths, message.key, headers, value or b""))
    if not erasable:
        return _LEAD.pack(0) + content
    lead = _IN_TREE
    size = _LEAD.size + lead + len(content) + _ROW_HEADER_MAX
    whole = _IN_TREE + -(-(size - _IN_TREE) // _ON_PAGE) * _ON_PAGE
    return b"".join((_LEAD.pack(lead), bytes(lead), content, bytes(whole - size)))


def _unpack(body: bytes) -> tuple[bytes, bytes | None, dict[str, bytes]]:
    at = _LEAD.size + _LEAD.unpack_from(body)[0]
    key_length, headers_length, value_length = _LENGTHS.unpack_from(body, at)
    at += _LENGTHS.size
    key = body[at : at + key_length]
    at += key_length
    parts = list(_parts(body[at : at + headers_length]))
    headers = {name.decode(): value for name, value in zip(parts[::2], parts[1::2], strict=True)}
    at += headers_length
    return key, None if value_length < 0 else body[at : at + value_length], headers


def _sized(part: bytes) -> bytes:
    return struct.pack(">I", len(part)) + part


def _parts(packed: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(packed):
        (length,) = struct.unpack_from(">I", packed, at)
        yield packed[at + 4 : at + 4 + length]
        at += 4 + length
