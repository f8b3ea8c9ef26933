"""The loop thread: waits the log's errors out, and tells when it died."""

from __future__ import annotations

import threading
import time

import pytest

from services.common.log.base import LogUnavailable
from services.common.serving.loop import Loop, LoopDied
from tests.waiting import until


def test_it_repeats_its_step_until_stopped() -> None:
    steps: list[int] = []

    def step() -> None:
        steps.append(1)
        time.sleep(0.001)

    loop = Loop("test", step)
    loop.start()
    until(lambda: len(steps) > 3)
    loop.require_alive()
    assert loop.stop(5.0)
    count = len(steps)
    time.sleep(0.05)
    assert len(steps) == count


def test_a_log_that_is_away_is_waited_for() -> None:
    tries = []

    def step() -> None:
        tries.append(1)
        if len(tries) < 3:
            raise LogUnavailable("the broker is away")
        time.sleep(0.001)

    loop = Loop("test", step)
    loop.start()
    until(lambda: len(tries) > 5)
    loop.require_alive()
    assert loop.stop(5.0)


@pytest.mark.parametrize("defect", [KeyError("secret text"), ValueError("secret text")])
def test_a_defect_ends_it_and_the_health_check_says_so(defect: Exception) -> None:
    def step() -> None:
        raise defect

    loop = Loop("perception.inbox", step)
    loop.start()
    until(lambda: not loop._thread.is_alive())
    with pytest.raises(LoopDied, match=rf"perception\.inbox: {type(defect).__name__}") as caught:
        loop.require_alive()
    assert "secret text" not in str(caught.value)


def test_a_stop_waits_for_the_step_in_hand_but_not_for_ever() -> None:
    entered, release = threading.Event(), threading.Event()

    def step() -> None:
        entered.set()
        release.wait(5.0)

    loop = Loop("test", step)
    loop.start()
    entered.wait(5.0)
    assert not loop.stop(0.05)
    release.set()
    assert loop.stop(5.0)
