"""What one principal does at the door is in no other's way."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import grpc
import pytest
from google.protobuf.wrappers_pb2 import Int64Value, StringValue

from services.common.crypto.auth import Right
from services.common.serving.errors import PUSHBACK
from services.gateway import door as gateway_door
from tests.gateway.probe import GRANTS, SERVICE, TOKENS, Gateway, assert_fails, bearer, gateway, stream, token, unary
from tests.waiting import until

EVE = bearer(token(Right.READ, principal="eve", ttl_s=86_400.0))  # made at collection, used an hour later


@contextmanager
def calling(door: Gateway) -> Iterator[None]:
    """Ann calls, as one who works: what there is is shared with her."""
    done, echo = threading.Event(), unary(door.channel(), "Echo")

    def call() -> None:
        while not done.wait(0.02):
            echo(StringValue(), metadata=bearer(), timeout=10)

    thread = threading.Thread(target=call)
    thread.start()
    time.sleep(0.5)
    try:
        yield
    finally:
        done.set()
        thread.join()


def says(seconds: float) -> StringValue:
    return StringValue(value=str(seconds))


def overloaded(door: Gateway, method: str, metadata: tuple[tuple[str, str], ...], request: StringValue) -> int:
    """Milliseconds after which to try again."""
    with pytest.raises(grpc.RpcError) as refused:
        unary(door.channel(), method)(request, metadata=metadata, timeout=10)
    error = assert_fails(refused, grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED")
    told = dict(refused.value.trailing_metadata())
    assert told[PUSHBACK] == error.metadata["retry_after_ms"], "for gRPC's own retries, too"
    return int(error.metadata["retry_after_ms"])


def test_one_principal_leaves_places_to_work_in_and_to_wait_in_to_the_others() -> None:
    with gateway(
        max_running_calls=4,
        max_running_calls_per_principal=2,
        max_waiting_calls=4,
        max_waiting_calls_per_principal=1,
    ) as door:
        sleep = unary(door.channel(), "Sleep")
        calls = [sleep.future(says(2), metadata=EVE) for _ in range(3)]
        until(lambda: door.probe.running == 2)
        time.sleep(0.1)
        started = time.monotonic()
        assert overloaded(door, "Sleep", EVE, says(0)) > 0
        assert time.monotonic() - started >= 0.2, "no use to try again at once"
        assert sleep(says(0), metadata=bearer(), timeout=1).value == "slept", "at once"
        assert [call.result(10).value for call in calls] == ["slept"] * 3


def test_calls_that_wait_for_what_they_read_hold_no_place_of_those_that_work() -> None:
    with gateway(
        max_running_calls=1, max_waiting_calls=0, max_patient_calls=4, max_patient_calls_per_principal=3
    ) as door:
        later, echo = unary(door.channel(), "Later"), unary(door.channel(), "Echo")
        waiting = [later.future(says(1.5), metadata=EVE) for _ in range(2)]
        until(lambda: door.probe.running == 2)
        waiting.append(stream(door.channel(), "Count")(Int64Value(value=-800), metadata=EVE))
        until(lambda: door.probe.running == 3)
        for metadata in (EVE, bearer()):
            assert echo(StringValue(value="x"), metadata=metadata, timeout=1).value.endswith(":x")
        assert overloaded(door, "Later", EVE, says(0)) > 0, "three of hers wait"
        assert later(says(0), metadata=bearer(), timeout=1).value == "slept"
        assert [number.value for number in waiting.pop()] == [0, 1]
        assert [call.result(10).value for call in waiting] == ["slept"] * 2
        assert later(says(0), metadata=EVE, timeout=1).value == "slept", "the places came back"


def test_a_stream_that_goes_on_working_takes_a_place_again() -> None:
    with gateway(max_running_calls=1, max_waiting_calls=1) as door:
        numbers = stream(door.channel(), "Count")(Int64Value(value=-300), metadata=EVE, timeout=10)
        until(lambda: door.probe.running == 1)
        work = unary(door.channel(), "Sleep").future(says(1), metadata=bearer())
        until(lambda: door.probe.running == 2)
        started = time.monotonic()
        assert [number.value for number in numbers] == [0, 1]
        assert time.monotonic() - started > 0.6, "it had to wait for the place of the other call"
        assert work.result(5).value == "slept"


def test_invariant_31_work_for_a_call_that_was_let_in_waits_for_no_place() -> None:
    with gateway(max_running_calls=1, max_waiting_calls=0, calls_per_s=1, burst_calls=1) as door:
        parent = unary(door.channel(), "Sleep").future(says(1.5), metadata=EVE)
        until(lambda: door.probe.running == 1)
        grant = GRANTS.grant(TOKENS.issue("eve", ("",), frozenset({Right.READ}), 600)[1])
        for _ in range(5):
            answer = unary(door.channel(), "Echo")(StringValue(value="x"), metadata=bearer(grant), timeout=1)
            assert answer.value == "eve:x"
        assert parent.result(5).value == "slept"


def test_who_calls_too_often_is_slowed_down_then_refused_with_the_time_to_try_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    logging.getLogger(gateway_door.__name__).addHandler(caplog.handler)
    with gateway(calls_per_s=200, burst_calls=20) as door, calling(door):
        echo = unary(door.channel(), "Echo")

        def call(metadata: tuple[tuple[str, str], ...]) -> tuple[grpc.StatusCode, float]:
            started = time.monotonic()
            try:
                echo(StringValue(value="x"), metadata=metadata, timeout=10)
            except grpc.RpcError as error:
                return error.code(), time.monotonic() - started
            return grpc.StatusCode.OK, time.monotonic() - started

        with ThreadPoolExecutor(60) as pool:
            flood = list(pool.map(call, [EVE] * 120))
            codes = [code for code, _ in flood]
        assert {*codes} == {grpc.StatusCode.OK, grpc.StatusCode.RESOURCE_EXHAUSTED}
        assert 20 <= codes.count(grpc.StatusCode.OK) < 110
        assert all(took >= 0.2 for code, took in flood if code is not grpc.StatusCode.OK), "no use to try again at once"
        assert call(bearer())[0] is grpc.StatusCode.OK, "another has a share of his own"
        for _ in range(60):
            assert call(EVE)[0] is grpc.StatusCode.OK, "one call after the other is only slowed down"
    logging.getLogger(gateway_door.__name__).removeHandler(caplog.handler)
    said = {record.created: record for record in caplog.records}  # it may have come by the root, too
    (line,) = (record for record in said.values() if record.getMessage() == "calls are refused for overload")
    assert "Echo" in vars(line)["method"]


def test_large_messages_count() -> None:
    with gateway(bytes_per_s=20_000, burst_bytes=100_000) as door, calling(door):
        ann = StringValue(value="x" * 1000)
        for _ in range(5):
            unary(door.channel(), "Echo")(ann, metadata=bearer(), timeout=5)
        time.sleep(0.2)
        large = StringValue(value="x" * 200_000)
        assert unary(door.channel(), "Echo")(large, metadata=EVE, timeout=5).value.startswith("eve:x")
        assert overloaded(door, "Echo", EVE, StringValue()) > 500
        assert unary(door.channel(), "Echo")(StringValue(), metadata=bearer(), timeout=5).value == "ann:"


def never() -> Iterator[bytes]:
    threading.Event().wait(5)
    yield b""


@pytest.mark.parametrize("metadata", [bearer("forged"), bearer(token(Right.WRITE))], ids=["no token", "no right"])
def test_a_call_is_refused_before_its_message_is_read(metadata: tuple[tuple[str, str], ...]) -> None:
    with gateway() as door:
        started = time.monotonic()
        with pytest.raises(grpc.RpcError) as refused:
            door.channel().stream_unary(f"/{SERVICE}Echo")(never(), metadata=metadata, timeout=10)
        assert refused.value.code() in (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED)
        assert time.monotonic() - started < 3


def test_guessing_tokens_costs_nobody_else_a_place_or_time() -> None:
    with gateway(calls_per_s=50, burst_calls=5) as door, calling(door):
        echo = unary(door.channel(), "Echo")

        def guess(n: int) -> grpc.StatusCode:
            with pytest.raises(grpc.RpcError) as refused:
                echo(StringValue(), metadata=bearer(f"guess{n}"), timeout=10)
            code: grpc.StatusCode = refused.value.code()
            return code

        with ThreadPoolExecutor(40) as pool:
            codes = list(pool.map(guess, range(80)))
        assert {*codes} == {grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.RESOURCE_EXHAUSTED}
        assert echo(StringValue(value="x"), metadata=bearer(), timeout=0.2).value == "ann:x"
