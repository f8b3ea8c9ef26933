"""The reader's two ways to load, the native operator and Python, on arenas written here: the same answers."""

from __future__ import annotations

import dataclasses
import mmap
import random
import struct
import time
from pathlib import Path

import pytest

from kernels.keyed_copy import host as keyed_copy
from kernels.keyed_copy.host import KeyedCopy, NativeUnavailable
from kernels.native.loading import open_library
from services.kvstore import layout
from services.kvstore.index import IndexWriter
from services.kvstore.layout import ENTRY, ENTRY_BYTES, KEY_BYTES, WAYS, BadArena, Header
from services.kvstore.reader import Reader
from tests.kernels.native_library import ISAS, requires_native
from tests.kvstore.running import IDENTITY

EPOCH = 11


class Arena:
    """An arena's file without a store: its header, its index, and blocks one after the other."""

    def __init__(self, path: Path, payload_bytes: int = 1 << 17) -> None:
        buckets, keys_at, entries_at, self.free, size = layout.plan(payload_bytes, 4096)
        self.path = path
        self.header = Header(
            size, buckets, keys_at, entries_at, self.free, payload_bytes, EPOCH, 10**15, b"an arena of test"
        )
        path.write_bytes(self.header.pack().ljust(size, b"\0"))
        with path.open("r+b") as file:
            self.map = memoryview(mmap.mmap(file.fileno(), size))
        words = self.map.cast("Q")
        words[layout.OWNER_EPOCH_WORD], words[layout.HEARTBEAT_WORD] = EPOCH, time.monotonic_ns()
        self.index = IndexWriter(self.header, self.map)

    def free_places(self, key: bytes) -> list[int]:
        return [entry for entry in self.index.homes(key) if self.index.is_free(entry)]

    def put(self, key: bytes, block: bytes, place: int) -> None:
        at, self.free = self.free, self.free + len(block)
        self.map[at : at + len(block)] = block
        self.index.publish(place, key, at, len(block), layout.payload_digest(block, key, IDENTITY), IDENTITY)

    def spoil(self, place: int, rng: random.Random) -> None:
        """One bit of an entry, mostly of what a load looks at, of its key, or of its block."""
        key_at = self.header.keys_offset + place * KEY_BYTES
        at = self.header.entries_offset + place * ENTRY_BYTES
        _, offset, length, *_ = ENTRY.unpack_from(self.map, at)
        bit = rng.choice(
            [
                at * 8,
                rng.randrange(at * 8, (at + ENTRY.size) * 8),
                8 * rng.randrange(offset, offset + length),
                rng.randrange(key_at * 8, (key_at + KEY_BYTES) * 8),
            ]
        )
        self.map[bit // 8] ^= 1 << bit % 8

    def reader(self, isa: str, monkeypatch: pytest.MonkeyPatch) -> Reader:
        """That loads with this instruction set; "": with Python."""

        def native() -> KeyedCopy:
            if not isa:
                raise NativeUnavailable("this test wants Python")
            return KeyedCopy(open_library(isa=isa))

        monkeypatch.setattr(keyed_copy, "native", native)
        reader = Reader(self.path, IDENTITY)
        assert reader.copies_with == (f"native ({isa})" if isa else "python: this test wants Python")
        return reader


def test_the_operator_and_the_layout_have_the_same_numbers() -> None:
    assert keyed_copy.WAYS == layout.WAYS
    assert keyed_copy.KEY_BYTES == layout.KEY_BYTES
    assert keyed_copy.IDENTITY_BYTES == layout.IDENTITY_BYTES
    assert keyed_copy.ENTRY_BYTES == layout.ENTRY_BYTES


@requires_native
@pytest.mark.parametrize("isa", ISAS)
def test_every_place_that_the_index_may_choose_is_found(
    isa: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The layout's places, entries and seeds are the operator's."""
    rng, key = random.Random(1), struct.pack("<QQ", 1, 2)
    arena = Arena(tmp_path / "arena")
    reader = arena.reader(isa, monkeypatch)
    places = arena.free_places(key)
    assert len(places) == 2 * WAYS
    for place in places:
        block, into = rng.randbytes(700), bytearray(700)
        arena.put(key, block, place)
        assert reader.load([key], [into]) == 1
        assert into == block
        arena.index.withdraw(place)
        assert reader.load([key], [into]) == 0


@requires_native
@pytest.mark.parametrize("isa", ISAS)
def test_native_and_python_load_the_same(isa: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ends = set()
    for seed in range(60):
        rng = random.Random(seed)
        arena = Arena(tmp_path / f"{seed}")
        blocks: dict[bytes, bytes] = {}
        for _ in range(24):
            key, short = rng.randbytes(16), rng.random() < 0.03
            blocks[key] = rng.randbytes(rng.randint(1, 240) if short else rng.randint(241, 5000))
            place = rng.choice(arena.free_places(key))
            arena.put(key, blocks[key], place)
            if rng.random() < 0.06:
                arena.spoil(place, rng)
        wanted = [*rng.sample(list(blocks), 24), rng.randbytes(16)]
        answers = []
        for reader in (arena.reader(isa, monkeypatch), arena.reader("", monkeypatch)):
            into = [bytearray(len(blocks.get(key, bytes(500)))) for key in wanted]
            loaded = reader.load(wanted, into)
            assert into[:loaded] == [blocks[key] for key in wanted[:loaded]]
            answers.append((loaded, reader.take_suspects(9)))
        assert answers[0] == answers[1], seed
        ends.add((answers[0][0] == 24, bool(answers[0][1])))
    assert ends == {(True, False), (False, True), (False, False)}  # all; up to a damaged one; up to one not found


@pytest.mark.parametrize("isa", [pytest.param("native", marks=requires_native), ""])
def test_no_buffer_is_kept(isa: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arena, key = Arena(tmp_path / "arena"), b"a key of sixteen"
    arena.put(key, bytes(600), arena.free_places(key)[0])
    into = bytearray(600)
    assert arena.reader(ISAS[-1] if isa else "", monkeypatch).load([key], [into]) == 1
    into.append(0)  # BufferError while a view of it lives


def test_an_index_beyond_the_file_is_no_arena(tmp_path: Path) -> None:
    """Its checksum is right: whoever wrote it was wrong."""
    arena = Arena(tmp_path / "arena")
    for buckets in (3, arena.header.buckets * 1024):
        wrong = dataclasses.replace(arena.header, buckets=buckets)
        arena.map[: len(wrong.pack())] = wrong.pack()
        with pytest.raises(BadArena):
            Reader(arena.path, IDENTITY)
