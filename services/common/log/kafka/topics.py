"""What a topic's spec stands for on a broker, and a topic as the broker has it.

COMPACT topics: the broker cleans only segments that are closed, and closes one only when something is appended later.
Their segments are short-lived, and an aborted append, which nobody reads, closes the last.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from kafka import KafkaAdminClient
from kafka.errors import for_code

from services.common.log.base import Cleanup, LogError, TopicMismatch, TopicSpec

_TOMBSTONE_RETENTION_MS = 86_400_000  # readers that were away for less learn of deletions
_BATCH_OVERHEAD_BYTES = 32 * 1024  # what the broker counts beyond our limit: small messages travel together
# Parts of compaction_bound_s: a segment is closed after one, the cleaner has to take it after the other. The rest is
# for the cleaner to come by (every 15 s by default) and to do it.
_SEGMENT_PART = 12
_LAG_PART = 4
_FIXED = ("cleanup.policy", "retention.ms")  # what a topic is, not how it is tuned


@dataclass(frozen=True, slots=True)
class Topic:
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


def settings_of(spec: TopicSpec) -> dict[str, str]:
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


def require_same(spec: TopicSpec, topic: Topic) -> None:
    wanted = {name: value for name, value in settings_of(spec).items() if name in _FIXED}
    found = {name: topic.settings.get(name, "") for name in wanted}
    if topic.partitions != spec.partitions or found != wanted:
        raise TopicMismatch(
            f"{spec.name}: the broker has it with {_said(topic.partitions, found)}; asked for is "
            f"{_said(spec.partitions, wanted)}. Set the configuration to what the broker has, or use another topic."
        )


def bytes_on_disk(admin: KafkaAdminClient, topic: str) -> int:
    """Of one copy of a topic: of each partition the largest, for a follower may be behind. LogError; Kafka's errors."""
    largest: dict[int, int] = {}
    for broker in admin.describe_log_dirs([topic]):
        for folder in broker["log_dirs"]:
            if folder["error_code"]:
                raise for_code(folder["error_code"])(f"the log folders of broker {broker['broker']}")
            for each in (p for t in folder["topics"] for p in t["partitions"]):
                largest[each["partition_index"]] = max(each["partition_size"], largest.get(each["partition_index"], 0))
    return sum(largest.values())


def _said(partitions: int, settings: Mapping[str, str]) -> str:
    return ", ".join([f"{partitions} partitions", *(f"{name} {value}" for name, value in settings.items())])
