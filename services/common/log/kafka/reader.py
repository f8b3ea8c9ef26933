"""Reading records and offsets without a group.

A commit or abort leaves a marker, so Kafka's offsets have gaps and a partition's end may lie behind its last record:
the end is looked for among the records.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

from kafka import KafkaConsumer
from kafka import errors as kafka_errors
from kafka.structs import TopicPartition as KafkaPartition

from services.common.log.base import Appended, LogError, Record
from services.common.log.kafka.cluster import Cluster
from services.common.log.kafka.pool import Pool
from services.common.log.kafka.wire import offsets_of, records_of

_OFFSETS_S = 10.0
_READ_IDLE_S = 10.0  # a read that gets nothing for so long fails


class Reader:
    """Thread-safe: each thread that reads has a client of its own."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._clients: Pool[KafkaConsumer] = Pool(self._new_client, None)
        self._ends: dict[KafkaPartition, tuple[int, int]] = {}  # Kafka's end, and the end of the records

    def read(self, of: KafkaPartition, start: int, end: int) -> Iterator[Record]:
        if start >= end:
            return
        with self._cluster.translating(), self._clients.taken(math.inf) as reader:
            reader.assign([of])
            reader.seek(of, max(0, start))
            idle_until = time.monotonic() + _READ_IDLE_S
            # The end may lie behind markers that are never delivered: go by the position, not by the records.
            while (reader.position(of, timeout_ms=_READ_IDLE_S * 1000) or 0) < end:
                for record in reader.poll(timeout_ms=2).get(of, ()):
                    if record.offset >= end:
                        return
                    yield from records_of([record])
                    idle_until = time.monotonic() + _READ_IDLE_S
                if time.monotonic() > idle_until:
                    raise kafka_errors.KafkaTimeoutError(f"nothing came from {of} for {_READ_IDLE_S:g} s")

    def is_there(self, of: KafkaPartition, offset: int) -> bool:
        """Whether the record at an offset can be read, a mark too."""
        idle_until = time.monotonic() + _READ_IDLE_S
        with self._cluster.translating(), self._clients.taken(math.inf) as reader:
            reader.assign([of])
            reader.seek(of, offset)
            while (reader.position(of, timeout_ms=_READ_IDLE_S * 1000) or 0) <= offset:
                for record in reader.poll(timeout_ms=2).get(of, ()):
                    return bool(record.offset == offset)
                if time.monotonic() > idle_until:
                    raise kafka_errors.KafkaTimeoutError(f"nothing came from {of} for {_READ_IDLE_S:g} s")
        return False

    def end_of_records(self, of: KafkaPartition) -> int:
        """One past the newest record that is there."""
        last = self.end(of)
        known = self._ends.get(of)
        if known is not None and known[0] == last:
            return known[1]
        end = self._look_back(of, last)
        self._ends[of] = (last, end)
        return end

    def _look_back(self, of: KafkaPartition, last: int) -> int:
        """Look back from Kafka's end for the last record; mostly one or two offsets, for the markers after it."""
        first = self.first_offset(of)
        step = 2
        while last > first:
            end = max((r.offset + 1 for r in self.read(of, max(first, last - step), last)), default=None)
            if end is not None:
                return end
            if last - step <= first:
                break
            step *= 8
        return first

    def end(self, of: KafkaPartition) -> int:
        """Where the next record that a reader may see will come, or a marker."""
        with self._cluster.translating(), self._clients.taken(math.inf) as reader:
            return offsets_of(reader.end_offsets, [of], time.monotonic() + _OFFSETS_S)[of]

    def first_offset(self, of: KafkaPartition) -> int:
        with self._cluster.translating(), self._clients.taken(math.inf) as reader:
            return offsets_of(reader.beginning_offsets, [of], time.monotonic() + _OFFSETS_S)[of]

    def await_visible(self, appended: Sequence[Appended], deadline: float) -> None:
        """Wait, a few milliseconds, until readers see what was committed.

        The broker answers a commit once it is decided and marks the partitions after that. Whoever asks for the end
        of the log after an append must find it there. Somebody else's open transaction may hold it back for longer;
        it is committed nevertheless, so nothing here fails the call.
        """
        hidden = {KafkaPartition(a.topic, a.partition): a.offset for a in appended}
        with suppress(kafka_errors.KafkaError, LogError), self._clients.taken(deadline) as reader:
            while hidden and time.monotonic() < deadline:
                ends = offsets_of(reader.end_offsets, list(hidden), deadline)
                hidden = {partition: offset for partition, offset in hidden.items() if ends[partition] <= offset}
                if hidden:
                    time.sleep(0.001)

    def close(self) -> None:
        self._clients.close()

    def _new_client(self) -> KafkaConsumer:
        self._cluster.require_answer()
        return KafkaConsumer(**self.settings())

    def settings(self) -> dict[str, Any]:
        """Of a client that reads what was committed."""
        return {
            **self._cluster.client,
            "isolation_level": "read_committed",
            "enable_auto_commit": False,
            "auto_offset_reset": "earliest",
            "allow_auto_create_topics": False,
            "fetch_max_bytes": 16 * 1024 * 1024,
            "fetch_max_wait_ms": 100,
            "metrics_enabled": False,
        }
