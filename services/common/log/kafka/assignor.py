"""Dealing out partitions within a group whose members want one and the same of each topic."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from kafka.coordinator.assignors.abstract import AbstractPartitionAssignor
from kafka.protocol.consumer.metadata import ConsumerProtocolAssignment, ConsumerProtocolSubscription

_VERSION = 0


class OnePartition(AbstractPartitionAssignor):  # type: ignore[misc]  # kafka-python has no types
    """One member has the partition; the others wait for it to leave."""

    def __init__(self, partition: int) -> None:
        self._partition = partition

    @property
    def name(self) -> str:
        return f"mneme-one-{self._partition}"

    def metadata(self, topics: Iterable[str]) -> Any:
        return ConsumerProtocolSubscription(_VERSION, sorted(topics), b"")

    def assign(self, cluster: Any, members: Sequence[Any]) -> dict[str, Any]:
        owner = min(member.member_id for member in members)
        return {
            member.member_id: ConsumerProtocolAssignment(_VERSION, self._share(member, owner), b"")
            for member in members
        }

    def _share(self, member: Any, owner: str) -> list[tuple[str, list[int]]]:
        return (
            [(topic, [self._partition]) for topic in sorted(member.metadata.topics)]
            if member.member_id == owner
            else []
        )

    def on_assignment(self, assignment: Any, generation: int) -> None:
        """Nothing is kept."""
