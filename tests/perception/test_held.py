"""Records that wait for their namespace, without the log that they came from."""

from __future__ import annotations

import pytest

from services.common.log.base import Record, TopicPartition
from services.perception.intake import held
from services.perception.intake.held import Held


class Clock:
    """The time that records wait by."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(held, "time", made)
    return made


def record(offset: int, partition: int = 0, topic: str = "in", value: bytes | None = b"x") -> Record:
    return Record(topic, partition, offset, b"key", value, {}, 0)


def nothing(namespace: str) -> bool:
    return False


def test_what_waits_is_released_in_order_when_its_namespace_is_there_or_its_time_is_over(clock: Clock) -> None:
    waiting = Held(10.0)
    for offset, namespace in enumerate(["a", "b", "a"]):
        assert waiting.hold(record(offset), namespace)
        clock.now += 1
    assert [waiting.waits_for(name) for name in ("a", "b", "c")] == [True, True, False]
    assert waiting.due(nothing) == []
    clock.now += 0.5
    assert [r.offset for r in waiting.due(lambda name: name == "a")] == [0, 2]
    assert [waiting.waits_for(name) for name in ("a", "b")] == [False, True]
    clock.now = 1_010.9
    assert waiting.due(nothing) == []
    clock.now = 1_011.4
    assert [r.offset for r in waiting.due(nothing)] == [1], "it came at 1,001 and waits ten seconds"
    clock.now += 5
    assert waiting.due(nothing) == []
    assert not waiting.waits_for("b")


def test_one_waits_its_time_to_the_end(clock: Clock) -> None:
    waiting = Held(10.0)
    waiting.hold(record(0), "a")
    clock.now += 10
    assert [r.offset for r in waiting.due(nothing)] == [0]


def test_it_is_looked_twice_a_second_at_most(clock: Clock) -> None:
    waiting, asked = Held(10.0), list[str]()

    def exists(namespace: str) -> bool:
        asked.append(namespace)
        return False

    waiting.hold(record(0), "a")
    waiting.hold(record(1), "a")
    for after_s in (0.0, 0.25, 0.25, 0.25, 0.25):
        clock.now += after_s
        waiting.due(exists)
    assert asked == ["a"] * 3


def test_without_a_time_to_wait_nothing_is_held(clock: Clock) -> None:
    waiting = Held(0)
    assert not waiting.hold(record(0), "a")
    assert not waiting.waits_for("a")


def test_a_topic_holds_so_many_and_so_many_bytes(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held, "MAX_HELD", 3)
    monkeypatch.setattr(held, "MAX_HELD_BYTES", 10)
    waiting = Held(10.0)
    assert all(waiting.hold(record(offset, value=value), "a") for offset, value in enumerate([b"1234", None, b"12345"]))
    assert not waiting.hold(record(3), "a"), "three of the topic"
    assert waiting.hold(record(0, topic="other", value=b"1234567890"), "a"), "of another"
    assert not waiting.hold(record(1, topic="other"), "a"), "a byte too many"
    assert waiting.hold(record(2, topic="other", value=b""), "a")


def test_bounds_are_those_that_the_documents_name() -> None:
    assert (held.MAX_HELD, held.MAX_HELD_BYTES) == (1_000, 32 * 2**20)


def test_the_first_of_a_partition_holds_its_offset_and_what_others_have_is_let_go(clock: Clock) -> None:
    waiting = Held(10.0)
    for offset, partition in ((7, 1), (5, 0), (4, 1), (9, 0)):
        waiting.hold(record(offset, partition), f"n{partition}")
    zero, one, two = (TopicPartition("in", n) for n in range(3))
    assert [waiting.first(p) for p in (zero, one, two, TopicPartition("other", 0))] == [5, 4, None, None]
    waiting.keep([zero, two])
    assert [waiting.first(p) for p in (zero, one)] == [5, None]
    assert [waiting.waits_for(name) for name in ("n0", "n1")] == [True, False]
    waiting.clear()
    assert waiting.first(zero) is None
    assert not waiting.waits_for("n0")
