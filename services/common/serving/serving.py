"""What every application does around its servicer: grant, deadline, decoding, span, errors.

The gateway calls an application through its Serve handle with bytes and a ``CallContext``; the four entry
points below are the four kinds of ``services.common.serving.methods``. A servicer method takes a message and a ``Call``
and knows no transport. Over Serve a refusal travels as a value (``serve_call``, ``serve_stream``), not as an exception.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, TypeVar

from google.protobuf.message import DecodeError, Message

from services.common import telemetry
from services.common.config import CommonConfig
from services.common.crypto.auth import Caller, Signer
from services.common.ids import MAX_NAMESPACE, is_namespace
from services.common.liveness import this_thread
from services.common.serving.errors import MnemeError, internal, invalid
from services.common.serving.methods import METHODS, Kind, Method

M = TypeVar("M", bound=Message)
_log = logging.getLogger(__name__)

# Serve's own loggers, of Serve itself and of every application: without a line a call.
SERVE_LOGGING = {"log_level": "ERROR", "enable_access_log": False}

# Ray's switches for half the latency; undocumented, so nothing may depend on them.
FAST_HANDLES = {
    "RAY_SERVE_USE_GRPC_BY_DEFAULT": "1",
    "RAY_SERVE_RUN_ROUTER_IN_SEPARATE_LOOP": "0",
    "RAY_SERVE_RUN_USER_CODE_IN_SEPARATE_THREAD": "0",
}


# Who listens leaves after a third of them: a stream that ends while its reader is frozen holds up the replica.
PULSE_S, PULSES = 0.25, 240

# Serve ends a replica after three checks in a row that did not come back in this time: one that is frozen after some
# six seconds, which leaves its successor as many to start in. Each check runs in the replica's event loop, which does
# no work of its own: a busy replica answers.
HEALTH_TIMEOUT_S = 2.0

# A thread that computes in Python lets another go on after it. A call passes from thread to thread a dozen times, and
# waits so long at each while another computes; Python's own .005 made a call of 40 ms one of 100.
_SWITCH_S = 0.0005

_TENANT: ContextVar[str] = ContextVar("tenant", default="")


def tenant() -> str:
    """Whose share the call takes that this code runs in; "" outside of calls."""
    return _TENANT.get()


def actor_options(common: CommonConfig) -> dict[str, Any]:
    """What every deployment asks of Ray: no share of a core set aside, and the switches where they are wanted."""
    environment = {"runtime_env": {"env_vars": FAST_HANDLES}} if common.fast_handles else {}
    return {"num_cpus": 0, **environment}


def deployment_options(
    common: CommonConfig,
    name: str,
    *,
    replicas: int,
    stop_s: float,
    calls: tuple[int, int] | None = None,
    shares_port: bool = False,
) -> dict[str, Any]:
    """Options of a Serve deployment: what all of them share, and what differs.

    ``calls``: how many a replica works on and how many wait for it; None where callers come over a port of the
    replica's own, so that nothing but health checks comes by Serve, and a node has room for one replica, unless they
    share that port (``shares_port``).
    ``stop_s``: a replica that does not end on its own is killed after it.
    """
    ongoing, queued = calls or (16, 16)
    return {
        "name": name,
        "num_replicas": replicas,
        "max_replicas_per_node": 1 if calls is None and replicas > 1 and not shares_port else None,
        "max_ongoing_requests": ongoing,
        "max_queued_requests": queued,
        "ray_actor_options": actor_options(common),
        "health_check_period_s": 1,
        "health_check_timeout_s": HEALTH_TIMEOUT_S,
        "graceful_shutdown_wait_loop_s": 0.1,
        "graceful_shutdown_timeout_s": stop_s,
    }


@dataclass(frozen=True, slots=True)
class CallContext:
    """What the gateway says of a call, beside its bytes. Picklable."""

    grant: str
    timeout_s: float  # time left when the gateway sent it
    trace: Mapping[str, str]  # W3C carrier: traceparent, tracestate
    patient: bool = True  # wait for what is not there yet; otherwise raise NotYet, or yield WAITING
    # What a shard is taken to hold where it is asked for all of it; it answers Moved where that is not so.
    partitions: frozenset[int] | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """A typed failure as a value. Serve logs each exception that crosses it twice, with its stack: by refusing, anybody
    with a token could fill the disk."""

    error: MnemeError


class NotYet(Exception):
    """An impatient call would have to wait; nothing was done. It is made again, patiently, in nobody's way."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A stream's message to the gateway: until the next message, it waits for something and does no work. As a value it
    is what NotYet is as an exception."""


WAITING = Waiting()


@dataclass(frozen=True, slots=True)
class Call:
    """What a servicer may know of a call."""

    caller: Caller
    grant: str  # to act for the caller at another service
    deadline: float  # time.monotonic()
    patient: bool = True  # see CallContext
    partitions: frozenset[int] | None = None  # see CallContext

    def time_left_s(self) -> float:
        return max(0.0, self.deadline - time.monotonic())

    def require_namespace(self, namespace: str, field: str = "namespace") -> None:
        """INVALID_FIELD unless it could be one, PERMISSION_DENIED unless the caller has a right over it."""
        if not namespace:
            raise invalid(field, "No namespace is named.", "Name the namespace.")
        if not is_namespace(namespace):
            raise invalid(
                field,
                "This is not a namespace.",
                f"Use 1 to {MAX_NAMESPACE} of a-z A-Z 0-9 . _ - with / between parts, as in tenant/user.",
            )
        self.caller.require_namespace(namespace, field)


@dataclass(frozen=True, slots=True)
class Page:
    """Part of an endless stream, and where the next part starts."""

    messages: Sequence[Message]
    cursor: bytes


@dataclass(frozen=True, slots=True)
class Handler:
    """A servicer method and the type of its request.

    By kind — UNARY: ``async (request, call) -> Message``; STREAM: an async generator ``(request, call)`` of messages,
    with WAITING before those that an impatient call waits for;
    PAGES: ``async (request, cursor: bytes, call) -> Page`` (b"" first; may wait a little for something new);
    FOLD: ``async (state: bytes, requests, call) -> bytes``, where the state is the response so far, serialised.
    """

    request_type: type[Message]
    function: Callable[..., Any]


class Application:
    """Serves a table of handlers. The Serve deployment of each service inherits it."""

    def __init__(
        self, name: str, grants: Signer, handlers: Mapping[str, Handler], methods: Mapping[str, Method] = METHODS
    ) -> None:
        mine = {method for method, spec in methods.items() if spec.app == name}
        if mine != set(handlers):
            raise ValueError(f"{name} must handle exactly {sorted(mine)}, not {sorted(handlers)}")
        self._name = name
        self._grants = grants
        self._handlers = handlers
        self._methods = methods
        sys.setswitchinterval(_SWITCH_S)

    async def ping(self) -> None:
        """Answers as long as the application takes calls; the gateway's health check asks it."""

    async def pulse(self) -> AsyncGenerator[bytes, None]:
        """A message four times a second for a while: whoever listens knows without asking that calls are answered.

        It names the thread that takes the calls (``liveness.Seen``). Not for ever: Serve lets a replica go once nothing
        runs in it.
        """
        thread = this_thread()
        for _ in range(PULSES):
            await self.ping()
            yield thread
            await asyncio.sleep(PULSE_S)

    async def unary(self, method: str, request: bytes, context: CallContext) -> bytes:
        async with self._around(method, Kind.UNARY, context) as (handler, call):
            response: Message = await handler.function(decoded(handler.request_type, request), call)
            return response.SerializeToString()

    async def stream(self, method: str, request: bytes, context: CallContext) -> AsyncGenerator[bytes | Waiting, None]:
        """An empty message at once, then the responses.

        The first message tells the gateway that a replica has the call: Serve may lose a cancel that comes sooner.
        """
        yield b""
        # Closed at once when the caller leaves: what it holds must not wait for the garbage collector.
        async with (
            self._around(method, Kind.STREAM, context) as (handler, call),
            aclosing(handler.function(decoded(handler.request_type, request), call)) as responses,
        ):
            async for response in responses:
                yield WAITING if isinstance(response, Waiting) else response.SerializeToString()

    async def page(self, method: str, request: bytes, cursor: bytes, context: CallContext) -> tuple[list[bytes], bytes]:
        async with self._around(method, Kind.PAGES, context) as (handler, call):
            page: Page = await handler.function(decoded(handler.request_type, request), cursor, call)
            return [m.SerializeToString() for m in page.messages], page.cursor

    async def fold(self, method: str, state: bytes, requests: list[bytes], context: CallContext) -> bytes:
        async with self._around(method, Kind.FOLD, context) as (handler, call):
            pages = [decoded(handler.request_type, r) for r in requests]
            new_state: bytes = await handler.function(state, pages, call)
            return new_state

    async def serve_call(self, entry: str, *args: Any) -> Any:
        """What Serve calls: ``unary``, ``page`` or ``fold``. Refused for a MnemeError, WAITING for NotYet."""
        entries: dict[str, Callable[..., Any]] = {"unary": self.unary, "page": self.page, "fold": self.fold}
        try:
            return await entries[entry](*args)
        except NotYet:
            return WAITING
        except MnemeError as error:
            return Refused(error)

    async def serve_stream(
        self, method: str, request: bytes, context: CallContext
    ) -> AsyncGenerator[bytes | Waiting | Refused, None]:
        """What Serve calls: ``stream``, ended by a Refused where that raises a MnemeError."""
        try:
            async with aclosing(self.stream(method, request, context)) as responses:
                async for response in responses:
                    yield response
        except MnemeError as error:
            yield Refused(error)

    @asynccontextmanager
    async def _around(self, method: str, kind: Kind, context: CallContext) -> AsyncIterator[tuple[Handler, Call]]:
        deadline = time.monotonic() + context.timeout_s
        with telemetry.span(method, parent=context.trace, service=self._name):
            try:
                handler = self._handlers.get(method)
                if handler is None or self._methods[method].kind is not kind:
                    raise MnemeError("UNKNOWN_METHOD", f"{self._name} does not serve this as {kind.value}.")
                caller = self._grants.check(context.grant)
                telemetry.mark(principal=telemetry.pseudonym(caller.principal))
                caller.require_right(self._methods[method].right)
                _TENANT.set(caller.tenant)
                async with asyncio.timeout(context.timeout_s):
                    yield handler, Call(caller, context.grant, deadline, context.patient, context.partitions)
            except (MnemeError, NotYet):
                raise
            except TimeoutError as error:
                raise MnemeError(
                    "DEADLINE", "The deadline passed.", remedy="Allow more time, or ask for less."
                ) from error
            except Exception:  # noqa: BLE001
                # Serve logs what is raised, and a cause's message may hold a text: it must not be chained.
                _log.exception("defect", extra={"method": method})
                raise internal() from None


def decoded(kind: type[M], raw: bytes) -> M:
    """The request, without fields that this release does not know: they would be kept beside every limit.

    INVALID_FIELD for bytes that are none.
    """
    try:
        request = kind.FromString(raw)
    except DecodeError as error:
        raise MnemeError(
            "INVALID_FIELD",
            f"The request is not a {kind.DESCRIPTOR.full_name}.",
            remedy="Generate the client from protos/mneme/v1 of this release.",
        ) from error
    request.DiscardUnknownFields()
    return request
