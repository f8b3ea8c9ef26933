"""Readers share, a writer is alone, and a writer that waits is not kept out by readers that come after it."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from services.episodic.search.exclusion import Exclusion
from tests.waiting import until


def test_readers_are_in_together_and_a_writer_is_alone() -> None:
    exclusion, together = Exclusion(), threading.Barrier(3)
    inside, most = [0], list[int]()

    def read() -> None:
        with exclusion.reading():
            together.wait(10)

    def write() -> None:
        for _ in range(50):
            with exclusion.writing():
                inside[0] += 1
                most.append(inside[0])
                inside[0] -= 1

    with ThreadPoolExecutor(5) as threads:
        for each in [threads.submit(read) for _ in range(3)] + [threads.submit(write) for _ in range(2)]:
            each.result(10)
    assert most == [1] * 100


def test_a_writer_that_waits_goes_before_readers_that_come_after_it() -> None:
    exclusion, order = Exclusion(), list[str]()
    first_may_leave = threading.Event()

    def first() -> None:
        with exclusion.reading():
            order.append("first reader")
            first_may_leave.wait(10)

    def write() -> None:
        with exclusion.writing():
            order.append("writer")

    def late() -> None:
        with exclusion.reading():
            order.append("late reader")

    with ThreadPoolExecutor(3) as threads:
        running = [threads.submit(first)]
        until(lambda: order == ["first reader"], within_s=10)
        running.append(threads.submit(write))
        until(lambda: exclusion._waiting == 1, within_s=10)
        running.append(threads.submit(late))
        first_may_leave.set()
        for each in running:
            each.result(10)
    assert order == ["first reader", "writer", "late reader"]


def test_who_fails_inside_leaves_all_the_same() -> None:
    exclusion = Exclusion()
    for enter in (exclusion.reading, exclusion.writing):
        with pytest.raises(ValueError, match="inside"), enter():
            raise ValueError("inside")
    with exclusion.writing():
        pass
