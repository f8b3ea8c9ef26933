"""Between kafka-python's values and the port's."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from kafka import errors as kafka_errors
from kafka.structs import OffsetAndMetadata
from kafka.structs import TopicPartition as KafkaPartition

from services.common.log.base import Message, Record, TopicPartition

# Key of records that tell, by going, that a partition was compacted up to them. No reader is given one.
COMPACTION_MARK = b"\0mneme-compaction"


@dataclass(frozen=True, slots=True)
class Placed:
    message: Message
    partition: int


def records_of(records: Iterable[Any]) -> Iterator[Record]:
    return (_record(record) for record in records if record.key != COMPACTION_MARK)


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


def kafka_partition(partition: TopicPartition) -> KafkaPartition:
    return KafkaPartition(partition.topic, partition.partition)


def kafka_offsets(offsets: Mapping[TopicPartition, int]) -> dict[Any, Any]:
    return {kafka_partition(p): OffsetAndMetadata(offset, "", -1) for p, offset in offsets.items()}


def offsets_of(
    ask: Callable[..., dict[KafkaPartition, int]], partitions: list[KafkaPartition], deadline: float
) -> dict[KafkaPartition, int]:
    """What ``ask`` says of every partition. kafka-python (3.0.12) raises KeyError where it lost sight of a leader."""
    while True:
        try:
            return ask(partitions, timeout_ms=left(deadline) * 1000)
        except KeyError:
            if time.monotonic() > deadline:
                raise kafka_errors.KafkaTimeoutError("no leader answered for a partition") from None
            time.sleep(0.02)


def left(deadline: float) -> float:
    """Seconds until a deadline, as locks and clients take them."""
    return min(max(0.0, deadline - time.monotonic()), threading.TIMEOUT_MAX)
