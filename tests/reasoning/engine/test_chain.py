"""Blocks found, loaded, shared, published and dropped; and the same tokens whatever the store does."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future

import pytest

from services.reasoning.blocks import Lineage, Scope, Span, chain_keys, unlisted
from services.reasoning.engine import chain
from services.reasoning.engine.chain import Put
from services.reasoning.engine.core import identity_of
from services.reasoning.engine.port import Dropped, Finished
from services.reasoning.engine.store import Block, BlockStore, StoreFailure
from services.reasoning.models.load import LoadedModel
from tests.reasoning.engine.conftest import Naive
from tests.reasoning.engine.memory_store import MemoryStore
from tests.reasoning.engine.small import Driver, prompt
from tests.reasoning.engine.test_generation import assert_nothing_is_held
from tests.reasoning.engine.test_scheduling import Clock

LONG = prompt(100)
E = ("ns", "e")


@pytest.mark.parametrize(("length", "blocks"), [(15, 0), (16, 0), (17, 1), (32, 1), (33, 2), (100, 6)])
def test_at_most_floor_n_minus_1_over_16_blocks_hit(model: LoadedModel, length: int, blocks: int) -> None:
    store = MemoryStore(100)
    first, second = Driver(model, store.of(1)), Driver(model, store.of(2))
    first.generate(prompt(length))
    again = first.generate(prompt(length))
    assert (first.usage.blocks_looked_up, first.usage.blocks_in_pool) == (blocks, blocks)
    assert first.usage.cached_tokens == 16 * blocks
    assert second.generate(prompt(length)) == again
    assert (second.usage.blocks_in_pool, second.usage.blocks_loaded) == (0, blocks)


def test_what_was_generated_is_found_too(model: LoadedModel, naive: Naive) -> None:
    """The next turn of a conversation: prompt and answer are one prefix."""
    driver = Driver(model)
    turn = LONG + tuple(driver.generate(LONG, 40))
    assert driver.generate(turn + prompt(5, 1), 10) == naive.generate(turn + prompt(5, 1), 10)
    assert driver.usage.blocks_in_pool == 139 // 16


def test_invariant_26_one_prefill_for_many(model: LoadedModel, naive: Naive) -> None:
    """Six requests at once with one long prefix: it is computed once, and all use the same pages."""
    driver = Driver(model)
    ids = [driver.submit(LONG + prompt(4, seed), 6) for seed in range(6)]
    driver.core.step()
    assert driver.core.stats().running == 1  # the others wait for it
    driver.run()
    for seed, request_id in enumerate(ids):
        assert driver.tokens(request_id)[0] == naive.generate(LONG + prompt(4, seed), 6)
    stats = driver.core.stats()
    assert stats.blocks_computed == 6
    assert stats.blocks_in_pool == 5 * 6
    assert_nothing_is_held(driver)


def test_a_prefix_that_gave_way_to_another_is_computed_again(model: LoadedModel, naive: Naive) -> None:
    """Whoever computed it the first time computes it no more: nobody is waited for."""
    driver = Driver(model, pool_pages=9)
    for tokens in (LONG, prompt(140, 1), LONG):
        assert driver.generate(tokens, 4) == naive.generate(tokens, 4)
    assert (driver.usage.blocks_in_pool, driver.usage.blocks_computed) == (0, 6)


def test_who_waits_goes_on_when_the_prefill_is_cancelled(model: LoadedModel, naive: Naive) -> None:
    driver = Driver(model, chunk_tokens=16)
    first = driver.submit(LONG, 6)
    second = driver.submit(LONG, 6)
    for _ in range(3):
        driver.core.step()
    driver.core.cancel(first)
    driver.run()
    assert driver.tokens(second)[0] == naive.generate(LONG, 6)
    assert driver.usage.blocks_in_pool == 3  # what the first had got to


def test_invariant_26_one_prefill_for_many_engines(model: LoadedModel, naive: Naive) -> None:
    store = MemoryStore(100)
    clock = Clock()
    first, second = Driver(model, store.of(1), clock, chunk_tokens=16), Driver(model, store.of(2), clock)
    a, b = first.submit(LONG, 6), second.submit(LONG, 6)
    while not first.core.idle:
        first.core.step()
        clock.now += 0.01
        second.core.step()
    second.run()
    assert first.tokens(a) == second.tokens(b) == [naive.generate(LONG, 6)]
    assert (second.usage.blocks_loaded, second.usage.blocks_in_pool, second.usage.blocks_computed) == (6, 0, 0)


def test_another_engine_waits_for_a_prompt_and_not_for_its_answer(model: LoadedModel) -> None:
    store, clock = MemoryStore(4), Clock()  # the last two blocks are not kept
    first, second = (
        Driver(model, store.of(1), clock, step_tokens=128, chunk_tokens=128),
        Driver(model, store.of(2), clock),
    )
    first.submit(LONG, 200)
    for _ in range(3):
        first.core.step()
    assert not first.core.idle
    second.generate(LONG, 2)
    assert (second.usage.blocks_loaded, second.usage.blocks_computed) == (4, 2)


def test_an_engine_that_died_while_computing_is_waited_for_so_long_only(model: LoadedModel, naive: Naive) -> None:
    store = MemoryStore(100)
    clock = Clock()
    dead, alive = Driver(model, store.of(1), clock, chunk_tokens=16), Driver(model, store.of(2), clock)
    dead.submit(LONG)
    dead.core.step()
    request_id = alive.submit(LONG, 6)
    alive.core.step()
    assert alive.core.stats().running == 0
    assert 0 < alive.core.sleep_s() <= 0.05
    clock.now += alive.settings.prefill_wait_s + 1
    alive.run()
    assert alive.tokens(request_id)[0] == naive.generate(LONG, 6)
    assert (alive.usage.blocks_loaded, alive.usage.blocks_computed) == (1, 5)


class Failing:
    """A store that is gone after ``calls`` calls, or whose call of one name always fails."""

    def __init__(self, inner: BlockStore, calls: int = 10**9, name: str = "") -> None:
        self._inner = inner
        self._calls = calls
        self._name = name
        self.failed = 0

    def _may(self, name: str) -> BlockStore:
        self._calls -= 1
        if self._calls < 0 or name == self._name:
            self.failed += 1
            raise StoreFailure("gone")
        return self._inner

    def lookup(self, keys: Sequence[bytes]) -> int:
        return self._may("lookup").lookup(keys)

    def load(self, keys: Sequence[bytes], frames: Sequence[memoryview]) -> int:
        return self._may("load").load(keys, frames)

    def put(self, blocks: Sequence[Block], namespace: str, epochs: Mapping[str, int]) -> int:
        return self._may("put").put(blocks, namespace, epochs)

    def used(self, keys: Sequence[bytes]) -> None:
        self._may("used").used(keys)

    def begin(self, keys: Sequence[bytes]) -> bool:
        return self._may("begin").begin(keys)

    def end(self, keys: Sequence[bytes]) -> None:
        self._may("end").end(keys)


def test_invariant_21_same_tokens_with_the_store_without_it_and_after_its_restart(
    model: LoadedModel, naive: Naive
) -> None:
    expected = naive.generate(LONG, 24)
    store = MemoryStore(100)
    assert Driver(model).generate(LONG, 24) == expected
    engine = Driver(model, store.of(1))
    assert engine.generate(LONG, 24) == expected
    assert len(store) == 7  # the answer filled one more block
    warm = Driver(model, store.of(2))
    assert warm.generate(LONG, 24) == expected
    assert warm.usage.blocks_loaded == 6
    store.__init__(100)  # type: ignore[misc]
    assert engine.generate(LONG, 24) == expected
    assert engine.usage.blocks_in_pool == 6
    assert len(store) >= 6  # the pool knew more than the store and told it
    assert Driver(model, store.of(3)).generate(LONG, 24) == expected


@pytest.mark.parametrize("calls", range(9))
def test_invariant_21_same_tokens_when_the_store_is_killed_at_any_call(
    model: LoadedModel, naive: Naive, calls: int
) -> None:
    store = MemoryStore(100)
    Driver(model, store.of(1)).generate(LONG[:70])
    failing = Failing(store.of(2), calls)
    driver = Driver(model, failing, Clock())  # a clock that stands: the store is not asked again
    # lookup, load, begin, put twice, end, and put for the block that the answer fills: seven calls.
    assert driver.generate(LONG, 24) == naive.generate(LONG, 24)
    stats = driver.core.stats()
    # Left alone after a failure; but announcements are taken back in any case.
    assert (stats.store_failures > 0) is (calls < 7)
    assert stats.store_failures <= failing.failed <= 2
    assert_nothing_is_held(driver)


@pytest.mark.parametrize("name", ["put", "used"])
def test_announcements_end_even_when_the_store_fails_meanwhile(model: LoadedModel, name: str) -> None:
    """Else other engines wait for a prefill that is over, for as long as they ever wait."""
    store = MemoryStore(100)
    Driver(model, Failing(store.of(1), name=name), Clock()).generate(LONG, 24)  # the clock stands: the store rests
    assert not store._computing


def test_what_was_not_announced_is_not_taken_back(model: LoadedModel) -> None:
    failing = Failing(MemoryStore(100).of(1), calls=0)
    Driver(model, failing, Clock()).generate(LONG)
    assert failing.failed == 1  # the first lookup; then the store rests


@pytest.mark.parametrize("name", ["lookup", "load", "put", "begin", "end", "used"])
def test_same_tokens_when_one_call_of_the_store_always_fails(model: LoadedModel, naive: Naive, name: str) -> None:
    store = MemoryStore(100)
    Driver(model, store.of(1)).generate(LONG[:70])
    driver = Driver(model, Failing(store.of(2), name=name))
    assert driver.generate(LONG, 24) == naive.generate(LONG, 24)
    assert driver.core.stats().store_failures >= 1
    assert_nothing_is_held(driver)


def test_a_frame_in_the_wrong_order_would_be_noticed(model: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mutant: K and V swapped on their way out of the store give other tokens."""
    store = MemoryStore(100)
    right = Driver(model, store.of(1)).generate(LONG, 24)
    driver = Driver(model, store.of(2))
    write = driver.core._pool.write_frame
    monkeypatch.setattr(driver.core._pool, "write_frame", lambda page, frame: write(page, frame.flip(2)))
    assert driver.generate(LONG, 24) != right


def test_other_namespaces_and_epochs_find_nothing(model: LoadedModel) -> None:
    store = MemoryStore(100)
    driver = Driver(model, store.of(1))
    driver.generate(LONG, namespace="a", epochs={"a": 1})
    for namespace, epochs in [("b", {"a": 1}), ("a", {"a": 2}), ("a", {"a": 1, "b": 1}), ("a", {})]:
        driver.generate(LONG, namespace=namespace, epochs=epochs)
        assert driver.usage.cached_tokens == 0
    driver.generate(LONG, namespace="a", epochs={"a": 1})
    assert driver.usage.cached_tokens == 96


NOTE = (Span(40, frozenset({E})),)


def text_is_left(driver: Driver) -> bool:
    """Any page, or any frame on its way from or to the store, holds anything but zeros.

    Which is what a drop must leave behind of an engine that held the erased only.
    """
    own = driver.core._chain
    return any(bool(held.any()) for held in (driver.core._pool._all, own._load_frames, own._put_frames))


def test_invariant_18_drop_makes_chains_unaddressable_and_wipes_their_bytes(model: LoadedModel) -> None:
    driver = Driver(model)
    driver.generate(LONG, spans=NOTE)
    driver.generate(prompt(50, 3))
    dropped = driver.core.drop({E}, {"ns": 1})
    # Blocks 2 to 5 of the prompt hold the note or attended to it; the last, partial page was never findable.
    assert (dropped.keys, dropped.pages_wiped, dropped.pages_in_use) == (4, 4, 0)
    driver.generate(LONG, spans=NOTE, epochs={"ns": 1})
    assert driver.usage.cached_tokens == 0
    keys = set(driver.core._pool._page_of)
    driver.generate(LONG, spans=NOTE)  # recalled before the erasure: finds nothing, leaves nothing
    assert driver.usage.cached_tokens == 0
    assert set(driver.core._pool._page_of) == keys


@pytest.mark.parametrize("warm", [0, 1, 3, 5])
def test_blocks_from_the_store_have_each_its_own_lineage(model: LoadedModel, warm: int) -> None:
    """With nothing in the pool, and with the first blocks there: a drop reaches those that attended to the note."""
    store = MemoryStore(100)
    Driver(model, store.of(1)).generate(LONG, 1, spans=NOTE, epochs={"ns": 0})
    driver = Driver(model, store.of(2))
    if warm:
        driver.generate(LONG[: 16 * warm + 1], 1, spans=NOTE, epochs={"ns": 0})
    driver.generate(LONG, 1, spans=NOTE, epochs={"ns": 0})
    assert (driver.usage.blocks_in_pool, driver.usage.blocks_loaded) == (warm, 6 - warm)
    assert driver.core.drop({E}, {"ns": 1}).keys == 4  # blocks 2 to 5
    assert store.drop({E}, {"ns": 1}) == 4


class Listening:
    """A store that keeps what it was given, and for whom."""

    def __init__(self, inner: BlockStore) -> None:
        self._inner = inner
        self.given: list[tuple[str, dict[str, int], list[bytes], list[Lineage]]] = []

    def lookup(self, keys: Sequence[bytes]) -> int:
        return self._inner.lookup(keys)

    def load(self, keys: Sequence[bytes], frames: Sequence[memoryview]) -> int:
        return self._inner.load(keys, frames)

    def put(self, blocks: Sequence[Block], namespace: str, epochs: Mapping[str, int]) -> int:
        self.given.append((namespace, dict(epochs), [b.key for b in blocks], [b.lineage for b in blocks]))
        return self._inner.put(blocks, namespace, epochs)

    def used(self, keys: Sequence[bytes]) -> None:
        self._inner.used(keys)

    def begin(self, keys: Sequence[bytes]) -> bool:
        return self._inner.begin(keys)

    def end(self, keys: Sequence[bytes]) -> None:
        self._inner.end(keys)


def test_blocks_of_two_requests_are_put_each_under_its_own_namespace_and_epochs(model: LoadedModel) -> None:
    """Both are on their way to the store at once, and one step publishes all of them."""
    store = Listening(MemoryStore(100).of(1))
    driver = Driver(model, store, step_tokens=256, chunk_tokens=128)
    note = frozenset({("a", "e")})
    driver.submit(LONG, 1, namespace="a", epochs={"a": 3}, spans=(Span(40, note),))
    driver.submit(LONG, 1, namespace="b", epochs={"b": 5})
    driver.core.step()
    driver.run()
    identity = identity_of(model, driver.settings).digest()
    keys = {
        name: chain_keys(LONG, identity, Scope.of(name, {name: epoch}).salt()) for name, epoch in (("a", 3), ("b", 5))
    }
    none: Lineage = frozenset()
    assert store.given == [
        ("a", {"a": 3}, keys["a"], [none, none, note, note, note, note]),
        ("b", {"b": 5}, keys["b"], [none] * 6),
    ]


@pytest.mark.parametrize(("length", "answer"), [(96, 1), (100, 1), (100, 40)])
@pytest.mark.parametrize("samples", [1, 2])
def test_erased_bytes_are_gone_from_the_pool(model: LoadedModel, length: int, answer: int, samples: int) -> None:
    """Those of full blocks, of partial tails, of generated blocks, and of samples that made the same block twice."""
    driver = Driver(model)
    driver.submit(LONG[:length], answer, spans=(Span(0, frozenset({E})),), epochs={"ns": 0}, samples=samples)
    driver.run()
    assert text_is_left(driver)
    assert driver.core.drop({E}, {"ns": 1}).pages_wiped == (length + answer - 1) // 16
    assert not text_is_left(driver)


def test_erased_bytes_are_gone_from_the_frames_that_were_loaded_and_put(model: LoadedModel) -> None:
    store = MemoryStore(100)
    putting, loading = Driver(model, store.of(1)), Driver(model, store.of(2))
    for driver in (putting, loading):
        driver.generate(LONG, 1, spans=(Span(0, frozenset({E})),), epochs={"ns": 0})
    assert loading.usage.blocks_loaded == 6
    assert putting.core._chain._put_frames.any()
    assert loading.core._chain._load_frames.any()
    for driver in (putting, loading):
        driver.core.drop({E}, {"ns": 1})
        assert not text_is_left(driver)


def test_frames_under_way_during_an_erasure_arrive_whole_and_are_wiped_then(model: LoadedModel) -> None:
    store = MemoryStore(100)
    waiting: list[tuple[Callable[[], Put], Future[Put]]] = []

    def later(put: Callable[[], Put]) -> Future[Put]:
        waiting.append((put, Future()))
        return waiting[-1][1]

    driver = Driver(model, store.of(1), runner=later, step_tokens=128, chunk_tokens=128)  # one put of all blocks
    driver.submit(LONG, 1, epochs={"ns": 0})
    while not waiting:
        driver.core.step()
    driver.core.drop({E}, {"other": 1})
    while waiting:
        put, done = waiting.pop()
        done.set_result(put())
        driver.core.step()
    assert not driver.core._chain._put_frames.any()
    other = Driver(model, store.of(2))
    assert other.generate(LONG, 20, epochs={"ns": 0}) == Driver(model).generate(LONG, 20)
    assert other.usage.blocks_loaded == 6


@pytest.mark.parametrize("steps", [0, 1, 4, 8])
def test_erasure_reaches_requests_under_way(model: LoadedModel, naive: Naive, steps: int) -> None:
    """Recalled, submitted, then erased: the request ends well, and neither pool nor store keep anything of it."""
    store = MemoryStore(100)
    driver = Driver(model, store.of(1), chunk_tokens=30, publish_per_step=1)
    request_id = driver.submit(LONG, 12, spans=(Span(0, frozenset({E})),), epochs={"ns": 0}, samples=2)
    for _ in range(steps):
        driver.core.step()
    dropped = driver.core.drop({E}, {"ns": 1})
    store.drop({E}, {"ns": 1})
    assert dropped.pages_wiped == 0
    assert (dropped.pages_in_use > 0) is (steps > 0)
    driver.run()
    assert driver.tokens(request_id)[0] == naive.generate(LONG, 12)
    assert not text_is_left(driver)
    assert len(store) == 0
    assert driver.core.stats().pages_free == driver.core.stats().pages


def test_a_drop_that_is_asked_for_again_counts_the_same_and_says_what_is_in_use_now(model: LoadedModel) -> None:
    """Whoever erases may never have heard the first answer; whoever verifies asks only later."""
    driver = Driver(model)
    driver.generate(LONG, 8, spans=NOTE, epochs={"ns": 0})  # leaves four blocks that hold the note
    request_id = driver.submit(prompt(60, 1), 40, spans=(Span(0, frozenset({E})),), epochs={"ns": 0})
    while driver.core.stats().generated_tokens == 8:
        driver.core.step()
    # Three full blocks of the prompt, findable until now, and the one that is being filled.
    expected = Dropped(keys=4 + 3, pages_wiped=4, pages_in_use=4)
    assert [driver.core.drop({E}, {"ns": 1}) for _ in range(3)] == [expected] * 3
    assert driver.core.drop({("ns", "f")}, {"ns": 2}) == Dropped(0, 0, 0)  # nothing of f is anywhere
    driver.core.cancel(request_id)
    assert [driver.core.drop({E}, {"ns": 1}) for _ in range(2)] == [Dropped(7, 8, 0)] * 2


def test_a_prompt_from_before_the_erasure_that_comes_after_it_counts_as_in_use(model: LoadedModel) -> None:
    driver = Driver(model, step_tokens=128, chunk_tokens=128)
    driver.core.drop({E}, {"ns": 1})
    request_id = driver.submit(LONG, 400, spans=NOTE, epochs={"ns": 0})
    driver.core.step()
    assert driver.core.drop({E}, {"ns": 1}) == Dropped(keys=0, pages_wiped=0, pages_in_use=5)  # blocks 2 to 6
    driver.core.cancel(request_id)
    assert driver.core.drop({E}, {"ns": 1}) == Dropped(keys=0, pages_wiped=5, pages_in_use=0)


def test_of_a_block_that_samples_write_each_for_itself_all_copies_are_in_use(model: LoadedModel) -> None:
    driver = Driver(model, step_tokens=128, chunk_tokens=128)
    driver.submit(LONG, 40, spans=NOTE, epochs={"ns": 0}, samples=3)
    for _ in range(3):
        driver.core.step()
    # Blocks 2 to 5, and each sample's own block 6.
    assert driver.core.drop({E}, {"ns": 1}).pages_in_use == 4 + 3
    driver.run()
    assert driver.core.drop({E}, {"ns": 1}).pages_in_use == 0


def test_counts_of_the_newest_drops_are_remembered(model: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chain, "_MAX_DROPS", 2)
    driver = Driver(model)
    driver.generate(LONG, spans=NOTE, epochs={"ns": 0})
    assert driver.core.drop({E}, {"ns": 1}).keys == 4
    driver.core.drop({E}, {"ns": 2})
    assert driver.core.drop({E}, {"ns": 1}).keys == 4
    for epoch in (3, 4):
        driver.core.drop({E}, {"ns": epoch})
    assert driver.core.drop({E}, {"ns": 1}).keys == 0
    assert len(driver.core._chain._drops) == 2


def test_invariant_16_recall_forget_put(model: LoadedModel) -> None:
    """Recalled, erased while there was nothing to drop, and only then submitted: nothing is put."""
    store = MemoryStore(100)
    store.drop({E}, {"ns": 1})
    driver = Driver(model, store.of(1))
    driver.generate(LONG, spans=NOTE, epochs={"ns": 0})
    assert len(store) == 0
    assert driver.core.stats().blocks_not_published == 6


def test_a_prompt_of_unknown_content_goes_with_any_erasure_in_its_namespace(model: LoadedModel) -> None:
    driver = Driver(model)
    driver.generate(LONG, spans=(Span(0, frozenset({unlisted("ns")})),))
    driver.generate(prompt(100, 1), namespace="other", spans=(Span(0, frozenset({unlisted("other")})),))
    assert driver.core.drop({("ns", "x"), unlisted("ns")}, {"ns": 1}).keys == 6


def test_a_drop_asked_for_again_leaves_prompts_of_unknown_content_that_came_after_it(model: LoadedModel) -> None:
    """Else a receipt that is asked for until nothing is in use never ends where such prompts keep coming."""
    driver = Driver(model)
    erased, unknown = {E, unlisted("ns")}, (Span(0, frozenset({unlisted("ns")})),)
    driver.submit(LONG, 20, spans=unknown, epochs={"ns": 1})
    driver.core.step()
    assert driver.core.drop(erased, {"ns": 2}).pages_in_use == 2
    driver.run()
    driver.submit(LONG, 20, spans=unknown, epochs={"ns": 2})
    driver.core.step()
    for epoch in (2, 1):
        assert driver.core.drop(erased, {"ns": epoch}).pages_in_use == 0
    driver.run()
    driver.generate(LONG, spans=unknown, epochs={"ns": 2})
    assert driver.usage.blocks_in_pool == 6
    assert driver.core.drop(erased, {"ns": 3}).keys == 7


def test_who_waits_for_a_prefill_that_is_erased_computes_for_itself(model: LoadedModel, naive: Naive) -> None:
    driver = Driver(model, chunk_tokens=16)
    erased = driver.submit(LONG, 6, spans=(Span(0, frozenset({E})),))
    other = driver.submit(LONG, 6)
    driver.core.step()
    driver.core.drop({E}, {})
    driver.run()
    expected = naive.generate(LONG, 6)
    assert driver.tokens(erased)[0] == driver.tokens(other)[0] == expected
    assert not any(isinstance(e, Finished) for e in driver.events(other))


def test_memory_store_keeps_its_contract() -> None:
    store = MemoryStore(2)
    a, b = store.of("a"), store.of("b")
    frame = memoryview(bytearray(b"1234"))

    def block(key: bytes, content: memoryview = frame) -> Block:
        return Block(key, content, frozenset({E}) if key == b"k1" else frozenset())

    assert a.put([block(b"k1")], "ns", {"ns": 1}) == 1
    assert b.put([block(b"k1", memoryview(b"abcd"))], "ns", {}) == 0  # first put wins
    assert b.put([block(b"k2"), block(b"k3")], "ns", {}) == 1  # full
    assert a.lookup([b"k1", b"k3", b"k2"]) == 1
    out = [memoryview(bytearray(4)) for _ in range(2)]
    assert b.load([b"k1", b"k3"], out) == 1
    assert bytes(out[0]) == b"1234"
    assert a.begin([b"x", b"y"])
    assert a.begin([b"x"])
    assert not b.begin([b"x"])
    assert b.begin([b"w", b"x"])
    b.end([b"x"])
    assert not b.begin([b"x"])  # a's, still
    a.end([b"x"])
    assert b.begin([b"x"])
    assert store.drop([E], {"ns": 2}) == 1
    assert a.lookup([b"k1"]) == 0
    assert a.put([block(b"k1")], "ns", {"ns": 1}) == 0
    assert a.put([block(b"k1")], "ns", {"ns": 2}) == 1
