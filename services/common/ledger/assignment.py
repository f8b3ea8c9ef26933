"""Which shard of episodic holds each partition of the ledger: a record of the state topic.

A shard holds a partition only while the record says so. The record is written by one process, partition by partition:
the shard before is to let go (LEAVING), it has let go and the next one may take it (TAKING), it has it (HELD). So
whoever dies at whichever step, there is nobody who may hold a partition beside another.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace

from mneme.v1.admin_pb2 import AUDIT_ACTION_SHARDS_SET
from mneme.v1.ledger_pb2 import OwnerPhase, PartitionOwner, ShardsWanted, StoredAssignment

from services.common.ledger import topics
from services.common.ledger.audit import act
from services.common.log.base import Log, LogUnavailable, Message, partition_of
from services.common.log.seen import until_read
from services.common.serving.shards import application_of, dealt

HELD, LEAVING, TAKING = OwnerPhase.OWNER_PHASE_HELD, OwnerPhase.OWNER_PHASE_LEAVING, OwnerPhase.OWNER_PHASE_TAKING
_WANTED, _ASSIGNMENT = b"shards/wanted", b"shards/assignment"


@dataclass(frozen=True, slots=True)
class Owner:
    """Of one partition."""

    shard: int
    phase: OwnerPhase = HELD
    before: int = 0  # as long as it lets go


@dataclass(frozen=True, slots=True)
class Assignment:
    """Owners of all partitions, by their number."""

    owners: tuple[Owner, ...]
    problem: str = ""  # why the next step could not be done when it was tried last

    @classmethod
    def of(cls, shards: Sequence[int]) -> Assignment:
        """Where nobody moves: the shard of each partition."""
        return cls(tuple(Owner(shard) for shard in shards))

    @property
    def shards(self) -> list[int]:
        """Of each partition, the one that has it, or is to."""
        return [owner.shard for owner in self.owners]

    @property
    def applications(self) -> list[str]:
        """Those that have a partition, or are to, in order."""
        return [application_of(shard) for shard in sorted(set(self.shards))]

    @property
    def moving(self) -> list[int]:
        """Partitions that nobody answers for."""
        return [partition for partition, owner in enumerate(self.owners) if owner.phase != HELD]

    def partition_of(self, namespace: str) -> int:
        return partition_of(namespace.encode(), len(self.owners))

    def application(self, namespace: str) -> str:
        return application_of(self.owners[self.partition_of(namespace)].shard)

    def held_by(self, shard: int) -> list[int]:
        """Partitions that a shard may hold."""
        return [p for p, owner in enumerate(self.owners) if owner.shard == shard and owner.phase != LEAVING]

    def is_dealt_to(self, count: int) -> bool:
        """Whether so many shards have the partitions, each its part."""
        return not self.moving and dealt(len(self.owners), count, self.shards) == self.shards

    def with_owner(self, partition: int, owner: Owner) -> Assignment:
        owners = [*self.owners]
        owners[partition] = owner
        return replace(self, owners=tuple(owners))


class Assignments:
    """The record, and how many shards are wanted, as of the last refresh. Thread-safe."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._next = 0
        self._lock = threading.Lock()
        self.wanted: ShardsWanted | None = None
        self.now: Assignment | None = None
        self.written_at = -1  # offset of ``now``

    @property
    def required(self) -> Assignment:
        """``now``, where `mneme up` has written one. LogUnavailable."""
        if self.now is None:
            raise LogUnavailable("the log assigns no partition to a shard yet. `mneme up` writes that at its start.")
        return self.now

    def refresh(self) -> None:
        """Read what is new. LogError."""
        with self._lock:
            for record in self._log.read(topics.STATE, 0, self._next):
                if record.key == _WANTED and record.value is not None:
                    self.wanted = ShardsWanted.FromString(record.value)
                elif record.key == _ASSIGNMENT and record.value is not None and record.offset > self.written_at:
                    self.now, self.written_at = _assignment(record.value), record.offset
                self._next = record.offset + 1

    def refreshed(self, since: int) -> Assignment:
        """The record that was written at the offset ``since``, or a later one. LogError."""

        def is_read() -> bool:
            return self.now is not None and self.written_at >= since

        until_read(self.refresh, is_read, "the assignment of partitions")
        return self.required

    def want(self, count: int, configured: int, by: str) -> None:
        """``configured``: ``episodic.shards``; ``by``: the principal who asks. LogError."""
        wanted = ShardsWanted(count=count, configured=configured).SerializeToString()
        asked = act(AUDIT_ACTION_SHARDS_SET, by, count=count)
        self._log.append([Message(topics.STATE, _WANTED, wanted), asked])

    def assign(self, assignment: Assignment) -> None:
        """Write the record; of one process. LogError."""
        with self._lock:
            [at] = self._log.append([Message(topics.STATE, _ASSIGNMENT, _stored(assignment).SerializeToString())])
            self.now, self.written_at = assignment, at.offset


def _stored(assignment: Assignment) -> StoredAssignment:
    owners = [PartitionOwner(shard=o.shard, phase=o.phase, before=o.before) for o in assignment.owners]
    return StoredAssignment(owners=owners, problem=assignment.problem)


def _assignment(raw: bytes) -> Assignment:
    stored = StoredAssignment.FromString(raw)
    return Assignment(tuple(Owner(o.shard, o.phase, o.before) for o in stored.owners), stored.problem)
