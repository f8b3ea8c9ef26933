"""Shards of episodic: how many there may be, what they are called, and which partitions of the ledger each has."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Sequence, Sized

from services.common.serving.errors import MnemeError, invalid, retry_after

SHARDED = "episodic"
MAX_SCOPES = 32


def require_few(scopes: Sized) -> None:
    """INVALID_FIELD for more scopes than a recall looks into."""
    if len(scopes) > MAX_SCOPES:
        raise invalid("scopes", f"There are {len(scopes)}.", f"Name at most {MAX_SCOPES}.")


def fitting(partitions: int) -> list[int]:
    """Numbers of shards that can share so many partitions evenly."""
    return [n for n in range(1, partitions + 1) if partitions % n == 0]


def application_of(shard: int) -> str:
    """The name of a shard's application."""
    return SHARDED if shard == 0 else f"{SHARDED}-{shard}"


def shard_of(application: str) -> int | None:
    """The number of the shard whose application is called so; None for another application."""
    number = application.removeprefix(SHARDED).removeprefix("-") or "0"
    shard = int(number) if number.isdecimal() else 0
    return shard if application_of(shard) == application else None


def dealt(partitions: int, count: int, before: Sequence[int] = ()) -> list[int]:
    """The shard of each partition: every one of ``count`` gets as many, and the fewest change hands.

    ``before``: the shards of now; without them partitions are dealt out in turn.
    """
    most = partitions // count
    has = Counter[int]()
    kept: dict[int, int] = {}
    for partition, shard in enumerate(before):
        if shard < count and has[shard] < most:
            kept[partition] = shard
            has[shard] += 1
    poorest = [(has[shard], shard) for shard in range(count)]
    heapq.heapify(poorest)
    shards = []
    for partition in range(partitions):
        if partition not in kept:
            number, shard = poorest[0]
            heapq.heapreplace(poorest, (number + 1, shard))
            kept[partition] = shard
        shards.append(kept[partition])
    return shards


class Moved(MnemeError):
    """The application does not hold the partition of what was asked for. Who knows which one does asks there."""

    def __init__(self) -> None:
        super().__init__(
            "SERVICE_UNAVAILABLE",
            "Another process takes over the namespace just now.",
            remedy="Try again in a few seconds.",
            metadata=retry_after(1.0),
        )

    def __reduce__(self) -> tuple[object, ...]:
        return Moved, ()
