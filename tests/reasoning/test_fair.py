"""One principal's long texts delay another's Ask by no more than one piece of work, and never hold the event loop."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncGenerator

import pytest
from mneme.v1.episodic_pb2 import Engram, RecallItem, RecallResponse
from mneme.v1.reasoning_pb2 import AskRequest, AskResponse

from services.common.config import load
from services.reasoning import converters
from services.reasoning.config import ReasoningConfig
from services.reasoning.fair import FairThreads
from services.reasoning.servicer import Reasoning
from tests.reasoning.asking import Memory, call, everything

CONFIG = load().section("reasoning", ReasoningConfig)


@pytest.mark.parametrize("greedy", [2, 10])
def test_another_waits_for_one_piece_of_work_of_each_principal(greedy: int) -> None:
    ended: list[str] = []

    async def run() -> None:
        threads, gate = FairThreads(1, "test"), threading.Event()

        def work(name: str) -> None:
            assert gate.wait(10)
            ended.append(name)

        many = [asyncio.create_task(threads.run("greedy", lambda: work("greedy"))) for _ in range(greedy)]
        await asyncio.sleep(0)
        other = asyncio.create_task(threads.run("other", lambda: work("other")))
        await asyncio.sleep(0)
        gate.set()
        await asyncio.gather(*many, other)
        assert threads.principals == 0

    asyncio.run(run())
    assert ended.index("other") <= 1
    assert len(ended) == greedy + 1


def test_who_leaves_while_waiting_leaves_the_place_to_the_next() -> None:
    async def run() -> None:
        threads, gate = FairThreads(1, "test"), threading.Event()
        first = asyncio.create_task(threads.run("ann", lambda: gate.wait(10)))
        second = asyncio.create_task(threads.run("ann", lambda: True))
        third = asyncio.create_task(threads.run("ann", lambda: "third"))
        await asyncio.sleep(0)
        second.cancel()
        gate.set()
        assert (await first, await third) == (True, "third")
        assert second.cancelled()
        assert threads.principals == 0

    asyncio.run(run())


def test_what_work_raises_is_raised_and_the_next_is_done() -> None:
    async def run() -> None:
        threads = FairThreads(1, "test")
        with pytest.raises(ZeroDivisionError):
            await threads.run("ann", lambda: 1 // 0)
        assert await threads.run("ann", lambda: 1) == 1

    asyncio.run(run())


def test_ten_asks_over_a_long_text_delay_another_s_by_a_share_of_theirs() -> None:
    def reasoning(text: str) -> Reasoning:
        items = [RecallItem(engram=Engram(id="e1", namespace="home", text=text))]
        return Reasoning(CONFIG, Memory(RecallResponse(items=items, found=True)))

    def ask(service: Reasoning, principal: str) -> AsyncGenerator[AskResponse, None]:
        request = AskRequest(namespace="home", question="Where did Anna lose her umbrella?")
        return service.ask(request, call(principal=principal))

    async def run() -> tuple[float, float, float]:
        service = reasoning("A. " * 7_000)
        began = time.monotonic()
        longest_step = 0.0
        many = [asyncio.create_task(everything(ask(service, "greedy"))) for _ in range(10)]
        await asyncio.sleep(0)
        other = asyncio.create_task(everything(ask(service, "other")))
        while not other.done():
            step = time.monotonic()
            await asyncio.sleep(0.001)
            longest_step = max(longest_step, time.monotonic() - step)
        mine = time.monotonic() - began
        await asyncio.gather(*many)
        return mine, time.monotonic() - began, longest_step

    mine, all_of_it, longest_step = asyncio.run(run())
    assert mine < all_of_it / 2, "the other's Ask waited for the ten"
    assert longest_step < all_of_it / 4, "the event loop was held"


def test_one_answer_is_quoted_from_a_bounded_text() -> None:
    texts = ["x" * 60_000] * 8
    response = RecallResponse(items=[RecallItem(engram=Engram(text=text)) for text in texts])
    sources = converters.to_sources(response)
    assert sum(len(source.text) for source in sources) == converters.MAX_QUOTED
