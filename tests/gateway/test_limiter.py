"""Places that principals share: bounded, fair, and never lost."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from services.common.serving.errors import MnemeError
from services.gateway.limiter import Limiter


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(10):
            await scenario()

    asyncio.run(bounded())


class Caller:
    """Holds a place until it is told to go."""

    def __init__(self, limiter: Limiter, key: str, order: list[str] | None = None) -> None:
        self.inside, self.leave = asyncio.Event(), asyncio.Event()
        self.task = asyncio.create_task(self._call(limiter, key, [] if order is None else order))

    async def _call(self, limiter: Limiter, key: str, order: list[str]) -> None:
        async with limiter.place(key):
            order.append(key)
            self.inside.set()
            await self.leave.wait()

    async def go(self) -> None:
        self.leave.set()
        await self.task


async def settled() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def refused(limiter: Limiter, key: str) -> MnemeError:
    with pytest.raises(MnemeError) as caught:
        await limiter.take(key)
    assert caught.value.reason == "OVERLOADED"
    assert int(caught.value.metadata["retry_after_ms"]) > 0
    return caught.value


def test_who_waited_gives_the_waiting_place_back() -> None:
    async def scenario() -> None:
        limiter = Limiter("calls", 1, 1)
        for _ in range(3):  # a waiting place that does not come back is missed at the second
            first = Caller(limiter, "ann")
            await first.inside.wait()
            second = Caller(limiter, "ann")
            await settled()
            await refused(limiter, "ann")
            await first.go()
            await second.inside.wait()
            await second.go()

    run(scenario)


def test_who_gives_up_waiting_leaves_no_trace() -> None:
    async def scenario() -> None:
        limiter = Limiter("calls", 1, 1)
        for _ in range(3):
            first = Caller(limiter, "ann")
            await first.inside.wait()
            second = Caller(limiter, "ann")
            await settled()
            second.task.cancel()
            await asyncio.gather(second.task, return_exceptions=True)
            third = Caller(limiter, "bob")
            await settled()
            await first.go()
            await third.inside.wait()
            await third.go()

    run(scenario)


def test_who_gave_up_no_longer_counts_among_those_of_its_key() -> None:
    async def scenario() -> None:
        limiter = Limiter("calls", 1, 5, 1, 1)
        await limiter.take("ann")
        for _ in range(3):
            waiting = Caller(limiter, "ann")
            await settled()
            await refused(limiter, "ann")
            waiting.task.cancel()
            await asyncio.gather(waiting.task, return_exceptions=True)
            assert waiting.task.cancelled(), "it waited, and was not refused"

    run(scenario)


def test_a_place_that_was_waited_for_counts_among_those_of_its_key() -> None:
    async def scenario() -> None:
        limiter = Limiter("calls", 2, 5, 1)
        callers = [Caller(limiter, "eve") for _ in range(3)]
        await settled()
        await callers[0].go()
        await settled()
        assert [each.inside.is_set() for each in callers] == [True, True, False], "one at a time, though two are free"
        for each in callers[1:]:
            await each.inside.wait()
            await each.go()

    run(scenario)


def test_a_place_that_comes_in_the_moment_of_giving_up_is_not_lost() -> None:
    async def scenario() -> None:
        limiter = Limiter("calls", 1, 5)
        await limiter.take("ann")
        second, third = Caller(limiter, "ann"), Caller(limiter, "bob")
        await settled()
        limiter.give_back("ann")  # it is second's now, who has not run since
        second.task.cancel()
        await third.inside.wait()
        await third.go()
        assert second.task.cancelled()
        await limiter.take("ann")

    run(scenario)


def test_a_place_is_not_given_to_who_has_just_given_up() -> None:
    async def scenario() -> None:
        limiter = Limiter("calls", 1, 5)
        await limiter.take("ann")
        second, third = Caller(limiter, "bob"), Caller(limiter, "bob")
        await settled()
        second.task.cancel()
        limiter.give_back("ann")  # before second has run
        await third.inside.wait()
        await third.go()
        await limiter.take("ann")

    run(scenario)


def test_nobody_has_more_than_a_share_of_the_places_and_of_the_waiting() -> None:
    async def scenario() -> None:
        limiter = Limiter("calls", 4, 4, 2, 1)
        greedy = [Caller(limiter, "eve") for _ in range(3)]
        await settled()
        assert [each.inside.is_set() for each in greedy] == [True, True, False]
        assert "The principal" in (await refused(limiter, "eve")).message
        other = [Caller(limiter, "ann") for _ in range(2)]
        await settled()
        assert all(each.inside.is_set() for each in other)
        for each in (*other, *greedy):
            await each.go()

    run(scenario)


def test_who_holds_least_is_next_and_then_who_has_waited_longest() -> None:
    async def scenario() -> None:
        limiter, order = Limiter("calls", 2, 10), list[str]()
        running = [Caller(limiter, "eve", order) for _ in range(2)]
        await settled()
        waiting = [Caller(limiter, key, order) for key in ("eve", "eve", "ann", "bob")]
        await settled()
        await running[0].go()
        await settled()
        assert order == ["eve", "eve", "ann"], "eve holds a place, and came first"
        await running[1].go()
        await settled()
        assert order[3:] == ["eve"], "neither she nor bob holds one now, and she came first"
        await waiting[2].go()
        await settled()
        assert order[4:] == ["bob"]
        for each in (waiting[0], waiting[3], waiting[1]):
            await each.go()
        assert order[5:] == ["eve"]

    run(scenario)


def test_while_others_call_a_key_has_an_even_share_of_the_contended_places_and_one_at_least() -> None:
    async def scenario() -> None:
        limiter = Limiter("reads", 10, 10, running_per_key=4, contended=2)
        alone = [Caller(limiter, "eve") for _ in range(5)]
        await settled()
        assert [caller.inside.is_set() for caller in alone] == [True] * 4 + [False]
        ann = Caller(limiter, "ann")
        await asyncio.wait_for(ann.inside.wait(), 1)
        for caller in alone[:3]:
            await caller.go()
            await settled()
            assert not alone[4].inside.is_set(), "she has one still"
        await alone[3].go()
        await asyncio.wait_for(alone[4].inside.wait(), 1)
        await alone[4].go()
        await ann.go()

    run(scenario)


def test_who_called_a_moment_ago_counts_among_those_who_call() -> None:
    async def scenario() -> None:
        limiter = Limiter("reads", 10, 10, running_per_key=4, contended=2)
        async with limiter.place("ann"):
            pass
        callers = [Caller(limiter, "eve") for _ in range(2)]
        await settled()
        assert [caller.inside.is_set() for caller in callers] == [True, False]
        for caller in callers:
            await caller.go()

    run(scenario)


def test_tenants_take_turns_before_their_keys_do() -> None:
    async def scenario() -> None:
        limiter, order = Limiter("calls", 1, 20), list[str]()

        async def call(tenant: str, key: str) -> None:
            async with limiter.place(key, tenant):
                order.append(key)
                await settled()

        async with asyncio.TaskGroup() as tasks, limiter.place("bob"):
            for n in range(5):
                tasks.create_task(call("eve", f"eve {n}"))
            for _ in range(3):
                tasks.create_task(call("ann", "ann"))
            await settled()
        assert order == ["eve 0", "ann", "eve 1", "ann", "eve 2", "ann", "eve 3", "eve 4"]

    run(scenario)


def test_keys_of_a_tenant_take_turns() -> None:
    async def scenario() -> None:
        limiter, order = Limiter("calls", 1, 20), list[str]()

        async def call(key: str) -> None:
            async with limiter.place(key, "acme"):
                order.append(key)
                await settled()

        async with asyncio.TaskGroup() as tasks:
            for key in ("bob", "bob", "bob", "bob", "ann", "ann"):
                tasks.create_task(call(key))
        assert order == ["bob", "bob", "ann", "bob", "ann", "bob"]

    run(scenario)
