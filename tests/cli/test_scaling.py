"""Partitions move from shard to shard, whatever is killed meanwhile: each has one owner, at last the right one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from pathlib import Path

import pytest

from services.cli.up.scaling import Delayed, Scaling
from services.cli.up.shards import assign_all
from services.common.ledger import topics
from services.common.ledger.assignment import HELD, LEAVING, TAKING, Assignment, Assignments, Owner
from services.common.log.base import Log
from services.common.log.open import open_log
from services.common.serving.shards import application_of, dealt, fitting, shard_of

PARTITIONS = 4


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    opened = open_log(f"sqlite://{tmp_path}/log.db")
    opened.ensure_topics(topics.specs(PARTITIONS, [topics.INBOX]))
    yield opened
    opened.close()


class Killed(Exception):
    """What asked for a step was killed, before or after the step was done."""


class Machine:
    """Shards as processes: they hold what the log says when they start, and when they are asked to."""

    def __init__(self, log: Log) -> None:
        self.assignments = Assignments(log)
        self.shards: dict[str, set[int]] = {}
        self.interrupt: Callable[[], None] = lambda: None  # called around whatever is done

    def running(self) -> Collection[str]:
        return list(self.shards)

    def start(self, applications: Sequence[str], since: int) -> None:
        for application in applications:
            self.interrupt()
            self._look(application, since)
            self.interrupt()

    def hold(self, application: str, since: int) -> Collection[int]:
        self.interrupt()
        self._look(application, since)
        self.interrupt()
        return self.shards[application]

    def stop(self, application: str) -> None:
        self.interrupt()
        assert not self.shards.pop(application), "it held a partition"
        self.interrupt()

    def kill(self, application: str) -> None:
        """And Serve starts it again."""
        self.shards[application] = set()
        self._look(application, -1)

    def _look(self, application: str, since: int) -> None:
        shard = shard_of(application)
        assert shard is not None
        self.shards[application] = set(self.assignments.refreshed(since).held_by(shard))
        held = Counter(partition for partitions in self.shards.values() for partition in partitions)
        assert not held or max(held.values()) == 1, f"two shards hold one partition: {self.shards}"


class Controlled(Assignments):
    """Also interrupted before and after what it writes."""

    def __init__(self, log: Log, machine: Machine) -> None:
        super().__init__(log)
        self._machine = machine

    def assign(self, assignment: Assignment) -> None:
        self._machine.interrupt()
        super().assign(assignment)
        self._machine.interrupt()


def scaling(log: Log, machine: Machine, configured: int = 1) -> Scaling:
    """As a start of `mneme up` makes it, on what the log says."""
    assign_all(log, configured, lambda said: None)
    machine.shards.clear()
    assignments = Controlled(log, machine)
    assignments.refresh()
    for application in assignments.required.applications:
        machine.start([application], assignments.written_at)
    return Scaling(assignments, machine, known_s=0.0)


def settle(given: Scaling) -> None:
    for _ in range(200):
        if not given.step():
            return
    raise AssertionError("it does not end")


def assert_settled(log: Log, machine: Machine, count: int) -> None:
    now = Assignments(log)
    now.refresh()
    assert now.required.is_dealt_to(count)
    shards = {application_of(shard): set(now.required.held_by(shard)) for shard in range(count)}
    assert machine.shards == shards
    assert sorted(partition for held in shards.values() for partition in held) == list(range(PARTITIONS))


def test_shards_come_and_go_and_each_partition_has_one_owner_throughout(log: Log) -> None:
    machine = Machine(log)
    given = scaling(log, machine)
    for count in (2, 4, 1, 4, 2):
        Assignments(log).want(count, 1, "test")
        settle(given)
        assert_settled(log, machine, count)


Interrupted = Callable[[Machine], None]


class Alarm:
    """Interrupts a machine once, at a moment of those that there are."""

    def __init__(self, moment: int, rings: Callable[[], None]) -> None:
        self._moment, self._rings = moment, rings
        self.passed = 0

    def __call__(self) -> None:
        self.passed += 1
        if self.passed == self._moment:
            self._rings()


def at_every_moment(log: Log, interrupted: Interrupted, before: int, after: int) -> None:
    """One change of the number after another, each interrupted at a later moment, until there is none later."""
    for moment in range(1, 100):
        machine = Machine(log)
        given = scaling(log, machine, before)
        Assignments(log).want(after, before, "test")
        machine.interrupt = alarm = Alarm(moment, partial(interrupted, machine))
        try:
            settle(given)
        except Killed:
            if not machine.shards:
                given = scaling(log, machine, before)
            settle(given)
        assert_settled(log, machine, after)
        Assignments(log).want(before, before, "test")
        if alarm.passed < moment:
            return
    raise AssertionError("it has no end")


@pytest.mark.parametrize(("before", "after"), [(1, 2), (4, 2)])
def test_whichever_shards_are_killed_at_whichever_moment_it_goes_on(log: Log, before: int, after: int) -> None:
    def interrupted(machine: Machine) -> None:
        for shard in list(machine.shards):
            machine.kill(shard)

    at_every_moment(log, interrupted, before, after)


@pytest.mark.parametrize("shards_live", [True, False], ids=["shards-live", "all-killed"])
@pytest.mark.parametrize(("before", "after"), [(1, 2), (4, 2)])
def test_who_moves_partitions_is_killed_at_any_moment_and_the_next_one_goes_on(
    log: Log, before: int, after: int, shards_live: bool
) -> None:
    def interrupted(machine: Machine) -> None:
        if not shards_live:
            machine.shards.clear()
        raise Killed

    at_every_moment(log, interrupted, before, after)


def test_a_number_that_is_asked_for_while_another_is_under_way_is_come_to(log: Log) -> None:
    machine = Machine(log)
    given = scaling(log, machine)
    Assignments(log).want(4, 1, "test")
    for _ in range(3):
        given.step()
    Assignments(log).want(2, 1, "test")
    settle(given)
    assert_settled(log, machine, 2)


def test_a_shard_that_does_not_let_go_holds_up_its_partition_and_no_other_takes_it(log: Log) -> None:
    machine = Machine(log)
    given = scaling(log, machine)
    Assignments(log).want(2, 1, "test")
    given.step()
    given.step()
    machine.hold = lambda application, since: {0, 1, 2, 3}  # type: ignore[method-assign]
    with pytest.raises(Delayed, match="partition 2 is still held there"):
        given.step()
    now = Assignments(log)
    now.refresh()
    assert now.required.owners[2] == Owner(1, LEAVING, 0)
    assert now.required.held_by(1) == []


def test_the_later_word_counts_at_a_start(log: Log) -> None:
    said: list[str] = []
    assert assign_all(log, 2, said.append).required.shards == [0, 1, 0, 1]
    Assignments(log).want(4, 2, "test")
    assert assign_all(log, 2, said.append).required.shards == [0, 1, 2, 3]
    assert said == ["episodic runs in 4 shards, as `mneme scale` asked, not in 2 (episodic.shards)"]
    assert assign_all(log, 1, said.append).required.shards == [0, 0, 0, 0]  # the setting was changed since
    assert assign_all(log, 1, said.append).required.shards == [0, 0, 0, 0]
    assert len(said) == 1


def test_a_start_gives_every_partition_an_owner_whatever_was_under_way(log: Log) -> None:
    assignments = assign_all(log, 2, print)
    moving = assignments.required.with_owner(1, Owner(0, LEAVING, 1)).with_owner(2, Owner(1, TAKING))
    assignments.assign(moving)
    after = assign_all(log, 2, print).required
    assert {owner.phase for owner in after.owners} == {HELD}
    assert Counter(after.shards) == {0: 2, 1: 2}


@pytest.mark.parametrize("partitions", [1, 4, 6, 12])
def test_partitions_are_dealt_evenly_and_few_change_hands(partitions: int) -> None:
    for before in fitting(partitions):
        shards = dealt(partitions, before)
        assert set(Counter(shards).values()) == {partitions // before}
        assert dealt(partitions, before, shards) == shards
        for after in fitting(partitions):
            then = dealt(partitions, after, shards)
            assert set(Counter(then).values()) == {partitions // after}
            moved = sum(a != b for a, b in zip(shards, then, strict=True))
            kept = min(before, after) * min(partitions // before, partitions // after)
            assert moved == partitions - kept


def test_names_of_shards_are_told_from_those_of_other_applications() -> None:
    assert [shard_of(application_of(shard)) for shard in (0, 1, 12)] == [0, 1, 12]
    assert shard_of("gateway") is shard_of("episodic-") is shard_of("episodic-x") is shard_of("episodics") is None
