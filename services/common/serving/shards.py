"""Shards of episodic: which partitions of the ledger each owns, and which application serves a namespace."""

from __future__ import annotations

from collections.abc import Sized
from dataclasses import dataclass

from services.common.log.base import partition_of
from services.common.serving.errors import invalid

SHARDED = "episodic"
MAX_SCOPES = 32


def require_few(scopes: Sized) -> None:
    """INVALID_FIELD for more scopes than a recall looks into."""
    if len(scopes) > MAX_SCOPES:
        raise invalid("scopes", f"There are {len(scopes)}.", f"Name at most {MAX_SCOPES}.")


@dataclass(frozen=True, slots=True)
class Shards:
    """``count`` divides ``partitions``, those of the ledger, so that every shard owns as many."""

    count: int
    partitions: int

    @property
    def applications(self) -> list[str]:
        """One for each shard, in order."""
        return [self._application(shard) for shard in range(self.count)]

    def of(self, namespace: str) -> str:
        """The application that serves a namespace."""
        return self._application(partition_of(namespace.encode(), self.partitions) % self.count)

    def _application(self, shard: int) -> str:
        return SHARDED if self.count == 1 else f"{SHARDED}-{shard}"

    def owned(self, shard: int) -> list[int]:
        """Partitions of a shard, the first of which is its number."""
        return list(range(shard, self.partitions, self.count))
