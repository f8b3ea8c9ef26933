"""Which index there is, by its address."""

from __future__ import annotations

import logging
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING

from services.episodic.search.index import IndexTooOld, IndexUnavailable
from services.episodic.search.sqlite import SqliteIndex

if TYPE_CHECKING:
    from services.episodic.search.milvus import MilvusIndex

_AGAIN_S = 2.0
_log = logging.getLogger(__name__)


def embedded(folder: Path, partition: int) -> SqliteIndex:
    """The index in files of a partition. What Milvus Lite kept of it there, as earlier versions did, is taken over.

    IndexUnavailable.
    """
    index, former = SqliteIndex(folder / str(partition)), folder / f"{partition}.db"
    try:
        if former.is_dir():
            _take_over(former, partition, index)
    except BaseException:
        index.close()
        raise
    return index


def _take_over(former: Path, partition: int, index: SqliteIndex) -> None:
    """Killed in between, it begins again: rows that are there are replaced."""
    from services.episodic.search.milvus import MilvusIndex  # here: see ``waited_for``

    begun, lite = time.monotonic(), MilvusIndex(str(former), partition)
    try:
        for generation in lite.generations():
            kept, is_new = lite.open(generation)
            if not is_new:  # one with other fields was dropped just now: the feed fills the file
                index.open(generation)[0].copy(kept.rows(vectors=True))
    finally:
        lite.close()
    shutil.rmtree(former)
    seconds = round(time.monotonic() - begun, 3)
    _log.warning("the index of an earlier version is taken over", extra={"partition": partition, "seconds": seconds})


def waited_for(
    uri: str, partition: int = 0, *, token: str = "", timeout_s: float = 10.0, wait_s: float = 60.0
) -> MilvusIndex:
    """The index on a Milvus server, which is waited for where it is away. IndexUnavailable; IndexTooOld."""
    # Here, for pymilvus takes memory and time that a shard with an embedded index does without.
    from services.episodic.search.milvus import MilvusIndex

    deadline = time.monotonic() + wait_s
    while True:
        try:
            return MilvusIndex(uri, partition, token=token, timeout_s=timeout_s)
        except IndexTooOld:
            raise
        except IndexUnavailable as error:
            if time.monotonic() > deadline:
                raise
            _log.warning("the index is away; trying again", extra={"error": str(error)})
            time.sleep(_AGAIN_S)
