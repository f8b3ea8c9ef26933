"""Who gets in, and what a caller learns when something fails."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterator

import grpc
import pytest
from google.protobuf.wrappers_pb2 import Int64Value, StringValue

from services.common.crypto.auth import Right, Signer
from tests.gateway.probe import (
    ADMIN,
    GRANTS,
    MASTER,
    SECRET,
    SERVICE,
    TOKENS,
    Gateway,
    assert_fails,
    bearer,
    failure,
    fold,
    gateway,
    stream,
    token,
    unary,
)
from tests.waiting import until


@pytest.fixture(scope="module")
def door() -> Iterator[Gateway]:
    with gateway() as running:
        yield running


def grant(*rights: Right) -> str:
    return GRANTS.grant(TOKENS.issue("ann", ("",), frozenset(rights), 600)[1])


def test_a_plain_client_with_a_token_and_nothing_else_is_served(door: Gateway) -> None:
    response = unary(door.channel(), "Echo")(StringValue(value="hello"), metadata=bearer(token(Right.READ)))
    assert response.value == "ann:hello"


WRONG_TOKENS = {
    "none": (),
    "empty": (("authorization", ""),),
    "no scheme": (("authorization", token()),),
    "another scheme": (("authorization", f"Basic {token()}"),),
    "garbage": bearer("garbage"),
    "signed by another": bearer(Signer(b"x" * 32, "mneme").issue("ann", ("",), frozenset(Right), 60)[0]),
    "of another audience": bearer(Signer(MASTER.derive("token"), "other").issue("ann", ("",), frozenset(Right), 60)[0]),
    "expired": bearer(token(ttl_s=-1)),
    "unsigned": bearer("eyJhbGciOiJub25lIn0.eyJhdWQiOiJtbmVtZSIsInN1YiI6ImFubiIsImV4cCI6OTk5OTk5OTk5OX0."),
}


@pytest.mark.parametrize("metadata", WRONG_TOKENS.values(), ids=WRONG_TOKENS.keys())
def test_a_wrong_token_costs_no_replica_any_time(door: Gateway, metadata: tuple[tuple[str, str], ...]) -> None:
    channel, before = door.channel(), (door.backend.passed, door.probe.calls.total(), len(door.probe.folds))
    for call in (
        lambda: unary(channel, "Echo")(StringValue(), metadata=metadata),
        lambda: list(stream(channel, "Count")(Int64Value(value=3), metadata=metadata)),
        lambda: list(stream(channel, "Tail")(StringValue(), metadata=metadata)),
        lambda: fold(channel)(iter([Int64Value(value=1)]), metadata=metadata),
        lambda: unary(channel, "NoSuchMethod")(StringValue(), metadata=metadata),
    ):
        with pytest.raises(grpc.RpcError) as refused:
            call()
        assert_fails(refused, grpc.StatusCode.UNAUTHENTICATED, "UNAUTHENTICATED")
    assert (door.backend.passed, door.probe.calls.total(), len(door.probe.folds)) == before


def test_a_token_expires_and_is_revoked_although_it_was_good_before(door: Gateway) -> None:
    short = token(ttl_s=1.5)
    revoked, caller = TOKENS.issue("bob", ("",), frozenset(Right), 60)
    echo = unary(door.channel(), "Echo")
    assert echo(StringValue(value="1"), metadata=bearer(short)).value == "ann:1"
    assert echo(StringValue(value="1"), metadata=bearer(revoked)).value == "bob:1"
    door.revoked.add(caller.token_id)
    time.sleep(1.6)
    for old in (short, revoked, GRANTS.grant(caller)):
        with pytest.raises(grpc.RpcError) as refused:
            echo(StringValue(value="2"), metadata=bearer(old))
        assert_fails(refused, grpc.StatusCode.UNAUTHENTICATED, "UNAUTHENTICATED")


def test_a_missing_right_is_refused_at_the_door(door: Gateway) -> None:
    before = door.backend.passed, len(door.probe.folds)
    with pytest.raises(grpc.RpcError) as refused:
        unary(door.channel(), "Echo")(StringValue(), metadata=bearer(token(Right.WRITE)))
    error = assert_fails(refused, grpc.StatusCode.PERMISSION_DENIED, "PERMISSION_DENIED")
    assert error.metadata["right"] == "read"
    with pytest.raises(grpc.RpcError) as refused:
        fold(door.channel())(iter([]), metadata=bearer(token(Right.READ)))
    assert_fails(refused, grpc.StatusCode.PERMISSION_DENIED, "PERMISSION_DENIED")
    assert (door.backend.passed, len(door.probe.folds)) == before


def test_a_service_may_call_by_a_grant_with_its_callers_rights(door: Gateway) -> None:
    channel = door.channel()
    assert unary(channel, "Echo")(StringValue(value="x"), metadata=bearer(grant(Right.READ))).value == "ann:x"
    with pytest.raises(grpc.RpcError) as refused:
        fold(channel)(iter([]), metadata=bearer(grant(Right.READ)))
    assert_fails(refused, grpc.StatusCode.PERMISSION_DENIED, "PERMISSION_DENIED")


def test_a_grant_cannot_administer(door: Gateway) -> None:
    call = door.channel().unary_unary(f"/{ADMIN}", StringValue.SerializeToString, StringValue.FromString)
    assert call(StringValue(value="x"), metadata=bearer()).value == "ann:x"
    with pytest.raises(grpc.RpcError) as refused:
        call(StringValue(value="x"), metadata=bearer(grant(*Right)))
    assert_fails(refused, grpc.StatusCode.PERMISSION_DENIED, "PERMISSION_DENIED")


def test_an_unknown_method_is_typed(door: Gateway) -> None:
    for path in (f"/{SERVICE}NoSuchMethod", "/no.such.Service/Method"):
        call = door.channel().unary_unary(path)
        with pytest.raises(grpc.RpcError) as refused:
            call(b"", metadata=bearer())
        assert_fails(refused, grpc.StatusCode.UNIMPLEMENTED, "UNKNOWN_METHOD")


def test_a_typed_error_arrives_whole(door: Gateway) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        unary(door.channel(), "Fail")(StringValue(value="typed"), metadata=bearer())
    error = assert_fails(refused, grpc.StatusCode.FAILED_PRECONDITION, "ERASED")
    assert (error.field, error.message, error.metadata["id"]) == ("id", "The id was erased.", "7")
    assert refused.value.details() == "id: The id was erased. Use another."


TRACE = "0af7651916cd43dd8448eb211c80319c"


@pytest.mark.parametrize(
    ("method", "value", "token", "reason"),
    [
        ("Echo", "x", None, None),
        ("Fail", "typed", None, "ERASED"),
        ("Fail", "defect", None, "INTERNAL"),
        ("NoSuch", "x", None, "UNKNOWN_METHOD"),
        ("Echo", "x", "no token", "UNAUTHENTICATED"),
    ],
)
def test_every_answer_and_every_error_names_its_trace(
    door: Gateway, method: str, value: str, token: str | None, reason: str | None
) -> None:
    seen = set()
    for parent in ((), (("traceparent", f"00-{TRACE}-b7ad6b7169203331-01"),), ()):
        call = unary(door.channel(), method).future(StringValue(value=value), metadata=(*bearer(token), *parent))
        error = call.exception()
        trace_id = dict(call.trailing_metadata())["trace-id"]
        assert re.fullmatch("[0-9a-f]{32}", trace_id)
        # A refused call is one frame of headers, which gRPC's clients give as the trailers.
        assert dict(call.initial_metadata()) == ({} if reason else {"trace-id": trace_id})
        assert trace_id == TRACE or not parent, "the caller's own, where it has one"
        if reason is not None:
            assert failure(error).metadata["trace_id"] == trace_id
        seen.add(trace_id)
    assert len(seen) == 3, "each call has its own"


@pytest.mark.parametrize(("method", "value"), [("Count", 3), ("Count", 0), ("Sum", 3)])
def test_a_stream_names_its_trace_in_the_headers(door: Gateway, method: str, value: int) -> None:
    message = Int64Value(value=value)
    if method == "Sum":
        call = fold(door.channel()).future(iter([message]), metadata=bearer())
        assert call.result() == message
    else:
        call = stream(door.channel(), method)(message, metadata=bearer())
        assert len(list(call)) == value
    trace_id = dict(call.trailing_metadata())["trace-id"]
    assert dict(call.initial_metadata()) == {"trace-id": trace_id}


def test_the_headers_come_with_the_first_message_and_end_no_retry(door: Gateway) -> None:
    """gRPC tries a call again only as long as no headers have come (gRFC A6)."""
    policy = {
        "maxAttempts": 4,
        "initialBackoff": "0.01s",
        "maxBackoff": "0.01s",
        "backoffMultiplier": 1,
        "retryableStatusCodes": ["UNAVAILABLE"],
    }
    retries = json.dumps({"methodConfig": [{"name": [{}], "retryPolicy": policy}]})
    channel = door.channel(("grpc.service_config", retries))
    call = unary(channel, "Fail").future(StringValue(value="at first"), metadata=bearer())
    assert call.result().value == "called twice"
    assert dict(call.initial_metadata()).keys() == {"trace-id"}


def test_no_traceback_reaches_a_caller(door: Gateway) -> None:
    channel = door.channel()
    for call in (
        lambda: unary(channel, "Fail")(StringValue(value="defect"), metadata=bearer()),
        lambda: list(stream(channel, "Count")(Int64Value(value=13), metadata=bearer())),
    ):
        with pytest.raises(grpc.RpcError) as refused:
            call()
        error = assert_fails(refused, grpc.StatusCode.INTERNAL, "INTERNAL")
        told = f"{refused.value.details()} {error} {refused.value.trailing_metadata()}"
        for leak in (SECRET, "Traceback", "RuntimeError", ".py", "line "):
            assert leak not in told


def test_bytes_that_are_no_request_are_refused_by_name(door: Gateway) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        door.channel().unary_unary(f"/{SERVICE}Echo")(b"\xff\xff", metadata=bearer())
    error = assert_fails(refused, grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")
    assert "google.protobuf.StringValue" in error.message


def test_an_oversized_message_is_refused_in_every_kind_of_call() -> None:
    with gateway(max_message_bytes=65536) as door:
        channel, big = door.channel(), StringValue(value="x" * 65537)
        for method, call in {
            "Echo": channel.unary_unary(f"/{SERVICE}Echo"),
            "Count": channel.unary_stream(f"/{SERVICE}Count"),
            "Tail": channel.unary_stream(f"/{SERVICE}Tail"),
            "Sum": channel.stream_unary(f"/{SERVICE}Sum"),
        }.items():
            raw = big.SerializeToString()
            with pytest.raises(grpc.RpcError) as refused:
                list(call(iter([raw]) if method == "Sum" else raw, metadata=bearer()))
            error = assert_fails(refused, grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")
            assert error.metadata["limit_bytes"] == "65536"
        with pytest.raises(grpc.RpcError) as refused:  # far above: gRPC itself does not read it
            channel.unary_unary(f"/{SERVICE}Echo")(b"x" * 200_000, metadata=bearer())
        assert refused.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert door.backend.passed == 0


def test_deadlines_reach_the_application_shortened_so_that_it_can_answer(door: Gateway) -> None:
    remaining = unary(door.channel(), "Remaining")
    assert 8.5 < float(remaining(StringValue(), metadata=bearer(), timeout=9).value) < 9
    assert 29 < float(remaining(StringValue(), metadata=bearer()).value) <= 30, "the default where none is named"
    assert 239 < float(remaining(StringValue(), metadata=bearer(), timeout=9999).value) <= 240, "the longest"


def test_a_passed_deadline_is_typed_and_ends_the_work(door: Gateway) -> None:
    started = time.monotonic()
    with pytest.raises(grpc.RpcError) as late:
        unary(door.channel(), "Sleep")(StringValue(value="30"), metadata=bearer(), timeout=1)
    assert_fails(late, grpc.StatusCode.DEADLINE_EXCEEDED, "DEADLINE")
    assert time.monotonic() - started < 2
    until(lambda: door.probe.running == 0)


def test_overload_is_refused_at_once_and_waiting_calls_are_bounded() -> None:
    with gateway(max_running_calls=2, max_waiting_calls=1) as door:
        sleep = unary(door.channel(), "Sleep")
        calls = [sleep.future(StringValue(value="1"), metadata=bearer()) for _ in range(2)]
        until(lambda: door.probe.running == 2)
        waiting = sleep.future(StringValue(value="0"), metadata=bearer())
        time.sleep(0.2)
        assert not waiting.done()
        started = time.monotonic()
        with pytest.raises(grpc.RpcError) as refused:
            sleep(StringValue(value="0"), metadata=bearer())
        assert_fails(refused, grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED")
        assert time.monotonic() - started < 0.5
        assert [c.result(10).value for c in (*calls, waiting)] == ["slept"] * 3


def test_a_call_that_waits_for_a_place_keeps_its_deadline() -> None:
    with gateway(max_running_calls=1, max_waiting_calls=5) as door:
        sleep = unary(door.channel(), "Sleep")
        running = sleep.future(StringValue(value="2"), metadata=bearer())
        until(lambda: door.probe.running == 1)
        with pytest.raises(grpc.RpcError) as late:
            sleep(StringValue(value="0"), metadata=bearer(), timeout=0.5)
        assert_fails(late, grpc.StatusCode.DEADLINE_EXCEEDED, "DEADLINE")
        assert door.probe.calls["sleep"] == 1, "it never ran"
        assert running.result(10).value == "slept"


def test_many_callers_at_once_are_all_answered(door: Gateway) -> None:
    echo, failed = unary(door.channel(), "Echo"), []

    def caller(number: int) -> None:
        for i in range(20):
            value = f"{number}-{i}"
            if echo(StringValue(value=value), metadata=bearer()).value != f"ann:{value}":
                failed.append(value)

    threads = [threading.Thread(target=caller, args=(n,)) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
