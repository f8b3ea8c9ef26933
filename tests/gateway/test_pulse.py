"""Silence is noticed, ends what waits, and is not what a busy application or a late gateway has."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import contextmanager

import pytest

from services.common.serving.errors import MnemeError
from services.gateway.errors import overloaded
from services.gateway.pulse import Pulse

SILENCE_S = 0.6


class Heart:
    """An application's stream: beats until told otherwise."""

    def __init__(self) -> None:
        self.beats = True
        self.opened = 0
        self.ended = 0
        self.fails: MnemeError | None = None
        self.thread = b""

    async def open(self) -> AsyncGenerator[bytes, None]:
        self.opened += 1
        if self.fails is not None:
            raise self.fails
        for _ in range(20):
            while not self.beats:
                await asyncio.sleep(0.01)
            yield self.thread
            await asyncio.sleep(0.02)
        self.ended += 1


def run(test: Callable[[Heart, Pulse], Awaitable[None]], busy_s: float = 60.0) -> None:
    async def with_pulse() -> None:
        heart = Heart()
        pulse = Pulse("probe", heart.open, SILENCE_S, busy_s=busy_s)
        try:
            await test(heart, pulse)
        finally:
            await pulse.close()

    asyncio.run(with_pulse())


async def answers(pulse: Pulse) -> bool:
    """After more time than silence is noticed in."""
    await asyncio.sleep(SILENCE_S + 0.4)
    try:
        pulse.require(heard=True)
    except MnemeError as error:
        if error.reason != "SERVICE_UNAVAILABLE":
            raise
        return False
    return True


def test_a_stream_that_ends_as_it_should_is_opened_again_and_is_no_silence() -> None:
    async def test(heart: Heart, pulse: Pulse) -> None:
        assert await answers(pulse)
        assert heart.opened > 1

    run(test)


def test_we_leave_a_stream_before_it_ends_and_open_another() -> None:
    async def test() -> None:
        heart = Heart()
        pulse = Pulse("probe", heart.open, SILENCE_S, stream_s=0.1)
        assert await answers(pulse)
        assert heart.opened > 3
        assert heart.ended == 0
        await pulse.close()

    asyncio.run(test())


def test_silence_refuses_calls_ends_those_in_flight_and_is_over_with_the_next_beat() -> None:
    async def test(heart: Heart, pulse: Pulse) -> None:
        assert await answers(pulse)
        heart.beats = False
        start = time.monotonic()
        with pytest.raises(MnemeError) as lost:
            async with pulse.in_flight():
                await asyncio.sleep(60)
        assert lost.value.reason == "SERVICE_UNAVAILABLE"
        assert SILENCE_S < time.monotonic() - start < 3 * SILENCE_S
        assert not await answers(pulse)
        heart.beats = True
        assert await answers(pulse)

    run(test)


def test_an_application_without_a_place_for_the_stream_is_busy_not_dead() -> None:
    async def test(heart: Heart, pulse: Pulse) -> None:
        heart.fails = overloaded("calls to probe")
        assert await answers(pulse)

    run(test)


@contextmanager
def process() -> Iterator[tuple[int, bytes]]:
    """One that wakes ten times a second, and what its thread is seen by."""
    program = (
        "import time; from services.common.liveness import this_thread\n"
        "print(this_thread().decode(), flush=True)\n"
        "while True: time.sleep(0.1)"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as running:
        try:
            assert running.stdout is not None
            yield running.pid, running.stdout.readline().strip()
        finally:
            running.kill()


@pytest.mark.skipif(sys.platform != "linux", reason="threads of others are seen on Linux only")
def test_one_that_runs_is_late_and_one_that_is_frozen_is_silent() -> None:
    async def test(heart: Heart, pulse: Pulse) -> None:
        with process() as (pid, heart.thread):
            assert await answers(pulse)
            heart.beats = False
            async with pulse.in_flight():
                assert await answers(pulse)
            os.kill(pid, signal.SIGSTOP)
            with pytest.raises(MnemeError):
                async with asyncio.timeout(20), pulse.in_flight():
                    await asyncio.sleep(60)

    run(test)


@pytest.mark.skipif(sys.platform != "linux", reason="threads of others are seen on Linux only")
def test_one_that_runs_and_says_nothing_for_long_does_not_answer() -> None:
    async def test(heart: Heart, pulse: Pulse) -> None:
        with process() as (_, heart.thread):
            assert await answers(pulse)
            heart.beats = False
            with pytest.raises(MnemeError):
                async with asyncio.timeout(20), pulse.in_flight():
                    await asyncio.sleep(60)

    run(test, busy_s=SILENCE_S + 0.1)


def test_what_it_answers_otherwise_counts_as_well() -> None:
    async def test(heart: Heart, pulse: Pulse) -> None:
        heart.beats = False
        for _ in range(10):
            await asyncio.sleep(0.15)
            pulse.hear()
            pulse.require()

    run(test)


def test_a_gateway_that_was_late_itself_blames_nobody() -> None:
    async def test(heart: Heart, pulse: Pulse) -> None:
        assert await answers(pulse)
        async with pulse.in_flight():
            time.sleep(3 * SILENCE_S)  # the event loop's, not the application's
            await asyncio.sleep(0.5)
        pulse.require()

    run(test)


def test_a_call_that_is_cancelled_in_flight_is_just_that() -> None:
    async def test(heart: Heart, pulse: Pulse) -> None:
        async def call() -> None:
            async with pulse.in_flight():
                await asyncio.sleep(60)

        task = asyncio.create_task(call())
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(test)
