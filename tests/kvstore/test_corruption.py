"""Invariant 22: wrong bytes are never used. Each test spoils real bytes of a real arena, and runs twice: with blocks
loaded by the native operator and by Python."""

from __future__ import annotations

import os
import threading

import pytest
from mneme.v1 import kvstore_pb2 as pb

from kernels.keyed_copy import host as keyed_copy
from kernels.keyed_copy.host import KeyedCopy, NativeUnavailable
from services.kvstore import layout
from services.kvstore.client import Flight, KvClient, Origin, Timing
from services.kvstore.layout import ENTRY, ENTRY_BYTES, PAGE, BadArena
from services.kvstore.reader import Reader
from tests.kernels.native_library import MISSING
from tests.kvstore.damage import ArenaBytes
from tests.kvstore.running import BLOCK, IDENTITY, NAMESPACE, Running, eventually, keys, payloads

ORIGIN = Origin(NAMESPACE)
SELDOM = Timing(call_s=5, put_s=10, retry_s=0.05, heartbeat_s=60)  # no heartbeat comes within a test


def unavailable() -> KeyedCopy:
    raise NativeUnavailable("this test wants Python")


@pytest.fixture(autouse=True, params=["native", "python"])
def copies_with(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """What copies the blocks."""
    with_: str = request.param
    if with_ == "python":
        monkeypatch.setattr(keyed_copy, "native", unavailable)
    elif MISSING:
        pytest.skip(MISSING)
    return with_


@pytest.fixture
def arena(store: Running) -> ArenaBytes:
    return ArenaBytes(store.file("arena"))


def load_one(kv: KvClient, key: bytes, size: int = BLOCK) -> bytes | None:
    into = bytearray(size)
    return bytes(into) if kv.load([key], [into]) == 1 else None


@pytest.mark.parametrize("at", [0, 1, BLOCK // 2, BLOCK - 1])
def test_a_flipped_bit_of_the_payload_is_a_miss(kv: KvClient, arena: ArenaBytes, at: int) -> None:
    chain, blocks = keys(2), payloads(2)
    kv.put(chain, blocks, ORIGIN)
    arena.flip(arena.payload_at(chain[0]) + at, bit=at % 8)
    assert load_one(kv, chain[0]) is None
    assert load_one(kv, chain[1]) == blocks[1]


def test_no_flipped_bit_of_an_entry_yields_other_bytes(store: Running, arena: ArenaBytes) -> None:
    """Some bits do not matter to a load (the entry's own checksum); none may give anything but the block."""
    chain, blocks = keys(1), payloads(1)
    with store.client(timing=SELDOM) as kv:  # told of a bit that is wrong for a moment, the owner drops the block
        kv.put(chain, blocks, ORIGIN)
        entry = arena.entry_at(chain[0])
        missed = 0
        for bit in range(ENTRY.size * 8):
            arena.flip(entry + bit // 8, bit % 8)
            loaded = load_one(kv, chain[0])
            assert loaded is None or loaded == blocks[0]
            assert kv.lookup(chain) == 0, bit
            missed += loaded is None
            arena.flip(entry + bit // 8, bit % 8)
        assert missed >= (3 * 8 + 16) * 8 - 63  # offset, length, epoch, digest, and the sequence's lowest bit
        assert load_one(kv, chain[0]) == blocks[0]


def test_a_load_ends_before_the_first_damaged_block(
    store: Running, kv: KvClient, arena: ArenaBytes, copies_with: str
) -> None:
    chain, blocks = keys(70), payloads(70)
    kv.put(chain, blocks, ORIGIN)
    for damaged in (66, 64, 2, 0):
        arena.flip(arena.payload_at(chain[damaged]) + damaged)
        buffers = [bytearray(BLOCK) for _ in chain]
        reader = Reader(store.file("arena"), IDENTITY)
        assert reader.copies_with.startswith(copies_with)
        assert reader.load(chain, buffers) == damaged
        assert buffers[:damaged] == blocks[:damaged]
        assert reader.take_suspects(9) == [chain[damaged]]


def test_short_blocks_are_verified_too(kv: KvClient, arena: ArenaBytes) -> None:
    """Below what the native operator digests, at its edge, and between longer ones."""
    sizes = [BLOCK, 240, 1, 241, BLOCK]
    chain, blocks = keys(5), [os.urandom(size) for size in sizes]
    for key, block in zip(chain, blocks, strict=True):
        kv.put([key], [block], ORIGIN)
    buffers = [bytearray(size) for size in sizes]
    assert kv.load(chain, buffers) == 5
    assert buffers == blocks
    arena.flip(arena.payload_at(chain[1]))
    assert kv.load(chain, buffers) == 1


def test_a_buffer_that_cannot_be_written_is_refused(kv: KvClient) -> None:
    chain = keys(1)
    kv.put(chain, payloads(1), ORIGIN)
    with pytest.raises(TypeError):
        kv.load(chain, [bytes(BLOCK)])
    assert kv.load(chain, [bytearray(BLOCK - 1)]) == 0
    assert kv.load(chain, [bytearray(BLOCK + 1)]) == 0


def test_swapped_payloads_are_misses(kv: KvClient, arena: ArenaBytes) -> None:
    chain = keys(2)
    kv.put(chain, payloads(2), ORIGIN)
    arena.swap(arena.payload_at(chain[0]), arena.payload_at(chain[1]), BLOCK)
    assert load_one(kv, chain[0]) is None
    assert load_one(kv, chain[1]) is None


def test_swapped_entries_are_misses(kv: KvClient, arena: ArenaBytes) -> None:
    """A whole entry, checksum and all, under another key."""
    chain = keys(2)
    kv.put(chain, payloads(2), ORIGIN)
    arena.swap(arena.entry_at(chain[0]), arena.entry_at(chain[1]), ENTRY_BYTES)
    assert kv.lookup(chain[:1]) == kv.lookup(chain[1:]) == 0
    assert load_one(kv, chain[0]) is None
    assert load_one(kv, chain[1]) is None


def test_a_truncated_block_is_a_miss(kv: KvClient, arena: ArenaBytes) -> None:
    """Its length made smaller by someone who can compute the entry's checksum."""
    chain = keys(1)
    kv.put(chain, payloads(1), ORIGIN)
    arena.rewrite(chain[0], arena.entry(chain[0])._replace(length=BLOCK - 16))
    assert load_one(kv, chain[0]) is None
    assert load_one(kv, chain[0], BLOCK - 16) is None


def test_a_block_said_to_end_beyond_the_arena_is_a_miss(kv: KvClient, arena: ArenaBytes) -> None:
    chain = keys(1)
    kv.put(chain, payloads(1), ORIGIN)
    arena.rewrite(chain[0], arena.entry(chain[0])._replace(offset=arena.header.file_bytes - 8))
    assert load_one(kv, chain[0]) is None


def test_an_entry_of_another_owner_epoch_is_a_miss(kv: KvClient, arena: ArenaBytes) -> None:
    chain = keys(1)
    kv.put(chain, payloads(1), ORIGIN)
    arena.rewrite(chain[0], arena.entry(chain[0])._replace(epoch=arena.header.owner_epoch - 1))
    assert kv.lookup(chain) == 0
    assert load_one(kv, chain[0]) is None


def test_a_truncated_arena_is_a_miss_and_no_crash(store: Running, kv: KvClient) -> None:
    chain = keys(1)
    kv.put(chain, payloads(1), ORIGIN)
    assert kv.lookup(chain) == 1
    size = store.file("arena").stat().st_size
    os.truncate(store.file("arena"), size - PAGE)
    try:
        assert kv.lookup(chain) == 0
        assert load_one(kv, chain[0]) is None
    finally:
        os.truncate(store.file("arena"), size)


def test_a_stale_owner_epoch_is_a_miss(kv: KvClient, arena: ArenaBytes) -> None:
    chain = keys(1)
    kv.put(chain, payloads(1), ORIGIN)
    at = layout.OWNER_EPOCH_WORD * 8
    arena.map[at : at + 8] = (arena.header.owner_epoch + 1).to_bytes(8, "little")
    assert kv.lookup(chain) == 0
    assert load_one(kv, chain[0]) is None


def test_a_damaged_header_is_no_arena(store: Running, arena: ArenaBytes) -> None:
    raw = arena.header.pack()
    for bit in range(len(raw) * 8):
        arena.flip(bit // 8, bit % 8)
        with pytest.raises(BadArena):
            Reader(store.file("arena"), IDENTITY)
        arena.flip(bit // 8, bit % 8)
    Reader(store.file("arena"), IDENTITY)


def test_a_slot_reused_while_it_is_copied_is_a_miss(kv: KvClient, arena: ArenaBytes) -> None:
    """The sequence moves on between the two looks at it, the bytes stay right: still a miss.

    It moves for certain: the buffer that is loaded into is the arena itself, where the sequence lies.
    """
    chain, blocks = keys(1), payloads(1)
    kv.put(chain, blocks, ORIGIN)
    start = max(arena.header.entries_offset, arena.entry_at(chain[0]) - BLOCK // 2)
    before = arena.map[start : start + BLOCK]
    with memoryview(arena.map) as whole, whole[start : start + BLOCK] as into:
        assert kv.load(chain, [into]) == 0
        assert into == blocks[0]
        into[:] = before
    assert load_one(kv, chain[0]) == blocks[0]


def test_readers_racing_evictions_get_right_bytes_or_none(store: Running, kv: KvClient) -> None:
    """Every payload is made of its key, so a reader can tell; the arena turns over several times meanwhile."""
    stop, wrong, hits = threading.Event(), [], []
    recent: list[bytes] = []

    def read() -> None:
        with store.client() as reader:
            into = bytearray(BLOCK)
            while not stop.is_set():
                for key in recent[-8:] + recent[:8]:
                    if reader.load([key], [into]) == 1:
                        hits.append(1)
                        if into != key * (BLOCK // 16):
                            wrong.append(key)

    thread = threading.Thread(target=read)
    thread.start()
    for _ in range(30):
        chain = keys(32)
        kv.put(chain, [key * (BLOCK // 16) for key in chain], ORIGIN)
        recent[:] = (recent + chain)[-200:]
    stop.set()
    thread.join(10)
    assert hits
    assert not wrong
    assert kv.stats().counts["evicted"] > 500


def test_a_reported_block_is_dropped_and_can_be_put_again(kv: KvClient, arena: ArenaBytes) -> None:
    chain, blocks = keys(1), payloads(1)
    kv.put(chain, blocks, ORIGIN)
    arena.flip(arena.payload_at(chain[0]))
    assert load_one(kv, chain[0]) is None
    eventually(lambda: kv.stats().counts["corrupt"] == 1)
    assert kv.lookup(chain) == 0
    assert kv.put(chain, blocks, ORIGIN) == [pb.PUT_OUTCOME_STORED]
    assert load_one(kv, chain[0]) == blocks[0]


def test_who_begins_a_chain_with_damaged_blocks_claims_them(store: Running, kv: KvClient, arena: ArenaBytes) -> None:
    """The owner's table lists them. Whoever believed it would wait for blocks that nobody computes."""
    chain, blocks = keys(4), payloads(3)
    kv.put(chain[:3], blocks, ORIGIN)
    arena.flip(arena.entry_at(chain[1]) + 9)
    arena.flip(arena.key_at(chain[2]))
    with store.client() as other:
        assert other.begin(chain) == Flight(1, 3, 0)
        assert kv.begin(chain[1:]) == Flight(0, 0, 3)
        other.put(chain[1:], [*blocks[1:], *payloads(1)], ORIGIN)
    assert kv.lookup(chain) == 4


def test_a_damaged_block_behind_a_good_entry_is_claimed_too(store: Running, arena: ArenaBytes) -> None:
    chain = keys(2)
    with store.client(timing=SELDOM) as kv:
        kv.put(chain, payloads(2), ORIGIN)
        arena.flip(arena.payload_at(chain[0]))
        assert load_one(kv, chain[0]) is None
        assert kv.lookup(chain) == 2
        assert kv.begin(chain) == Flight(0, 1, 0)
        assert kv.stats().counts["corrupt"] == 1


def test_a_put_mends_a_damaged_block(kv: KvClient, arena: ArenaBytes) -> None:
    """Damage that no reader sees as such: the entry. First put wins only while it is whole."""
    chain, blocks = keys(1), payloads(1)
    kv.put(chain, blocks, ORIGIN)
    arena.flip(arena.entry_at(chain[0]) + 9)
    assert kv.lookup(chain) == 0
    assert kv.put(chain, blocks, ORIGIN) == [pb.PUT_OUTCOME_STORED]
    assert load_one(kv, chain[0]) == blocks[0]


def test_a_dropped_block_s_entry_tells_readers_in_the_middle_of_a_copy(kv: KvClient, arena: ArenaBytes) -> None:
    chain = keys(1)
    kv.put(chain, payloads(1), Origin(NAMESPACE, unknown=True))
    at = arena.entry_at(chain[0])
    before: int = ENTRY.unpack_from(arena.map, at)[0]
    assert before % 2 == 0
    kv.drop(NAMESPACE, 2, ["e1"])
    after: int = ENTRY.unpack_from(arena.map, at)[0]
    assert after > before
    assert after % 2 == 1
