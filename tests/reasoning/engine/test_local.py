"""The engine behind its port: threads, event loops, drops, and an end that nobody waits past."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from services.reasoning.blocks import Scope, Span
from services.reasoning.engine.local import LocalEngine
from services.reasoning.engine.port import EngineDown, Finished, Refused, Request, Sampling, Token
from services.reasoning.models.load import LoadedModel
from tests.reasoning.engine.conftest import Naive
from tests.reasoning.engine.small import prompt, settings

E = ("ns", "e")


@pytest.fixture
def engine(model: LoadedModel) -> Iterator[LocalEngine]:
    made = LocalEngine(model, settings(stream_buffer=8))
    made.start()
    yield made
    made.close()


def request(name: str, length: int = 40, max_tokens: int = 10, **more: object) -> Request:
    return Request(name, prompt(length), max_tokens, Scope.of("ns", {"ns": 0}), **more)  # type: ignore[arg-type]


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


def test_drop_through_the_port(engine: LocalEngine) -> None:
    list(engine.submit(request("a", spans=(Span(0, frozenset({E})),))))
    assert engine.drop([E], {"ns": 1}, timeout_s=10).keys == 3
    assert engine.drop([E], {"ns": 1}, timeout_s=10).keys == 0


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
