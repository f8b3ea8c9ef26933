"""Members of Kafka's consumer groups."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from kafka import KafkaConsumer
from kafka.structs import MemberState
from kafka.structs import TopicPartition as KafkaPartition

from services.common.log.base import Fenced, LogError, Record, TopicPartition
from services.common.log.kafka.cluster import Cluster
from services.common.log.kafka.reader import Reader
from services.common.log.kafka.wire import kafka_offsets, kafka_partition, records_of


class KafkaLogConsumer:
    """A member of a Kafka consumer group."""

    def __init__(
        self, cluster: Cluster, reader: Reader, consumer: KafkaConsumer, group: str, session_timeout_s: float
    ) -> None:
        self._cluster = cluster
        self._reader = reader
        self._consumer = consumer
        self._group = group
        self._session_timeout_s = session_timeout_s
        self._membership: Any = None  # as of the last poll: what was read under it is committed under it
        self._must_rewind = False
        self._closed = False

    def belongs_to(self, cluster: Cluster) -> bool:
        return self._cluster is cluster

    def poll(
        self, max_records: int = 256, timeout_s: float = 0.2, without: Collection[TopicPartition] = ()
    ) -> list[Record]:
        if self._closed:
            raise LogError(f"{self._group}: this consumer was closed.")
        with self._cluster.translating():
            self._leave(without)
            if self._must_rewind:
                for partition in self._consumer.assignment():
                    self._consumer.seek(partition, self._committed(partition))
                self._must_rewind = False
            polled = self._consumer.poll(timeout_ms=timeout_s * 1000, max_records=max_records)
            self._membership = self._consumer.group_metadata()
            if self._membership.state is MemberState.REBALANCING:
                # A poll that ends while its member joins leaves the client's join running. Two polls may wait for one
                # join then: the first ends it, the other begins a second, which nobody waits for when that poll ends
                # too. The client sends no heartbeat until it has joined, so the broker would drop the member, for good.
                self._consumer._coordinator.request_rejoin()
        return [record for records in polled.values() for record in records_of(records)]

    def _leave(self, without: Collection[TopicPartition]) -> None:
        """Have the next poll give nothing of these, and of others again."""
        ours = self._consumer.assignment()
        left = {kafka_partition(partition) for partition in without} & ours
        self._consumer.resume(*(self._consumer.paused() & ours) - left)
        self._consumer.pause(*left)

    def assignment(self) -> frozenset[TopicPartition]:
        return frozenset(TopicPartition(p.topic, p.partition) for p in self._consumer.assignment())

    def seek(self, partition: TopicPartition, offset: int) -> None:
        if partition not in self.assignment():
            raise Fenced(f"{self._group}: {partition} is not this consumer's. Poll, and look at assignment().")
        self._consumer.seek(kafka_partition(partition), offset)

    def rewind(self) -> None:
        """Read again from the committed offsets, from the next poll on."""
        self._must_rewind = True

    def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        self.membership(offsets)
        with self._cluster.translating():
            self._consumer.commit(kafka_offsets(offsets), timeout_ms=10_000)

    def committed(self, partition: TopicPartition) -> int:
        with self._cluster.translating():
            return self._committed(kafka_partition(partition))

    def lag(self) -> int:
        return sum(
            max(0, self._reader.end_of_records(kafka_partition(p)) - self.committed(p))
            for p in sorted(self.assignment())
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
        return self._reader.first_offset(partition) if committed is None else int(committed)
