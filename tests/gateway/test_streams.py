"""Streams in both directions: order, bounds, credit, and that what nobody reads any more is stopped."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Iterator

import grpc
import pytest
from google.protobuf.wrappers_pb2 import Int64Value, StringValue
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2

from services.common.crypto.auth import Right
from services.common.serving.errors import MnemeError
from services.gateway import reflection
from services.gateway.gather import Gatherer, PageLimits
from tests.gateway.probe import (
    GRANTS,
    MESSAGE_BYTES,
    PAGE_MESSAGES,
    SERVICE,
    TOKENS,
    Gateway,
    assert_fails,
    bearer,
    fold,
    gateway,
    stream,
)
from tests.waiting import until


@pytest.fixture(scope="module")
def door() -> Iterator[Gateway]:
    with gateway(fold_messages=10, fold_window_s=0.01) as running:
        yield running


@pytest.fixture(autouse=True)
def nothing_left_running(door: Gateway) -> Iterator[None]:
    yield
    until(lambda: door.probe.running == 0)


def ints(*values: int) -> Iterator[Int64Value]:
    return (Int64Value(value=v) for v in values)


# Client streams


def test_every_message_of_a_client_stream_is_folded_once_in_order(door: Gateway) -> None:
    door.probe.folds.clear()
    assert fold(door.channel())(ints(*range(1000)), metadata=bearer()).value == sum(range(1000))
    assert sum(door.probe.folds) == 1000
    assert max(door.probe.folds) <= 10


def test_an_empty_client_stream_is_folded_once(door: Gateway) -> None:
    door.probe.folds.clear()
    assert fold(door.channel())(ints(), metadata=bearer()).value == 0
    assert door.probe.folds == [0]


def test_messages_are_folded_while_the_client_still_sends(door: Gateway) -> None:
    door.probe.folds.clear()
    more = threading.Event()

    def slowly() -> Iterator[Int64Value]:
        yield Int64Value(value=1)
        assert more.wait(5)
        yield Int64Value(value=2)

    call = fold(door.channel()).future(slowly(), metadata=bearer())
    until(lambda: door.probe.folds == [1])
    more.set()
    assert call.result(5).value == 3


def test_a_slow_application_stops_the_client_that_sends() -> None:
    """Sent is bounded by two pages of ours and gRPC's own window, however much the client has."""
    with gateway(fold_messages=4, fold_bytes=1 << 20) as door:
        sent = 0

        def endless() -> Iterator[bytes]:
            nonlocal sent
            yield Int64Value(value=-3000).SerializeToString()  # the application sleeps three seconds on this one
            while True:
                sent += 1
                yield Int64Value(value=1).SerializeToString() + b"\x92\x3f\x80\x80\x04" + b"x" * 65536  # unknown field

        call = door.channel().stream_unary(f"/{SERVICE}Sum").future(endless(), metadata=bearer(), timeout=10)
        until(lambda: door.probe.running == 1)
        time.sleep(1)
        after_a_second = sent
        time.sleep(1)
        assert sent == after_a_second, "still sending into a page that nobody takes"
        assert sent * 65536 < 16 * 1024 * 1024
        call.cancel()
        until(lambda: door.probe.running == 0)


def test_a_cancelled_client_stream_stops_its_fold(door: Gateway) -> None:
    call = fold(door.channel()).future(ints(-20_000), metadata=bearer())
    until(lambda: door.probe.running == 1)
    call.cancel()
    until(lambda: door.probe.running == 0)


class Source:
    """An endless source that counts what was taken from it."""

    def __init__(self, message: bytes) -> None:
        self.taken = 0
        self._message = message

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            self.taken += 1
            yield self._message
            await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("limits", "page"), [(PageLimits(5, 10_000, 0.01, 100), 5), (PageLimits(1000, 100, 0.01, 100), 10)]
)
def test_a_gatherer_reads_one_page_ahead_and_no_more(limits: PageLimits, page: int) -> None:
    async def scenario() -> None:
        source = Source(b"x" * 10)
        gatherer = Gatherer(source.__aiter__(), limits)
        for pages in range(1, 4):
            assert len(await gatherer.next()) == page
            await asyncio.sleep(0.05)
            assert source.taken <= (pages + 1) * page + 1
        await gatherer.close()

    asyncio.run(scenario())


def test_a_gatherer_hands_over_what_came_before_a_message_that_is_too_large() -> None:
    async def source() -> AsyncIterator[bytes]:
        yield b"fits"
        yield b"x" * 101

    async def scenario() -> None:
        gatherer = Gatherer(source(), PageLimits(10, 1000, 0.01, 100))
        assert await gatherer.next() == [b"fits"]
        with pytest.raises(MnemeError, match="too large") as refused:
            await gatherer.next()
        assert refused.value.metadata["index"] == "1"
        await gatherer.close()

    asyncio.run(scenario())


def test_an_idle_client_stream_takes_no_place_from_calls() -> None:
    with gateway(max_running_calls=1, max_waiting_calls=0, max_streams=4) as door:
        release = threading.Event()

        def idle() -> Iterator[Int64Value]:
            yield Int64Value(value=1)
            release.wait(10)
            yield Int64Value(value=5)

        calls = [fold(door.channel()).future(idle(), metadata=bearer()) for _ in range(4)]
        until(lambda: door.probe.folds == [1] * 4)
        with pytest.raises(grpc.RpcError) as refused:
            fold(door.channel())(ints(), metadata=bearer())
        assert_fails(refused, grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED")
        assert len(list(stream(door.channel(), "Count")(Int64Value(value=3), metadata=bearer()))) == 3
        release.set()
        assert [c.result(10).value for c in calls] == [6] * 4


# Endless streams


def test_pages_arrive_in_order_and_whole(door: Gateway) -> None:
    call = stream(door.channel(), "Tail")(StringValue(), metadata=bearer())
    got = [int(next(call).value) for _ in range(3 * PAGE_MESSAGES + 7)]
    assert got == list(range(3 * PAGE_MESSAGES + 7))
    call.cancel()


def test_invariant_29_a_reader_that_stops_reading_stops_the_writer(door: Gateway) -> None:
    door.probe.calls.clear()
    call = stream(door.channel(), "Tail")(StringValue(), metadata=bearer())
    next(call)
    until(lambda: _no_page_for_a_second(door), 15)
    fetched = door.probe.calls["pages"]
    # gRPC's own windows hold some; a page more is in flight and one is ahead. Endless would be thousands.
    assert fetched * PAGE_MESSAGES * MESSAGE_BYTES < 16 * 1024 * 1024
    for _ in range(fetched * PAGE_MESSAGES):
        next(call)
    until(lambda: door.probe.calls["pages"] > fetched)
    call.cancel()


def _no_page_for_a_second(door: Gateway) -> bool:
    before = door.probe.calls["pages"]
    time.sleep(1)
    return door.probe.calls["pages"] == before


def test_a_cancelled_endless_stream_asks_for_no_more_pages(door: Gateway) -> None:
    call = stream(door.channel(), "Tail")(StringValue(), metadata=bearer())
    next(call)
    call.cancel()
    time.sleep(0.2)
    pages = door.probe.calls["pages"]
    time.sleep(0.3)
    assert door.probe.calls["pages"] == pages


def test_an_application_with_nothing_new_is_not_asked_in_a_spin(door: Gateway) -> None:
    door.probe.calls.clear()
    call = stream(door.channel(), "Tail")(StringValue(value="slow"), metadata=bearer())
    time.sleep(1)
    call.cancel()
    assert 2 <= door.probe.calls["pages"] <= 55


def test_an_endless_stream_ends_when_its_token_is_revoked(door: Gateway) -> None:
    token, caller = TOKENS.issue("eve", ("",), frozenset({Right.READ}), 600)
    call = stream(door.channel(), "Tail")(StringValue(value="slow"), metadata=bearer(token))
    time.sleep(0.1)
    door.revoked.add(caller.token_id)
    with pytest.raises(grpc.RpcError) as refused:
        next(call)
    assert_fails(refused, grpc.StatusCode.UNAUTHENTICATED, "UNAUTHENTICATED")


def test_long_streams_are_bounded_and_hold_no_place_of_calls() -> None:
    with gateway(max_streams=2, max_running_calls=1) as door:
        channel = door.channel()
        open_streams = [stream(channel, "Tail")(StringValue(), metadata=bearer()) for _ in range(2)]
        for each in open_streams:
            next(each)
        with pytest.raises(grpc.RpcError) as refused:
            next(stream(channel, "Tail")(StringValue(), metadata=bearer()))
        assert_fails(refused, grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED")
        assert len(list(stream(channel, "Count")(Int64Value(value=2), metadata=bearer()))) == 2
        open_streams[0].cancel()
        until(lambda: _opens(channel))


def test_one_token_leaves_places_to_the_others() -> None:
    with gateway(max_streams=4, max_streams_per_token=2) as door:
        channel, (greedy, caller) = door.channel(), TOKENS.issue("eve", ("",), frozenset({Right.READ}), 600)
        opened = [stream(channel, "Tail")(StringValue(), metadata=bearer(greedy)) for _ in range(2)]
        for each in opened:
            next(each)
        for another in (greedy, GRANTS.grant(caller)):
            with pytest.raises(grpc.RpcError) as refused:
                next(stream(channel, "Tail")(StringValue(), metadata=bearer(another)))
            error = assert_fails(refused, grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED")
            assert "gateway.max_streams_per_token" in error.remedy
        assert _opens(channel)
        opened[0].cancel()
        until(lambda: _opens(channel, greedy))


def test_watching_health_takes_no_place_of_streams() -> None:
    with gateway(max_streams=1, max_tool_streams=2) as door:
        channel = door.channel()
        watch = health_pb2_grpc.HealthStub(channel).Watch
        opened = [watch(health_pb2.HealthCheckRequest(), metadata=bearer()) for _ in range(2)]
        for each in opened:
            next(each)
        with pytest.raises(grpc.RpcError) as refused:
            next(watch(health_pb2.HealthCheckRequest(), metadata=bearer()))
        assert_fails(refused, grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED")
        assert _opens(channel)


def _one_then_nothing(message: bytes) -> Iterator[bytes]:
    yield message
    threading.Event().wait(10)


def _idle(door: Gateway, kind: str, metadata: tuple[tuple[str, str], ...]) -> grpc.Future:
    """A stream that is open and moves no more."""
    channel = door.channel()
    if kind == "client stream":
        sends = _one_then_nothing(Int64Value(value=1).SerializeToString())
        call = channel.stream_unary(f"/{SERVICE}Sum").future(sends, metadata=metadata)
        until(lambda: door.probe.folds == [1])
        return call
    if kind == "health watch":
        call = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(), metadata=metadata)
    elif kind == "reflection":
        sends = _one_then_nothing(reflection_pb2.ServerReflectionRequest(list_services="").SerializeToString())
        call = channel.stream_stream(f"/{reflection.METHODS[0]}")(sends, metadata=metadata)
    else:
        call = stream(channel, "Tail")(StringValue(), metadata=metadata)  # endless, and nobody reads the rest
    next(call)
    until(lambda: _no_page_for_a_second(door), 15)
    return call


@pytest.mark.parametrize(
    ("kind", "how"),
    [
        ("health watch", "revoked"),
        ("reflection", "revoked"),
        ("client stream", "revoked"),
        ("client stream", "expired"),
        ("nobody reads", "revoked"),
    ],
)
def test_an_idle_stream_ends_when_its_token_does(kind: str, how: str) -> None:
    with gateway(max_streams=1, max_tool_streams=1, revocation_period_s=0.05) as door:
        token, caller = TOKENS.issue("eve", ("",), frozenset(Right), 3 if how == "expired" else 600)
        call = _idle(door, kind, bearer(token))
        assert not _another_opens(door, kind)
        if how == "revoked":
            door.revoked.add(caller.token_id)
        until(lambda: _another_opens(door, kind))
        if kind != "nobody reads":
            until(call.done)
            assert call.code() == grpc.StatusCode.UNAUTHENTICATED


def _another_opens(door: Gateway, kind: str) -> bool:
    """Whether there is a place for another of the kind."""
    if kind in ("client stream", "nobody reads"):
        return _opens(door.channel())
    watch = health_pb2_grpc.HealthStub(door.channel()).Watch(health_pb2.HealthCheckRequest(), metadata=bearer())
    try:
        next(watch)
    except grpc.RpcError:
        return False
    watch.cancel()
    return True


def _opens(channel: grpc.Channel, value: str | None = None) -> bool:
    call = stream(channel, "Tail")(StringValue(), metadata=bearer(value))
    try:
        next(call)
    except grpc.RpcError:
        return False
    call.cancel()
    return True


def test_an_endless_stream_ends_at_its_bound() -> None:
    with gateway(stream_timeout_s=0.5) as door:
        call = stream(door.channel(), "Tail")(StringValue(value="slow"), metadata=bearer())
        with pytest.raises(grpc.RpcError) as late:
            list(call)
        assert_fails(late, grpc.StatusCode.DEADLINE_EXCEEDED, "DEADLINE")


# Streams of one generator


def test_a_stream_arrives_in_order_and_ends(door: Gateway) -> None:
    call = stream(door.channel(), "Count")(Int64Value(value=50), metadata=bearer())
    assert [m.value for m in call] == list(range(50))


def test_invariant_27_a_cancelled_stream_is_stopped_always(door: Gateway) -> None:
    channel = door.channel()
    for turn in range(200):
        call = stream(channel, "Count")(Int64Value(value=1_000_000), metadata=bearer(), timeout=20)
        for _ in range(turn % 4):
            next(call)
        call.cancel()
    until(lambda: door.probe.running == 0)


def test_a_client_that_vanishes_stops_its_stream(door: Gateway) -> None:
    channel = door.channel()
    call = stream(channel, "Count")(Int64Value(value=1_000_000), metadata=bearer())
    next(call)
    channel.close()
    until(lambda: door.probe.running == 0)
