"""Who waits, what a step holds, and that everything comes back."""

from __future__ import annotations

import random

import pytest

from services.reasoning.engine.port import Finished, Sampling, Token
from services.reasoning.engine.scheduler import Scheduler
from services.reasoning.models.load import LoadedModel
from tests.reasoning.engine.small import Driver, prompt, settings
from tests.reasoning.engine.test_generation import assert_nothing_is_held


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def reasons(driver: Driver, request_id: str) -> list[str]:
    return [e.reason for e in driver.events(request_id) if isinstance(e, Finished)]


@pytest.mark.parametrize("running", [1, 2, 3, 6])
def test_there_are_as_many_slots_as_sequences_may_run_the_lowest_first(running: int) -> None:
    scheduler = Scheduler(settings(max_running=running))
    assert [scheduler.take_slot() for _ in range(running)] == list(range(running))
    with pytest.raises(IndexError):
        scheduler.take_slot()
    scheduler.free_slot(0)
    assert scheduler.take_slot() == 0


@pytest.mark.parametrize("steps", [0, 1, 2, 6])
@pytest.mark.parametrize("samples", [1, 3])
def test_invariant_27_cancel_frees_within_a_step(model: LoadedModel, steps: int, samples: int) -> None:
    """While it waits, in the middle of its prompt, at its end, and while it answers."""
    driver = Driver(model, chunk_tokens=30)
    other = driver.submit(prompt(20, 5), 30)
    request_id = driver.submit(prompt(70), 30, samples=samples)
    for _ in range(steps):
        driver.core.step()
    driver.core.cancel(request_id)
    assert reasons(driver, request_id) == ["cancelled"] * samples
    held = driver.core.stats()
    assert held.pages_used <= 4  # the other's alone
    driver.run()
    assert len(driver.tokens(other)[0]) == 30
    assert_nothing_is_held(driver)


def test_cancelling_the_unknown_and_the_finished_is_nothing(model: LoadedModel) -> None:
    driver = Driver(model)
    driver.generate(prompt(5))
    driver.core.cancel("r1")
    driver.core.cancel("never")
    assert_nothing_is_held(driver)


def test_a_long_prompt_is_cut_and_running_answers_go_on(model: LoadedModel) -> None:
    driver = Driver(model, chunk_tokens=16, step_tokens=24)
    answering = driver.submit(prompt(10, 1), 40)
    driver.core.step()
    long = driver.submit(prompt(160, 2), 2)
    arrived = 0
    while not any(isinstance(e, Token) for e in driver.events(long)):
        driver.core.step()
        new = len([e for e in driver.events(answering) if isinstance(e, Token)])
        arrived += 1
        assert new >= 1  # every step gives a token
    assert arrived == 10


def test_requests_wait_until_their_pages_are_there(model: LoadedModel) -> None:
    """Promised pages are never overdrawn: with room for one at a time, three run one after another."""
    driver = Driver(model, pool_pages=9)
    ids = [driver.submit(prompt(100, seed), 20) for seed in range(3)]
    driver.core.step()
    assert (driver.core.stats().running, driver.core.stats().waiting) == (1, 2)
    driver.run()
    assert [len(driver.tokens(i)[0]) for i in ids] == [20, 20, 20]
    assert_nothing_is_held(driver)


def test_who_does_not_fit_is_not_overtaken(model: LoadedModel) -> None:
    """Three pages are free and the next one needs eight: what needs one of them waits behind, else long prompts
    starve where short ones keep coming."""
    driver = Driver(model, pool_pages=11)
    first = driver.submit(prompt(100, 1), 20)
    big = driver.submit(prompt(100, 2), 20)
    small = driver.submit(prompt(10, 3), 2)
    driver.core.step()
    assert (driver.core.stats().running, driver.core.stats().waiting) == (1, 2)
    while "length" not in reasons(driver, first):
        driver.core.step()
        assert not driver.events(small)
    driver.run()
    assert [len(driver.tokens(i)[0]) for i in (big, small)] == [20, 2]


def test_a_request_of_several_samples_waits_until_each_has_a_place_and_is_not_overtaken(model: LoadedModel) -> None:
    driver = Driver(model, max_running=4)
    running = driver.submit(prompt(20, 1), 6, samples=2)
    many = driver.submit(prompt(20, 2), 6, samples=3)
    one = driver.submit(prompt(20, 3), 6)
    driver.core.step()
    assert (driver.core.stats().running, driver.core.stats().waiting) == (1, 2)
    driver.run()
    assert [len(driver.tokens(i)) for i in (running, many, one)] == [2, 3, 1]
    assert_nothing_is_held(driver)


def test_a_deadline_ends_what_runs_and_what_waits(model: LoadedModel) -> None:
    clock = Clock()
    driver = Driver(model, clock=clock, pool_pages=9)
    running = driver.submit(prompt(100, 1), 20, deadline_s=5.0)
    waiting = driver.submit(prompt(100, 2), 20, deadline_s=5.0)
    driver.core.step()
    clock.now += 5.0
    driver.core.step()
    assert reasons(driver, running) == ["deadline"]
    assert reasons(driver, waiting) == ["deadline"]
    assert_nothing_is_held(driver)


def test_a_slow_reader_pauses_its_own_request_only(model: LoadedModel) -> None:
    driver = Driver(model, stream_buffer=4)
    slow = driver.submit(prompt(10, 1), 30)
    for _ in range(12):
        driver.core.step()
    quick = driver.submit(prompt(10, 2), 2)
    for _ in range(4):
        driver.core.step()
    assert len(driver.tokens(quick)[0]) == 2
    seen = driver.events(slow)
    assert len(seen) == 4
    while not any(isinstance(e, Finished) for e in seen):
        driver.core.step()
        seen += driver.events(slow)
    assert len([e for e in seen if isinstance(e, Token)]) == 30
    assert_nothing_is_held(driver)


def test_nothing_leaks_whatever_happens(model: LoadedModel) -> None:
    """A hundred random submits, cancels, drops and steps over a pool that is too small for all."""
    rng = random.Random(4)
    driver = Driver(model, pool_pages=24, stream_buffer=6)
    live: list[str] = []
    for _ in range(150):
        act = rng.random()
        if act < 0.4:
            tokens = prompt(rng.choice([16, 40, 90]), rng.randrange(3))
            live.append(
                driver.submit(tokens, rng.randint(1, 30), samples=rng.randint(1, 2), sampling=Sampling(1.0, seed=1))
            )
        elif act < 0.5 and live:
            driver.core.cancel(live.pop(rng.randrange(len(live))))
        elif act < 0.6 and live:
            driver.events(rng.choice(live))
        driver.core.step()
    for request_id in live:
        driver.core.cancel(request_id)
    driver.core.step()
    assert_nothing_is_held(driver)
    assert driver.core.stats().copies_on_write > 0
