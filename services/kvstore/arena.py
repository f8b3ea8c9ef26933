"""The owner's side of shared memory: two preallocated files, and the lock that lets only one store own them.

Space is allocated when the store starts, so a full file system is an error then and never a SIGBUS later. Files
are never shrunk and never handed to readers half made: the live epoch is 0 until everything else is in place.
"""

from __future__ import annotations

import errno
import hashlib
import mmap
import os
import secrets
import time
from dataclasses import dataclass
from pathlib import Path

from services.common.files import try_lock
from services.kvstore import layout
from services.kvstore.errors import StartError
from services.kvstore.layout import BadArena, Header


@dataclass(frozen=True, slots=True)
class Paths:
    """Where an arena lies. Two stores with one data folder meet at one lock."""

    arena: Path
    staging: Path
    lock: Path

    @classmethod
    def of(cls, arena_dir: Path, data_dir: Path) -> Paths:
        name = "mneme-kv-" + hashlib.sha256(str(data_dir.resolve()).encode()).hexdigest()[:12]
        return cls(arena_dir / f"{name}.arena", arena_dir / f"{name}.staging", arena_dir / f"{name}.lock")


class Arena:
    """Owns both files until ``close``. One thread."""

    def __init__(
        self, paths: Paths, *, payload_bytes: int, min_block_bytes: int, staging_bytes: int, owner_timeout_s: float
    ) -> None:
        """Take ownership: lock, retire what a dead owner left, allocate. StartError."""
        self._paths = paths
        self._lock = _lock(paths.lock)
        try:
            epoch = max(_retire(paths.arena) + 1, time.time_ns())
            _retire(paths.staging)
            buckets, keys, entries, payload, size = layout.plan(payload_bytes, min_block_bytes)
            self.header = Header(
                file_bytes=size,
                buckets=buckets,
                keys_offset=keys,
                entries_offset=entries,
                payload_offset=payload,
                payload_bytes=payload_bytes,
                owner_epoch=epoch,
                owner_timeout_ns=int(owner_timeout_s * 1e9),
                arena_id=secrets.token_bytes(16),
            )
            self._map = _allocate(paths.arena, size, "kvstore.arena_bytes")
            self._staging_map = _allocate(paths.staging, staging_bytes, "kvstore.staging_bytes")
        except (OSError, StartError):
            _remove(paths.arena)
            _remove(paths.lock)
            os.close(self._lock)
            raise
        self.bytes = memoryview(self._map)
        self.staging = memoryview(self._staging_map)
        self._words = self.bytes.cast("Q")
        raw = self.header.pack()
        self.bytes[: len(raw)] = raw
        self.beat()
        self._words[layout.OWNER_EPOCH_WORD] = epoch

    def beat(self) -> None:
        """Tell readers that the owner lives. Call several times within ``owner_timeout_s``."""
        self._words[layout.HEARTBEAT_WORD] = time.monotonic_ns()

    def wipe(self, offset: int, length: int) -> None:
        """Overwrite payload bytes."""
        _zero(self.bytes, offset, length)

    def wipe_staging(self, offset: int, length: int) -> None:
        _zero(self.staging, offset, length)

    def disown(self) -> None:
        """Tell readers that nobody owns the arena any more: from now on they miss."""
        self._words[layout.OWNER_EPOCH_WORD] = 0

    def close(self) -> None:
        """Disown the arena and give its memory back. It lives on where it is mapped: overwrite what it holds first."""
        self.disown()
        self._words.release()
        self.bytes.release()
        self.staging.release()
        self._map.close()
        self._staging_map.close()
        _remove(self._paths.arena)
        _remove(self._paths.staging)
        _remove(self._paths.lock)
        os.close(self._lock)


def _lock(path: Path) -> int:
    while True:
        try:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise StartError(
                f"kvstore.arena_dir: {path.parent} cannot be written ({error.strerror}). Name a folder in memory, "
                "such as /dev/shm, that this user can write."
            ) from error
        if not try_lock(fd):
            os.close(fd)
            raise StartError(
                f"Another KV store owns {path.with_suffix('.arena')}. Stop it, or give this one its own "
                "common.data_dir."
            )
        if _is_at(path, fd):
            return fd
        os.close(fd)  # its last owner removed it between the two calls


def _is_at(path: Path, fd: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(fd))
    except FileNotFoundError:
        return False


def _retire(path: Path) -> int:
    """Make a dead owner's file useless to whoever still maps it, overwrite it, remove it. An arena's epoch, or 0."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return 0
    except OSError as error:
        raise StartError(f"{path}: left by another store, cannot be opened ({error.strerror}). Remove it.") from error
    try:
        size = os.fstat(fd).st_size
        if size < layout.PAGE:
            return 0
        try:
            epoch = Header.unpack(os.pread(fd, layout.PAGE, 0)).owner_epoch
        except BadArena:
            epoch = 0
        with mmap.mmap(fd, size) as mapping:
            word = layout.OWNER_EPOCH_WORD * 8
            mapping[word : word + 8] = bytes(8)
            with memoryview(mapping) as view:
                _zero(view, 0, size)
        return epoch
    finally:
        os.close(fd)
        _remove(path)


def _allocate(path: Path, size: int, setting: str) -> mmap.mmap:
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.posix_fallocate(fd, 0, size)
        return mmap.mmap(fd, size)
    except OSError as error:
        _remove(path)
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.ENOMEM):
            raise
        raise _no_room(path.parent, size, setting) from error
    finally:
        os.close(fd)


def require_room(paths: Paths, payload_bytes: int, min_block_bytes: int) -> None:
    """StartError where an arena of this size can never fit: what an owner before left there counts as free."""
    *_, size = layout.plan(payload_bytes, min_block_bytes)
    left = sum(path.stat().st_size for path in (paths.arena, paths.staging) if path.exists())
    if size > _free(paths.arena.parent) + left:
        raise _no_room(paths.arena.parent, size, "kvstore.arena_bytes")


def _free(folder: Path) -> int:
    room = os.statvfs(folder)
    return room.f_bavail * room.f_frsize


def _no_room(folder: Path, size: int, setting: str) -> StartError:
    return StartError(
        f"{setting}: {folder} has no room for {size / 2**20:.0f} MiB ({_free(folder) / 2**20:.0f} MiB free). "
        f"Lower {setting}, enlarge it (mount -o remount,size=..., docker run --shm-size=...), or set kvstore.arena_dir."
    )


_ZEROS = bytes(1 << 20)


def _zero(view: memoryview, offset: int, length: int) -> None:
    end = offset + length
    while offset < end:
        n = min(len(_ZEROS), end - offset)
        view[offset : offset + n] = _ZEROS[:n] if n < len(_ZEROS) else _ZEROS
        offset += n


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)
