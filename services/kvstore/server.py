"""The control port: a grpc.aio server that authenticates every call, bounds it and maps every failure once."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
from google.protobuf.message import DecodeError, Message
from mneme.v1 import kvstore_pb2 as pb

from services.common import telemetry
from services.common.auth import Caller, Right, Signer, unauthenticated
from services.common.errors import MnemeError, internal, invalid
from services.kvstore.config import KvstoreConfig
from services.kvstore.errors import StartError, deadline, no_deadline
from services.kvstore.servicer import KvstoreServicer

_log = logging.getLogger(__name__)

SERVICE = "mneme.v1.KvstoreNodeService"
MAX_MESSAGE_BYTES = 16 << 20
_MAX_TIMEOUT_S = 60.0
_STOP_GRACE_S = 0.5

Work = Callable[[Any, Caller, float], Awaitable[Message]]
# Methods that a caller's grant may do too, with the right they need; everything else is for nodes.
_FOR_GRANTS = {"DropBlocks": Right.FORGET, "StoreStats": Right.READ}


class ControlPort:
    """Make it in the event loop that owns the store."""

    def __init__(self, servicer: KvstoreServicer, nodes: Signer, grants: Signer, config: KvstoreConfig) -> None:
        self._nodes = nodes
        self._grants = grants
        self._config = config
        self._server = grpc.aio.server(
            maximum_concurrent_rpcs=config.max_running_calls,
            options=[("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES)],
        )
        table: dict[str, tuple[type[Message], Work]] = {
            "LookupBlocks": (pb.LookupBlocksRequest, servicer.lookup_blocks),
            "LeaseBlocks": (pb.LeaseBlocksRequest, servicer.lease_blocks),
            "ReserveStaging": (pb.ReserveStagingRequest, servicer.reserve_staging),
            "PutBlocks": (pb.PutBlocksRequest, servicer.put_blocks),
            "ClaimBlocks": (pb.ClaimBlocksRequest, servicer.claim_blocks),
            "WaitBlocks": (pb.WaitBlocksRequest, servicer.wait_blocks),
            "ReleaseBlocks": (pb.ReleaseBlocksRequest, servicer.release_blocks),
            "DropBlocks": (pb.DropBlocksRequest, servicer.drop_blocks),
            "Heartbeat": (pb.HeartbeatRequest, servicer.heartbeat),
            "StoreStats": (pb.StoreStatsRequest, servicer.store_stats),
        }
        handlers = {
            name: grpc.unary_unary_rpc_method_handler(self._handler(name, request_type, work))
            for name, (request_type, work) in table.items()
        }
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
        self.port = 0

    async def start(self) -> None:
        """Listen. StartError names the setting."""
        address = f"{self._config.host}:{self._config.port}"
        try:
            self.port = self._server.add_insecure_port(address)
        except RuntimeError as error:
            raise StartError(
                f"kvstore.port: {address} cannot be listened on. Stop what uses it, or set kvstore.port to a free "
                "port (kvstore.host to an address of this machine)."
            ) from error
        await self._server.start()

    async def stop(self) -> None:
        await self._server.stop(_STOP_GRACE_S)

    def _handler(self, name: str, request_type: type[Message], work: Work) -> Callable[[bytes, Any], Awaitable[bytes]]:
        async def handle(raw: bytes, context: Any) -> bytes:
            metadata = dict(context.invocation_metadata() or ())
            with telemetry.span(f"{SERVICE}/{name}", parent=_trace(metadata), service="kvstore"):
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
            if name not in _FOR_GRANTS:
                raise
        caller = self._grants.check(token)
        caller.require_right(_FOR_GRANTS[name])
        return caller


async def _run(name: str, work: Work, request: Message, caller: Caller, left_s: float) -> Message:
    """The answer; whatever else happens becomes a MnemeError."""
    try:
        async with asyncio.timeout(left_s):
            return await work(request, caller, left_s)
    except MnemeError:
        raise
    except TimeoutError as error:
        raise deadline() from error
    except Exception as error:
        _log.exception("defect", extra={"method": name})
        raise internal() from error


def _time_left(context: Any) -> float:
    left = context.time_remaining()
    if left is None:
        raise no_deadline()
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
