"""A port for our own nodes: a grpc.aio server that authenticates every call, bounds it and maps every failure once."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import grpc
from google.protobuf.message import DecodeError, Message

from services.common import telemetry
from services.common.crypto.auth import Caller, Right, Signer, unauthenticated
from services.common.serving.errors import MnemeError, internal, invalid

_log = logging.getLogger(__name__)

MAX_MESSAGE_BYTES = 16 << 20
_MAX_TIMEOUT_S = 60.0
_STOP_GRACE_S = 0.5

Work = Callable[[Any, Caller, float], Awaitable[Message]]
"""(request, who calls, seconds left) to the response. MnemeError."""


class NodePort:
    """Make it in the event loop that serves. Every call names a deadline and carries a node credential.

    ``for_grants``: methods that a caller's grant may do too, with the right they need.
    """

    def __init__(
        self,
        service: str,
        methods: Mapping[str, tuple[type[Message], Work]],
        nodes: Signer,
        *,
        max_running: int,
        grants: Signer | None = None,
        for_grants: Mapping[str, Right] | None = None,
    ) -> None:
        self._service = service
        self._nodes = nodes
        self._grants = grants
        self._for_grants = dict(for_grants or {})
        self._server = grpc.aio.server(
            maximum_concurrent_rpcs=max_running,
            options=[("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES)],
        )
        handlers = {
            name: grpc.unary_unary_rpc_method_handler(self._handler(name, request_type, work))
            for name, (request_type, work) in methods.items()
        }
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
        self.port = 0

    async def start(self, host: str, port: int = 0) -> None:
        """Listen; 0 takes any free port. OSError when the address cannot be listened on."""
        try:
            self.port = self._server.add_insecure_port(f"{host}:{port}")
        except RuntimeError as error:
            raise OSError(f"{host}:{port} cannot be listened on") from error
        await self._server.start()

    async def stop(self) -> None:
        await self._server.stop(_STOP_GRACE_S)

    def _handler(self, name: str, request_type: type[Message], work: Work) -> Callable[[bytes, Any], Awaitable[bytes]]:
        span_name, app = f"{self._service}/{name}", self._service.rpartition(".")[2]

        async def handle(raw: bytes, context: Any) -> bytes:
            metadata = dict(context.invocation_metadata() or ())
            with telemetry.span(span_name, parent=_trace(metadata), service=app):
                try:
                    left_s = _time_left(context)
                    caller = self._authenticate(name, metadata)
                    response = await _run(name, work, _decode(request_type, raw), caller, left_s)
                    return response.SerializeToString()
                except MnemeError as error:
                    failure = error
            await context.abort(failure.status, failure.message, failure.trailers)
            raise AssertionError("abort does not return")

        return handle

    def _authenticate(self, name: str, metadata: dict[str, str | bytes]) -> Caller:
        scheme, _, token = str(metadata.get("authorization", "")).partition(" ")
        if scheme.lower() != "bearer":
            raise unauthenticated()
        try:
            return self._nodes.check(token)
        except MnemeError:
            if self._grants is None or name not in self._for_grants:
                raise
        caller = self._grants.check(token)
        caller.require_right(self._for_grants[name])
        return caller


async def _run(name: str, work: Work, request: Message, caller: Caller, left_s: float) -> Message:
    """The answer; whatever else happens becomes a MnemeError."""
    try:
        async with asyncio.timeout(left_s):
            return await work(request, caller, left_s)
    except MnemeError:
        raise
    except TimeoutError as error:
        raise MnemeError("DEADLINE", "The deadline passed.", remedy="Allow more time, or compute.") from error
    except Exception as error:
        _log.exception("defect", extra={"method": name})
        raise internal() from error


def _time_left(context: Any) -> float:
    left = context.time_remaining()
    if left is None:
        raise invalid("deadline", "The call names no deadline.", "Name a deadline.")
    return min(float(left), _MAX_TIMEOUT_S)


def _trace(metadata: dict[str, str | bytes]) -> dict[str, str] | None:
    carried: dict[str, str] = {k: str(metadata[k]) for k in ("traceparent", "tracestate") if k in metadata}
    return carried or None


def _decode(request_type: type[Message], raw: bytes) -> Message:
    try:
        return request_type.FromString(raw)
    except DecodeError as error:
        raise invalid(
            "request",
            f"The request is not a {request_type.DESCRIPTOR.full_name}.",
            "Generate the client from protos/mneme/v1 of this release.",
        ) from error
