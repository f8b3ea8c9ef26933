"""The ledger without names, read as if it had them: a namespace's entries are keyed by its pseudonym.

The ledger is kept for ever, so a namespace's name may not stand in it. It stands in the namespace's name key, in the
keys topic, which is destroyed with the namespace. ``Named`` is a log whose ledger is written with pseudonyms and read
with names; nobody needs the master key for that. Where a name key is gone, the namespace reads as ``ids.unnamed``. A
namespace without a name key, of a ledger from before there were any, keeps its name as its entries' key.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace

from google.protobuf.message import DecodeError
from mneme.v1.ledger_pb2 import DataKey, LedgerEntry

from services.common.ids import unnamed
from services.common.ledger import topics
from services.common.ledger.entries import entry_of
from services.common.log.base import Appended, Consumer, Log, Message, Record, TopicPartition, TopicSpec, Transaction

_MARK = b"\0"  # before a pseudonym; no name begins so


class Named:
    """A log as another keeps it, less the names in its ledger.

    What was learned of name keys only grows while this lives, so an entry that was read by its name always is.
    """

    def __init__(self, log: Log) -> None:
        self._log = log
        self._read_as: dict[bytes, tuple[bytes, bytes]] = {}  # by pseudonym: the name, and what an entry lacks
        self._pseudonyms: dict[bytes, bytes] = {}  # by name
        self._unknown: set[bytes] = set()  # pseudonyms, and names, that were looked for
        self._next: dict[int, int] = {}  # in the keys topic
        self._lock = threading.Lock()

    def append(self, messages: Sequence[Message], timeout_s: float = 10.0) -> list[Appended]:
        appended = self._log.append([self._written(m) for m in messages], timeout_s)
        for message in messages:
            if message.topic == topics.KEYS and message.value is not None:
                self._learn(message.value)
        return appended

    @contextmanager
    def transaction(
        self, consumer: Consumer | None = None, name: str | None = None, timeout_s: float = 10.0
    ) -> Iterator[Transaction]:
        inner = consumer.inner if isinstance(consumer, _Reading) else consumer
        with self._log.transaction(inner, name, timeout_s) as tx:
            outer = Transaction(lambda message: tx.append(self._written(message)), consumer is not None)
            yield outer
            if outer.offsets:
                tx.commit(outer.offsets)
        outer.ended(list(tx.appended))

    def let_go(self, name: str) -> None:
        self._log.let_go(name)

    def subscribe(
        self, group: str, topics: Sequence[str], session_timeout_s: float = 10.0, *, partition: int | None = None
    ) -> Consumer:
        return _Reading(self._log.subscribe(group, topics, session_timeout_s, partition=partition), self._named)

    def read(self, topic: str, partition: int, start: int = 0, end: int | None = None) -> Iterator[Record]:
        return map(self._named, self._log.read(topic, partition, start, end))

    # --- names ---

    def _written(self, message: Message) -> Message:
        """Without the name, where there is a pseudonym. It lies in the partition of the name all the same."""
        pseudonym = self._pseudonym_of(message) if message.topic == topics.LEDGER else None
        if pseudonym is None:
            return message
        try:
            entry = LedgerEntry.FromString(message.value or b"")
        except DecodeError:
            return message
        if entry.namespace.encode() != message.key:
            return message  # whoever folds it says so
        entry.ClearField("namespace")
        partition_key = message.partition_key or message.key
        return replace(message, key=_MARK + pseudonym, value=entry.SerializeToString(), partition_key=partition_key)

    def _pseudonym_of(self, message: Message) -> bytes | None:
        """Looked for once where it is not known: whoever writes need not have read an entry of the namespace before."""
        with self._lock:
            if message.key not in self._pseudonyms and message.key not in self._unknown:
                self._follow(message.partition_in(self._log.partitions(topics.LEDGER)))
                self._unknown.add(message.key)
        return self._pseudonyms.get(message.key)

    def _named(self, record: Record) -> Record:
        """With the name, where the key is a pseudonym."""
        if record.topic != topics.LEDGER or not record.key.startswith(_MARK):
            return record
        pseudonym = record.key.removeprefix(_MARK)
        name, lacking = self._read_as.get(pseudonym) or self._look_for(pseudonym, record)
        value = (record.value or b"") + lacking
        # As ``replace``, of which every entry would feel the time.
        r = record
        return Record(r.topic, r.partition, r.offset, name, value, r.headers, r.timestamp_ms)

    def _look_for(self, pseudonym: bytes, record: Record) -> tuple[bytes, bytes]:
        """Once, and again at each creation: before its entry a name made anew has a name key anew."""
        with self._lock:
            entry = entry_of(record)
            if pseudonym not in self._unknown or (entry is not None and entry.HasField("namespace_created")):
                self._follow(record.partition)
                self._unknown.add(pseudonym)
        return self._read_as.get(pseudonym) or _reading(unnamed(pseudonym), pseudonym)

    def _follow(self, partition: int) -> None:
        """Learn what is new in a partition of the keys topic: name keys lie in that of their namespace's entries."""
        for record in self._log.read(topics.KEYS, partition, self._next.get(partition, 0)):
            if record.value is not None:
                self._learn(record.value)
            self._next[partition] = record.offset + 1

    def _learn(self, value: bytes) -> None:
        key = DataKey.FromString(value)
        if key.pseudonym:
            self._pseudonyms[key.namespace.encode()] = key.pseudonym
            self._read_as[key.pseudonym] = _reading(key.namespace, key.pseudonym)

    # --- as the log does it ---

    def ensure_topics(self, specs: Sequence[TopicSpec]) -> None:
        self._log.ensure_topics(specs)

    def partitions(self, topic: str) -> int:
        return self._log.partitions(topic)

    def end_offset(self, topic: str, partition: int) -> int:
        return self._log.end_offset(topic, partition)

    def trim(self, topic: str, partition: int, before: int) -> None:
        self._log.trim(topic, partition, before)

    def compact(self, topic: str) -> None:
        self._log.compact(topic)

    def scrub(self) -> float:
        return self._log.scrub()

    def stored_bytes(self, topic: str) -> int | None:
        return self._log.stored_bytes(topic)

    def close(self) -> None:
        self._log.close()


def _reading(name: str, pseudonym: bytes) -> tuple[bytes, bytes]:
    return name.encode(), LedgerEntry(namespace=name, pseudonym=pseudonym).SerializeToString()


class _Reading:
    """A consumer whose records are read with names."""

    def __init__(self, inner: Consumer, named: Callable[[Record], Record]) -> None:
        self.inner = inner
        self._named = named

    def poll(
        self, max_records: int = 256, timeout_s: float = 0.2, without: Collection[TopicPartition] = ()
    ) -> list[Record]:
        return list(map(self._named, self.inner.poll(max_records, timeout_s, without)))

    def assignment(self) -> frozenset[TopicPartition]:
        return self.inner.assignment()

    def seek(self, partition: TopicPartition, offset: int) -> None:
        self.inner.seek(partition, offset)

    def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        self.inner.commit(offsets)

    def committed(self, partition: TopicPartition) -> int:
        return self.inner.committed(partition)

    def lag(self) -> int:
        return self.inner.lag()

    def close(self) -> None:
        self.inner.close()
