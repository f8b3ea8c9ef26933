"""Every bound at its edge: what just fits is served, what just does not waits or is refused; and what is counted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
import torch

from services.reasoning.blocks import Span
from services.reasoning.engine import chain
from services.reasoning.engine.port import Dropped, Finished, Refused, Sampling, Token
from services.reasoning.engine.scheduler import Work
from services.reasoning.engine.store import Block, BlockStore, StoreFailure
from services.reasoning.models.load import LoadedModel
from tests.reasoning.engine.conftest import Naive
from tests.reasoning.engine.memory_store import MemoryStore
from tests.reasoning.engine.small import Driver, prompt
from tests.reasoning.engine.test_scheduling import Clock
from tests.reasoning.models.reference import VOCAB

LONG = prompt(100)
E, F = ("ns", "e"), ("ns", "f")


class Journal:
    """A store that notes each call: its name, and how many blocks it was about or which keys."""

    def __init__(self, inner: BlockStore, fails: bool = False) -> None:
        self._inner = inner
        self.fails = fails
        self.calls: list[tuple[str, int]] = []
        self.keys: dict[str, list[bytes]] = {}

    def _note(self, name: str, keys: Sequence[bytes]) -> None:
        self.calls.append((name, len(keys)))
        self.keys.setdefault(name, []).extend(keys)
        if self.fails:
            raise StoreFailure("gone")

    def names(self) -> list[str]:
        return [name for name, _ in self.calls]

    def lookup(self, keys: Sequence[bytes]) -> int:
        self._note("lookup", keys)
        return self._inner.lookup(keys)

    def load(self, keys: Sequence[bytes], frames: Sequence[memoryview]) -> int:
        self._note("load", keys)
        return self._inner.load(keys, frames)

    def put(self, blocks: Sequence[Block], namespace: str, epochs: Mapping[str, int]) -> int:
        self._note("put", [block.key for block in blocks])
        return self._inner.put(blocks, namespace, epochs)

    def used(self, keys: Sequence[bytes]) -> None:
        self._note("used", keys)
        self._inner.used(keys)

    def begin(self, keys: Sequence[bytes]) -> bool:
        self._note("begin", keys)
        return self._inner.begin(keys)

    def end(self, keys: Sequence[bytes]) -> None:
        self._note("end", keys)
        self._inner.end(keys)


# --- room ---


@pytest.mark.parametrize(
    ("tokens", "answer", "more"),
    [
        (prompt(500), 12, {}),  # the whole context
        (prompt(511), 1, {}),
        ((VOCAB - 1, 0), 1, {}),
        (prompt(300), 36, {"samples": 4, "pool_pages": 18 + 4 * 3}),  # all of the pool
        (prompt(20), 4, {"samples": 2, "max_running": 2}),
    ],
)
def test_what_just_fits_is_served(
    model: LoadedModel, tokens: tuple[int, ...], answer: int, more: dict[str, Any]
) -> None:
    samples = more.get("samples", 1)
    driver = Driver(model, **{name: value for name, value in more.items() if name != "samples"})
    request_id = driver.submit(tokens, answer, samples=samples)
    driver.run()
    assert [len(made) for made in driver.tokens(request_id)] == [answer] * samples


@pytest.mark.parametrize(
    ("tokens", "answer", "more", "field"),
    [
        ((VOCAB, 0), 1, {}, "prompt"),
        ((-1,), 1, {}, "prompt"),
        (prompt(300), 37, {"samples": 4, "pool_pages": 29}, "samples"),
        (prompt(100), 50, {"pool_pages": 8}, "max_tokens"),
        (prompt(130), 1, {"pool_pages": 8}, "prompt"),
        (prompt(20), 4, {"samples": 3, "max_running": 2}, "samples"),
    ],
)
def test_what_just_does_not_fit_is_refused_by_what_is_to_blame(
    model: LoadedModel, tokens: tuple[int, ...], answer: int, more: dict[str, Any], field: str
) -> None:
    changes = {name: value for name, value in more.items() if name != "samples"}
    with pytest.raises(Refused) as refused:
        Driver(model, **changes).submit(tokens, answer, samples=more.get("samples", 1))
    assert refused.value.field == field


def test_two_that_need_the_whole_pool_run_together_and_with_a_page_less_one_by_one(model: LoadedModel) -> None:
    for pages, together in ((16, 2), (15, 1)):
        driver = Driver(model, pool_pages=pages)
        ids = [driver.submit(prompt(100, seed), 20) for seed in (1, 2)]
        driver.core.step()
        assert driver.core.stats().running == together
        driver.run()
        assert [len(driver.tokens(i)[0]) for i in ids] == [20, 20]


def test_pages_found_in_the_pool_are_not_asked_for_again(model: LoadedModel) -> None:
    """Of a prompt whose six blocks are held by another, only the rest is needed."""
    driver = Driver(model, pool_pages=10)
    first = driver.submit(LONG, 20)
    while not driver.events(first):
        driver.core.step()
    second = driver.submit(LONG, 20)  # 8 pages, 6 of them shared; 2 are free
    driver.core.step()
    assert driver.core.stats().running == 2
    driver.run()
    assert len(driver.tokens(second)[0]) == 20


def test_a_request_holds_and_is_promised_what_it_needs_and_no_more(model: LoadedModel) -> None:
    """Two full pages of the prompt and, for each sample, a copy of the third and one more."""
    driver = Driver(model)
    driver.submit(prompt(40), 12, sampling=Sampling(temperature=1.0, seed=11), samples=4)
    driver.core.step()
    while driver.core.stats().running:
        assert driver.core.stats().pages_used + driver.core._scheduler.promised() == 2 + 4 * 2
        driver.core.step()
    assert driver.core.stats().copies_on_write == 3


# --- a step ---


def test_a_step_is_bounded_and_its_works_are_in_order(model: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """Single tokens first, then chunks of the oldest prompts; no more tokens than a step or a chunk may have."""
    driver = Driver(model, step_tokens=40, chunk_tokens=24, pool_pages=64)
    forward = driver.core._forward
    steps: list[list[tuple[str, int]]] = []

    def watched(works: list[Work]) -> torch.Tensor:
        steps.append([(work.live.request.id, work.count) for work in works])
        return forward(works)

    monkeypatch.setattr(driver.core, "_forward", watched)
    ids = [driver.submit(prompt(40 + n, n), 3) for n in range(3)]
    driver.run()
    assert steps[0] == [(ids[0], 24), (ids[1], 16)]
    assert steps[1] == [(ids[0], 16), (ids[1], 24)]
    # The first answers; one token is left of the second's prompt.
    assert steps[2] == [(ids[0], 1), (ids[1], 1), (ids[2], 24)]
    assert steps[3] == [(ids[0], 1), (ids[1], 1), (ids[2], 18)]


def test_a_lagging_reader_is_waited_for_but_not_while_its_prompt_is_read(model: LoadedModel) -> None:
    driver = Driver(model, stream_buffer=1, chunk_tokens=16)
    request_id = driver.submit(prompt(40), 3)
    for _ in range(3):
        driver.core.step()
    assert driver.core.stats().generated_tokens == 1
    assert not driver.core.step()  # full: nothing to compute
    driver.events(request_id)
    assert driver.core.step()


def test_an_engine_sleeps_until_the_next_deadline_or_look(model: LoadedModel) -> None:
    clock = Clock()
    driver = Driver(model, clock=clock, stream_buffer=1)
    assert driver.core.sleep_s() == 60.0
    driver.submit(prompt(5, 1), 30, deadline_s=9.0)
    driver.submit(prompt(5, 2), 30, deadline_s=4.0)
    driver.run_until_paused()
    assert driver.core.sleep_s() == 4.0
    clock.now += 4.5
    assert driver.core.sleep_s() == 0.0
    driver.core.step()
    assert driver.core.sleep_s() == 4.5


# --- the store ---


def test_a_step_publishes_so_many_blocks_and_the_announcement_ends_behind_the_last(model: LoadedModel) -> None:
    store = Journal(MemoryStore(100).of(1))
    driver = Driver(model, store, publish_per_step=2, step_tokens=128, chunk_tokens=128)
    driver.submit(LONG, 1)
    while not driver.core.idle:
        before = len(store.calls)
        driver.core.step()
        assert sum(count for name, count in store.calls[before:] if name == "put") <= 2
    assert [count for name, count in store.calls if name == "put"] == [2, 2, 2]
    assert store.calls[-1] == ("end", 6)
    assert store.keys["put"] == store.keys["end"] == store.keys["begin"] == store.keys["used"]
    stats = driver.core.stats()
    assert (stats.blocks_published, stats.blocks_not_published, stats.store_failures) == (6, 0, 0)


def test_blocks_that_a_full_store_does_not_keep_are_counted(model: LoadedModel) -> None:
    driver = Driver(model, MemoryStore(4).of(1))
    driver.generate(LONG, 1)
    stats = driver.core.stats()
    assert (stats.blocks_published, stats.blocks_not_published) == (4, 2)


def test_many_blocks_are_put_and_loaded_in_batches_without_a_gap(model: LoadedModel, naive: Naive) -> None:
    store = MemoryStore(100)
    long = prompt(16 * 21 + 3)
    putting, loading = Journal(store.of(1)), Journal(store.of(2))
    first = Driver(model, putting, step_tokens=512, chunk_tokens=512)
    expected = naive.generate(long, 4)
    assert first.generate(long, 4) == expected
    assert [count for name, count in putting.calls if name == "put"] == [16, 5]
    driver = Driver(model, loading)
    assert driver.generate(long, 4) == expected
    assert [count for name, count in loading.calls if name == "load"] == [4, 4, 4, 4, 4, 1]
    assert (driver.usage.blocks_loaded, driver.usage.blocks_computed) == (21, 0)


def test_a_store_that_failed_is_left_alone_for_a_second(model: LoadedModel) -> None:
    clock = Clock()
    store = Journal(MemoryStore(100).of(1), fails=True)
    driver = Driver(model, store, clock)
    driver.generate(LONG, 1)
    assert store.names() == ["lookup"]
    clock.now += 0.99
    driver.generate(prompt(100, 1), 1)
    assert store.names() == ["lookup"]
    clock.now += 0.01
    store.fails = False
    driver.generate(prompt(100, 2), 1)
    assert store.names()[1:3] == ["lookup", "begin"]
    assert driver.core.stats().store_failures == 1


def test_another_engine_is_waited_for_from_the_first_look_on_and_no_longer(model: LoadedModel) -> None:
    store, clock = MemoryStore(100), Clock()
    other = Driver(model, store.of(1), clock, chunk_tokens=16)
    other.submit(LONG)
    other.core.step()  # announced, and never ended
    waiting = Journal(store.of(2))
    driver = Driver(model, waiting, clock)
    driver.submit(LONG, 2)
    looked = 0
    while clock.now < 100.0 + driver.settings.prefill_wait_s - 0.02:
        driver.core.step()
        assert driver.core.stats().running == 0
        looked = waiting.names().count("begin")
        clock.now += 0.25
    assert looked == 20
    clock.now = 100.0 + driver.settings.prefill_wait_s
    driver.core.step()
    assert driver.core.stats().running == 1


def test_who_waits_for_another_engine_looks_again_after_a_while_and_not_before(model: LoadedModel) -> None:
    store, clock = MemoryStore(100), Clock()
    other = Driver(model, store.of(1), clock, chunk_tokens=16)
    other.submit(LONG)
    other.core.step()
    waiting = Journal(store.of(2))
    driver = Driver(model, waiting, clock)
    driver.submit(LONG, 2)
    for later, looks in ((0.0, 1), (0.0, 1), (0.01, 1), (0.02, 2)):
        clock.now += later
        driver.core.step()
        assert waiting.names().count("begin") == looks


def test_who_stops_waiting_for_another_engine_takes_nothing_back(model: LoadedModel) -> None:
    store = MemoryStore(100)
    other = Driver(model, store.of(1), chunk_tokens=16)
    other.submit(LONG)
    other.core.step()
    waiting = Journal(store.of(2))
    driver = Driver(model, waiting)
    request_id = driver.submit(LONG, 2)
    driver.core.step()
    assert "begin" in waiting.names()
    driver.core.cancel(request_id)
    driver.run()
    assert "end" not in waiting.names()


# --- what is erased ---


def test_pages_taken_after_an_erasure_count_as_in_use_when_it_is_asked_for_again(model: LoadedModel) -> None:
    """Of a prompt of unknown content, which the second asking leaves alone."""
    unknown = (Span(0, frozenset({("ns", "")})),)
    driver = Driver(model)  # 32 tokens a step
    driver.submit(LONG, 4, spans=unknown, epochs={"ns": 0})
    erased = {E, ("ns", "")}
    for pages in (2, 4, 6, 7):
        driver.core.step()
        assert driver.core.drop(erased, {"ns": 1}).pages_in_use == pages
    driver.run()
    assert driver.core.drop(erased, {"ns": 1}) == Dropped(keys=2, pages_wiped=7, pages_in_use=0)


def test_of_erased_engrams_the_newest_are_remembered(model: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """A prompt that names one of them is computed for its caller alone; of one that is forgotten, the epoch decides."""
    monkeypatch.setattr(chain, "_MAX_ERASED", 2)
    driver = Driver(model)
    for epoch, id in enumerate(("old", "e", "f"), 1):
        driver.core.drop({("ns", id)}, {"ns": epoch})

    def is_kept(id: str) -> bool:
        tokens = prompt(100, len(id) + ord(id[0]))
        for _ in range(2):
            driver.generate(tokens, 1, spans=(Span(0, frozenset({("ns", id)})),), epochs={"ns": 3})
        return driver.usage.blocks_in_pool == 6

    assert [is_kept(id) for id in ("old", "e", "f", "never")] == [True, False, False, True]


def test_an_older_erasure_that_comes_late_makes_no_older_epoch_fresh(model: LoadedModel) -> None:
    driver = Driver(model)
    driver.core.drop({E}, {"ns": 2})
    driver.core.drop({F}, {"ns": 1})
    for _ in range(2):
        driver.generate(LONG, 1, epochs={"ns": 1})
        assert driver.usage.cached_tokens == 0
    for hits in (0, 6):
        driver.generate(LONG, 1, epochs={"ns": 2})
        assert driver.usage.blocks_in_pool == hits


def test_what_is_erased_is_not_said_to_be_in_use_and_its_keys_are_counted(model: LoadedModel) -> None:
    store = Journal(MemoryStore(100).of(1))
    driver = Driver(model, store)
    driver.generate(LONG, 1, spans=(Span(40, frozenset({E})),), epochs={"ns": 0})
    used = store.names().count("used")
    driver.core.drop({E}, {"ns": 1})
    assert driver.core.stats().dropped_keys == 4
    driver.generate(LONG, 1, spans=(Span(40, frozenset({E})),), epochs={"ns": 1})
    assert store.names().count("used") == used
    driver.core.drop({F}, {"ns": 2})
    assert driver.core.stats().dropped_keys == 4


@pytest.mark.parametrize("first", [E, F])
def test_two_erasures_of_one_prompt_under_way_leave_nothing_of_either(
    model: LoadedModel, first: tuple[str, str]
) -> None:
    store = MemoryStore(100)
    driver = Driver(model, store.of(1), chunk_tokens=16, publish_per_step=1)
    driver.submit(LONG, 4, spans=(Span(0, frozenset({F})), Span(40, frozenset({E}))), epochs={"ns": 0})
    for _ in range(4):
        driver.core.step()
    for epoch, erased in enumerate((first, F if first == E else E), 1):
        driver.core.drop({erased}, {"ns": epoch})
        store.drop({erased}, {"ns": epoch})
    driver.run()
    assert not driver.core._pool._all.any()
    assert len(store) == 0


def test_an_erasure_leaves_what_is_on_its_way_to_the_store_and_holds_none_of_it(model: LoadedModel) -> None:
    store = Journal(MemoryStore(100).of(1))
    driver = Driver(model, store, publish_per_step=1, step_tokens=256, chunk_tokens=128)
    driver.submit(LONG, 1, spans=(Span(40, frozenset({E})),), epochs={"ns": 0})
    driver.submit(prompt(100, 1), 1, namespace="other", epochs={"other": 0})
    driver.core.step()
    driver.core.drop({E}, {"ns": 1})
    driver.run()
    # One block of the first was published, another of it holds no note; the other prompt's are all there.
    assert sum(count for name, count in store.calls if name == "put") == 2 + 6
    assert store.names().count("end") == 2


# --- what is counted ---


def test_times_and_tokens_of_a_request_are_told(model: LoadedModel) -> None:
    clock = Clock()
    driver = Driver(model, clock=clock, chunk_tokens=64)
    request_id = driver.submit(LONG, 3)
    clock.now += 2.0
    driver.core.step()
    clock.now += 1.0
    driver.core.step()
    clock.now += 5.0
    driver.run()
    [end] = [e for e in driver.events(request_id) if isinstance(e, Finished)]
    assert (end.usage.queued_s, end.usage.first_token_s) == (2.0, 3.0)
    assert (end.usage.prompt_tokens, end.usage.generated_tokens, end.usage.blocks_computed) == (100, 3, 6)


def test_statistics_add_up(model: LoadedModel) -> None:
    driver = Driver(model, MemoryStore(100).of(1))
    driver.generate(LONG, 3)
    driver.generate(LONG, 5)
    gone = driver.submit(prompt(40, 2), 8, samples=3)
    driver.core.step()  # 32 tokens of the prompt
    driver.core.step()
    driver.core.cancel(gone)
    driver.run()
    stats = driver.core.stats()
    assert (stats.requests, stats.refused) == (3, 0)
    assert stats.finished == {"length": 2, "cancelled": 3}
    assert (stats.prompt_tokens, stats.cached_tokens) == (240, 96)
    assert (stats.blocks_in_pool, stats.blocks_loaded, stats.blocks_computed) == (6, 0, 6 + 2)
    assert stats.generated_tokens == 3 + 5 + 3
    assert (stats.pages, stats.pages_used) == (64, 0)


def test_every_request_ends_when_the_engine_cannot_go_on(model: LoadedModel) -> None:
    driver = Driver(model, max_running=1)
    ids = [driver.submit(prompt(20, n), 8) for n in range(3)]
    driver.core.step()
    driver.core.fail_all("The engine has stopped.")
    for request_id in ids:
        events = driver.events(request_id)
        [end] = [e for e in events if isinstance(e, Finished)]
        assert (end.reason, end.detail) == ("failed", "The engine has stopped.")
        assert all(isinstance(e, Token) for e in events[:-1])
    assert driver.core.idle
    assert driver.core.stats().finished == {"failed": 3}


def test_the_last_call_leaves_no_text_in_memory(model: LoadedModel) -> None:
    store = MemoryStore(100)
    Driver(model, store.of(1)).generate(LONG, 1)
    driver = Driver(model, store.of(2))
    driver.generate(LONG + prompt(40, 1), 2)
    own = driver.core._chain
    held = (driver.core._pool._all, own._load_frames, own._put_frames)
    assert all(bool(each.any()) for each in held)
    driver.core.wipe()
    assert not any(bool(each.any()) for each in held)
