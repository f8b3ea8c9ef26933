"""The log on Apache Kafka, by kafka-python.

Every append is a transaction, so that several messages are appended together or not at all, and readers read only
what was committed. Partitions are computed here (``partition_of``), not by the client.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from kafka import KafkaConsumer
from kafka import errors as kafka_errors
from kafka.admin import ConfigResource, ConfigResourceType, NewTopic
from kafka.structs import TopicPartition as KafkaPartition

from services.common.log.base import (
    Appended,
    Consumer,
    LogError,
    LogUnavailable,
    Message,
    MessageTooLarge,
    Record,
    TopicPartition,
    TopicSpec,
    Transaction,
)
from services.common.log.kafka.assignor import OnePartition
from services.common.log.kafka.cluster import Cluster
from services.common.log.kafka.consumer import KafkaLogConsumer
from services.common.log.kafka.contact import admin_client
from services.common.log.kafka.pool import Pool
from services.common.log.kafka.producer import TransactionalProducer
from services.common.log.kafka.reader import Reader
from services.common.log.kafka.security import KafkaSecurity
from services.common.log.kafka.topics import Topic, bytes_on_disk, require_same, settings_of
from services.common.log.kafka.wire import COMPACTION_MARK, Placed

PLAINTEXT = KafkaSecurity()
_REQUEST_MAX_BYTES = 64 * 1024 * 1024  # below the broker's socket.request.max.bytes
_PRODUCERS_MAX = 4  # transactions of one process at once
_HEARTBEAT_MS = 10_000
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
        self._cluster = Cluster(bootstrap_servers, security, connect_timeout_s, client or {})
        self._replication_factor = replication_factor
        self._transaction_timeout_ms = int(transaction_timeout_s * 1000)
        self._topics: dict[str, Topic] = {}
        self._producers = Pool(self._new_producer, _PRODUCERS_MAX)
        self._named: dict[str, TransactionalProducer] = {}
        self._reader = Reader(self._cluster)
        self._compacted: dict[KafkaPartition, int] = {}  # the mark up to which it is
        self._lock = threading.Lock()
        self._cluster.require_answer()
        with self._cluster.translating():
            self._admin = admin_client(self._cluster.servers, self._cluster.client)

    # Topics

    def ensure_topics(self, specs: Sequence[TopicSpec]) -> None:
        names = [spec.name for spec in specs]
        with self._cluster.translating():
            found = self._describe(names)
            missing = [self._new_topic(spec) for spec in specs if spec.name not in found]
            if missing:
                with suppress(kafka_errors.TopicAlreadyExistsError):  # another process was faster: looked at below
                    self._admin.create_topics(missing, timeout_ms=10_000)
                found = self._await_topics(names)
            for spec in specs:
                require_same(spec, found[spec.name])
                found[spec.name] = self._tune(spec, found[spec.name])
        self._topics.update(found)

    def _new_topic(self, spec: TopicSpec) -> Any:
        return NewTopic(spec.name, spec.partitions, self._replication_factor, topic_configs=settings_of(spec))

    def _tune(self, spec: TopicSpec, topic: Topic) -> Topic:
        """Bring the settings that may change (bounds, sizes) to what the spec says."""
        wanted = settings_of(spec)
        changed = {name: value for name, value in wanted.items() if topic.settings.get(name) != value}
        if changed:
            self._admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, spec.name, changed)], incremental=True)
        return Topic(topic.name, topic.partitions, {**topic.settings, **changed})

    def _await_topics(self, names: Sequence[str]) -> dict[str, Topic]:
        """Brokers learn of a new topic a little after it was made."""
        until = time.monotonic() + 10.0
        while len(found := self._describe(names)) < len(set(names)):
            if time.monotonic() > until:
                raise kafka_errors.KafkaTimeoutError(f"no sign of the topics {set(names) - set(found)}")
            time.sleep(0.02)
        return found

    def _describe(self, names: Sequence[str]) -> dict[str, Topic]:
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
            name: Topic(name, count, {key: str(entry["value"]) for key, entry in settings[name].items()})
            for name, count in partitions.items()
        }

    def topic(self, name: str) -> Topic:
        topic = self._topics.get(name)
        if topic is None:
            with self._cluster.translating():
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
        if consumer is not None and not (isinstance(consumer, KafkaLogConsumer) and consumer.belongs_to(self._cluster)):
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
        producer: TransactionalProducer | None,
        placed: Sequence[Placed],
        offsets: Mapping[TopicPartition, int],
        membership: Any,
        deadline: float,
    ) -> list[Appended]:
        if not placed and not offsets:
            return []
        with self._cluster.translating():
            if producer is not None:
                appended = producer.run(placed, offsets, membership, deadline)
            else:
                with self._producers.taken(deadline) as any_producer:
                    appended = any_producer.run(placed, offsets, membership, deadline)
            self._reader.await_visible(appended, deadline)
        return appended

    def _holder(self, name: str, timeout_s: float) -> TransactionalProducer:
        """The producer that holds a name. Taking it fences whoever held it before."""
        with self._lock:
            producer = self._named.get(name)
            if producer is None:
                producer = TransactionalProducer(f"mneme-{name}", self._producer_settings(), is_shared_name=True)
                self._named[name] = producer
        with self._cluster.translating():
            producer.start(time.monotonic() + timeout_s)
        return producer

    def let_go(self, name: str) -> None:
        with self._lock:
            producer = self._named.pop(name, None)
        if producer is not None:
            producer.close()

    def _place(self, message: Message) -> Placed:
        """Where a message goes. MessageTooLarge, LogError for an unknown topic or partition."""
        topic = self.topic(message.topic)
        partition = topic.require(message.partition_in(topic.partitions))
        if message.size_bytes > topic.max_message_bytes:
            raise MessageTooLarge(
                f"{message.topic}: a message of {message.size_bytes} bytes; the topic takes "
                f"{topic.max_message_bytes} (max_message_bytes). Split it, or raise the limit."
            )
        return Placed(message, partition)

    def _new_producer(self) -> TransactionalProducer:
        return TransactionalProducer(f"mneme-{uuid.uuid4()}", self._producer_settings(), is_shared_name=False)

    def _producer_settings(self) -> dict[str, Any]:
        return {
            **self._cluster.client,
            "acks": "all",
            "transaction_timeout_ms": self._transaction_timeout_ms,
            "max_request_size": _REQUEST_MAX_BYTES,
            "metrics_enabled": False,
        }

    # Reading

    def stored_bytes(self, topic: str) -> int | None:
        with self._cluster.translating():
            return bytes_on_disk(self._admin, topic)

    def read(self, topic: str, partition: int, start: int = 0, end: int | None = None) -> Iterator[Record]:
        of = KafkaPartition(topic, self.topic(topic).require(partition))
        last = self._reader.end(of)
        return self._reader.read(of, start, last if end is None else min(end, last))

    def end_offset(self, topic: str, partition: int) -> int:
        return self._reader.end_of_records(KafkaPartition(topic, self.topic(topic).require(partition)))

    def subscribe(
        self, group: str, topics: Sequence[str], session_timeout_s: float = 10.0, *, partition: int | None = None
    ) -> KafkaLogConsumer:
        for name in topics:
            self.topic(name).require(0 if partition is None else partition)
        session_ms = int(session_timeout_s * 1000)
        settings = {
            **self._reader.settings(),
            "group_id": group,
            # A process that died is noticed by its missing heartbeats, long before a slow one is by its missing polls.
            "session_timeout_ms": min(session_ms, _HEARTBEAT_MS),
            # A member that does not poll is as dead as one that does not answer.
            "max_poll_interval_ms": session_ms,
            "heartbeat_interval_ms": min(1_000, session_ms // 3),
        }
        if partition is not None:
            settings["partition_assignment_strategy"] = (OnePartition(partition),)
        with self._cluster.translating():
            self._cluster.require_answer()
            consumer = KafkaConsumer(**settings)
            for name in topics:
                # Asked for its partitions, it knows them. A member that deals out partitions before it does gives
                # nobody any, and does not notice for minutes.
                consumer.partitions_for_topic(name)
            consumer.subscribe(list(topics))
            return KafkaLogConsumer(self._cluster, self._reader, consumer, group, session_timeout_s)

    # Removing

    def trim(self, topic: str, partition: int, before: int) -> None:
        found = self.topic(topic)
        if not found.is_expiring:
            raise LogError(f"{topic}: a topic that keeps or compacts cannot be trimmed. Only EXPIRE topics can.")
        of = KafkaPartition(topic, found.require(partition))
        before = min(before, self._reader.end(of))
        if before > self._reader.first_offset(of):
            with self._cluster.translating():
                self._admin.delete_records({of: before})

    def compact(self, topic: str) -> None:
        found = self.topic(topic)
        if not found.is_compacted:
            raise LogError(f"{topic}: this topic is never compacted. Only COMPACT topics are.")
        marks = self._mark(topic, self._grown(topic, found.partitions))
        if not marks:
            return
        deadline = time.monotonic() + found.compaction_bound_s
        # A segment is closed by the first append after its time, and only closed ones are cleaned.
        time.sleep(found.segment_ms / 1000 + 0.1)
        self._close_segments(topic, [of.partition for of in marks])
        for of, mark in marks.items():
            self._await_cleaning(of, mark, deadline)
            self._compacted[of] = mark

    def _grown(self, topic: str, partitions: int) -> list[KafkaPartition]:
        """Partitions that hold anything which came since they were compacted."""
        all_of = (KafkaPartition(topic, n) for n in range(partitions))
        return [of for of in all_of if self._reader.end_of_records(of) > self._compacted_to(of)]

    def _compacted_to(self, of: KafkaPartition) -> int:
        mark = self._compacted.get(of)
        return self._reader.first_offset(of) if mark is None else mark

    def _mark(self, topic: str, partitions: Sequence[KafkaPartition]) -> dict[KafkaPartition, int]:
        """Append a mark to each, twice: the offsets of the first ones, which the second supersede."""
        marks = [Message(topic, COMPACTION_MARK, None, partition=of.partition) for of in partitions for _ in (1, 2)]
        appended = self.append(marks)
        return {KafkaPartition(topic, at.partition): at.offset for at in appended[::2]}

    def _close_segments(self, topic: str, partitions: Iterable[int]) -> None:
        placed = [Placed(Message(topic, b"", None, partition=n), n) for n in partitions]
        deadline = time.monotonic() + 10.0
        with self._cluster.translating(), self._producers.taken(deadline) as producer:
            producer.append_and_abort(placed, deadline)

    def _await_cleaning(self, of: KafkaPartition, mark: int, deadline: float) -> None:
        """Wait until a mark is gone. The cleaner looks at all up to the one that superseded it before it removes any,
        and goes up from the oldest: whatever was superseded before the mark is gone then.
        """
        while self._reader.is_there(of, mark):
            if time.monotonic() > deadline:
                raise LogUnavailable(
                    f"{of.topic}: the broker has not compacted partition {of.partition} within compaction_bound_s. "
                    "Look at its log cleaner (log.cleaner.enable, log.cleaner.backoff.ms, log-cleaner.log)."
                )
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
        self._cluster.closed = True
        self._reader.close()
        self._producers.close()
        with self._lock:
            named, self._named = list(self._named.values()), {}
        for producer in named:
            producer.close()
        self._admin.close()

    def _close_segments_late(self, topic: str, partitions: Iterable[int]) -> None:
        try:
            if not self._cluster.closed:
                self._close_segments(topic, partitions)
        except LogError as error:
            _logger.warning("%s: segments stay open until the next append (%s)", topic, error)
