"""The engine behind its port: threads, event loops, drops, and an end that nobody waits past."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

import pytest

from services.reasoning.blocks import Scope, Span
from services.reasoning.engine.inbox import Inbox
from services.reasoning.engine.local import LocalEngine
from services.reasoning.engine.port import Dropped, EngineDown, Event, Finished, Refused, Request, Sampling, Token
from services.reasoning.engine.store import Block, BlockStore
from services.reasoning.engine.stream import TokenStream
from services.reasoning.models.load import LoadedModel
from tests.reasoning.engine.conftest import Naive
from tests.reasoning.engine.memory_store import MemoryStore
from tests.reasoning.engine.small import prompt, settings
from tests.reasoning.engine.test_chain import Failing

E = ("ns", "e")


@pytest.fixture
def engine(model: LoadedModel) -> Iterator[LocalEngine]:
    made = LocalEngine(model, settings(stream_buffer=8))
    made.start()
    yield made
    made.close()


def request(name: str, length: int = 40, max_tokens: int = 10, **more: object) -> Request:
    return Request(name, prompt(length), max_tokens, Scope.of("ns", {"ns": 0}), **more)  # type: ignore[arg-type]


def reasons(stream: TokenStream) -> list[str]:
    return [event.reason for event in stream if isinstance(event, Finished)]


def test_a_thread_reads_a_stream_to_its_end(engine: LocalEngine, naive: Naive) -> None:
    events = list(engine.submit(request("a")))
    assert [e.id for e in events if isinstance(e, Token)] == naive.generate(prompt(40), 10)
    assert isinstance(events[-1], Finished)
    assert events[-1].usage.first_token_s > 0


def test_event_loops_read_many_streams_at_once(engine: LocalEngine, naive: Naive) -> None:
    async def read(name: str, seed: int) -> list[int]:
        stream = engine.submit(request(name, 20 + seed, 30, sampling=Sampling(1.0, seed=seed)))
        return [e.id async for e in stream if isinstance(e, Token)]

    async def all_of_them() -> list[list[int]]:
        return await asyncio.gather(*(read(f"r{i}", i) for i in range(6)))

    for seed, made in enumerate(asyncio.run(all_of_them())):
        assert made == naive.generate(prompt(20 + seed), 30, Sampling(1.0, seed=seed))


def test_cancel_from_another_thread_ends_the_stream(engine: LocalEngine) -> None:
    stream = engine.submit(request("a", 40, 400))
    events = iter(stream)
    next(events)
    engine.cancel("a")
    last = list(events)[-1]
    assert isinstance(last, Finished)
    assert last.reason == "cancelled"


def test_invariant_27_a_cancel_right_after_submit_is_not_lost(engine: LocalEngine) -> None:
    for i in range(50):
        stream = engine.submit(request(f"r{i}", 20, 400))
        engine.cancel(f"r{i}")
        last = list(stream)[-1]
        assert isinstance(last, Finished)
        assert last.reason == "cancelled"


@pytest.mark.parametrize("scope", [Scope.of("ns", {"ns": 2**63}), Scope.of("\ud800", {})])
def test_a_request_that_cannot_be_prepared_fails_its_caller_alone(
    engine: LocalEngine, naive: Naive, scope: Scope
) -> None:
    with pytest.raises((Refused, UnicodeEncodeError)):
        engine.submit(Request("bad", prompt(40), 4, scope))
    events = list(engine.submit(request("good")))
    assert [e.id for e in events if isinstance(e, Token)] == naive.generate(prompt(40), 10)
    engine.check_health()


def test_invariant_27_a_cancel_that_comes_while_others_are_taken_is_not_lost(
    engine: LocalEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """X is submitted and cancelled after the loop has taken the submits and before it takes the cancels."""
    streams: list[TokenStream] = []
    cancel = engine._core.cancel

    def meanwhile(request_id: str) -> None:
        if request_id == "a":
            streams.append(engine.submit(request("x")))
            engine.cancel("x")
        cancel(request_id)

    monkeypatch.setattr(engine._core, "cancel", meanwhile)
    streams.append(engine.submit(request("a", 40, 400)))
    engine.cancel("a")
    assert reasons(streams[0]) == ["cancelled"]
    assert reasons(streams[1]) == ["cancelled"]


def test_a_cancel_of_what_has_ended_is_not_kept_for_another_of_that_name() -> None:
    inbox = Inbox(1)
    inbox.submit("a", lambda: None)
    inbox.take()
    inbox.cancel("a")  # while the step in which it ends is computed
    inbox.settle([], 0)
    inbox.submit("a", lambda: None)
    commands, cancels = inbox.take()
    assert (len(commands), cancels) == (1, set())


def test_a_reader_who_makes_room_just_before_the_loop_sleeps_wakes_it(
    model: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = LocalEngine(model, settings(stream_buffer=4))
    stream = engine.submit(request("a", deadline_s=2.0))
    step, read, ended = engine._core.step, list[Event](), threading.Event()

    def then_read() -> bool:
        busy = step()
        if not busy:
            read.extend(stream._take())
        if any(isinstance(event, Finished) for event in read):
            ended.set()
        return busy

    monkeypatch.setattr(engine._core, "step", then_read)
    engine.start()
    assert ended.wait(10)
    assert [e.reason for e in read if isinstance(e, Finished)] == ["length"]
    engine.close()


class Gated(Failing):
    """A store whose puts wait for the gate."""

    def __init__(self, inner: BlockStore) -> None:
        super().__init__(inner)
        self.gate = threading.Event()

    def put(self, blocks: Sequence[Block], namespace: str, epochs: Mapping[str, int]) -> int:
        assert self.gate.wait(10)
        return super().put(blocks, namespace, epochs)


def test_a_put_that_ends_just_before_the_loop_sleeps_wakes_it(
    model: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is left to do after it, here the end of the announcements, does not wait for the next request."""
    memory = MemoryStore(100)
    store = Gated(memory.of(1))
    engine = LocalEngine(model, settings(publish_per_step=1), store)
    step = engine._core.step

    def then_finish() -> bool:
        busy = step()
        if not busy and engine._core._chain.publishing:
            store.gate.set()
            engine._publisher.submit(lambda: None).result()  # the same thread: the put and its callbacks are over
        return busy

    monkeypatch.setattr(engine._core, "step", then_finish)
    engine.start()
    assert reasons(engine.submit(request("a"))) == ["length"]
    deadline = time.monotonic() + 5
    while memory._computing or len(memory) < 3:
        assert time.monotonic() < deadline, "the loop sleeps"
        time.sleep(0.01)
    engine.close()


class Elsewhere(Failing):
    """A store that says another engine computes everything, as long as one does."""

    computing = True
    meanwhile: Callable[[], None]

    def begin(self, keys: Sequence[bytes]) -> bool:
        self.meanwhile()
        return not self.computing and super().begin(keys)


def test_invariant_29_the_queue_is_bounded_while_it_is_looked_through(model: LoadedModel) -> None:
    """A request that comes while those that wait are looked at counts them all."""
    store = Elsewhere(MemoryStore(100).of(1))
    engine = LocalEngine(model, settings(max_waiting=2), store)
    outcomes: list[object] = []

    def meanwhile() -> None:
        try:
            outcomes.append(engine.submit(request(f"more{len(outcomes)}")))
        except Refused as refused:
            outcomes.append(refused.overloaded)

    store.meanwhile = meanwhile
    streams = [engine.submit(request("a", 40)), engine.submit(request("b", 50))]
    engine.start()
    while len(outcomes) < 4:
        engine.check_health()
    store.computing = False
    assert [reasons(stream) for stream in streams] == [["length"], ["length"]]
    assert outcomes[:4] == [True] * 4
    engine.close()


def test_drop_through_the_port(engine: LocalEngine) -> None:
    list(engine.submit(request("a", spans=(Span(0, frozenset({E})),))))
    assert engine.drop([E], {"ns": 1}, timeout_s=10).keys == 3
    assert engine.drop([E], {"ns": 1}, timeout_s=10).keys == 3
    assert engine.drop([E], {"ns": 2}, timeout_s=10).keys == 0


def test_what_a_drop_did_that_nobody_waited_for_is_told_to_who_asks_again(engine: LocalEngine) -> None:
    list(engine.submit(request("a", spans=(Span(0, frozenset({E})),))))
    busy = threading.Event()

    def stall() -> None:
        assert busy.wait(10)

    engine._inbox.call(stall)
    with pytest.raises(TimeoutError):
        engine.drop([E], {"ns": 1}, timeout_s=0.05)
    busy.set()
    assert engine.drop([E], {"ns": 1}, timeout_s=10) == Dropped(keys=3, pages_wiped=3, pages_in_use=0)


def test_the_port_refuses_when_full_and_when_an_id_is_in_use(model: LoadedModel) -> None:
    engine = LocalEngine(model, settings(max_waiting=2))  # not started: nothing leaves the queue
    engine.submit(request("a"))
    with pytest.raises(Refused, match="id a is running"):
        engine.submit(request("a"))
    engine.submit(request("b"))
    with pytest.raises(Refused, match="Try again later") as refused:
        engine.submit(request("c"))
    assert refused.value.overloaded
    assert engine.stats().refused == 1


def test_invariant_29_the_queue_is_bounded_and_refuses_with_a_reason(model: LoadedModel) -> None:
    engine = LocalEngine(model, settings(max_waiting=3, max_running=1, max_samples=1))
    for n in range(3):
        engine.submit(request(f"r{n}"))
    with pytest.raises(Refused, match="3 requests wait already") as refused:
        engine.submit(request("more"))
    assert refused.value.overloaded
    engine._turn()  # one runs now, so there is room for one
    engine.submit(request("r3"))
    with pytest.raises(Refused):
        engine.submit(request("more"))
    engine.cancel("r3")
    engine._turn()
    engine.submit(request("r4"))
    assert engine.stats().refused == 2


def test_when_a_command_kills_the_loop_what_stood_behind_it_ends_too(
    model: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = LocalEngine(model, settings())
    monkeypatch.setattr(threading, "excepthook", lambda _: None)

    def broken() -> None:
        raise RuntimeError("a defect")

    engine._inbox.call(broken)
    stream = engine.submit(request("a"))
    engine.start()
    assert reasons(stream) == ["failed"]


def test_when_the_loop_dies_every_stream_ends_and_calls_are_told(
    model: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = LocalEngine(model, settings())
    died: list[object] = []
    monkeypatch.setattr(threading, "excepthook", died.append)

    def broken(works: object) -> None:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(engine._core, "_forward", broken)
    stream = engine.submit(request("a"))
    engine.start()
    assert [e.reason for e in stream if isinstance(e, Finished)] == ["failed"]
    engine._thread.join(5)
    assert died
    with pytest.raises(EngineDown):
        engine.check_health()
    with pytest.raises(EngineDown):
        engine.submit(request("b"))
    with pytest.raises(EngineDown):
        engine.drop([E], {}, timeout_s=1)


def test_close_ends_what_runs(model: LoadedModel) -> None:
    engine = LocalEngine(model, settings())
    engine.start()
    stream = engine.submit(request("a", 40, 400))
    next(iter(stream))
    engine.close()
    assert [e.reason for e in stream if isinstance(e, Finished)] == ["failed"]
