"""One principal's long texts delay another's Ask by no more than one piece of work, and never hold the event loop."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sequence
from types import SimpleNamespace

import pytest
from mneme.v1.episodic_pb2 import Engram, RecallItem, RecallResponse
from mneme.v1.reasoning_pb2 import AskRequest, GetKvStatsRequest

from services.common.config import load
from services.common.crypto.auth import Caller, Right
from services.common.serving.errors import MnemeError
from services.common.serving.fair import FairThreads
from services.reasoning import converters, servicer
from services.reasoning.config import ReasoningConfig
from services.reasoning.extract import Sentence, Source, extract
from services.reasoning.servicer import Reasoning
from tests.reasoning.asking import Memory, call, everything

CONFIG = load().section("reasoning", ReasoningConfig)


def one_thread() -> FairThreads:
    return FairThreads(1, 1, str, "test")


@pytest.mark.parametrize("greedy", [2, 10])
def test_another_waits_for_one_piece_of_work_of_each_principal(greedy: int) -> None:
    ended: list[str] = []

    async def run() -> None:
        threads, gate = one_thread(), threading.Event()

        def work(name: str) -> None:
            assert gate.wait(10)
            ended.append(name)

        many = [asyncio.create_task(threads.run("greedy", lambda: work("greedy"))) for _ in range(greedy)]
        await asyncio.sleep(0)
        other = asyncio.create_task(threads.run("other", lambda: work("other")))
        await asyncio.sleep(0)
        gate.set()
        await asyncio.gather(*many, other)

    asyncio.run(run())
    assert ended.index("other") <= 1
    assert len(ended) == greedy + 1


def test_who_leaves_while_waiting_leaves_the_place_to_the_next() -> None:
    async def run() -> None:
        threads, gate = one_thread(), threading.Event()
        first = asyncio.create_task(threads.run("ann", lambda: gate.wait(10)))
        second = asyncio.create_task(threads.run("ann", lambda: True))
        third = asyncio.create_task(threads.run("ann", lambda: "third"))
        await asyncio.sleep(0)
        second.cancel()
        gate.set()
        assert (await first, await third) == (True, "third")
        assert second.cancelled()

    asyncio.run(run())


def test_what_work_raises_is_raised_and_the_next_is_done() -> None:
    async def run() -> None:
        threads = one_thread()
        with pytest.raises(ZeroDivisionError):
            await threads.run("ann", lambda: 1 // 0)
        assert await threads.run("ann", lambda: 1) == 1

    asyncio.run(run())


def test_ten_asks_over_a_long_text_delay_another_s_by_a_share_of_theirs(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the order in which they end, which a busy machine does not change; and no text is read in the event loop."""
    items = [RecallItem(engram=Engram(id="e1", namespace="home", text="A. " * 7_000))]
    service = Reasoning(CONFIG, Memory(RecallResponse(items=items, found=True)))
    ended: list[str] = []
    readers: set[threading.Thread] = set()

    def watched(question: str, sources: Sequence[Source], limit: int) -> list[Sentence]:
        readers.add(threading.current_thread())
        return extract(question, sources, limit)

    async def ask(principal: str) -> None:
        request = AskRequest(namespace="home", question="Where did Anna lose her umbrella?")
        await everything(service.ask(request, call(principal=principal)))
        ended.append(principal)

    async def run() -> None:
        many = [asyncio.create_task(ask("greedy")) for _ in range(10)]
        await asyncio.sleep(0)
        await asyncio.gather(*many, asyncio.create_task(ask("other")))

    monkeypatch.setattr(servicer, "extract", watched)
    asyncio.run(run())
    assert len(ended) == 11
    assert ended.index("other") <= 3
    assert threading.main_thread() not in readers


def test_one_answer_is_quoted_from_a_bounded_text() -> None:
    texts = ["x" * 60_000] * 8
    response = RecallResponse(items=[RecallItem(engram=Engram(text=text)) for text in texts])
    sources = converters.to_sources(response)
    assert sum(len(source.text) for source in sources) == converters.MAX_QUOTED


def test_the_counts_of_all_tenants_are_told_to_who_may_see_them_all() -> None:
    reasoning = Reasoning(CONFIG, recaller=None)  # type: ignore[arg-type]

    def asked_by(*prefixes: str) -> None:
        caller = Caller("test", prefixes, frozenset(Right), "t", time.time() + 60)
        asyncio.run(reasoning.get_kv_stats(GetKvStatsRequest(), SimpleNamespace(caller=caller)))  # type: ignore[arg-type]

    asked_by("")
    with pytest.raises(MnemeError) as refused:
        asked_by("acme")
    assert refused.value.reason == "PERMISSION_DENIED"
