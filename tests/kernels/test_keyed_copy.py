"""keyed_copy on every instruction set, and its reference: the bytes, and why a load ends; mutants must fail.

What is expected comes from the ``xxhash`` package and from the table as it was written.
"""

from __future__ import annotations

import ctypes
import mmap
import random
import struct
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import xxhash

from kernels.keyed_copy.host import ENTRY_BYTES, KEY_BYTES, SHORTEST_BYTES, WAYS, BlockTable, KeyedCopy, Stop
from kernels.keyed_copy.reference import keyed_copy_reference
from kernels.native import build
from kernels.native.loading import open_library
from tests.kernels.native_library import ISAS, MISSING, mutated, requires_native

Load = Callable[[BlockTable, Sequence[bytes], Sequence[Any]], tuple[int, Stop]]

BACKENDS = [*ISAS, *([pytest.param("none", marks=requires_native)] if MISSING else [])]
WITH_REFERENCE = ["reference", *BACKENDS]
ROUND = 1024  # bytes between two scrambles
STRIPE = 64
# Where the digest's loops end, and around it.
EDGES = [SHORTEST_BYTES, 255, 256, 257, 8 * STRIPE, ROUND - 1, ROUND, ROUND + 1, ROUND + STRIPE, ROUND + STRIPE + 1]
EDGES += [2 * ROUND, 2 * ROUND + 1, 3 * ROUND - STRIPE, 17 * ROUND + 63]
SPARE = 64  # bytes around each target, which must stay
AROUND = 1 << 12  # of the mapping, before and after the table: what a wrong bound would reach
OWNER, KEYS = 24, 504  # where they lie in the table
EPOCH = 7
IDENTITY = b"frame1, engine 1"
ENTRY = struct.Struct("<QQQQ16s")  # sequence, offset, length, owner epoch, digest


def backend(name: str) -> Load:
    return keyed_copy_reference if name == "reference" else KeyedCopy(open_library(isa=name))


def mutant(old: str, new: str, folder: Path) -> Load:
    mutated("keyed_copy", "keyed_copy/native.h", old, new, folder)
    return KeyedCopy(open_library(folder / build.LIBRARY_NAME, kernels=folder / "kernels"))


def address(buffer: Any) -> int:
    return ctypes.addressof(ctypes.c_char.from_buffer(buffer))


@dataclass
class Entry:
    """As it is written into the table."""

    sequence: int
    offset: int
    length: int
    epoch: int
    digest: bytes


class Blocks:
    """A table in this process's memory, in the middle of a mapping full of noise."""

    def __init__(self, payload_bytes: int, *, buckets: int = 4, identity: bytes = IDENTITY, seed: int = 0) -> None:
        self.buckets, self.identity = buckets, identity
        self.entries = KEYS + buckets * WAYS * KEY_BYTES
        self.payload = self.entries + buckets * WAYS * ENTRY_BYTES
        self.size = self.payload + payload_bytes
        self.used = self.payload
        self._map = mmap.mmap(-1, AROUND + self.size + AROUND)
        self._map[:] = random.Random(seed).randbytes(len(self._map))
        self._map[AROUND + KEYS : AROUND + self.payload] = bytes(self.payload - KEYS)
        self.view = memoryview(self._map)[AROUND : AROUND + self.size]
        self.base = address(self._map) + AROUND
        self.set_owner(EPOCH)
        self.places: dict[bytes, int] = {}
        self.written: dict[bytes, bytes] = {}

    def table(self, identity: bytes | None = None) -> BlockTable:
        return BlockTable.at(
            self.base,
            self.size,
            buckets=self.buckets,
            keys_offset=KEYS,
            entries_offset=self.entries,
            owner_offset=OWNER,
            epoch=EPOCH,
            identity=identity or self.identity,
        )

    def set_owner(self, epoch: int) -> None:
        struct.pack_into("<Q", self.view, OWNER, epoch)

    def bucket(self, key: bytes, half: int) -> int:
        return int.from_bytes(key[8 * half : 8 * half + 8], "little") % self.buckets

    def put(self, key: bytes, block: bytes, *, half: int = 0, way: int | None = None, at: int | None = None) -> None:
        """``block`` under ``key``, in the bucket of that half; the first free place unless ``way`` names one."""
        first = self.bucket(key, half) * WAYS
        free = (p for p in range(first, first + WAYS) if not any(self.key_at(p)))
        place = next(free) if way is None else first + way
        if at is None:
            at, self.used = self.used, self.used + len(block)
        assert at + len(block) <= self.size
        self.view[at : at + len(block)] = block
        self.set_key(place, key)
        self.places[key], self.written[key] = place, block
        self.write(key, Entry(2, at, len(block), EPOCH, self.digest(key, block)))

    def digest(self, key: bytes, block: bytes) -> bytes:
        return xxhash.xxh3_128_digest(block, xxhash.xxh3_64_intdigest(key + self.identity))

    def around(self, offset: int, length: int) -> bytes:
        """Bytes of the mapping from ``offset`` of the table on; it may lie before or beyond it."""
        return bytes(self._map[AROUND + offset : AROUND + offset + length])

    def key_at(self, place: int) -> bytes:
        return bytes(self.view[KEYS + place * KEY_BYTES : KEYS + (place + 1) * KEY_BYTES])

    def set_key(self, place: int, key: bytes) -> None:
        self.view[KEYS + place * KEY_BYTES : KEYS + (place + 1) * KEY_BYTES] = key

    def entry_at(self, key: bytes) -> int:
        return self.entries + self.places[key] * ENTRY_BYTES

    def entry(self, key: bytes) -> Entry:
        return Entry(*ENTRY.unpack_from(self.view, self.entry_at(key)))

    def write(self, key: bytes, e: Entry) -> None:
        ENTRY.pack_into(self.view, self.entry_at(key), e.sequence, e.offset, e.length, e.epoch, e.digest)


def load_one(load: Load, table: BlockTable, key: bytes, length: int) -> tuple[Stop, bytes]:
    """Why it stopped, and the buffer, within margins that must stay."""
    margins = bytes(range(SPARE))
    buffer = bytearray(margins + bytes(length) + margins)
    arrived, why = load(table, [key], [memoryview(buffer)[SPARE : SPARE + length]])
    assert arrived == (why is Stop.NONE)
    assert buffer[:SPARE] == buffer[SPARE + length :] == margins
    return why, bytes(buffer[SPARE : SPARE + length])


# --- what arrives -----------------------------------------------------------------------------------------------------


def check_digests(load: Load, lengths: list[int], seed: int, *, aligned: bool = False) -> None:
    """One call for all of ``lengths``, from and to addresses of any alignment, or to multiples of 64."""
    rng = random.Random(seed)
    size = sum(lengths) + (len(lengths) + 1) * 3 * SPARE
    identity = rng.choice([rng.randbytes(16), bytes(16), b"\xff" * 16])
    blocks, target = Blocks(size, buckets=64, identity=identity, seed=seed), bytearray(size)
    base, at, keys, tos = address(target), SPARE, [], []
    for length in lengths:
        keys.append(rng.randbytes(16))
        tos.append(at + (-(base + at) % 64 if aligned else rng.randrange(SPARE)))
        blocks.put(keys[-1], rng.randbytes(length), at=blocks.payload + at + rng.randrange(SPARE))
        at += length + 2 * SPARE
    into = [memoryview(target)[to : to + length] for to, length in zip(tos, lengths, strict=True)]
    assert load(blocks.table(), keys, into) == (len(keys), Stop.NONE)
    expected = bytearray(size)
    for key, to in zip(keys, tos, strict=True):
        expected[to : to + len(blocks.written[key])] = blocks.written[key]
    assert target == expected


@pytest.mark.parametrize("name", WITH_REFERENCE)
def test_copies_and_verifies_as_xxhash_does(name: str) -> None:
    load = backend(name)
    check_digests(load, EDGES, 1)
    check_digests(load, EDGES, 2, aligned=True)
    rng = random.Random(3)
    for seed in range(40):
        check_digests(load, [rng.randint(SHORTEST_BYTES, 5000) for _ in range(8)], seed)
    check_digests(load, [], 4)


@pytest.mark.parametrize("name", BACKENDS)
@pytest.mark.parametrize("aligned", [True, False])
def test_from_a_megabyte_on_it_writes_past_the_caches(name: str, aligned: bool) -> None:
    rng = random.Random(5)
    lengths = [*EDGES, *(rng.randint(10_000, 300_000) for _ in range(8)), 1 << 20]
    check_digests(backend(name), lengths, 6, aligned=aligned)


def check_seeds(load: Load, count: int) -> None:
    rng = random.Random(8)
    edges = [bytes(16), b"\xff" * 16, bytes(8) + b"\xff" * 8, b"\xff" * 8 + bytes(8)]
    for n in range(count):
        key = edges[n % 4] if n % 50 == 0 else rng.randbytes(16)
        identity = edges[n // 50 % 4] if n % 70 == 0 else rng.randbytes(16)
        blocks = Blocks(SHORTEST_BYTES, buckets=1, identity=identity)
        blocks.put(key, rng.randbytes(SHORTEST_BYTES), way=0)
        assert load_one(load, blocks.table(), key, SHORTEST_BYTES) == (Stop.NONE, blocks.written[key]), (key, identity)


@pytest.mark.parametrize("name", BACKENDS)
def test_the_seed_is_xxh3_64_of_key_and_identity(name: str) -> None:
    check_seeds(backend(name), 2000)


# --- what is found ----------------------------------------------------------------------------------------------------


def check_places(load: Load) -> None:
    """Each of a key's sixteen places, all others taken by keys that are nearly it."""
    rng = random.Random(11)
    for half in (0, 1):
        for way in range(WAYS):
            low, high = rng.getrandbits(61) * 4 + 1, rng.getrandbits(61) * 4 + 2  # buckets 1 and 2
            blocks, key = Blocks(600), struct.pack("<QQ", low, high)
            # The same low half; the same high half; and side by side, the key across two places.
            nearly = [struct.pack("<QQ", low, high ^ 4), struct.pack("<QQ", low ^ 4, high), key[8:] + key[:8]]
            for bucket in (1, 2):
                for n in range(WAYS):
                    blocks.set_key(bucket * WAYS + n, nearly[(n + way) % 3])
            assert load_one(load, blocks.table(), key, 600) == (Stop.MISS, bytes(600))
            blocks.put(key, rng.randbytes(600), half=half, way=way)
            assert load_one(load, blocks.table(), key, 600) == (Stop.NONE, blocks.written[key]), (half, way)


def check_first_of_two(load: Load) -> None:
    """In both of its buckets: the first counts, whole or not."""
    key = struct.pack("<QQ", 1, 2)
    blocks = Blocks(2000)
    blocks.put(key, b"2" * 800, half=1, way=0)
    blocks.put(key, b"1" * 800, half=0, way=7)
    assert load_one(load, blocks.table(), key, 800) == (Stop.NONE, b"1" * 800)
    entry = blocks.entry(key)
    entry.sequence |= 1
    blocks.write(key, entry)
    assert load_one(load, blocks.table(), key, 800)[0] is Stop.MISS


@pytest.mark.parametrize("name", WITH_REFERENCE)
def test_a_key_is_found_where_it_lies_and_nowhere_else(name: str) -> None:
    check_places(backend(name))
    check_first_of_two(backend(name))


# --- what is refused --------------------------------------------------------------------------------------------------


def check_refusals(load: Load) -> None:
    """Each way in which an entry or its bytes can be wrong, by itself."""
    key, other, block = b"a key of sixteen", b"yek of sixteen a", random.Random(1).randbytes(1200)
    blocks = Blocks(4000)
    blocks.put(key, block, at=blocks.size - len(block))  # as far out as it may lie
    blocks.put(other, block, at=blocks.payload)
    table, entry = blocks.table(), blocks.entry(key)

    def expect(why: Stop, asked: int = len(block), **changes: Any) -> None:
        blocks.write(key, Entry(**{**vars(entry), **changes}))
        assert load_one(load, table, key, asked)[0] is why, changes
        blocks.write(key, entry)

    def digest(offset: int, length: int) -> bytes:
        return blocks.digest(key, blocks.around(offset, length))

    expect(Stop.NONE)
    expect(Stop.NONE, sequence=2**64 - 2)
    expect(Stop.MISS, sequence=3)
    expect(Stop.MISS, sequence=2**64 - 1)
    for epoch in (0, EPOCH - 1, EPOCH + 1, EPOCH + 2**32):
        expect(Stop.MISS, epoch=epoch)
    # The digest is right for each of these, so that nothing else refuses them.
    short = digest(entry.offset, len(block) - 1)
    expect(Stop.MISS, length=len(block) - 1, digest=short)
    expect(Stop.NONE, len(block) - 1, length=len(block) - 1, digest=short)
    expect(Stop.MISS, len(block) - 1)
    expect(Stop.MISS, len(block) + 1)
    expect(Stop.MISS, offset=entry.offset + 1, digest=digest(entry.offset + 1, len(block)))
    for before in (8, 1000, len(block) - 8):  # offset + length is small
        expect(Stop.MISS, offset=2**64 - before, digest=digest(-before, len(block)))
    more = blocks.size + 64
    expect(Stop.MISS, more, offset=0, length=more, digest=digest(0, more))
    expect(Stop.MISS, length=2**64 - 1)
    for bit in range(128):
        flipped = (int.from_bytes(entry.digest, "big") ^ 1 << bit).to_bytes(16, "big")
        expect(Stop.DAMAGED, digest=flipped)
    expect(Stop.DAMAGED, offset=entry.offset - 1)
    expect(Stop.DAMAGED, digest=blocks.entry(other).digest)
    assert load_one(load, blocks.table(b"another identity"), key, len(block))[0] is Stop.DAMAGED
    for at in (0, 63, 700, len(block) - 1):
        blocks.view[entry.offset + at] ^= 16
        expect(Stop.DAMAGED)
        blocks.view[entry.offset + at] ^= 16
    least = SHORTEST_BYTES - 1
    for length in (0, 1, 17, least):
        expect(Stop.SHORT, length, length=length, digest=digest(entry.offset, length))
        expect(Stop.MISS, length, length=length, epoch=EPOCH + 1)
    assert load_one(load, table, other, len(block)) == (Stop.NONE, block)


@pytest.mark.parametrize("name", WITH_REFERENCE)
def test_an_entry_that_is_wrong_is_refused(name: str) -> None:
    check_refusals(backend(name))


@pytest.mark.parametrize("name", WITH_REFERENCE)
def test_a_load_ends_with_the_first_block_that_fails(name: str) -> None:
    load, rng = backend(name), random.Random(2)
    blocks = Blocks(20 * 500, buckets=16)
    keys = [rng.randbytes(16) for _ in range(20)]
    for key in keys:
        blocks.put(key, rng.randbytes(500))
    for bad in (19, 11, 3, 0):
        entry = blocks.entry(keys[bad])
        entry.sequence += 1
        blocks.write(keys[bad], entry)
        into = [bytearray(500) for _ in keys]
        assert load(blocks.table(), keys, into) == (bad, Stop.MISS)
        assert into[:bad] == [blocks.written[key] for key in keys[:bad]]
        assert not any(map(any, into[bad:]))


def spoil(blocks: Blocks, key: bytes, rng: random.Random) -> None:
    """One field of the entry, or one byte of the block."""
    entry = blocks.entry(key)
    match rng.randrange(7):
        case 0:
            blocks.view[entry.offset + rng.randrange(entry.length)] ^= 1 << rng.randrange(8)
        case 1:
            entry.sequence += 1
        case 2:
            entry.epoch = rng.choice([0, EPOCH + 1])
        case 3:
            entry.length = rng.choice([0, 1, entry.length - 1, entry.length + 1, 2**64 - 1])
        case 4:
            entry.offset = rng.choice([blocks.size - 1, 2**64 - rng.randrange(1, 4000)])
        case 5:
            entry.digest = bytes([*entry.digest[:-1], entry.digest[-1] ^ 1])
        case 6:
            blocks.set_key(blocks.places[key], rng.randbytes(16))
    blocks.write(key, entry)


@pytest.mark.parametrize("name", BACKENDS)
def test_random_tables_load_as_the_reference_loads_them(name: str) -> None:
    load, whys = backend(name), set()
    for seed in range(300):
        rng = random.Random(seed)
        blocks = Blocks(12 * 3000, buckets=rng.choice([8, 16]), seed=seed)
        keys = [rng.randbytes(16) for _ in range(12)]
        for key in keys:
            block = rng.randbytes(rng.choice([rng.randint(1, 240), *[rng.randint(241, 3000)] * 15]))
            blocks.put(key, block, half=rng.randrange(2))
            if rng.random() < 0.1:
                spoil(blocks, key, rng)
        wanted = [*rng.sample(keys, 12), rng.randbytes(16)]
        lengths = [len(blocks.written.get(key, bytes(300))) for key in wanted]
        ours, theirs = [[bytearray(length) for length in lengths] for _ in range(2)]
        arrived, why = load(blocks.table(), wanted, ours)
        assert (arrived, why) == keyed_copy_reference(blocks.table(), wanted, theirs), seed
        assert ours[:arrived] == theirs[:arrived]
        assert ours[:arrived] == [blocks.written[key] for key in wanted[:arrived]]
        whys.add(why)
    assert whys == {Stop.MISS, Stop.DAMAGED, Stop.SHORT}  # the last key is not there


# --- what changes meanwhile -------------------------------------------------------------------------------------------


def check_moved(load: Load) -> None:
    """The copy itself writes over the sequence, or the owner's epoch: it changes after the first look, always."""
    key, block = b"\0" * 8 + b"a key is", random.Random(1).randbytes(300)
    for what in ("sequence", "owner"):
        blocks = Blocks(1000)
        blocks.put(key, block)
        at = blocks.entry_at(key) if what == "sequence" else OWNER
        target = blocks.view[at - 24 : at - 24 + len(block)]
        assert load(blocks.table(), [key], [target]) == (0, Stop.MOVED), what
        assert target == block


@pytest.mark.parametrize("name", WITH_REFERENCE)
def test_an_entry_that_changes_while_its_block_is_copied_is_refused(name: str) -> None:
    check_moved(backend(name))


@pytest.mark.parametrize("name", WITH_REFERENCE)
def test_blocks_of_a_former_owner_are_refused(name: str) -> None:
    """The bytes are right, and were another owner's all the time."""
    blocks, key = Blocks(1000), b"a key of sixteen"
    blocks.put(key, bytes(500))
    blocks.set_owner(EPOCH + 1)
    assert load_one(backend(name), blocks.table(), key, 500)[0] is Stop.MOVED


class Meanwhile:
    """``with Meanwhile(step)``: another thread takes this step again and again."""

    def __init__(self, step: Callable[[], object]) -> None:
        self._step, self._stop = step, threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while not self._stop.is_set():
            self._step()

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


@pytest.mark.parametrize("name", BACKENDS)
def test_a_sequence_that_another_thread_counts_on_is_noticed(name: str) -> None:
    load, key, size = backend(name), b"a key of sixteen", 4 << 20
    blocks, into = Blocks(size), bytearray(size)
    blocks.put(key, bytes(size))
    word = ctypes.c_uint64.from_address(blocks.base + blocks.entry_at(key))

    def publish() -> None:
        word.value += 2

    whys, until = set(), time.monotonic() + 20
    with Meanwhile(publish):
        while Stop.MOVED not in whys and time.monotonic() < until:
            whys.add(load(blocks.table(), [key], [into])[1])
    assert whys <= {Stop.NONE, Stop.MOVED}
    assert Stop.MOVED in whys
    assert load(blocks.table(), [key], [into]) == (1, Stop.NONE)


def torn_copies(load: Load, rests_s: float = 0.0, wanted: int = 20, timeout_s: float = 20.0) -> tuple[int, int]:
    """(copies in which old and new bytes meet, verdicts that are not about the copy), while a thread scribbles.

    It rests ``rests_s`` after each time: who reads twice then often finds the source whole again.

    Copies that equal the source afterwards do not count: the writer stood still, waiting for a processor.
    """
    size, key = 900 * 1024 + 13, b"a key of sixteen"
    blocks, target = Blocks(size), bytearray(size)
    blocks.put(key, b"\1" * size)
    at = blocks.entry(key).offset
    source, table, digest = blocks.view[at : at + size], blocks.table(), blocks.entry(key).digest

    def scribble() -> None:
        ctypes.memset(blocks.base + at, 2, size)
        ctypes.memset(blocks.base + at, 1, size)
        time.sleep(rests_s)

    torn = wrong = 0
    until = time.monotonic() + timeout_s
    with Meanwhile(scribble):
        while torn < wanted and time.monotonic() < until:
            why = load(table, [key], [target])[1]
            torn += target.count(target[0]) < size and target != source
            wrong += why is not (Stop.NONE if blocks.digest(key, bytes(target)) == digest else Stop.DAMAGED)
    return torn, wrong


@pytest.mark.parametrize("name", BACKENDS)
def test_the_verdict_is_about_what_arrived_while_a_writer_scribbles(name: str) -> None:
    torn, wrong = torn_copies(backend(name))
    assert torn > 0
    assert wrong == 0


# --- what callers may hand over ---------------------------------------------------------------------------------------


@requires_native
def test_buffers_that_cannot_be_filled_are_refused_before_any_copy() -> None:
    load, blocks, keys = backend(ISAS[-1]), Blocks(2000), [bytes([n]) * 16 for n in (1, 2)]
    for key in keys:
        blocks.put(key, b"x" * 600)
    good, strided = bytearray(600), memoryview(bytearray(1200))[::2]
    for bad in (bytes(600), memoryview(bytes(600)), memoryview(bytearray(600)).toreadonly(), strided, 600):
        with pytest.raises(TypeError):
            load(blocks.table(), keys, [good, bad])
    with pytest.raises(ValueError, match="2 keys, 1 buffers"):
        load(blocks.table(), keys, [good])
    for bad_keys in ([keys[0], keys[1][:15]], [keys[0] + b"x", keys[1][:15]]):
        with pytest.raises(ValueError, match="a key has 16 bytes"):
            load(blocks.table(), bad_keys, [good, bytearray(600)])
    assert not any(good)


@requires_native
def test_any_buffer_is_filled_and_none_is_kept() -> None:
    load, blocks, key = backend(ISAS[-1]), Blocks(2000), b"a key of sixteen"
    blocks.put(key, random.Random(3).randbytes(800))
    words, plain = (ctypes.c_double * 100)(), bytearray(800)
    square = memoryview(bytearray(800)).cast("B", (20, 40))
    assert load(blocks.table(), [key] * 3, [words, square, plain]) == (3, Stop.NONE)
    assert bytes(words) == square.tobytes() == plain == blocks.written[key]
    plain.append(0)  # BufferError while a view of it lives
    assert load(blocks.table(), [key], [bytearray()]) == (0, Stop.MISS)


def test_a_table_that_does_not_lie_in_its_memory_is_refused() -> None:
    parts: dict[str, Any] = {
        "keys_offset": 64,
        "entries_offset": 320,
        "owner_offset": 8,
        "epoch": 1,
        "identity": IDENTITY,
    }
    size = 320 + 2 * WAYS * ENTRY_BYTES
    assert BlockTable.at(4096, size, buckets=2, **parts).mask == 1
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"buckets": 3}, "no power of two"),
        ({"buckets": 0}, "no power of two"),
        ({"buckets": 4}, "do not lie in"),
        ({"keys_offset": size - 248}, "do not lie in"),
        ({"entries_offset": 328}, "do not lie in"),
        ({"owner_offset": size}, "do not lie in"),
        ({"keys_offset": 60}, "no multiple of eight"),
        ({"owner_offset": -8}, "no multiple of eight"),
        ({"identity": b"short"}, "16 bytes, not 5"),
    ]
    for change, message in wrong:
        with pytest.raises(ValueError, match=message):
            BlockTable.at(4096, size, **{"buckets": 2, **parts, **change})


# --- mutants ----------------------------------------------------------------------------------------------------------


def check_all(load: Load) -> None:
    check_digests(load, EDGES, 1)
    check_places(load)
    check_first_of_two(load)
    check_refusals(load)
    check_moved(load)


@requires_native
@pytest.mark.parametrize(
    ("old", "new"),
    [
        # The copy and its digest.
        ("SECRET_BYTES - STRIPE_BYTES - 7)", "SECRET_BYTES - STRIPE_BYTES - 8)"),  # the last stripe's secret
        ("if (stripe == round_end) scramble", "if (stripe == stripes) scramble"),
        ("(length - 1) / STRIPE_BYTES, whole", "length / STRIPE_BYTES, whole"),  # a whole last stripe, twice
        ("(i % 2 ? -seed : seed)", "seed"),
        ("memcpy(to + whole, from + whole, length - whole);", ""),
        ("(mixed >> 32, prime) << 32", "(mixed >> 32, prime) << 31"),
        ("memcpy(key_and_identity + 2, table->identity", "memcpy(key_and_identity + 2, key_and_identity"),
        # The look-up.
        ("half < 2", "half < 1"),
        ("place < first + WAYS;", "place < first + WAYS - 1;"),
        ("word_at(there) == key[0] && ", ""),
        (" && word_at(there + 1) == key[1]", ""),
        # What refuses an entry.
        ("sequence & 1 || ", ""),
        ("word_at(entry + OWNER_EPOCH) != table->epoch", "false"),
        ("length != (uint64_t)a->lengths[block] || ", ""),
        ("length > table->size || ", ""),
        ("offset > table->size - length", "offset + length > table->size"),
        ("if (length < SHORTEST_BYTES) return SHORT;", ""),
        # What is looked at after the copy.
        ("word_at(entry + SEQUENCE) != sequence || ", ""),
        (" || word_at(table->owner) != table->epoch", ""),
        ("memcmp(arrived, digest, DIGEST_BYTES)", "memcmp(arrived, digest, 8)"),
    ],
)
def test_a_mutant_fails(old: str, new: str, tmp_path: Path) -> None:
    load = mutant(old, new, tmp_path)
    with pytest.raises(AssertionError):
        check_all(load)


@requires_native
def test_a_digest_of_the_source_fails(tmp_path: Path) -> None:
    """Copied first, then read again: what the digest vouches for is not what arrived."""
    line = "move_stripes<false>(sums, from, to, stripes, secret);"
    again = "move_stripes<false>(sums, from, (uint8_t*)__builtin_alloca(length), stripes, secret);"
    wait = "for (volatile uint64_t spin = 0; spin < 1000 * 1000; spin++);"
    load = mutant(line, "{ memcpy(to, from, length); " + wait + again + " }", tmp_path)
    check_all(load)  # right, while nobody writes
    for _ in range(10):  # whether the writer is done before the second read is the scheduler's matter
        torn, wrong = torn_copies(load, rests_s=0.002)
        if wrong:
            break
    assert torn > 0
    assert wrong > 0
