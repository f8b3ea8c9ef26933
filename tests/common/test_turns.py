"""Whose turn it is to compute."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from services.common.serving.fair import FairThreads
from services.common.turns import checkpoint, uninterrupted
from tests.waiting import until


@pytest.fixture
def threads() -> Iterator[FairThreads]:
    made = FairThreads(8, 4, str, "test", cores=2)
    yield made
    made.shutdown()


def work(seconds: float) -> None:
    """Compute for so long, of this thread's processor time, with checkpoints on the way."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        checkpoint()


def begin_and_leave(threads: FairThreads, function: Callable[[], None], *, to_the_end: bool = False) -> None:
    """As a caller whose work has begun, and who waits no longer."""

    async def leave() -> None:
        call = asyncio.create_task(threads.run("who", function, to_the_end=to_the_end))
        await asyncio.sleep(0.05)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call

    asyncio.run(leave())


async def timed(threads: FairThreads, key: str, seconds: float) -> float:
    begun = time.perf_counter()
    await threads.run(key, lambda: work(seconds))
    return time.perf_counter() - begun


def test_while_one_computes_little_another_who_computed_much_does_not_go_on(threads: FairThreads) -> None:
    """In seconds of the processor, whatever else the machine does. Four threads at equal rights would get four times
    hers."""
    clocks = list[int]()

    def much() -> None:
        clocks.append(time.pthread_getcpuclockid(threading.get_ident()))
        work(30.0)

    def his() -> float:
        return sum(map(time.clock_gettime, clocks))

    async def both() -> float:
        calls = [asyncio.create_task(threads.run("much", much)) for _ in range(4)]
        while len(clocks) < 4 or his() < 0.3:
            await asyncio.sleep(0.01)
        meanwhile = 0.0
        for _ in range(5):
            before = his()
            await threads.run("little", lambda: work(0.05))
            meanwhile += his() - before
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        return meanwhile

    assert asyncio.run(both()) < 5 * 0.05


def test_what_has_just_begun_goes_before_what_has_taken_long_of_who_has_used_nearly_as_much(
    threads: FairThreads,
) -> None:
    clocks = list[int]()

    def long() -> None:
        clocks.append(time.pthread_getcpuclockid(threading.get_ident()))
        work(30.0)

    async def both() -> float:
        call = asyncio.create_task(threads.run("long", long))
        while not clocks or time.clock_gettime(clocks[0]) < 0.4:
            await asyncio.sleep(0.01)
        before = time.clock_gettime(clocks[0])
        for _ in range(4):
            await threads.run("short", lambda: work(0.05))
        meanwhile = time.clock_gettime(clocks[0]) - before
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        return meanwhile

    assert asyncio.run(both()) < 0.1, "by what was used alone he would go on after three of them"


def test_two_who_compute_alike_get_alike(threads: FairThreads) -> None:
    async def both() -> list[float]:
        return list(await asyncio.gather(timed(threads, "one", 0.3), timed(threads, "other", 0.3)))

    one, other = asyncio.run(both())
    assert abs(one - other) < 0.5 * max(one, other)


def test_who_waits_for_something_else_holds_nobody_up(threads: FairThreads) -> None:
    """For no longer, in all, than it takes to see that he does not compute."""
    go_on = threading.Event()

    async def both() -> float:
        waits = asyncio.create_task(threads.run("little", lambda: go_on.wait(30)))
        took = await timed(threads, "much", 0.5)
        assert not waits.done()
        go_on.set()
        await waits
        return took

    assert asyncio.run(both()) < 5.0, "a second at each of a hundred checkpoints"


def test_work_that_nobody_waits_for_ends_at_its_next_checkpoint(threads: FairThreads) -> None:
    ended = threading.Event()

    def endless() -> None:
        try:
            work(60.0)
        finally:
            ended.set()

    begin_and_leave(threads, endless)
    assert ended.wait(5)
    assert threads.submit(lambda: 7).result(5) == 7, "the thread goes on"


def test_what_is_to_be_done_to_the_end_is_though_its_caller_leaves() -> None:
    threads, done = FairThreads(1, 1, str, "test"), threading.Event()

    def long() -> None:
        work(0.5)
        done.set()

    begin_and_leave(threads, long, to_the_end=True)
    assert done.wait(5)
    threads.shutdown()


def test_who_holds_a_lock_neither_waits_nor_ends(threads: FairThreads) -> None:
    seen = list[str]()

    def held() -> None:
        with uninterrupted():
            with uninterrupted():
                work(0.1)
            work(0.1)
            seen.append("held")
        work(60.0)
        seen.append("not held")

    begin_and_leave(threads, held)
    until(lambda: seen == ["held"])
    threads.shutdown()
    assert seen == ["held"]


def test_outside_of_such_work_a_checkpoint_is_nothing() -> None:
    work(0.02)
    with uninterrupted():
        work(0.02)
