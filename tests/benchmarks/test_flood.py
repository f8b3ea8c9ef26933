"""What the flood's benchmark says of what it measured, and the messages that its attacker puts together from bytes."""

from __future__ import annotations

import threading
from collections import Counter
from itertools import count
from typing import Any

import pytest
from mneme.v1 import episodic_pb2, perception_pb2

from benchmarks import attacker, flood
from benchmarks.attacker import LONG_BYTES, Calls, Flood, Target
from benchmarks.flood import Measured, Row

TARGET = Target("remember", "127.0.0.1", 1, 2, "token", "eve/long", "eve/written0", 1.0)


class Channel:
    """Takes what would be sent."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []

    def unary_unary(self, method: str) -> Any:
        return lambda request, metadata, timeout: self.sent.append(request)

    def stream_unary(self, method: str) -> Any:
        return lambda requests, metadata, timeout: self.sent.extend(requests)


def row(name: str, p99: float, *failed: str) -> Row:
    return Row(name, Measured([p99] * 100, [], Counter(failed)), {})


@pytest.mark.parametrize(
    ("rows", "bar", "good"),
    [
        ([row("quiet", 0.02), row("long", 0.05)], None, True),
        ([row("quiet", 0.02), row("long", 0.05)], 2.0, False),
        ([row("quiet", 0.02), row("long", 0.04)], 2.0, True),
        ([row("quiet", 0.02), row("long", 0.02, "OVERLOADED")], None, False),
        ([row("quiet", 0.02, "DEADLINE"), row("long", 0.02)], None, False),
    ],
)
def test_it_is_good_where_no_call_failed_and_none_is_beyond_the_bar(
    rows: list[Row], bar: float | None, good: bool
) -> None:
    assert flood._is_good(rows, bar) is good


def test_each_remembered_text_is_long_and_has_an_id_of_its_own() -> None:
    channel = Channel()
    work = Calls(TARGET, channel, count()).remember()
    for _ in range(3):
        work()
    sent = [episodic_pb2.RememberRequest.FromString(each) for each in channel.sent]
    assert [each.id for each in sent] == ["remember0", "remember1", "remember2"]
    assert {(each.namespace, len(each.text.encode())) for each in sent} == {("eve/written0", LONG_BYTES)}


def test_each_observed_text_is_whole_and_has_an_id_of_its_own() -> None:
    channel = Channel()
    Calls(TARGET, channel, count()).observe()()
    sent = [perception_pb2.ObserveRequest.FromString(each).observation for each in channel.sent]
    assert len({each.id for each in sent}) == len(sent) == attacker._STREAM
    assert {(each.namespace, len(each.text.encode()), each.HasField("observed_at")) for each in sent} == {
        ("eve/written0", LONG_BYTES, True)
    }


def test_what_became_of_each_piece_of_work_is_counted() -> None:
    some, done, numbers = Flood(), threading.Event(), count()

    def work() -> None:
        number = next(numbers)
        if number == 3:
            done.set()
            threading.Event().wait()  # until the process ends
        if number % 2:
            raise ConnectionResetError

    some.start([work])
    assert done.wait(10)
    some.end()
    assert some.outcomes == {"OK": 2, "ConnectionResetError": 1}
