"""The log port: what Mneme asks of Kafka, and of SQLite on one machine.

Two implementations, one conformance suite (``tests/conformance/test_log.py``). The port is synchronous and
thread-safe per object unless said otherwise; services call it from their own threads.

Promises every implementation keeps:

* records of one partition are read in offset order; between partitions there is no order;
* the partition of a keyed message is ``partition_of(key, n)``, our own hash, whatever a client library does;
* a transaction appends and commits offsets together or not at all; readers see neither an open nor an
  aborted one;
* a consumer that lost its partitions (left, timed out, was fenced) cannot commit: ``Fenced``;
* a record is delivered again until its offset was committed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

# How long a service may work on one batch before it must poll again; a process that died is noticed much sooner.
BETWEEN_POLLS_S = 60.0


class Cleanup(Enum):
    """How long a topic keeps its records."""

    KEEP = "keep"  # for ever, never compacted
    COMPACT = "compact"  # the newest value of each key; a None value deletes the key
    EXPIRE = "expire"  # retention_s, then gone


@dataclass(frozen=True, slots=True)
class TopicSpec:
    name: str
    partitions: int
    cleanup: Cleanup
    retention_s: int | None = None  # EXPIRE only
    compaction_bound_s: int = 60  # COMPACT only: a superseded value is gone within this
    max_message_bytes: int = 2 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Message:
    """Something to append. ``value=None`` in a COMPACT topic deletes the key."""

    topic: str
    key: bytes
    value: bytes | None
    headers: Mapping[str, bytes] = field(default_factory=dict)
    partition: int | None = None  # None: partition_of(partition_key or key)
    partition_key: bytes | None = None  # e.g. the namespace, where the key is longer than that

    @property
    def size_bytes(self) -> int:
        """What counts against ``TopicSpec.max_message_bytes``: key, value and headers."""
        headers = sum(len(name.encode()) + len(value) for name, value in self.headers.items())
        return len(self.key) + len(self.value or b"") + headers

    def partition_in(self, partitions: int) -> int:
        """The partition it goes to in a topic with that many."""
        if self.partition is not None:
            return self.partition
        return partition_of(self.key if self.partition_key is None else self.partition_key, partitions)


@dataclass(frozen=True, slots=True)
class Record:
    topic: str
    partition: int
    offset: int
    key: bytes
    value: bytes | None
    headers: Mapping[str, bytes]
    timestamp_ms: int


@dataclass(frozen=True, slots=True, order=True)
class TopicPartition:
    topic: str
    partition: int


@dataclass(frozen=True, slots=True)
class Appended:
    topic: str
    partition: int
    offset: int


class LogError(Exception):
    """Base of the port's errors. The message names the setting or field and the remedy."""


class LogUnavailable(LogError):
    """The disk is full, the broker is away, the deadline passed. Nothing of the call was appended.

    ``in_doubt``: the broker fell silent while it was committing, so all of the call took effect or nothing did,
    and only reading tells. Where offsets were committed with it, the committed offsets tell.
    """

    def __init__(self, message: str, *, in_doubt: bool = False) -> None:
        super().__init__(message)
        self.in_doubt = in_doubt


class Fenced(LogError):
    """This consumer or transaction lost its partitions to another one. Start again from the committed offset."""


class TopicMismatch(LogError):
    """A topic exists with other partitions or another cleanup policy than its spec says."""


class MessageTooLarge(LogError):
    """A message is larger than its topic takes."""


def partition_of(key: bytes, partitions: int) -> int:
    """Our own partitioner: BLAKE2b-64 of the key, modulo. Clients' own differ (CRC32, murmur2)."""
    return int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "big") % partitions


class Transaction:
    """Appends and offsets that take effect together when the ``with`` block ends without an exception.

    Both logs collect them here and write them at the end, so that no lock and no open transaction spans the block.
    """

    def __init__(self, check: Callable[[Message], object], has_consumer: bool) -> None:
        self._check = check  # raises for what the log would not take
        self._has_consumer = has_consumer
        self._appended: list[Appended] | None = None
        self.messages: list[Message] = []
        self.offsets: dict[TopicPartition, int] = {}

    def append(self, message: Message) -> None:
        """MessageTooLarge, LogError for an unknown topic or partition; the rest fails at the end of the block."""
        self._check(message)
        self.messages.append(message)

    def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Offsets to commit for the transaction's consumer: the next one to read, per partition."""
        if not self._has_consumer:
            raise LogError("offsets in a transaction without a consumer. Name it: log.transaction(consumer).")
        self.offsets.update(offsets)

    @property
    def appended(self) -> Sequence[Appended]:
        """Where each append went, in order. Only after the block has ended."""
        if self._appended is None:
            raise LogError("where appends went is known only after the transaction's block has ended.")
        return self._appended

    def ended(self, appended: list[Appended]) -> None:
        """For the log: the transaction took effect."""
        self._appended = appended


class Consumer(Protocol):
    """A member of a group. Not thread-safe. Reads from the committed offset, or from the first record.

    One that does not poll for ``session_timeout_s`` loses its partitions, however alive its process is. After Fenced,
    poll again: it joins anew and reads from the committed offsets.
    """

    def poll(
        self, max_records: int = 256, timeout_s: float = 0.2, without: Collection[TopicPartition] = ()
    ) -> list[Record]:
        """Next records of the assigned partitions; [] after ``timeout_s``. Doubles as the heartbeat.

        ``without``: partitions whose records are left for a later poll.
        """
        ...

    def assignment(self) -> frozenset[TopicPartition]:
        """Partitions owned now; may change at any poll."""
        ...

    def seek(self, partition: TopicPartition, offset: int) -> None: ...

    def commit(self, offsets: Mapping[TopicPartition, int]) -> None: ...

    def committed(self, partition: TopicPartition) -> int:
        """Next offset to read as committed; the partition's first offset when none is."""
        ...

    def lag(self) -> int:
        """Offsets between the committed ones and the ends of the assigned partitions; 0 when all was consumed.

        At least the number of records: offsets may have gaps (compaction, Kafka's transaction markers).
        """
        ...

    def close(self) -> None: ...


class Log(Protocol):
    """One log: topics, producers, consumers, transactions."""

    def ensure_topics(self, specs: Sequence[TopicSpec]) -> None:
        """Create what is missing; raise TopicMismatch, naming both, where a topic is not as its spec says."""
        ...

    def append(self, messages: Sequence[Message], timeout_s: float = 10.0) -> list[Appended]:
        """Append all or none, durably; returns when they are. LogUnavailable, MessageTooLarge."""
        ...

    def transaction(
        self, consumer: Consumer | None = None, name: str | None = None, timeout_s: float = 10.0
    ) -> AbstractContextManager[Transaction]:
        """``with log.transaction(consumer) as tx``. Fenced, LogUnavailable when the block ends.

        When the block fails, the consumer goes back to its committed offsets. A second holder of ``name`` fences
        the first; without a name nobody else can hold it, and the consumer's membership alone fences.
        Taking a name, an empty block is enough, also ends at once what a dead holder left open, which otherwise holds
        its partitions and offsets back for some seconds: a service that restarts takes its name before it polls.
        """
        ...

    def let_go(self, name: str) -> None:
        """Hold a transactions' name no more: the next transaction of it takes it anew, and an open one is Fenced.

        For who begins anew, having held the name before: what others did since then is no reason to fence that.
        """
        ...

    def subscribe(
        self, group: str, topics: Sequence[str], session_timeout_s: float = 10.0, *, partition: int | None = None
    ) -> Consumer:
        """``partition``: of each topic this one alone; every member of the group must name the same."""
        ...

    def read(self, topic: str, partition: int, start: int = 0, end: int | None = None) -> Iterator[Record]:
        """Committed records in [start, end), end defaulting to the end at the call. No group, no commit."""
        ...

    def partitions(self, topic: str) -> int: ...

    def end_offset(self, topic: str, partition: int) -> int:
        """One past the newest committed record that is still there: what a reader that has read all waits at."""
        ...

    def trim(self, topic: str, partition: int, before: int) -> None:
        """Drop records below ``before`` for good. EXPIRE topics only: brokers refuse it for the others."""
        ...

    def compact(self, topic: str) -> None:
        """Force compaction of a COMPACT topic; returns when superseded values cannot be read any more.

        A deletion (a None value) itself stays readable for a day, so that readers who were away learn of it.
        """
        ...

    def scrub(self) -> float:
        """Make deleted bytes unreadable on disk. Returns the seconds until that holds (0: now)."""
        ...

    def stored_bytes(self, topic: str) -> int | None:
        """What one copy of a topic takes of the brokers' disks; None where it is a part of a file in ``data_dir``."""
        ...

    def close(self) -> None: ...
