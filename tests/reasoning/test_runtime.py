"""One replica's engine, wired, with a small model: what it knows of erasures when it starts, and how it stops."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from services.common.config import load
from services.common.crypto.seal import MasterKey
from services.common.ledger.erasures import Erasure, read_erasures
from services.common.log.sqlite import SqliteLog
from services.common.nodes.nodes import keepers
from services.reasoning import spelled
from services.reasoning.blocks import EngramRef, Scope, Span
from services.reasoning.config import ReasoningConfig
from services.reasoning.engine import local
from services.reasoning.engine.core import EngineCore
from services.reasoning.engine.port import Finished, Sampling, Usage
from services.reasoning.models.settings import ModelSettings
from services.reasoning.runtime import Runtime
from services.reasoning.writer import Order, Writer
from tests.ledger import append_erasure
from tests.reasoning.engine.small import prompt, settings
from tests.reasoning.models.reference import make

MASTER = MasterKey(bytes(range(32)))
E, F = ("ns", "e"), ("ns", "f")


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> ReasoningConfig:
    folder = make("llama", tmp_path_factory.mktemp("runtime"))
    model = ModelSettings(directory=str(folder), dtype="float32")
    changes = {"model": model, "engine": settings(), "torch_threads": 1}
    return load().section("reasoning", ReasoningConfig).model_copy(update=changes)


def told(ledger: SqliteLog) -> Callable[[], Sequence[Erasure]]:
    return lambda: read_erasures(ledger, {}).erasures


@asynccontextmanager
async def running(config: ReasoningConfig, folder: Path, ledger: SqliteLog) -> AsyncIterator[tuple[Runtime, Writer]]:
    runtime = Runtime(config, folder, MASTER, store=False)
    try:
        yield runtime, await runtime.start(told(ledger))
    finally:
        await runtime.close()


async def write(writer: Writer, engram: EngramRef, epoch: int) -> Usage:
    """What it took to continue a prompt of seven blocks that holds ``engram``, recalled at ``epoch``."""
    order = Order(prompt(100), 4, Scope.of("ns", {"ns": epoch}), (Span(0, frozenset({engram})),), Sampling())
    events = [event async for event in writer.write(order, 60)]
    assert isinstance(events[-1], Finished)
    return events[-1].usage


def text_is_left(core: EngineCore) -> bool:
    return any(bool(held.any()) for held in (core._pool._all, core._chain._load_frames, core._chain._put_frames))


def test_an_engine_that_starts_after_an_erasure_keeps_nothing_of_a_prompt_from_before_it(
    config: ReasoningConfig, tmp_path: Path, ledger: SqliteLog
) -> None:
    """Recalled with the epoch from before; or with the newest one, and yet it names what was erased."""
    append_erasure(ledger, "ns", 1, "e")

    async def steps() -> None:
        async with running(config, tmp_path, ledger) as (_, writer):
            for engram, epoch in [(F, 0), (E, 0), (E, 1)]:
                for _ in range(2):
                    assert (await write(writer, engram, epoch)).cached_tokens == 0
            await write(writer, F, 1)
            assert (await write(writer, F, 1)).cached_tokens == 96  # the test can tell

    asyncio.run(steps())


def test_a_started_engine_has_read_what_words_of_any_language_are_looked_for_by(
    config: ReasoningConfig, ledger: SqliteLog, tmp_path: Path
) -> None:
    """Else the first wording waits some seconds for it."""
    kept = (spelled._rules, spelled._atoms, spelled._compound, spelled._too_small, spelled._calendar, spelled._stems)
    for each in kept:
        each.cache_clear()

    async def scenario() -> None:
        async with running(config, tmp_path, ledger):
            before = [each.cache_info().misses for each in kept]
            assert spelled.numbers("quarantacinque sedie", frozenset()) != []
            assert spelled.days("понедельник", frozenset()) != []
            assert [each.cache_info().misses for each in kept] == before

    asyncio.run(scenario())


def test_an_engine_is_registered_until_nothing_is_left_in_its_memory(
    config: ReasoningConfig, tmp_path: Path, ledger: SqliteLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever erases while it stops must find whom to ask, and name it as pending."""

    async def steps() -> None:
        runtime = Runtime(config, tmp_path, MASTER, store=False)
        await write(await runtime.start(told(ledger)), E, 0)
        engine = runtime._engine
        held, name = text_is_left(engine._core), runtime._name
        assert held
        registered = []
        close = engine.close

        def look_and_close() -> bool:
            registered.append([keeper.name for keeper in keepers(tmp_path)])
            stopped = close()
            registered.append([keeper.name for keeper in keepers(tmp_path)])
            return stopped

        monkeypatch.setattr(engine, "close", look_and_close)
        await runtime.close()
        assert registered == [[name], [name]]
        assert not text_is_left(engine._core)
        assert not keepers(tmp_path)

    asyncio.run(steps())


def test_an_engine_that_does_not_stop_in_time_stays_registered(
    config: ReasoningConfig, tmp_path: Path, ledger: SqliteLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "_STOP_S", 0.1)

    async def steps() -> None:
        runtime = Runtime(config, tmp_path, MASTER, store=False)
        await runtime.start(told(ledger))
        go_on = threading.Event()

        def stall() -> None:
            assert go_on.wait(10)

        runtime._engine._inbox.call(stall)
        await runtime.close()
        assert [keeper.name for keeper in keepers(tmp_path)] == [runtime._name]
        go_on.set()
        await runtime.close()
        assert not keepers(tmp_path)

    asyncio.run(steps())
