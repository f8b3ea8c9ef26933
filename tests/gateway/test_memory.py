"""What comes over the wire takes a bounded part of the gateway's memory."""

from __future__ import annotations

import socket
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack

import grpc
import pytest
from google.protobuf.wrappers_pb2 import StringValue

from services.common.serving.methods import METHODS
from services.gateway.errors import let_go
from tests.gateway.alone import Alone, alone
from tests.gateway.probe import SERVICE, assert_fails, bearer, config, gateway, token, unary
from tests.waiting import until

MIB = 1024 * 1024
LARGEST = 2 * config().max_message_bytes - 1000  # that gRPC takes
CALLS = 150
CONNECTIONS = 4
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"


@pytest.fixture
def door() -> Iterator[Alone]:
    with alone() as running:
        yield running


def flooded(door: Alone, metadata: tuple[tuple[str, str], ...], size: int, method: str = "Echo") -> Counter[str]:
    """How so many calls end that all send so many bytes at once."""
    message = StringValue(value="x" * size).SerializeToString()
    own = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_send_message_length", -1)]
    with ExitStack() as stack:
        channels = [
            stack.enter_context(grpc.insecure_channel(f"127.0.0.1:{door.port}", own)) for _ in range(CONNECTIONS)
        ]
        calls = [
            channels[n % CONNECTIONS].stream_unary(f"/{SERVICE}{method}").future(iter([message]), metadata=metadata)
            for n in range(CALLS)
        ]
        return Counter(call.code().name for call in calls)


def test_one_principal_s_messages_take_a_bounded_part_of_the_memory(door: Alone) -> None:
    """16 come at once, each of 4 MiB and for a moment twice; 64 KiB of every other one are there. It was 1.9 GB."""
    before = door.peak_bytes()
    outcomes = flooded(door, bearer(token(principal="eve")), LARGEST)
    assert outcomes == {"INVALID_ARGUMENT": CALLS}
    assert door.peak_bytes() - before < 224 * MIB


def test_messages_that_grpc_itself_refuses_take_next_to_nothing(door: Alone) -> None:
    before = door.peak_bytes()
    assert flooded(door, bearer(token(principal="eve")), 2 * LARGEST) == {"RESOURCE_EXHAUSTED": CALLS}
    assert door.peak_bytes() - before < 64 * MIB


def test_messages_without_a_token_are_not_read(door: Alone) -> None:
    before = door.peak_bytes()
    assert flooded(door, bearer("nobody's"), LARGEST) == {"UNAUTHENTICATED": CALLS}
    assert door.peak_bytes() - before < 64 * MIB


def test_messages_of_long_streams_take_no_more_than_their_places_do(door: Alone) -> None:
    """32 of one token are open, each with a message of 4 MiB, for a moment twice."""
    before = door.peak_bytes()
    outcomes = flooded(door, bearer(token(principal="eve")), LARGEST, "Sum")
    assert set(outcomes) <= {"INVALID_ARGUMENT", "RESOURCE_EXHAUSTED"}
    assert door.peak_bytes() - before < 384 * MIB


def test_what_calls_hold_while_they_wait_and_run_has_so_many_bytes() -> None:
    sizes = {"max_message_bytes": MIB, "max_bytes_held": 5 * MIB, "max_bytes_held_per_principal": 2 * MIB}
    with gateway(**sizes) as door:
        sleep = unary(door.channel(), "Sleep")
        seconds = StringValue(value="2" + " " * 900_000)
        hers = [sleep.future(seconds, metadata=bearer(token(principal="eve"))) for _ in range(4)]
        until(lambda: door.probe.running == 2)
        assert sleep(StringValue(value="0" + " " * 900_000), metadata=bearer(), timeout=5).value == "slept"
        assert sorted(call.code().name for call in hers) == ["OK", "OK", "RESOURCE_EXHAUSTED", "RESOURCE_EXHAUSTED"]
        with pytest.raises(grpc.RpcError) as refused:
            next(call for call in hers if call.code() is not grpc.StatusCode.OK).result()
        assert_fails(refused, grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED")
        assert sleep(StringValue(value="0" + " " * 900_000), metadata=bearer(token(principal="eve"))).value == "slept"


def test_errors_that_are_each_other_s_cause_are_let_go() -> None:
    one, other = ValueError(), ValueError()
    one.__cause__, other.__context__ = other, one
    let_go(one)


def test_the_largest_legal_request_is_the_largest_message() -> None:
    assert max(spec.max_bytes or 0 for spec in METHODS.values()) == config().max_message_bytes
    assert all(spec.max_bytes for spec in METHODS.values())


def connected(port: int, says: bytes, count: int) -> list[socket.socket]:
    connections = [socket.create_connection(("127.0.0.1", port)) for _ in range(count)]
    for connection in connections:
        connection.settimeout(10)
        connection.sendall(says)
    return connections


def is_closed(connection: socket.socket) -> bool:
    """After what else comes."""
    try:
        while connection.recv(65536):
            pass
    except ConnectionResetError:
        return True
    except TimeoutError:
        return False
    return True


@pytest.mark.parametrize(("says", "bound"), [(b"", "handshake_timeout_s"), (PREFACE, "idle_connection_s")])
def test_a_connection_that_says_nothing_is_closed(says: bytes, bound: str) -> None:
    with gateway(**{bound: 1}) as door:
        started = time.monotonic()
        assert all(map(is_closed, connected(door.port, says, 20)))
        assert time.monotonic() - started < 8


def test_connections_are_bounded_and_their_places_come_back() -> None:
    with gateway(max_connections=10, idle_connection_s=2) as door:
        connections = connected(door.port, PREFACE, 30)
        time.sleep(0.5)
        for each in connections:
            each.settimeout(0.05)
        assert sum(map(is_closed, connections)) == 20
        until(lambda: _answers(door.port), 10)


def _answers(port: int) -> bool:
    with grpc.insecure_channel(f"127.0.0.1:{port}", [("grpc.use_local_subchannel_pool", 1)]) as channel:
        try:
            unary(channel, "Echo")(StringValue(), metadata=bearer(), timeout=2)
        except grpc.RpcError:
            return False
        return True
