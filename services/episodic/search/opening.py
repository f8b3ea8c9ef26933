"""Which index there is, by its address, and what one embedded index leaves to the other."""

from __future__ import annotations

import logging
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING

from services.episodic.search.index import Index, IndexTooOld, IndexUnavailable
from services.episodic.search.sqlite import SqliteIndex

if TYPE_CHECKING:
    from services.episodic.search.milvus import MilvusIndex

FILES = "sqlite"
_AGAIN_S = 2.0
_log = logging.getLogger(__name__)


def fault(uri: str) -> str:
    """Why it is no address of an index; "" where it is one."""
    scheme, _, path = uri.partition("://")
    if uri != scheme and (scheme not in ("http", "https") or not path):
        return f"no index has this address; '{FILES}:/a/folder' are SQLite files, http(s)://… is a Milvus server"
    if uri == f"{FILES}:":
        return f"it names no folder; '{FILES}' are SQLite files in data_dir/index, '{FILES}:/a/folder' in that folder"
    return ""


def opened(uri: str, folder: Path, partition: int, *, token: str = "", timeout_s: float = 10.0) -> Index:
    """The index of a partition. ``uri``: see ``episodic.index_uri``. ``folder``: of an embedded one that names none.

    IndexUnavailable; IndexTooOld.
    """
    if "://" in uri:
        index = waited_for(uri, partition, token=token, timeout_s=timeout_s)
        if partition == 0:
            index.drop_former()
        return index
    kind, _, path = uri.partition(":")
    if kind == FILES:
        return in_files(Path(path) if path else folder, partition)
    return embedded(Path(uri) if uri else folder, partition, timeout_s=timeout_s)


def embedded(folder: Path, partition: int, *, timeout_s: float = 10.0) -> MilvusIndex:
    """Milvus Lite. SQLite files that the folder has of the partition are removed: the feed fills what is made here.

    IndexUnavailable.
    """
    # Here, for pymilvus takes memory and time that a shard with SQLite files does without.
    from services.episodic.search.milvus import MilvusIndex

    files = folder / str(partition)
    if files.is_dir():
        SqliteIndex(files).close()  # where another process uses them, they stay
        shutil.rmtree(files)
        _log.warning("SQLite files are removed; Milvus Lite is filled from the feed", extra={"partition": partition})
    return MilvusIndex(str(_lite(folder, partition)), partition, timeout_s=timeout_s)


def in_files(folder: Path, partition: int) -> SqliteIndex:
    """SQLite files. What Milvus Lite kept of the partition in the folder is taken over.

    IndexUnavailable.
    """
    index, former = SqliteIndex(folder / str(partition)), _lite(folder, partition)
    try:
        if former.is_dir():
            _take_over(former, partition, index)
    except BaseException:
        index.close()
        raise
    return index


def _lite(folder: Path, partition: int) -> Path:
    return folder / f"{partition}.db"


def _take_over(former: Path, partition: int, index: SqliteIndex) -> None:
    """Killed in between, it begins again: rows that are there are replaced."""
    from services.episodic.search.milvus import MilvusIndex  # here: see ``embedded``

    begun, lite = time.monotonic(), MilvusIndex(str(former), partition)
    try:
        for generation in lite.generations():
            kept, is_new = lite.open(generation)
            if not is_new:  # one with other fields was dropped just now: the feed fills the file
                index.open(generation)[0].copy(kept.rows(vectors=True), kept.follows)
    finally:
        lite.close()
    shutil.rmtree(former)
    seconds = round(time.monotonic() - begun, 3)
    _log.warning("what Milvus Lite kept is taken over", extra={"partition": partition, "seconds": seconds})


def waited_for(
    uri: str, partition: int = 0, *, token: str = "", timeout_s: float = 10.0, wait_s: float = 60.0
) -> MilvusIndex:
    """The index on a Milvus server, which is waited for where it is away. IndexUnavailable; IndexTooOld."""
    from services.episodic.search.milvus import MilvusIndex  # here: see ``embedded``

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
