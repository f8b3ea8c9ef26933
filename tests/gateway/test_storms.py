"""Who starts calls and cancels them by the thousand: another's calls are not ended, and few are before them."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from google.protobuf.wrappers_pb2 import StringValue

from services.gateway.door import Door
from services.gateway.tokens import Credentials
from tests.gateway.probe import Gateway, bearer, config, gateway, unary

X = StringValue(value="x")
OWN_CONNECTION = ("grpc.use_local_subchannel_pool", 1)


@contextmanager
def held_up(door: Gateway) -> Iterator[None]:
    """While Python is busy: gRPC keeps what comes."""
    go_on = threading.Event()
    door._loop.call_soon_threadsafe(go_on.wait, 30)
    try:
        yield
        time.sleep(0.2)  # what was sent has come
    finally:
        go_on.set()


def storm(call: Any, count: int) -> None:
    """Calls that are cancelled once they are on their way."""
    for _ in range(count // 100):
        calls = [call.future(X, metadata=bearer()) for _ in range(100)]
        time.sleep(0.02)
        for each in calls:
            each.cancel()


def two_clients(door: Gateway) -> list[Any]:
    """``Echo`` over a connection of ours, and over one of theirs."""
    calls = [unary(door.channel(OWN_CONNECTION), "Echo") for _ in range(2)]
    for call in calls:
        call(X, metadata=bearer())
    return calls


def test_calls_that_are_cancelled_by_the_thousand_end_no_other_s_call() -> None:
    with gateway() as door:
        ours, theirs = two_clients(door)
        with held_up(door):
            storm(theirs, 1_600)
            waiting = [ours.future(X, metadata=bearer(), timeout=30) for _ in range(20)]
        assert [call.result().value for call in waiting] == ["ann:x"] * 20


def test_of_a_connection_that_cancels_by_the_thousand_few_calls_are_before_another_s(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    taken, run = list[Any](), Door.run

    async def counted(self: Door, *given: Any) -> Any:
        taken.append(given)
        return await run(self, *given)

    monkeypatch.setattr(Door, "run", counted)
    with gateway() as door:
        ours, theirs = two_clients(door)
        with held_up(door):
            storm(theirs, 4_000)
            taken.clear()
            waiting = ours.future(X, metadata=bearer(), timeout=30)
        assert waiting.result().value == "ann:x"
        assert len(taken) < 2 * config().max_calls_per_connection


def test_a_call_that_was_cancelled_before_it_was_taken_costs_no_check_of_its_token(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    checked, check = list[Any](), Credentials.check

    def counted(self: Credentials, metadata: Any) -> Any:
        checked.append(metadata)
        return check(self, metadata)

    monkeypatch.setattr(Credentials, "check", counted)
    with gateway() as door:
        ours, theirs = two_clients(door)
        with held_up(door):
            storm(theirs, 300)
            checked.clear()
        assert ours(X, metadata=bearer(), timeout=30).value == "ann:x"
        assert len(checked) < 100
