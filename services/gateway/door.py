"""What is done around every call: credential, right, place, deadline, span, metrics, and the one way to fail."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar

import grpc
from opentelemetry.trace import Span

from services.common import telemetry
from services.common.crypto.auth import Right
from services.common.serving.errors import MnemeError, internal
from services.common.serving.methods import Kind, Method
from services.common.serving.serving import CallContext
from services.gateway.config import GatewayConfig
from services.gateway.errors import deadline, let_go, unknown_method
from services.gateway.shares import Share, Shares
from services.gateway.streams import Places, while_allowed
from services.gateway.tokens import Credential, Credentials

_log = logging.getLogger(__name__)

T = TypeVar("T")
Metadata = Iterable[tuple[str, str | bytes]]

# Reflection and the health watch: endless streams for whoever has a token, whatever its rights.
ANY_TOKEN = Method("gateway", Kind.PAGES, Right.READ)

# In the headers and the trailers of every answer, and in every error's own metadata as "trace_id".
TRACE_ID = "trace-id"

_ADMIN = "mneme.v1.AdminService/"
_TRACE_KEYS = ("traceparent", "tracestate")
# Many short calls to the application in turn; each gets a deadline and a grant of its own.
_LONG = (Kind.PAGES, Kind.FOLD)
# Turns of the loop until a call that was cancelled before Python took it ends, so that it costs nothing more.
_UNTIL_CANCELLED = 3
# The door answers a little before the client gives up, and asks for the answer a little before that: so a client
# reads why, not only that, and NOT_FRESH is told from DEADLINE.
_DOOR_RESERVE_S = 0.02
_APP_RESERVE_S = 0.03
_RESERVE_SHARE = 0.05  # of what is left, where that is less


@dataclass(slots=True)
class Admitted:
    """A call that passed the door."""

    method: str
    spec: Method
    metadata: Metadata
    ends_at: float  # time.monotonic()
    share: Share
    _credentials: Credentials
    _credential: Credential
    _context: Any  # gRPC's
    _trace_id: str
    _has_headers: bool = False

    async def write(self, message: bytes) -> None:
        """Send a message of the answer; waits for the client to read. CancelledError when it has left."""
        with _left_is_cancelled(self._context):
            await self.send_headers()
            await self._context.write(message)

    async def send_headers(self) -> None:
        """Begin the answer, with the trace's id, once. Only when it is sure to be one: a client tries again what was
        refused, and nothing that has begun."""
        if not self._has_headers:
            self._has_headers = True
            await send_trace_id(self._context, self._trace_id)

    def context(self, at_most_s: float = float("inf"), *, patient: bool = True) -> CallContext:
        """What to tell the application now. Checks the credential again: it may have been revoked in between."""
        self._credentials.check(self.metadata)
        left = self.ends_at - time.monotonic()
        timeout_s = max(0.0, min(_less(left, _APP_RESERVE_S), at_most_s))
        grant = self._credentials.grant(self._credential, timeout_s)
        return CallContext(grant, timeout_s, telemetry.carrier(), patient)


class Door:
    """Lets calls in, or tells them why not. Of one event loop."""

    def __init__(self, credentials: Credentials, config: GatewayConfig) -> None:
        self._credentials = credentials
        self._config = config
        self._shares = Shares(config)
        self._streams = _places(config.max_streams, config)
        self._overload = telemetry.Sampled(_log, "calls are refused for overload")
        self._tool_streams = _places(config.max_tool_streams, config)

    async def run(self, method: str, spec: Method | None, context: Any, work: Callable[[Admitted], Awaitable[T]]) -> T:
        """Do ``work`` for a call, or abort the call with a typed error. No other text ever reaches a caller.

        ``spec`` None is a method that does not exist.
        """
        name = method if spec is not None else "unknown"
        started = time.perf_counter()
        outcome = "CANCELLED"
        try:
            for _ in range(_UNTIL_CANCELLED):
                await asyncio.sleep(0)
            result = await self._typed(method, spec, context, work)
            outcome = "OK"
            return result
        except MnemeError as error:
            outcome = error.reason
            failure = error
            if error.reason == "OVERLOADED":
                self._overload.tell(method=name, reason=str(error))
        finally:
            telemetry.CALLS.labels(name, outcome).inc()
            telemetry.STAGE_SECONDS.labels("gateway", name).observe(time.perf_counter() - started)
        let_go(failure)
        await abort(context, failure)

    async def _typed(
        self, method: str, spec: Method | None, context: Any, work: Callable[[Admitted], Awaitable[T]]
    ) -> T:
        try:
            return await self._admitted(method, spec, context, work)
        except MnemeError:
            raise
        except TimeoutError as error:
            raise deadline() from error
        except Exception as error:
            _log.exception("defect", extra={"method": method, "trace_id": _trace_id(context)})
            raise internal() from error

    async def _admitted(
        self, method: str, spec: Method | None, context: Any, work: Callable[[Admitted], Awaitable[T]]
    ) -> T:
        metadata: Metadata = context.invocation_metadata()
        credential = await self._checked(metadata)
        async with self._shares.of(credential).entered(spec.calls if spec is not None else 1) as share:
            if spec is None:
                raise unknown_method()
            if spec is not ANY_TOKEN:
                _require_right(credential, method, spec)
            return await self._inside(method, spec, context, work, credential, share)

    async def _inside(
        self,
        method: str,
        spec: Method,
        context: Any,
        work: Callable[[Admitted], Awaitable[T]],
        credential: Credential,
        share: Share,
    ) -> T:
        metadata: Metadata = context.invocation_metadata()
        timeout_s = self._timeout_s(spec, context.time_remaining())
        place = self._stream_place(spec, metadata, credential) if spec.kind in _LONG else share.inside()
        ends_at = time.monotonic() + timeout_s
        principal = telemetry.pseudonym(credential.caller.principal)
        with telemetry.span(method, parent=_parent(metadata), service="gateway", principal=principal) as span:
            trace_id = telemetry.trace_id()
            context.set_trailing_metadata(((TRACE_ID, trace_id),))
            admitted = Admitted(
                method, spec, metadata, ends_at, share, self._credentials, credential, context, trace_id
            )
            try:
                async with asyncio.timeout(timeout_s), place:
                    result = await work(admitted)
                with _left_is_cancelled(context):
                    await admitted.send_headers()
                return result
            except MnemeError as error:
                _mark(span, error)
                raise

    async def _checked(self, metadata: Metadata) -> Credential:
        """The credential. Those without one share what a principal has, so that guessing costs the others nothing."""
        try:
            return self._credentials.check(metadata)
        except MnemeError:
            async with self._shares.nobody().entered():
                raise

    @asynccontextmanager
    async def _stream_place(self, spec: Method, metadata: Metadata, credential: Credential) -> AsyncIterator[None]:
        """A place for as long as the credential is good, which an idle stream would not notice by itself."""
        places = self._tool_streams if spec is ANY_TOKEN else self._streams
        with places.place(credential.caller.token_id, credential.caller.tenant):
            async with while_allowed(lambda: self._credentials.check(metadata), self._config.revocation_period_s):
                yield

    def _timeout_s(self, spec: Method, remaining_s: float | None) -> float:
        long = spec.kind in _LONG
        longest = self._config.stream_timeout_s if long else self._config.max_timeout_s
        if remaining_s is None:
            return longest if long else self._config.default_timeout_s
        return min(_less(remaining_s, _DOOR_RESERVE_S), longest)


async def send_trace_id(context: Any, trace_id: str) -> None:
    """The headers of an answer. One that is refused has none of its own: its trailers stand in their place."""
    await context.send_initial_metadata(((TRACE_ID, trace_id),))


@contextmanager
def _left_is_cancelled(context: Any) -> Iterator[None]:
    try:
        yield
    except (grpc.aio.BaseError, asyncio.InvalidStateError) as error:
        if not context.done():
            raise
        raise asyncio.CancelledError from error  # the client left while it was being written to


def _places(total: int, config: GatewayConfig) -> Places:
    """A tenant has half of them at most, or what one token may have."""
    own = config.max_streams_per_token
    return Places(total, own, min(own * config.principals_per_tenant, max(own, total // 2)))


async def abort(context: Any, error: MnemeError) -> NoReturn:
    """End a call with a typed error: status, details and the trailers. Raises what gRPC asks for."""
    trace_id = error.metadata["trace_id"] = _trace_id(context)
    await context.abort(error.status, error.details, (*error.trailers, (TRACE_ID, trace_id)))
    raise AssertionError("abort returned")


def _less(left_s: float, reserve_s: float) -> float:
    return left_s - min(reserve_s, left_s * _RESERVE_SHARE)


def _require_right(credential: Credential, method: str, spec: Method) -> None:
    if credential.is_grant and method.startswith(_ADMIN):
        raise MnemeError(
            "PERMISSION_DENIED",
            "A service that acts for a caller cannot administer.",
            remedy="Call with the caller's own token.",
        )
    credential.caller.require_right(spec.right)


def _parent(metadata: Metadata) -> dict[str, str]:
    return {key: value for key, value in metadata if key in _TRACE_KEYS and isinstance(value, str)}


def _trace_id(context: Any) -> str:
    """Of the call's span where it came so far, else of its caller's, else one that only the caller knows."""
    known = dict(context.trailing_metadata() or ())
    return str(known.get(TRACE_ID) or telemetry.trace_id(_parent(context.invocation_metadata())))


def _mark(span: Span, error: MnemeError) -> None:
    span.set_attribute("reason", error.reason)
