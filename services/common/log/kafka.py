"""The log on Apache Kafka, by kafka-python.

Every append is a transaction, so that several messages are appended together or not at all, and readers read only
what was committed. Partitions are computed here (``partition_of``), not by the client.

A commit or abort leaves a marker, so Kafka's offsets have gaps and a partition's end may lie behind its last record.
``end_offset`` and ``lag`` look at the records: a reader that has read all is at the end.

COMPACT topics: the broker cleans only segments that are closed, and closes one only when something is appended later.
Their segments are short-lived (``_settings``), and an aborted append, which nobody reads, closes the last.
"""

from __future__ import annotations

import logging
import math
import threading
import time
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from kafka import KafkaConsumer, KafkaProducer
from kafka import errors as kafka_errors
from kafka.admin import ConfigResource, ConfigResourceType, NewTopic
from kafka.structs import OffsetAndMetadata
from kafka.structs import TopicPartition as KafkaPartition

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
from services.common.log.kafka_contact import admin_client, away
from services.common.log.security import KafkaSecurity

PLAINTEXT = KafkaSecurity()
_TOMBSTONE_RETENTION_MS = 86_400_000  # readers that were away for less learn of deletions
_BATCH_OVERHEAD_BYTES = 32 * 1024  # what the broker counts beyond our limit: small messages travel together
_REQUEST_MAX_BYTES = 64 * 1024 * 1024  # below the broker's socket.request.max.bytes
_PRODUCERS_MAX = 4  # transactions of one process at once
_ABORT_S = 0.5  # beyond the caller's timeout; an abort that is not done by then is left to the broker
_OFFSETS_S = 10.0
_HEARTBEAT_MS = 10_000
_READ_IDLE_S = 10.0  # a read that gets nothing for so long fails
_logger = logging.getLogger(__name__)


class KafkaLog:
    """The log port on a Kafka cluster (3.0 or newer). Thread-safe.

    replication_factor: of topics that are made here. -1: the cluster's default.replication.factor.
    transaction_timeout_s: after it the broker aborts what a dead process left open, and readers go on. Longer than
        one transaction takes to send, which is milliseconds: it is open only while the block ends.
    connect_timeout_s: how long the constructor waits for an answer before it raises LogUnavailable.
    security: who we are to the cluster and whom we trust; every client speaks so. LogError where it refuses us.
    client: further settings of kafka-python's clients.
    """

    def __init__(
        self,
        bootstrap_servers: Sequence[str],
        *,
        replication_factor: int = -1,
        transaction_timeout_s: float = 5.0,
        connect_timeout_s: float = 10.0,
        security: KafkaSecurity = PLAINTEXT,
        client: Mapping[str, Any] | None = None,
    ) -> None:
        self._servers = list(bootstrap_servers)
        self._replication_factor = replication_factor
        self._transaction_timeout_ms = int(transaction_timeout_s * 1000)
        self._security = security
        self._client: dict[str, Any] = {
            **security.client(),
            "bootstrap_servers": self._servers,
            "bootstrap_timeout_ms": int(connect_timeout_s * 1000),
            "request_timeout_ms": 10_000,
            "retry_backoff_ms": 5,  # of 100, which a transaction waits several times
            "reconnect_backoff_max_ms": 1_000,  # of 30 s: be back soon after the broker
            **(client or {}),
        }
        self._topics: dict[str, _Topic] = {}
        self._ends: dict[TopicPartition, tuple[int, int]] = {}  # Kafka's end, and the end of the records
        self._producers = _Pool(self._new_producer, _PRODUCERS_MAX)
        self._named: dict[str, _TransactionalProducer] = {}
        self._readers: _Pool[KafkaConsumer] = _Pool(self._new_reader, None)
        self._lock = threading.Lock()
        self._closed = False
        self._connect_timeout_s = connect_timeout_s
        self._require_answer()
        with self.translating():
            self._admin = admin_client(self._servers, self._client)

    # Topics

    def ensure_topics(self, specs: Sequence[TopicSpec]) -> None:
        names = [spec.name for spec in specs]
        with self.translating():
            found = self._describe(names)
            missing = [self._new_topic(spec) for spec in specs if spec.name not in found]
            if missing:
                with suppress(kafka_errors.TopicAlreadyExistsError):  # another process was faster: looked at below
                    self._admin.create_topics(missing, timeout_ms=10_000)
                found = self._await_topics(names)
            for spec in specs:
                _require_same(spec, found[spec.name])
                found[spec.name] = self._tune(spec, found[spec.name])
        self._topics.update(found)

    def _new_topic(self, spec: TopicSpec) -> Any:
        return NewTopic(spec.name, spec.partitions, self._replication_factor, topic_configs=_settings(spec))

    def _tune(self, spec: TopicSpec, topic: _Topic) -> _Topic:
        """Bring the settings that may change (bounds, sizes) to what the spec says."""
        wanted = _settings(spec)
        changed = {name: value for name, value in wanted.items() if topic.settings.get(name) != value}
        if changed:
            self._admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, spec.name, changed)], incremental=True)
        return _Topic(topic.name, topic.partitions, {**topic.settings, **changed})

    def _await_topics(self, names: Sequence[str]) -> dict[str, _Topic]:
        """Brokers learn of a new topic a little after it was made."""
        until = time.monotonic() + 10.0
        while len(found := self._describe(names)) < len(set(names)):
            if time.monotonic() > until:
                raise kafka_errors.KafkaTimeoutError(f"no sign of the topics {set(names) - set(found)}")
            time.sleep(0.02)
        return found

    def _describe(self, names: Sequence[str]) -> dict[str, _Topic]:
        """Topics that exist and have their leaders, with all their settings."""
        partitions = {
            topic["name"]: len(topic["partitions"])
            for topic in self._admin.describe_topics(list(names))
            if topic["error_code"] == 0 and all(p["leader_id"] >= 0 for p in topic["partitions"])
        }
        if not partitions:
            return {}
        resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in partitions]
        settings = self._admin.describe_configs(resources, config_filter="all")["topic"]
        return {
            name: _Topic(name, count, {key: str(entry["value"]) for key, entry in settings[name].items()})
            for name, count in partitions.items()
        }

    def topic(self, name: str) -> _Topic:
        topic = self._topics.get(name)
        if topic is None:
            with self.translating():
                topic = self._describe([name]).get(name)
            if topic is None:
                raise LogError(f"{name}: there is no such topic. Name it in ensure_topics first.")
            self._topics[name] = topic
        return topic

    def partitions(self, topic: str) -> int:
        return self.topic(topic).partitions

    # Writing

    def append(self, messages: Sequence[Message], timeout_s: float = 10.0) -> list[Appended]:
        placed = [self._place(message) for message in messages]
        if not placed:
            return []
        return self._run(None, placed, {}, None, time.monotonic() + timeout_s)

    @contextmanager
    def transaction(
        self, consumer: Consumer | None = None, name: str | None = None, timeout_s: float = 10.0
    ) -> Iterator[Transaction]:
        """As the port says. The broker's transaction is open only while the block ends, so readers hardly wait."""
        if consumer is not None and not (isinstance(consumer, KafkaLogConsumer) and consumer.belongs_to(self)):
            raise TypeError("transaction(consumer): a consumer of another log.")
        tx = Transaction(self._place, consumer is not None)
        try:
            named = None if name is None else self._holder(name, timeout_s)
            yield tx
            membership = consumer.membership(tx.offsets) if consumer is not None and tx.offsets else None
            placed = [self._place(message) for message in tx.messages]
            appended = self._run(named, placed, tx.offsets, membership, time.monotonic() + timeout_s)
        except BaseException:
            if consumer is not None:
                consumer.rewind()
            raise
        tx.ended(appended)

    def _run(
        self,
        producer: _TransactionalProducer | None,
        placed: Sequence[_Placed],
        offsets: Mapping[TopicPartition, int],
        membership: Any,
        deadline: float,
    ) -> list[Appended]:
        if not placed and not offsets:
            return []
        with self.translating():
            if producer is not None:
                appended = producer.run(placed, offsets, membership, deadline)
            else:
                with self._producers.taken(deadline) as any_producer:
                    appended = any_producer.run(placed, offsets, membership, deadline)
            self._await_visible(appended, deadline)
        return appended

    def _await_visible(self, appended: Sequence[Appended], deadline: float) -> None:
        """Wait, a few milliseconds, until readers see what was committed.

        The broker answers a commit once it is decided and marks the partitions after that. Whoever asks for the end
        of the log after an append must find it there. Somebody else's open transaction may hold it back for longer;
        it is committed nevertheless, so nothing here fails the call.
        """
        hidden = {KafkaPartition(a.topic, a.partition): a.offset for a in appended}
        with suppress(kafka_errors.KafkaError, LogError), self._readers.taken(deadline) as reader:
            while hidden and time.monotonic() < deadline:
                ends = _offsets(reader.end_offsets, list(hidden), deadline)
                hidden = {partition: offset for partition, offset in hidden.items() if ends[partition] <= offset}
                if hidden:
                    time.sleep(0.001)

    def _holder(self, name: str, timeout_s: float) -> _TransactionalProducer:
        """The producer that holds a name. Taking it fences whoever held it before."""
        with self._lock:
            producer = self._named.get(name)
            if producer is None:
                producer = _TransactionalProducer(f"mneme-{name}", self._producer_settings(), is_shared_name=True)
                self._named[name] = producer
        with self.translating():
            producer.start(time.monotonic() + timeout_s)
        return producer

    def _place(self, message: Message) -> _Placed:
        """Where a message goes. MessageTooLarge, LogError for an unknown topic or partition."""
        topic = self.topic(message.topic)
        partition = topic.require(message.partition_in(topic.partitions))
        if message.size_bytes > topic.max_message_bytes:
            raise MessageTooLarge(
                f"{message.topic}: a message of {message.size_bytes} bytes; the topic takes "
                f"{topic.max_message_bytes} (max_message_bytes). Split it, or raise the limit."
            )
        return _Placed(message, partition)

    def _new_producer(self) -> _TransactionalProducer:
        return _TransactionalProducer(f"mneme-{uuid.uuid4()}", self._producer_settings(), is_shared_name=False)

    def _producer_settings(self) -> dict[str, Any]:
        return {
            **self._client,
            "acks": "all",
            "transaction_timeout_ms": self._transaction_timeout_ms,
            "max_request_size": _REQUEST_MAX_BYTES,
            "metrics_enabled": False,
        }

    # Reading

    def read(self, topic: str, partition: int, start: int = 0, end: int | None = None) -> Iterator[Record]:
        of = KafkaPartition(topic, self.topic(topic).require(partition))
        last = self._kafka_end(of)
        return self._read(of, start, last if end is None else min(end, last))

    def _read(self, of: KafkaPartition, start: int, end: int) -> Iterator[Record]:
        if start >= end:
            return
        with self.translating(), self._readers.taken(math.inf) as reader:
            reader.assign([of])
            reader.seek(of, max(0, start))
            idle_until = time.monotonic() + _READ_IDLE_S
            # The end may lie behind markers that are never delivered: go by the position, not by the records.
            while (reader.position(of, timeout_ms=_READ_IDLE_S * 1000) or 0) < end:
                for record in reader.poll(timeout_ms=2).get(of, ()):
                    if record.offset >= end:
                        return
                    yield _record(record)
                    idle_until = time.monotonic() + _READ_IDLE_S
                if time.monotonic() > idle_until:
                    raise kafka_errors.KafkaTimeoutError(f"nothing came from {of} for {_READ_IDLE_S:g} s")

    def end_offset(self, topic: str, partition: int) -> int:
        of = KafkaPartition(topic, self.topic(topic).require(partition))
        last = self._kafka_end(of)
        known = self._ends.get(TopicPartition(topic, partition))
        if known is not None and known[0] == last:
            return known[1]
        end = self._end_of_records(of, last)
        self._ends[TopicPartition(topic, partition)] = (last, end)
        return end

    def _end_of_records(self, of: KafkaPartition, last: int) -> int:
        """Look back from Kafka's end for the last record; mostly one or two offsets, for the markers after it."""
        first = self.first_offset(of)
        step = 2
        while last > first:
            end = max((r.offset + 1 for r in self._read(of, max(first, last - step), last)), default=None)
            if end is not None:
                return end
            if last - step <= first:
                break
            step *= 8
        return first

    def _kafka_end(self, of: KafkaPartition) -> int:
        """Where the next record that a reader may see will come, or a marker."""
        with self.translating(), self._readers.taken(math.inf) as reader:
            return _offsets(reader.end_offsets, [of], time.monotonic() + _OFFSETS_S)[of]

    def first_offset(self, of: KafkaPartition) -> int:
        with self.translating(), self._readers.taken(math.inf) as reader:
            return _offsets(reader.beginning_offsets, [of], time.monotonic() + _OFFSETS_S)[of]

    def _new_reader(self) -> KafkaConsumer:
        self._require_answer()
        return KafkaConsumer(**self._reader_settings())

    def _reader_settings(self) -> dict[str, Any]:
        return {
            **self._client,
            "isolation_level": "read_committed",
            "enable_auto_commit": False,
            "auto_offset_reset": "earliest",
            "allow_auto_create_topics": False,
            "fetch_max_bytes": 16 * 1024 * 1024,
            "fetch_max_wait_ms": 100,
            "metrics_enabled": False,
        }

    def subscribe(self, group: str, topics: Sequence[str], session_timeout_s: float = 10.0) -> KafkaLogConsumer:
        for name in topics:
            self.topic(name)
        session_ms = int(session_timeout_s * 1000)
        settings = {
            **self._reader_settings(),
            "group_id": group,
            # A process that died is noticed by its missing heartbeats, long before a slow one is by its missing polls.
            "session_timeout_ms": min(session_ms, _HEARTBEAT_MS),
            # A member that does not poll is as dead as one that does not answer.
            "max_poll_interval_ms": session_ms,
            "heartbeat_interval_ms": min(1_000, session_ms // 3),
        }
        with self.translating():
            self._require_answer()
            consumer = KafkaConsumer(**settings)
            for name in topics:
                # Asked for its partitions, it knows them. A member that deals out partitions before it does gives
                # nobody any, and does not notice for minutes.
                consumer.partitions_for_topic(name)
            consumer.subscribe(list(topics))
            return KafkaLogConsumer(self, consumer, group, session_timeout_s)

    # Removing

    def trim(self, topic: str, partition: int, before: int) -> None:
        found = self.topic(topic)
        if not found.is_expiring:
            raise LogError(f"{topic}: a topic that keeps or compacts cannot be trimmed. Only EXPIRE topics can.")
        of = KafkaPartition(topic, found.require(partition))
        before = min(before, self._kafka_end(of))
        if before > self.first_offset(of):
            with self.translating():
                self._admin.delete_records({of: before})

    def compact(self, topic: str) -> None:
        found = self.topic(topic)
        if not found.is_compacted:
            raise LogError(f"{topic}: this topic is never compacted. Only COMPACT topics are.")
        superseded = {n: offsets for n in range(found.partitions) if (offsets := self._superseded(topic, n))}
        if not superseded:
            return
        deadline = time.monotonic() + found.compaction_bound_s
        # A segment is closed by the first append after its time, and only closed ones are cleaned.
        time.sleep(found.segment_ms / 1000 + 0.1)
        self._close_segments(topic, superseded)
        for partition, offsets in superseded.items():
            self._await_cleaning(topic, partition, offsets, deadline)

    def _superseded(self, topic: str, partition: int) -> list[int]:
        newest: dict[bytes, int] = {}
        superseded = []
        for record in self.read(topic, partition):
            if record.key in newest:
                superseded.append(newest[record.key])
            newest[record.key] = record.offset
        return sorted(superseded)

    def _close_segments(self, topic: str, partitions: Iterable[int]) -> None:
        placed = [_Placed(Message(topic, b"", None, partition=n), n) for n in partitions]
        deadline = time.monotonic() + 10.0
        with self.translating(), self._producers.taken(deadline) as producer:
            producer.append_and_abort(placed, deadline)

    def _await_cleaning(self, topic: str, partition: int, superseded: list[int], deadline: float) -> None:
        """Wait until none of the offsets can be read. The cleaner goes up from the oldest, so the last tells first."""
        while superseded:
            last = superseded[-1]
            if not any(True for _ in self.read(topic, partition, last, last + 1)):
                superseded = [n for n in superseded if any(True for _ in self.read(topic, partition, n, n + 1))]
            elif time.monotonic() > deadline:
                raise LogUnavailable(
                    f"{topic}: the broker has not compacted partition {partition} within compaction_bound_s. Look at "
                    "its log cleaner (log.cleaner.enable, log.cleaner.backoff.ms, log-cleaner.log)."
                )
            else:
                time.sleep(0.25)

    def scrub(self) -> float:
        """Bytes go when the broker cleans: within the largest ``compaction_bound_s`` of the COMPACT topics in use.

        Closes their segments first, in the background, because a closed segment is what the broker cleans. Trimmed
        records of EXPIRE topics cannot be read at once; their bytes go with their segment, within the retention.
        """
        compacted = [topic for topic in self._topics.values() if topic.is_compacted]
        for topic in compacted:
            wait_s = topic.segment_ms / 1000 + 0.1
            timer = threading.Timer(wait_s, self._close_segments_late, (topic.name, range(topic.partitions)))
            timer.daemon = True
            timer.start()
        return float(max((topic.compaction_bound_s for topic in compacted), default=0))

    def close(self) -> None:
        self._closed = True
        self._readers.close()
        self._producers.close()
        with self._lock:
            named, self._named = list(self._named.values()), {}
        for producer in named:
            producer.close()
        self._admin.close()

    def _close_segments_late(self, topic: str, partitions: Iterable[int]) -> None:
        try:
            if not self._closed:
                self._close_segments(topic, partitions)
        except LogError as error:
            _logger.warning("%s: segments stay open until the next append (%s)", topic, error)

    def _require_answer(self) -> None:
        """LogUnavailable unless somebody listens. LogError where they do not speak as we do."""
        if "proxy_url" in self._client:
            return
        reasons = []
        for server in self._servers:
            reason = away(server, self._security, self._connect_timeout_s)
            if reason is None:
                return
            reasons.append(reason)
        raise self._unavailable("; ".join(dict.fromkeys(reasons)))

    def _unavailable(self, why: object) -> LogUnavailable:
        return LogUnavailable(
            f"Kafka at {', '.join(self._servers)}: {why}. Start the broker (infra/kafka/up on a developer's machine), "
            "or correct the address in common.log; then try again."
        )

    @contextmanager
    def translating(self) -> Iterator[None]:
        """The client's errors as the port's."""
        if self._closed:
            raise LogError(f"Kafka at {', '.join(self._servers)}: this log was closed.")
        try:
            yield
        except _TOO_LARGE as error:
            raise MessageTooLarge(
                f"the broker takes no message that large ({error}). Raise max.message.bytes."
            ) from error
        except _LOST_MEMBERSHIP as error:
            raise Fenced(f"this consumer lost its partitions ({error!r}). Poll again.") from error
        except kafka_errors.RetriableError as error:
            raise self._unavailable(repr(error)) from error
        except kafka_errors.KafkaError as error:
            raise LogError(f"Kafka at {', '.join(self._servers)} refused: {error!r}.") from error


_TOO_LARGE = (kafka_errors.MessageSizeTooLargeError, kafka_errors.RecordListTooLargeError)
_LOST_MEMBERSHIP = (
    kafka_errors.CommitFailedError,
    kafka_errors.IllegalGenerationError,
    kafka_errors.UnknownMemberIdError,
    kafka_errors.RebalanceInProgressError,
    kafka_errors.FencedInstanceIdError,
)


def _offsets(
    ask: Callable[..., dict[KafkaPartition, int]], partitions: list[KafkaPartition], deadline: float
) -> dict[KafkaPartition, int]:
    """What ``ask`` says of every partition. kafka-python (3.0.12) raises KeyError where it lost sight of a leader."""
    while True:
        try:
            return ask(partitions, timeout_ms=_left(deadline) * 1000)
        except KeyError:
            if time.monotonic() > deadline:
                raise kafka_errors.KafkaTimeoutError("no leader answered for a partition") from None
            time.sleep(0.02)


class KafkaLogConsumer:
    """A member of a Kafka consumer group."""

    def __init__(self, log: KafkaLog, consumer: KafkaConsumer, group: str, session_timeout_s: float) -> None:
        self._log = log
        self._consumer = consumer
        self._group = group
        self._session_timeout_s = session_timeout_s
        self._membership: Any = None  # as of the last poll: what was read under it is committed under it
        self._must_rewind = False
        self._closed = False

    def belongs_to(self, log: KafkaLog) -> bool:
        return self._log is log

    def poll(
        self, max_records: int = 256, timeout_s: float = 0.2, without: Collection[TopicPartition] = ()
    ) -> list[Record]:
        if self._closed:
            raise LogError(f"{self._group}: this consumer was closed.")
        with self._log.translating():
            self._leave(without)
            if self._must_rewind:
                for partition in self._consumer.assignment():
                    self._consumer.seek(partition, self._committed(partition))
                self._must_rewind = False
            polled = self._consumer.poll(timeout_ms=timeout_s * 1000, max_records=max_records)
            self._membership = self._consumer.group_metadata()
        return [_record(record) for records in polled.values() for record in records]

    def _leave(self, without: Collection[TopicPartition]) -> None:
        """Have the next poll give nothing of these, and of others again."""
        ours = self._consumer.assignment()
        left = {_kafka_partition(partition) for partition in without} & ours
        self._consumer.resume(*(self._consumer.paused() & ours) - left)
        self._consumer.pause(*left)

    def assignment(self) -> frozenset[TopicPartition]:
        return frozenset(TopicPartition(p.topic, p.partition) for p in self._consumer.assignment())

    def seek(self, partition: TopicPartition, offset: int) -> None:
        if partition not in self.assignment():
            raise Fenced(f"{self._group}: {partition} is not this consumer's. Poll, and look at assignment().")
        self._consumer.seek(_kafka_partition(partition), offset)

    def rewind(self) -> None:
        """Read again from the committed offsets, from the next poll on."""
        self._must_rewind = True

    def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        self.membership(offsets)
        with self._log.translating():
            self._consumer.commit(_kafka_offsets(offsets), timeout_ms=10_000)

    def committed(self, partition: TopicPartition) -> int:
        with self._log.translating():
            return self._committed(_kafka_partition(partition))

    def lag(self) -> int:
        return sum(
            max(0, self._log.end_offset(p.topic, p.partition) - self.committed(p)) for p in sorted(self.assignment())
        )

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._consumer.close(autocommit=False, timeout_ms=2_000)

    def membership(self, offsets: Mapping[TopicPartition, int]) -> Any:
        """What lets the broker refuse a stale member. Fenced when it is known here already.

        A member that never joined must not get as far as the broker, which takes it for one without a group.
        """
        now = self._consumer.group_metadata()
        known = self._membership
        if (
            known is None
            or not known.member_id
            or (known.member_id, known.generation_id)
            != (
                now.member_id,
                now.generation_id,
            )
        ):
            raise Fenced(
                f"{self._group}: this consumer left its group, or did not poll for {self._session_timeout_s:g} s "
                "(session_timeout_s). Poll again: records come again from the committed offsets."
            )
        lost = [str(p) for p in offsets if p not in self.assignment()]
        if lost:
            raise Fenced(f"{self._group}: {', '.join(lost)} went to another consumer, or was never this one's.")
        return known

    def _committed(self, partition: KafkaPartition) -> int:
        committed = self._consumer.committed(partition, timeout_ms=10_000)
        return self._log.first_offset(partition) if committed is None else int(committed)


class _TransactionalProducer:
    """One transactional id, one transaction at a time.

    kafka-python's own calls wait for the broker without bound (``commit_transaction``, ``abort_transaction``,
    ``send_offsets_to_transaction``), so this goes to the manager behind them, which hands out results to wait for.
    After a failure that leaves the outcome open, the client is thrown away: the next one with the same id makes the
    broker finish or abort what the old one began.
    """

    def __init__(self, transactional_id: str, settings: dict[str, Any], *, is_shared_name: bool) -> None:
        self._settings = {**settings, "transactional_id": transactional_id}
        self._is_shared_name = is_shared_name
        self._lock = threading.Lock()
        self._client: KafkaProducer | None = None

    def start(self, deadline: float) -> None:
        """Take the transactional id, which fences whoever had it."""
        with self._held(deadline):
            self._started(deadline)

    def run(
        self, placed: Sequence[_Placed], offsets: Mapping[TopicPartition, int], membership: Any, deadline: float
    ) -> list[Appended]:
        """Append and commit offsets in one transaction."""
        with self._held(deadline):
            client = self._started(deadline)
            with self._aborting(client):
                sent = self._send(client, placed, deadline)
                if offsets:
                    manager = client._transaction_manager
                    self._await(
                        client, manager.send_offsets_to_transaction(_kafka_offsets(offsets), membership), deadline
                    )
                appended = self._await_sent(client, placed, sent, deadline)
            self._commit(client, deadline)
            return appended

    def append_and_abort(self, placed: Sequence[_Placed], deadline: float) -> None:
        """Append what nobody will read."""
        with self._held(deadline):
            client = self._started(deadline)
            with self._aborting(client):
                self._await_sent(client, placed, self._send(client, placed, deadline), deadline)
            self._abort(client)

    def close(self) -> None:
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close(timeout=2)

    @contextmanager
    def _held(self, deadline: float) -> Iterator[None]:
        if not self._lock.acquire(timeout=_left(deadline)):
            raise kafka_errors.KafkaTimeoutError("another transaction of the same name is still running")
        try:
            yield
        finally:
            self._lock.release()

    def _started(self, deadline: float) -> KafkaProducer:
        if self._client is None:
            client = KafkaProducer(**{**self._settings, "bootstrap_timeout_ms": _left(deadline) * 1000})
            client.config["max_block_ms"] = _left(deadline) * 1000
            try:
                client.init_transactions()
            except BaseException:
                _discard(client)
                raise
            self._client = client
        return self._client

    def _send(self, client: KafkaProducer, placed: Sequence[_Placed], deadline: float) -> list[Any]:
        client.begin_transaction()
        sent = []
        for place in placed:
            message = place.message
            client.config["max_block_ms"] = _left(deadline) * 1000
            headers = list(message.headers.items())
            sent.append(client.send(message.topic, message.value, message.key, headers, place.partition))
        return sent

    def _await_sent(
        self, client: KafkaProducer, placed: Sequence[_Placed], sent: list[Any], deadline: float
    ) -> list[Appended]:
        client.flush(timeout=_left(deadline))
        return [
            Appended(place.message.topic, place.partition, future.get(timeout=_left(deadline)).offset)
            for place, future in zip(placed, sent, strict=True)
        ]

    def _commit(self, client: KafkaProducer, deadline: float) -> None:
        try:
            done = self._wait(client, client._transaction_manager.begin_commit(), deadline)
        except kafka_errors.KafkaError as error:
            cause = client._transaction_manager.last_error or error
            self._throw_away()
            raise self._as_port_error(cause) from error
        if not done:
            self._throw_away()
            raise LogUnavailable(
                "Kafka fell silent during a commit: all of the call took effect, or nothing. Read, then try again.",
                in_doubt=True,
            )

    @contextmanager
    def _aborting(self, client: KafkaProducer) -> Iterator[None]:
        """Abort when the block fails, and raise what made it fail: the client often reports only that it did."""
        try:
            yield
        except BaseException as error:
            cause = client._transaction_manager.last_error
            self._abort(client)
            if isinstance(error, kafka_errors.KafkaError) and cause is not None:
                raise self._as_port_error(cause) from error
            raise

    def _as_port_error(self, cause: BaseException) -> BaseException:
        if not isinstance(cause, kafka_errors.ProducerFencedError):
            return cause  # the client's own
        if self._is_shared_name:
            return Fenced(f"another holder took {self._settings['transactional_id']}. Start from the committed offset.")
        # Nobody else knows this id, so it was the broker: the transaction took too long, or the id was idle for days.
        timed_out: BaseException = kafka_errors.KafkaTimeoutError("the broker ended it (transaction_timeout_s)")
        return timed_out

    def _abort(self, client: KafkaProducer) -> None:
        try:
            done = self._wait(client, client._transaction_manager.begin_abort(), time.monotonic() + _ABORT_S)
        except kafka_errors.KafkaError:
            done = False
        if not done:
            self._throw_away()

    def _await(self, client: KafkaProducer, result: Any, deadline: float) -> None:
        if not self._wait(client, result, deadline):
            raise kafka_errors.KafkaTimeoutError("the broker did not answer in time (timeout_s)")

    def _wait(self, client: KafkaProducer, result: Any, deadline: float) -> bool:
        client._sender.wakeup()
        return bool(result.wait(timeout_ms=_left(deadline) * 1000))

    def _throw_away(self) -> None:
        if self._client is not None:
            _discard(self._client)
            self._client = None


def _discard(client: KafkaProducer) -> None:
    """End a client at once. Its thread may be waiting for the broker, so not on ours."""
    client._sender.force_close()
    threading.Thread(target=client.close, kwargs={"timeout": 60}, name="kafka-discard", daemon=True).start()


class _Closable(Protocol):
    def close(self) -> None: ...


_C = TypeVar("_C", bound=_Closable)


class _Pool(Generic[_C]):
    """Clients that are made when none is idle; at most ``limit`` are taken at once."""

    def __init__(self, make: Callable[[], _C], limit: int | None) -> None:
        self._make = make
        self._room = None if limit is None else threading.Semaphore(limit)
        self._idle: list[_C] = []
        self._closed = False

    @contextmanager
    def taken(self, deadline: float) -> Iterator[_C]:
        if self._room is not None and not self._room.acquire(timeout=_left(deadline)):
            raise kafka_errors.KafkaTimeoutError("other transactions of this process were not done in time")
        try:
            try:
                client = self._idle.pop()
            except IndexError:
                client = self._make()
            try:
                yield client
            finally:
                if self._closed:
                    client.close()
                else:
                    self._idle.append(client)
        finally:
            if self._room is not None:
                self._room.release()

    def close(self) -> None:
        self._closed = True
        while self._idle:
            self._idle.pop().close()


@dataclass(frozen=True, slots=True)
class _Placed:
    message: Message
    partition: int


@dataclass(frozen=True, slots=True)
class _Topic:
    """A topic as the broker has it."""

    name: str
    partitions: int
    settings: Mapping[str, str]

    @property
    def is_compacted(self) -> bool:
        return self.settings["cleanup.policy"] == "compact"

    @property
    def is_expiring(self) -> bool:
        return self.settings["cleanup.policy"] == "delete" and self.settings["retention.ms"] != "-1"

    @property
    def segment_ms(self) -> int:
        return int(self.settings["segment.ms"])

    @property
    def compaction_bound_s(self) -> float:
        return int(self.settings["max.compaction.lag.ms"]) * _LAG_PART / 1000

    @property
    def max_message_bytes(self) -> int:
        return max(0, int(self.settings["max.message.bytes"]) - _BATCH_OVERHEAD_BYTES)

    def require(self, partition: int) -> int:
        if not 0 <= partition < self.partitions:
            raise LogError(f"{self.name}: no partition {partition}; it has {self.partitions}.")
        return partition


# Parts of compaction_bound_s: a segment is closed after one, the cleaner has to take it after the other. The rest is
# for the cleaner to come by (every 15 s by default) and to do it.
_SEGMENT_PART = 12
_LAG_PART = 4


def _settings(spec: TopicSpec) -> dict[str, str]:
    """The topic settings a spec stands for."""
    size = {"max.message.bytes": str(spec.max_message_bytes + _BATCH_OVERHEAD_BYTES)}
    if spec.cleanup is Cleanup.KEEP:
        return {**size, "cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1"}
    if spec.cleanup is Cleanup.EXPIRE:
        if spec.retention_s is None:
            raise ValueError(f"{spec.name}: an EXPIRE topic needs retention_s")
        return {
            **size,
            "cleanup.policy": "delete",
            "retention.ms": str(spec.retention_s * 1000),
            "segment.ms": str(max(1_000, spec.retention_s * 1000 // 4)),  # only whole segments expire
            "file.delete.delay.ms": "1000",
        }
    bound_ms = spec.compaction_bound_s * 1000
    return {
        **size,
        "cleanup.policy": "compact",
        "segment.ms": str(max(1_000, bound_ms // _SEGMENT_PART)),
        "max.compaction.lag.ms": str(bound_ms // _LAG_PART),
        "min.cleanable.dirty.ratio": "0.01",
        "delete.retention.ms": str(_TOMBSTONE_RETENTION_MS),
        "file.delete.delay.ms": "1000",
    }


_FIXED = ("cleanup.policy", "retention.ms")  # what a topic is, not how it is tuned


def _require_same(spec: TopicSpec, topic: _Topic) -> None:
    wanted = {name: value for name, value in _settings(spec).items() if name in _FIXED}
    found = {name: topic.settings.get(name, "") for name in wanted}
    if topic.partitions != spec.partitions or found != wanted:
        raise TopicMismatch(
            f"{spec.name}: the broker has it with {_said(topic.partitions, found)}; asked for is "
            f"{_said(spec.partitions, wanted)}. Set the configuration to what the broker has, or use another topic."
        )


def _said(partitions: int, settings: Mapping[str, str]) -> str:
    return ", ".join([f"{partitions} partitions", *(f"{name} {value}" for name, value in settings.items())])


def _record(record: Any) -> Record:
    return Record(
        record.topic,
        record.partition,
        record.offset,
        record.key if record.key is not None else b"",
        record.value,
        {name: value if value is not None else b"" for name, value in record.headers},
        record.timestamp,
    )


def _kafka_partition(partition: TopicPartition) -> KafkaPartition:
    return KafkaPartition(partition.topic, partition.partition)


def _kafka_offsets(offsets: Mapping[TopicPartition, int]) -> dict[Any, Any]:
    return {_kafka_partition(p): OffsetAndMetadata(offset, "", -1) for p, offset in offsets.items()}


def _left(deadline: float) -> float:
    """Seconds until a deadline, as locks and clients take them."""
    return min(max(0.0, deadline - time.monotonic()), threading.TIMEOUT_MAX)
