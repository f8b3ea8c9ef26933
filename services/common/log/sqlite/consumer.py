"""Consumers of a log's file. What a group has read lies in the same file, and is committed with what was made of it."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress

from services.common.log.base import Fenced, LogError, Record, TopicPartition
from services.common.log.sqlite.database import Database, await_change, data_version
from services.common.log.sqlite.groups import Group, Member, Presence, expel, is_released, load_group
from services.common.log.sqlite.tables import BATCH_ROWS, MAX_OFFSET, end_offset, fetch, first_offset

_LOOK_AGAIN_S = 0.25  # while waiting for records: are the other members of the group still there?


class SqliteConsumer:
    """A member of a group. A partition changes hands when its owner polls, leaves, times out or dies."""

    def __init__(
        self,
        database: Database,
        keep_house: Callable[[], None],
        group: str,
        partition_ids: dict[TopicPartition, int],
        session_timeout_s: float,
    ) -> None:
        """``keep_house``: what an append does in passing, for a log that is only polled."""
        self._database = database
        self._keep_house = keep_house
        self._group = group
        self._partition_ids = partition_ids
        self._topics = sorted({p.topic for p in partition_ids})
        self._session_ms = int(session_timeout_s * 1000)
        self._presence: Presence | None = None  # None: not a member (yet, or any more)
        self._claims: list[TopicPartition] = []
        self._positions: dict[TopicPartition, int] = {}
        self._closed = False

    def belongs_to(self, database: Database) -> bool:
        return self._database is database

    def poll(
        self, max_records: int = 256, timeout_s: float = 0.2, without: Collection[TopicPartition] = ()
    ) -> list[Record]:
        if self._closed:
            raise LogError(f"{self._group}: this consumer was closed.")
        deadline = time.monotonic() + timeout_s
        self._keep_house()
        with self._database.connection() as db:
            while True:
                version = data_version(db)
                self._check_in(db)
                records = self._fetch(db, max_records, without)
                if records or time.monotonic() >= deadline:
                    return records
                await_change(db, version, min(deadline, time.monotonic() + _LOOK_AGAIN_S))

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
        with self._database.writing() as db:
            self.store(db, offsets)

    def committed(self, partition: TopicPartition) -> int:
        with self._database.connection() as db:
            return self._committed(db, partition)

    def lag(self) -> int:
        with self._database.connection() as db:
            return sum(max(0, end_offset(db, self._partition_ids[p]) - self._committed(db, p)) for p in self._claims)

    def close(self) -> None:
        """Leave the group: others may take the partitions at once."""
        if self._closed:
            return
        self._closed = True
        self._claims = []
        if self._presence is not None:
            # When the log cannot be written (any more), the others notice by the released presence.
            with suppress(LogError), self._database.writing() as db:
                expel(db, self._group, self._presence.member)
            self._presence.release()
            self._presence = None

    def store(self, db: sqlite3.Connection, offsets: Mapping[TopicPartition, int]) -> None:
        """Write offsets in a transaction of the caller; Fenced unless this is still the owner."""
        group = load_group(db, self._group)
        me = group.members.get(self._presence.member) if self._presence is not None else None
        if me is None or not me.is_live(self._database.now_ms()):
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
        return int(row[0]) if row is not None else first_offset(db, partition_id)

    def _fetch(self, db: sqlite3.Connection, max_records: int, without: Collection[TopicPartition]) -> list[Record]:
        records: list[Record] = []
        for partition in [p for p in self._claims if p not in without]:
            position = self._positions.get(partition)
            if position is None:
                position = self._committed(db, partition)
            room = min(max_records - len(records), BATCH_ROWS)
            batch = fetch(db, partition, self._partition_ids[partition], position, MAX_OFFSET, room)
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
        if self._has_to_act(load_group(db, self._group)):
            with self._database.writing() as writing:
                self._act(writing, load_group(writing, self._group))

    def _has_to_act(self, group: Group) -> bool:
        now_ms = self._database.now_ms()
        me = group.members.get(self._presence.member) if self._presence is not None else None
        if me is None or not me.is_live(now_ms) or me.expires_ms - now_ms < self._session_ms * 2 // 3:
            return True
        if any(self._is_gone(m, now_ms) for m in group.members.values()):
            return True
        mine = {p for p, owner in group.claims.items() if owner == me.name}
        should_have = self._share(group, me.name)
        return bool(mine - should_have or should_have - set(group.claims))

    def _act(self, db: sqlite3.Connection, group: Group) -> None:
        now_ms = self._database.now_ms()
        for member in group.members.values():
            if self._is_gone(member, now_ms):
                expel(db, self._group, member.name)
        group = load_group(db, self._group)
        if self._presence is None or self._presence.member not in group.members:
            self._join()
        assert self._presence is not None
        name = self._presence.member
        db.execute(
            "INSERT OR REPLACE INTO members VALUES (?, ?, ?, ?, ?)",
            (self._group, name, json.dumps(self._topics), self._session_ms, now_ms + self._session_ms),
        )
        group = load_group(db, self._group)
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
        self._presence = Presence(self._database.members_dir)
        self._positions.clear()

    def _is_gone(self, member: Member, now_ms: int) -> bool:
        if not member.is_live(now_ms):
            return True
        is_me = self._presence is not None and member.name == self._presence.member
        return not is_me and is_released(self._database.members_dir / member.name)

    def _share(self, group: Group, name: str) -> set[int]:
        """Partitions that a member should have: dealt out in turn, so those of one number in all topics go together."""
        share = set()
        for partition, partition_id in self._partition_ids.items():
            interested = sorted(m.name for m in group.members.values() if partition.topic in m.topics)
            if interested[partition.partition % len(interested)] == name:
                share.add(partition_id)
        return share
