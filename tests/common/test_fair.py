"""Threads that callers share."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextvars import ContextVar

import pytest

from services.common.serving.fair import FairThreads, InTurn

WHO: ContextVar[str] = ContextVar("WHO", default="")


@pytest.fixture
def threads() -> Iterator[FairThreads]:
    made = FairThreads(2, 2, WHO.get, "test")
    yield made
    made.shutdown()


def submit(threads: FairThreads, who: str, function: object, *args: object) -> object:
    WHO.set(who)
    return threads.submit(function, *args)  # type: ignore[arg-type]


def test_it_returns_and_raises_what_the_work_does(threads: FairThreads) -> None:
    assert threads.submit(lambda: 7).result(5) == 7
    with pytest.raises(ZeroDivisionError):
        threads.submit(lambda: 1 // 0).result(5)
    assert threads.submit(lambda: 8).result(5) == 8, "the thread goes on"


def test_who_asks_for_little_does_not_wait_behind_who_asks_for_much(threads: FairThreads) -> None:
    go_on, order, begun = threading.Event(), list[str](), threading.Semaphore(0)

    def hold() -> None:
        begun.release()
        go_on.wait(10)

    for _ in range(2):
        submit(threads, "much", hold)
    for _ in range(2):
        assert begun.acquire(timeout=5)
    for who in ("much", "much", "much", "little"):
        submit(threads, who, order.append, who)
    go_on.set()
    assert threads.submit(lambda: None).exception(5) is None
    threads.shutdown()
    assert sorted(order) == ["little", "much", "much", "much"]
    assert order.index("little") < 2, order


def test_nobody_has_every_thread() -> None:
    threads, go_on, begun = FairThreads(2, 1, WHO.get, "test"), threading.Event(), threading.Semaphore(0)

    def hold() -> None:
        begun.release()
        go_on.wait(10)

    for _ in range(3):
        submit(threads, "much", hold)
    assert begun.acquire(timeout=5)
    assert not begun.acquire(timeout=0.1), "a second of the same"
    WHO.set("little")
    assert threads.submit(lambda: 7).result(5) == 7
    go_on.set()
    threads.shutdown()
    assert begun.acquire(timeout=5)


def test_while_others_call_one_has_a_share_of_the_cores() -> None:
    threads, go_on, begun = FairThreads(8, 4, WHO.get, "test", cores=4), threading.Event(), threading.Semaphore(0)

    def hold() -> None:
        begun.release()
        go_on.wait(10)

    WHO.set("little")
    assert threads.submit(lambda: 7).result(5) == 7
    for _ in range(6):
        submit(threads, "much", hold)
    assert [begun.acquire(timeout=0.2) for _ in range(3)] == [True, True, False], "two of four cores"
    time.sleep(1.1)
    submit(threads, "much", lambda: None)  # whatever happens lets them look again
    assert [begun.acquire(timeout=0.2) for _ in range(3)] == [True, True, False], "alone again: four at once"
    go_on.set()
    threads.shutdown()


def test_what_was_cancelled_before_it_began_is_not_done(threads: FairThreads) -> None:
    go_on, done = threading.Event(), list[int]()
    held = [threads.submit(go_on.wait, 10) for _ in range(2)]
    late = threads.submit(done.append, 1)
    assert late.cancel()
    go_on.set()
    assert [each.result(5) for each in held] == [True, True]
    threads.shutdown()
    assert not done


def test_after_the_end_nothing_is_taken_and_what_waited_is_cancelled() -> None:
    threads, go_on, begun = FairThreads(1, 1, WHO.get, "test"), threading.Event(), threading.Event()

    def hold() -> bool:
        begun.set()
        return go_on.wait(10)

    held = threads.submit(hold)
    assert begun.wait(5)
    late = threads.submit(lambda: 7)
    threads.shutdown(wait=False, cancel_futures=True)
    go_on.set()
    threads.shutdown()
    assert (held.result(5), late.cancelled()) == (True, True)
    with pytest.raises(RuntimeError, match="ended"):
        threads.submit(lambda: 7)


def test_who_lets_go_of_a_turn_and_asks_again_is_behind_those_that_wait() -> None:
    turn, order, asked = InTurn(), list[str](), threading.Semaphore(0)

    def wait(name: str) -> None:
        asked.release()
        with turn:
            order.append(name)

    with turn:
        waiting = [threading.Thread(target=wait, args=(name,)) for name in ("first", "second")]
        for each in waiting:
            each.start()
            assert asked.acquire(timeout=5)
            time.sleep(0.05)  # it has asked by now
    with turn:
        order.append("again")
    for each in waiting:
        each.join()
    assert order == ["first", "second", "again"]
    with turn:
        order.append("free once nobody waits")
