"""Namespaces by the partition of the ledger that their names hash to."""

from services.common.log.base import partition_of


def one_in_each(prefix: str, partitions: int) -> list[str]:
    """A name for each partition, in their order."""
    names = [f"{prefix}{n}" for n in range(1_000)]
    return [next(name for name in names if partition_of(name.encode(), partitions) == p) for p in range(partitions)]
