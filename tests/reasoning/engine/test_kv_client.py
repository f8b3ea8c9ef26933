"""The engine over the real KV store: shared memory, control port, another process, kill -9."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import pytest

from services.kvstore.client import Flight, KvClient, Timing
from services.reasoning.blocks import Scope, Span, chain_keys, unlisted
from services.reasoning.engine.core import identity_of
from services.reasoning.engine.kv_client import KvClientStore, store_identity
from services.reasoning.models.load import LoadedModel
from tests.kvstore.damage import ArenaBytes
from tests.kvstore.running import MEMORY, TIMING, Process, Running, client, memory_folder
from tests.reasoning.engine.conftest import Naive
from tests.reasoning.engine.small import Driver, prompt, settings

pytestmark = pytest.mark.skipif(not MEMORY.is_dir(), reason="no /dev/shm on this machine")

LONG = prompt(100)
E = ("ns", "e")
EPOCH = {"ns": 0}


@pytest.fixture
def memory() -> Iterator[Path]:
    with memory_folder() as folder:
        yield folder


@pytest.fixture
def store(tmp_path: Path, memory: Path) -> Iterator[Running]:
    running = Running(tmp_path, memory).start()
    yield running
    running.stop()


def kv(data_dir: Path, model: LoadedModel, timing: Timing = TIMING) -> KvClient:
    return client(data_dir, store_identity(identity_of(model, settings())), timing)


def test_two_engines_share_one_prefill_through_shared_memory(store: Running, model: LoadedModel, naive: Naive) -> None:
    expected = naive.generate(LONG, 24)
    with kv(store.data_dir, model) as a, kv(store.data_dir, model) as b:
        first, second = Driver(model, KvClientStore(a)), Driver(model, KvClientStore(b))
        assert first.generate(LONG, 24, epochs=EPOCH) == expected
        assert first.core.stats().blocks_published == 7
        assert second.generate(LONG, 24, epochs=EPOCH) == expected
        assert (second.usage.blocks_loaded, second.usage.blocks_computed) == (6, 0)
        assert second.core.stats().store_failures == 0


def test_invariant_26_the_second_engine_waits_for_the_first(store: Running, model: LoadedModel, naive: Naive) -> None:
    with kv(store.data_dir, model) as a, kv(store.data_dir, model) as b:
        first, second = Driver(model, KvClientStore(a), chunk_tokens=16), Driver(model, KvClientStore(b))
        one, two = first.submit(LONG, 6, epochs=EPOCH), second.submit(LONG, 6, epochs=EPOCH)
        first.core.step()
        while not (first.core.idle and second.core.idle):
            second.core.step()
            first.core.step()
        assert first.tokens(one) == second.tokens(two) == [naive.generate(LONG, 6)]
        assert (second.usage.blocks_loaded, second.usage.blocks_computed) == (6, 0)


def test_who_is_told_to_look_again_has_claimed_nothing(store: Running, model: LoadedModel, naive: Naive) -> None:
    """The first block has come, the others nobody computes: claimed by who asks, and given up by who then waits."""
    keys = chain_keys(LONG, identity_of(model, settings()).digest(), Scope.of("ns", EPOCH).salt())
    with kv(store.data_dir, model) as a, kv(store.data_dir, model) as b:
        Driver(model, KvClientStore(a)).generate(LONG[:20], 1, epochs=EPOCH)
        assert not KvClientStore(a).begin(keys)
        assert b.begin(keys[1:]) == Flight(0, 5, 0)


@pytest.mark.parametrize("steps", [0, 1, 3, 7, 12])
def test_invariant_21_same_tokens_when_the_store_is_killed_in_the_middle(
    tmp_path: Path, memory: Path, model: LoadedModel, naive: Naive, steps: int
) -> None:
    process = Process(tmp_path, memory)
    with kv(tmp_path, model) as connection:
        Driver(model, KvClientStore(connection)).generate(LONG[:70], epochs=EPOCH)
        driver = Driver(model, KvClientStore(connection), chunk_tokens=16, publish_per_step=1)
        request_id = driver.submit(LONG, 24, epochs=EPOCH)
        for _ in range(steps):
            driver.core.step()
        process.kill()
        driver.run()
        assert driver.tokens(request_id) == [naive.generate(LONG, 24)]
        # Killed before the first step, its memory is still good for the moment that the owner seems to live.
        assert driver.usage.blocks_loaded == 4 or (steps == 0 and driver.usage.blocks_loaded == 0)


Damage: TypeAlias = Callable[[ArenaBytes, bytes], None]


def _entry_bit(arena: ArenaBytes, key: bytes) -> None:
    arena.flip(arena.entry_at(key) + 9)


def _entry_under_write(arena: ArenaBytes, key: bytes) -> None:
    """The sequence's lowest bit: to readers, its writer is at it for ever."""
    arena.flip(arena.entry_at(key))


def _key_bit(arena: ArenaBytes, key: bytes) -> None:
    arena.flip(arena.key_at(key) + 5)


def _payload_bit(arena: ArenaBytes, key: bytes) -> None:
    arena.flip(arena.payload_at(key) + 100)


def _cut_short(arena: ArenaBytes, key: bytes) -> None:
    arena.rewrite(key, arena.entry(key)._replace(length=arena.entry(key).length - 16))


def _of_an_older_owner(arena: ArenaBytes, key: bytes) -> None:
    arena.rewrite(key, arena.entry(key)._replace(epoch=arena.entry(key).epoch - 1))


@pytest.mark.parametrize("blocks", [[0], [3], [1, 3], [0, 1, 2, 3, 4, 5]])
@pytest.mark.parametrize(
    "damage", [_entry_bit, _entry_under_write, _key_bit, _payload_bit, _cut_short, _of_an_older_owner]
)
def test_invariant_22_a_damaged_block_holds_nobody_up_and_is_mended(
    store: Running, model: LoadedModel, naive: Naive, damage: Damage, blocks: list[int]
) -> None:
    """The owner still lists it and no reader gets it: computed anew at once, and put anew."""
    expected = naive.generate(LONG, 6)
    chain = chain_keys(LONG, identity_of(model, settings()).digest(), Scope.of("ns", EPOCH).salt())
    # Nothing is waited for: heartbeats come too late to help, waits for others end after the test.
    rare = Timing(call_s=5, put_s=10, retry_s=0.05, heartbeat_s=60)
    with kv(store.data_dir, model, rare) as connection:
        Driver(model, KvClientStore(connection)).generate(LONG, 6, epochs=EPOCH)
        arena = ArenaBytes(store.file("arena"))
        for block in blocks:
            damage(arena, chain[block])
        driver = Driver(model, KvClientStore(connection), prefill_wait_s=3600)
        request_id = driver.submit(LONG, 6, epochs=EPOCH, deadline_s=5)
        driver.run(100)  # a request that waits takes some ten thousand steps a second
        assert driver.tokens(request_id) == [expected]
        assert driver.usage.blocks_loaded == blocks[0]
        assert connection.stats().counts["corrupt"] == len(blocks)
        assert connection.stats().claims == 0
        again = Driver(model, KvClientStore(connection))
        assert again.generate(LONG, 6, epochs=EPOCH) == expected
        assert (again.usage.blocks_loaded, again.usage.blocks_computed) == (6, 0)


def test_invariant_17_an_erasure_drops_the_block_of_the_text_and_all_after_it(
    store: Running, model: LoadedModel
) -> None:
    with kv(store.data_dir, model) as connection:
        driver = Driver(model, KvClientStore(connection))
        driver.generate(LONG, 1, spans=(Span(40, frozenset({E})),), epochs=EPOCH)
        driver.generate(prompt(100, 1), 1, spans=(Span(0, frozenset({unlisted("ns")})),), epochs=EPOCH)
        driver.generate(prompt(100, 2), 1, namespace="other", epochs={"other": 0})
        dropped = connection.drop("ns", 1, ["e"])
        # Of the first prompt, blocks 2 to 5; of the second, whose engrams nobody listed, all six. The first
        # prompt's blocks 0 and 1 hold nothing erased, but no key that anyone makes finds them any more.
        assert (dropped.named_blocks, dropped.unreachable_blocks) == (10, 2)
        assert Driver(model, KvClientStore(connection)).generate(
            prompt(100, 2), 1, namespace="other", epochs={"other": 0}
        )


def test_invariant_16_recall_forget_put(store: Running, model: LoadedModel) -> None:
    """The engine puts what it computed from a text that was erased between recall and put: refused."""
    with kv(store.data_dir, model) as connection:
        connection.drop("ns", 1, ["e"])
        driver = Driver(model, KvClientStore(connection))
        driver.generate(LONG, 1, spans=(Span(0, frozenset({E})),), epochs=EPOCH)
        assert driver.core.stats().blocks_published == 0
        assert connection.stats().blocks == 0
