"""What a principal may use in a second while others call too."""

from __future__ import annotations

import pytest

from services.gateway.budget import Budget, Pace


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def made(per_s: float = 40, burst: float = 20) -> tuple[Budget, Clock]:
    """A budget that somebody else uses, too."""
    clock = Clock()
    budget = Budget(per_s, burst, clock)
    calls(budget, clock, "other", 0)
    return budget, clock


def calls(budget: Budget, clock: Clock, key: str, seconds: float, per_s: float = 10) -> None:
    """A key that calls steadily for so long, and at least once."""
    end = clock.now + seconds
    budget.use(key, 5)
    while clock.now < end:
        clock.now += 1 / per_s
        budget.use(key, 1)


def used_at_once(budget: Budget, key: str, most: int = 1000) -> int:
    """How many units a key may use now, one after the other."""
    for count in range(most):
        if budget.wait_s(key):
            return count
        budget.use(key, 1)
    return most


def test_a_burst_then_a_rate() -> None:
    budget, clock = made()
    assert used_at_once(budget, "ann") == 21, "the one that overdraws is the last"
    assert budget.wait_s("ann") == pytest.approx(1 / 20)
    calls(budget, clock, "other", 0.5)
    assert used_at_once(budget, "ann") == pytest.approx(10, abs=1)
    calls(budget, clock, "other", 60)
    assert used_at_once(budget, "ann") == 21, "a pause gives a burst, and no more"


def test_a_large_thing_is_waited_for_by_what_comes_next() -> None:
    budget, clock = made()
    budget.use("ann", 60)
    assert budget.wait_s("ann") == pytest.approx(2)
    calls(budget, clock, "other", 1)
    assert budget.wait_s("ann") == pytest.approx(1, abs=0.1)
    calls(budget, clock, "other", 1)
    assert budget.wait_s("ann") == 0


def test_who_calls_alone_is_not_bounded() -> None:
    budget = Budget(40, 20, Clock())
    assert used_at_once(budget, "ann") == 1000


def test_who_calls_now_and_then_takes_nothing_from_the_others() -> None:
    clock = Clock()
    budget = Budget(400, 20, clock)
    for _ in range(5):
        budget.use("operator", 1)
        clock.now += 0.5
        assert used_at_once(budget, "ann") == 1000


def test_those_who_call_at_the_same_time_have_even_shares_until_they_stop() -> None:
    budget, clock = made()
    budget.use("ann", 60)
    assert budget.wait_s("ann") == pytest.approx(2)
    budget.use("bob", 10)
    assert budget.wait_s("ann") == pytest.approx(2), "who calls is looked at ten times a second"
    clock.now += 0.15
    assert budget.wait_s("ann") == pytest.approx(37 / (40 / 3), abs=0.3), "a third of it is bob's"
    assert budget.wait_s("bob") == 0, "nobody waits for another"
    clock.now += 2.1
    assert budget.wait_s("ann") == 0, "the others have stopped"


def test_who_was_busy_in_the_second_before_counts_and_one_later_no_more() -> None:
    budget, clock = made()
    budget.use("ann", 60)
    clock.now += 1.5
    assert budget.wait_s("ann") == pytest.approx(0.5)
    clock.now += 0.3
    assert budget.wait_s("ann") == pytest.approx(0.2)
    clock.now += 0.7
    budget.use("ann", 60)
    assert budget.wait_s("ann") == 0, "alone for a second"


def test_a_fortieth_of_all_is_in_nobody_s_way_and_more_is() -> None:
    for used, bounded in ((100, False), (101, True)):
        clock = Clock()
        budget = Budget(4_000, 200, clock)
        budget.use("operator", used)
        clock.now += 0.1
        assert (used_at_once(budget, "ann") < 1000) == bounded


def test_what_is_remembered_is_bounded() -> None:
    clock = Clock()
    another = Budget(40, 20, clock)
    another.use("light", 5)
    budget = Budget(40, 20, clock, beside=another)
    for key in ("other", "first", *(f"p{n}" for n in range(4094))):
        budget.use(key, 1000)
    assert budget.wait_s("first") > 0
    budget.use("other", 1000)
    budget.use("second", 1000)
    assert budget.wait_s("first") == 0, "of more than 4,096, the one that has used nothing for longest is forgotten"
    assert min(budget.wait_s(key) for key in ("other", "p0", "p4093", "second")) > 0


def test_who_uses_another_budget_alone_has_a_share_of_each() -> None:
    clock = Clock()
    calls_ = Budget(40, 20, clock)
    bytes_ = Budget(1_000, 500, clock, beside=calls_)
    calls_.use("ann", 5)
    bytes_.use("eve", 700)
    assert bytes_.wait_s("eve") == pytest.approx(200 / 500), "half of it is hers, though ann sends none"


def test_nobody_waits_for_one_who_floods_another_budget() -> None:
    """Eve's writes use none of the seconds for reads; what Ann reads is not in their way."""
    clock = Clock()
    seconds = Budget(0.5, 3, clock)
    calls_ = Budget(80, 200, clock, beside=seconds)
    for _ in range(200):
        calls_.use("eve", 10)
        calls_.use("ann", 0.7)
        seconds.use("ann", 0.05)
        clock.now += 0.1
    assert seconds.wait_s("ann") == 0
    assert calls_.wait_s("ann") == 0
    assert calls_.wait_s("eve") > 0


def test_those_who_are_all_as_busy_do_not_wait_until_one_comes_who_is_not() -> None:
    clock = Clock()
    budget = Budget(40, 20, clock)
    for _ in range(30):
        for key in ("ann", "eve"):
            budget.use(key, 3)
        clock.now += 0.1
    assert budget.wait_s("ann") == budget.wait_s("eve") == 0
    budget.use("bob", 5)
    clock.now += 0.15
    budget.use("eve", 30)
    assert budget.wait_s("eve") > 1
    assert budget.wait_s("bob") == 0


def test_a_debt_is_paid_within_a_second_of_all_there_is() -> None:
    budget, _ = made()
    budget.use("ann", 1e6)
    assert budget.wait_s("ann") == pytest.approx(2), "half of it is hers"


def test_a_pace_spaces_out_what_each_gets() -> None:
    clock = Clock()
    pace = Pace(10, 0.35, clock)
    assert [pace.delay_s("eve") for _ in range(5)] == pytest.approx([0.1, 0.2, 0.3, 0.35, 0.35])
    assert pace.delay_s("ann") == pytest.approx(0.1), "nobody waits for another"
    clock.now += 10
    assert pace.delay_s("eve") == pytest.approx(0.1)


def test_of_4096_that_are_paced_the_oldest_is_forgotten() -> None:
    pace = Pace(10, 5, Clock())
    for n in range(4096):
        pace.delay_s(f"p{n}")
    assert pace.delay_s("p0") == pytest.approx(0.2)
    assert pace.delay_s("p1") == pytest.approx(0.2)
    pace.delay_s("more")
    assert pace.delay_s("p2") == pytest.approx(0.1), "it was the one that had not been asked for longest"
    assert pace.delay_s("p0") == pytest.approx(0.3)
