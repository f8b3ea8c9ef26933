"""Reads blocks from the arena: mapped read-only, no RPC, nothing believed that does not verify.

Every failure is a miss: damaged bytes, a slot reused while it was copied, another identity, an owner that died or
was succeeded, a file cut short. Correctness rests on the digest of the copy and the sequence read again after it.
"""

from __future__ import annotations

import mmap
import os
import time
import weakref
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xxhash

from kernels.keyed_copy import host as keyed_copy
from kernels.keyed_copy.host import BlockTable, Stop
from services.kvstore import layout
from services.kvstore.index import IndexReader
from services.kvstore.layout import ENTRY, ENTRY_BODY_BYTES, BadArena, Header

_EPOCH = layout.OWNER_EPOCH_WORD
_unpack_entry = layout.ENTRY.unpack_from
_digest = xxhash.xxh3_128_digest
_MAX_SUSPECTS = 256
_POPULATE_LIMIT_BYTES = 4 << 30  # mapping pages ahead takes 25 ms a GiB


class Reader:
    """One owner's arena. Once ``alive`` is false, attach again. The mapping goes with the last reference.

    ``copies_with`` says what copies and verifies: the native operator where it was compiled, else Python.
    """

    def __init__(self, path: Path, identity: bytes) -> None:
        """Map the arena. BadArena when it is not one, or nobody owns it."""
        if len(identity) != layout.IDENTITY_BYTES:
            raise ValueError(f"an identity has {layout.IDENTITY_BYTES} bytes, not {len(identity)}")
        self._identity = identity
        try:
            self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise BadArena(f"{path}: {error.strerror}") from error
        weakref.finalize(self, os.close, self._fd)
        try:
            raw = os.pread(self._fd, layout.PAGE, 0)
            self.header = Header.unpack(raw)
            if int.from_bytes(raw[_EPOCH * 8 : _EPOCH * 8 + 8], "little") != self.header.owner_epoch:
                raise BadArena(f"{path}: nobody owns it")
            if os.fstat(self._fd).st_size != self.header.file_bytes:
                raise BadArena(f"{path}: was cut or grown")
            flags = mmap.MAP_SHARED
            if self.header.file_bytes <= _POPULATE_LIMIT_BYTES:
                flags |= mmap.MAP_POPULATE
            self._map = mmap.mmap(self._fd, self.header.file_bytes, flags, mmap.PROT_READ)
            self._table = self._block_table()
        except (OSError, ValueError) as error:
            raise BadArena(f"{path}: cannot be mapped") from error
        self._bytes = memoryview(self._map)
        self._words = self._bytes.cast("Q")
        self._size = self.header.file_bytes
        self._find = IndexReader(self.header, self._map).find
        self._suspects: deque[bytes] = deque(maxlen=_MAX_SUSPECTS)  # keys that have an entry and did not load
        self._keyed_copy: keyed_copy.KeyedCopy | None = None
        try:
            self._keyed_copy = keyed_copy.native()
            self.copies_with = f"native ({self._keyed_copy.isa})"
        except keyed_copy.NativeUnavailable as error:
            self.copies_with = f"python: {error}"

    def alive(self) -> bool:
        """Whether the owner that wrote this header still owns the arena, beats, and the file is whole."""
        header, words = self.header, self._words
        return (
            os.fstat(self._fd).st_size == header.file_bytes
            and words[layout.OWNER_EPOCH_WORD] == header.owner_epoch
            and time.monotonic_ns() - words[layout.HEARTBEAT_WORD] < header.owner_timeout_ns
        )

    def disowned(self) -> bool:
        """Whether the owner left the arena for good. One that is only silent may come back."""
        whole = os.fstat(self._fd).st_size == self.header.file_bytes
        return whole and self._words[_EPOCH] != self.header.owner_epoch

    def lookup(self, keys: Sequence[bytes]) -> int:
        """How many leading keys have an entry that verifies. Their payloads are verified by ``load``."""
        if not keys or not self.alive():
            return 0
        for n, key in enumerate(keys):
            if not self._has(key):
                return n
        return len(keys) if self._words[_EPOCH] == self.header.owner_epoch else 0

    def load(self, keys: Sequence[bytes], into: Sequence[Any]) -> int:
        """Copy blocks into writable buffers of their exact size, in order, up to the first miss; how many.

        Buffers after those hold anything.
        """
        if not keys or not self.alive():
            return 0
        if len(keys) != len(into):
            raise ValueError(f"{len(keys)} keys, {len(into)} buffers")
        done = 0
        if self._keyed_copy is not None:
            done, why = self._keyed_copy(self._table, keys, into)
        if self._keyed_copy is None or why is Stop.SHORT:
            while done < len(keys) and self._copy(keys[done], into[done]):
                done += 1
        if done < len(keys) and self._find(keys[done]) >= 0:
            self._suspects.append(keys[done])  # whatever was wrong: it is there, and was not to be had
        return done

    def take_suspects(self, limit: int) -> list[bytes]:
        """Keys that were found and did not load since the last time, for the owner to look at. Not thread-safe."""
        return [self._suspects.popleft() for _ in range(min(limit, len(self._suspects)))]

    def _block_table(self) -> BlockTable:
        """ValueError when the header's index does not lie in the file."""
        header = self.header
        return BlockTable.at(
            np.frombuffer(self._map, np.uint8).ctypes.data,
            header.file_bytes,
            buckets=header.buckets,
            keys_offset=header.keys_offset,
            entries_offset=header.entries_offset,
            owner_offset=_EPOCH * 8,
            epoch=header.owner_epoch,
            identity=self._identity,
        )

    def _has(self, key: bytes) -> bool:
        """Whether there is an entry of this key, identity and owner that verifies."""
        at = self._find(key)
        if at < 0:
            return False
        raw = self._map[at : at + ENTRY.size]
        sequence, _, _, epoch, _, identity, check = ENTRY.unpack(raw)
        return (
            not sequence & 1
            and check == xxhash.xxh3_64_intdigest(raw[:ENTRY_BODY_BYTES] + key)
            and identity == self._identity
            and epoch == self.header.owner_epoch
        )

    def _copy(self, key: bytes, target: Any) -> bool:
        """One block, in Python: where there is no native operator, and for blocks too short for it."""
        at = self._find(key)
        if at < 0:
            return False
        sequence, offset, length, epoch, digest, _, _ = _unpack_entry(self._map, at)
        view = target if type(target) is memoryview and target.format == "B" else memoryview(target).cast("B")
        end = offset + length
        if sequence & 1 or len(view) != length or end > self._size:
            return False
        view[:] = self._bytes[offset:end]
        words = self._words
        # Read again after the copy: not reused, not erased, not another owner's by now.
        if words[at // 8] != sequence or words[_EPOCH] != epoch:
            return False
        # The seed binds the bytes to key and identity, so the entry needs no check of its own.
        return bool(_digest(view, layout.payload_seed(key, self._identity)) == digest)
