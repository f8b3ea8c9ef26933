"""A small application behind the door, and a gateway in this process to reach it through."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import resources
from typing import Any, TypeVar

import grpc
import pytest
import yaml
from google.protobuf.wrappers_pb2 import Int64Value, StringValue
from mneme.v1.errors_pb2 import Error, ErrorReason

from services.common.crypto.auth import Right, grant_signer, token_signer
from services.common.crypto.seal import MasterKey
from services.common.serving.errors import TRAILER, MnemeError
from services.common.serving.methods import Kind, Method
from services.common.serving.serving import WAITING, Application, Call, CallContext, Handler, NotYet, Page, Waiting
from services.gateway.backend import LocalBackend
from services.gateway.config import GatewayConfig
from services.gateway.errors import unavailable
from services.gateway.server import GatewayServer
from services.gateway.tokens import Credentials

T = TypeVar("T")

SERVICE = "mneme.test.Probe/"
ADMIN = "mneme.v1.AdminService/GetStats"
METHODS = {
    SERVICE + "Echo": Method("probe", Kind.UNARY, Right.READ),
    SERVICE + "Remaining": Method("probe", Kind.UNARY, Right.READ),
    SERVICE + "Sleep": Method("probe", Kind.UNARY, Right.READ),
    SERVICE + "Fail": Method("probe", Kind.UNARY, Right.READ),
    SERVICE + "Later": Method("probe", Kind.UNARY, Right.READ),
    SERVICE + "Running": Method("probe", Kind.UNARY, Right.READ),
    SERVICE + "Count": Method("probe", Kind.STREAM, Right.READ),
    SERVICE + "Tail": Method("probe", Kind.PAGES, Right.READ),
    SERVICE + "Sum": Method("probe", Kind.FOLD, Right.WRITE),
    ADMIN: Method("probe", Kind.UNARY, Right.READ),
}
PAGE_MESSAGES = 64
MESSAGE_BYTES = 1024
SECRET = "a text that no caller may read"

MASTER = MasterKey(bytes(range(32)))
TOKENS = token_signer(MASTER)
GRANTS = grant_signer(MASTER)


class Probe(Application):
    """Counts what reaches it."""

    def __init__(self) -> None:
        handlers = {
            SERVICE + "Echo": Handler(StringValue, self.echo),
            SERVICE + "Remaining": Handler(StringValue, self.remaining),
            SERVICE + "Sleep": Handler(StringValue, self.sleep),
            SERVICE + "Fail": Handler(StringValue, self.fail),
            SERVICE + "Later": Handler(StringValue, self.later),
            SERVICE + "Running": Handler(StringValue, self.count_running),
            SERVICE + "Count": Handler(Int64Value, self.count),
            SERVICE + "Tail": Handler(StringValue, self.tail),
            SERVICE + "Sum": Handler(Int64Value, self.sum),
            ADMIN: Handler(StringValue, self.echo),
        }
        super().__init__("probe", GRANTS, handlers, METHODS)
        self.calls: Counter[str] = Counter()
        self.folds: list[int] = []
        self.running = 0
        self.answers = True

    async def ping(self) -> None:
        if not self.answers:
            await asyncio.sleep(3600)

    async def echo(self, request: StringValue, call: Call) -> StringValue:
        self.calls["echo"] += 1
        return StringValue(value=f"{call.caller.principal}:{request.value}")

    async def remaining(self, request: StringValue, call: Call) -> StringValue:
        return StringValue(value=str(call.time_left_s()))

    async def sleep(self, request: StringValue, call: Call) -> StringValue:
        self.calls["sleep"] += 1
        self.running += 1
        try:
            await asyncio.sleep(float(request.value))
        finally:
            self.running -= 1
        return StringValue(value="slept")

    async def fail(self, request: StringValue, call: Call) -> StringValue:
        if request.value == "typed":
            raise MnemeError("ERASED", "The id was erased.", field="id", remedy="Use another.", metadata={"id": "7"})
        if request.value == "at first":
            self.calls["fail"] += 1
            if self.calls["fail"] == 1:
                raise unavailable("probe")
            return StringValue(value="called twice")
        raise RuntimeError(SECRET)

    async def later(self, request: StringValue, call: Call) -> StringValue:
        """Waits for so many seconds, as a read does for its freshness."""
        if not call.patient:
            raise NotYet
        return await self.sleep(request, call)

    async def count_running(self, request: StringValue, call: Call) -> StringValue:
        return StringValue(value=str(self.running))

    async def count(self, request: Int64Value, call: Call) -> AsyncIterator[Int64Value | Waiting]:
        """So many numbers; of a negative request two, and a wait of so many milliseconds before each."""
        self.calls["count"] += 1
        self.running += 1
        try:
            if request.value < 0:
                for i in range(2):
                    yield WAITING
                    await asyncio.sleep(-request.value / 1000)
                    yield Int64Value(value=i)
            for i in range(request.value):
                if i == 3 and request.value == 13:
                    raise RuntimeError(SECRET)
                yield Int64Value(value=i)
                await asyncio.sleep(0.001)
        finally:
            self.running -= 1

    async def tail(self, request: StringValue, cursor: bytes, call: Call) -> Page:
        """Endless; a request of "slow" has nothing new, ever."""
        self.calls["pages"] += 1
        start = int(cursor or b"0")
        if request.value == "slow":
            return Page([], cursor)
        messages = [StringValue(value=f"{i:>{MESSAGE_BYTES}}") for i in range(start, start + PAGE_MESSAGES)]
        return Page(messages, str(start + PAGE_MESSAGES).encode())

    async def sum(self, state: bytes, requests: Sequence[Int64Value], call: Call) -> bytes:
        self.folds.append(len(requests))
        self.running += 1
        try:
            total = Int64Value.FromString(state).value
            for request in requests:
                if request.value < 0:
                    await asyncio.sleep(-request.value / 1000)
                else:
                    total += request.value
            return Int64Value(value=total).SerializeToString()
        finally:
            self.running -= 1


class CountingBackend(LocalBackend):
    """Counts every call that the door lets through, whatever the application makes of it."""

    def __init__(self, probe: Probe) -> None:
        super().__init__({"probe": probe})
        self.passed = 0

    async def unary(self, app: str, method: str, request: bytes, context: CallContext) -> bytes:
        self.passed += 1
        return await super().unary(app, method, request, context)


@dataclass
class Gateway:
    """A running gateway, with a client's view of it."""

    port: int
    probe: Probe
    backend: CountingBackend
    revoked: set[str]
    server: GatewayServer
    _loop: asyncio.AbstractEventLoop
    _channels: list[grpc.Channel] = field(default_factory=list)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run in the gateway's event loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    def channel(self, *options: tuple[str, str | int]) -> grpc.Channel:
        self._channels.append(grpc.insecure_channel(f"127.0.0.1:{self.port}", options=options))
        return self._channels[-1]

    def close_channels(self) -> None:
        for channel in self._channels:
            channel.close()


def config(**changes: object) -> GatewayConfig:
    defaults = yaml.safe_load(resources.files("services.gateway").joinpath("defaults.yaml").read_text())
    return GatewayConfig.model_validate({**defaults, "port": 0, "metrics_port": 0, **changes})


def token(*rights: Right, principal: str = "ann", prefixes: tuple[str, ...] = ("",), ttl_s: float = 600) -> str:
    return TOKENS.issue(principal, prefixes, frozenset(rights or Right), ttl_s)[0]


def bearer(value: str | None = None) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {value or token()}"),)


@contextmanager
def gateway(**changes: object) -> Iterator[Gateway]:
    """A gateway in a thread of its own, with ``changes`` to its settings."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    probe, revoked = Probe(), set[str]()
    backend = CountingBackend(probe)

    async def start() -> GatewayServer:
        server = GatewayServer(config(**changes), Credentials(TOKENS, GRANTS, revoked), {"probe": backend}, METHODS)
        await server.start()
        return server

    try:
        server = asyncio.run_coroutine_threadsafe(start(), loop).result(30)
        running = Gateway(server.port, probe, backend, revoked, server, loop)
        try:
            yield running
        finally:
            running.close_channels()
            asyncio.run_coroutine_threadsafe(server.stop(), loop).result(30)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


def unary(channel: grpc.Channel, method: str) -> Any:
    return channel.unary_unary(f"/{SERVICE}{method}", StringValue.SerializeToString, StringValue.FromString)


def stream(channel: grpc.Channel, method: str) -> Any:
    types = (Int64Value, Int64Value) if method == "Count" else (StringValue, StringValue)
    return channel.unary_stream(f"/{SERVICE}{method}", types[0].SerializeToString, types[1].FromString)


def fold(channel: grpc.Channel) -> Any:
    return channel.stream_unary(f"/{SERVICE}Sum", Int64Value.SerializeToString, Int64Value.FromString)


def failure(call: grpc.RpcError) -> Error:
    """The typed error of a failed call; fails where there is none."""
    sent = [value for key, value in call.trailing_metadata() if key == TRAILER]
    assert len(sent) == 1, "a failed call carries one Error"
    return Error.FromString(sent[0])


def assert_fails(call: pytest.ExceptionInfo[grpc.RpcError], status: grpc.StatusCode, reason: str) -> Error:
    error = failure(call.value)
    assert (call.value.code(), ErrorReason.Name(error.reason)) == (status, f"ERROR_REASON_{reason}")
    assert error.remedy, "every error says what to do"
    return error
