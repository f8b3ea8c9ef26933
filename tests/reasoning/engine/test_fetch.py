"""What the store is asked for beside the loop: nothing that runs waits for it, and whatever becomes of a request
meanwhile, its pages are nobody else's until the answer is there."""

from __future__ import annotations

import random
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from itertools import pairwise

import pytest

from services.reasoning.blocks import Scope, Span
from services.reasoning.engine.fetch import Fetched
from services.reasoning.engine.local import LocalEngine
from services.reasoning.engine.port import Finished, Request, Token
from services.reasoning.engine.store import Block, BlockStore
from services.reasoning.models.load import LoadedModel
from tests.reasoning.engine.conftest import Naive
from tests.reasoning.engine.memory_store import MemoryStore
from tests.reasoning.engine.small import Driver, prompt, settings
from tests.reasoning.engine.test_chain import Failing, text_is_left
from tests.reasoning.engine.test_generation import assert_nothing_is_held
from tests.reasoning.engine.test_scheduling import Clock

LONG = prompt(100)
E = ("ns", "e")
_SLEEP_S = 0.5


class Later:
    """A Reader whose answers come when the test says so."""

    def __init__(self) -> None:
        self.waiting: deque[tuple[Callable[[], Fetched], Future[Fetched]]] = deque()

    def __call__(self, work: Callable[[], Fetched]) -> Future[Fetched]:
        self.waiting.append((work, Future()))
        return self.waiting[-1][1]

    def answer(self) -> None:
        work, done = self.waiting.popleft()
        done.set_result(work())

    def run(self, driver: Driver) -> None:
        """Until nothing is left to do."""
        for _ in range(10_000):
            driver.core.step()
            if self.waiting:
                self.answer()
            elif driver.core.idle:
                return
        raise AssertionError("still busy")


class Sleeping:
    """A store that is slow, in every call."""

    def __init__(self, inner: BlockStore) -> None:
        self._inner = inner
        self.asked = 0

    def _slow(self) -> BlockStore:
        self.asked += 1
        time.sleep(_SLEEP_S)
        return self._inner

    def lookup(self, keys: Sequence[bytes]) -> int:
        return self._slow().lookup(keys)

    def load(self, keys: Sequence[bytes], frames: Sequence[memoryview]) -> int:
        return self._slow().load(keys, frames)

    def put(self, blocks: Sequence[Block], namespace: str, epochs: Mapping[str, int]) -> int:
        return self._slow().put(blocks, namespace, epochs)

    def used(self, keys: Sequence[bytes]) -> None:
        self._slow().used(keys)

    def begin(self, keys: Sequence[bytes]) -> bool:
        return self._slow().begin(keys)

    def end(self, keys: Sequence[bytes]) -> None:
        self._slow().end(keys)


def gaps(engine: LocalEngine, name: str, others: int) -> list[float]:
    """Times between the tokens of an answer, beside which so many others are asked for, one after another."""
    running = engine.submit(Request(name, prompt(20, 1), 400, Scope.of("ns", {}), deadline_s=50.0))
    times: list[float] = []
    for event in running:
        if isinstance(event, Token):
            times.append(time.monotonic())
            if len(times) % 40 == 20 and len(times) // 40 < others:
                tokens = prompt(100, 10 + len(times))
                engine.submit(Request(f"{name}{len(times)}", tokens, 2, Scope.of("ns", {}), deadline_s=50.0))
    assert len(times) == 400
    return [b - a for a, b in pairwise(times)]


def test_a_store_that_sleeps_stalls_no_answer_that_runs(model: LoadedModel) -> None:
    """Each request asks it three times or more, before its first token: half a second each, between two tokens."""
    store = Sleeping(MemoryStore(1_000).of(1))
    engine = LocalEngine(model, settings(stream_buffer=1_000, pool_pages=200), store)
    engine.start()
    try:
        quiet = sorted(gaps(engine, "quiet", 0))
        beside = sorted(gaps(engine, "beside", 4))
    finally:
        engine.close()
    assert store.asked > 3
    # Each of the four stalled it before; a machine that is busy with others may do so once.
    assert sum(gap >= _SLEEP_S for gap in beside) < 2
    assert beside[len(beside) // 2] < 10 * quiet[len(quiet) // 2] + 0.005


def test_what_is_asked_beside_the_loop_is_loaded_and_gives_the_same_tokens(model: LoadedModel, naive: Naive) -> None:
    store, later = MemoryStore(100), Later()
    Driver(model, store.of(1)).generate(LONG)
    driver = Driver(model, store.of(2), reader=later)
    first = driver.submit(LONG, 4)
    driver.core.step()
    assert driver.core.stats().running == 0
    second = driver.submit(prompt(40, 3), 4)  # is not held up by it, but for its own answer
    later.run(driver)
    assert driver.tokens(first)[0] == naive.generate(LONG, 4)
    assert driver.usage.blocks_loaded == 6
    assert driver.tokens(second)[0] == naive.generate(prompt(40, 3), 4)
    assert_nothing_is_held(driver)


def test_invariant_26_one_fetch_for_many(model: LoadedModel, naive: Naive) -> None:
    store, later = MemoryStore(100), Later()
    Driver(model, store.of(1)).generate(LONG[:70])
    driver = Driver(model, store.of(2), reader=later, pool_pages=64)
    ids = [driver.submit(LONG, 3) for _ in range(4)]
    for _ in range(3):
        driver.core.step()
    assert len(later.waiting) == 1
    later.run(driver)
    assert [driver.tokens(id)[0] for id in ids] == [naive.generate(LONG, 3)] * 4
    assert driver.core.stats().blocks_loaded == 4
    assert_nothing_is_held(driver)


@pytest.mark.parametrize("how", ["cancelled", "deadline"])
@pytest.mark.parametrize("warm", [0, 40, 100])
def test_invariant_27_what_ends_while_the_store_is_asked_gives_its_pages_back_with_the_answer(
    model: LoadedModel, how: str, warm: int
) -> None:
    store, later, clock = MemoryStore(100), Later(), Clock()
    if warm:
        Driver(model, store.of(1)).generate(LONG[:warm], 1, epochs={"ns": 0})
    driver = Driver(model, store.of(2), clock, reader=later)
    id = driver.submit(LONG, 4, samples=2, deadline_s=5.0, spans=(Span(0, frozenset({E})),), epochs={"ns": 0})
    driver.core.step()
    if how == "cancelled":
        driver.core.cancel(id)
    else:
        clock.now += 6.0
        driver.core.step()
    assert [event.reason for event in driver.events(id) if isinstance(event, Finished)] == [how, how]
    assert driver.core.stats().pages_used == 6  # the answer is written there
    assert not driver.core.idle
    assert driver.core.drop({E}, {"ns": 1}).pages_in_use == 6
    later.run(driver)
    assert driver.core.drop({E}, {"ns": 1}).pages_in_use == 0
    assert not text_is_left(driver)
    assert_nothing_is_held(driver)
    assert not store._computing


@pytest.mark.parametrize("when", ["before", "between"])
def test_an_erasure_while_the_store_is_asked_leaves_nothing(model: LoadedModel, naive: Naive, when: str) -> None:
    """The store has not heard of it yet: the erased comes out of it once more, for this request alone."""
    store, later = MemoryStore(100), Later()
    note = (Span(40, frozenset({E})),)
    Driver(model, store.of(1)).generate(LONG, spans=note, epochs={"ns": 0})
    driver = Driver(model, store.of(2), reader=later)
    id = driver.submit(LONG, 4, spans=note, epochs={"ns": 0})
    driver.core.step()
    if when == "between":
        later.answer()
    dropped = driver.core.drop({E}, {"ns": 1})
    assert dropped.pages_in_use >= 4  # they may be written into
    later.run(driver)
    assert driver.tokens(id)[0] == naive.generate(LONG, 4)
    assert driver.core.drop({E}, {"ns": 1}).pages_in_use == 0
    driver.core.drop({("ns", "")}, {"ns": 2})
    again = driver.submit(LONG, 1, epochs={"ns": 0})
    later.run(driver)
    assert driver.tokens(again)
    assert driver.usage.blocks_in_pool == 0
    assert not store._computing
    pool = driver.core._pool
    held = [page for page in range(pool.pages) if pool._all[:, page].any()]
    assert all(E not in pool._seals[page].lineage for page in held)
    assert not driver.core._chain._load_frames.any()


@pytest.mark.parametrize("seed", range(12))
def test_nothing_is_lost_or_lent_twice_whatever_comes_when(model: LoadedModel, naive: Naive, seed: int) -> None:
    """Answers late and early, failures, cancels, erasures, a pool that holds a few; every answer is the right one."""
    rnd = random.Random(seed)
    store, later = MemoryStore(60), Later()
    other = Driver(model, store.of(1), prefill_wait_s=0.0)
    driver = Driver(model, Failing(store.of(2), 40 + seed * 5), reader=later, pool_pages=24, max_running=3)
    prompts = [prompt(length, n % 2) for n, length in enumerate((20, 33, 50, 70, 100, 100, 90, 17))]
    asked: dict[str, tuple[int, ...]] = {}
    for _ in range(150):
        match rnd.randrange(8):
            case 0 if len(asked) < 30:
                tokens = rnd.choice(prompts)
                spans = (Span(rnd.randrange(len(tokens)), frozenset({("ns", str(rnd.randrange(3)))})),)
                asked[driver.submit(tokens, 3, spans=spans, epochs={"ns": 9}, samples=rnd.choice((1, 1, 2)))] = tokens
            case 1:
                driver.core.cancel(rnd.choice(list(asked) or ["none"]))
            case 2 if rnd.random() < 0.2:
                driver.core.drop({("ns", str(rnd.randrange(3)))}, {"ns": 1})
            case 3 if rnd.random() < 0.3:
                other.generate(rnd.choice(prompts), 2, epochs={"ns": 9})
            case 4 | 5 if later.waiting:
                later.answer()
            case _:
                driver.core.step()
        pool = driver.core._pool
        assert pool.free + pool.cached + driver.core.stats().pages_used == pool.pages
        assert driver.core._scheduler.promised() <= pool.available
    later.run(driver)
    for id, tokens in asked.items():
        expected = naive.generate(tokens, 3)
        made: dict[int, list[int]] = {}
        for event in driver.events(id):
            if isinstance(event, Token):
                made.setdefault(event.sample, []).append(event.id)
        assert all(tokens_ == expected[: len(tokens_)] for tokens_ in made.values())
    assert_nothing_is_held(driver)
    assert driver.core._chain._computing == {}


def test_text_is_gone_from_the_frames_though_another_fetch_is_queued(model: LoadedModel) -> None:
    store, later = MemoryStore(100), Later()
    note = (Span(0, frozenset({E})),)
    Driver(model, store.of(1)).generate(LONG, spans=note, epochs={"ns": 0})
    driver = Driver(model, store.of(2), reader=later)
    driver.submit(LONG, 1, spans=note, epochs={"ns": 0})
    driver.submit(prompt(40, 5), 1, epochs={"ns": 0})
    driver.core.step()
    later.answer()
    assert driver.core._chain._load_frames.any()
    driver.core.drop({E}, {"ns": 1})
    store.drop({E}, {"ns": 1})
    later.answer()
    assert not driver.core._chain._load_frames.any()
    later.run(driver)
    driver.core.drop({("ns", "")}, {"ns": 2})
    assert not driver.core._chain._load_frames.any()
    assert text_is_left(driver)  # of the other prompt
