"""The gRPC server of the gateway: binds, routes by the method table, starts and stops."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

import grpc

from services.common import telemetry
from services.common.serving.errors import MnemeError
from services.common.serving.methods import METHODS, Method
from services.gateway import reflection
from services.gateway.backend import Backend
from services.gateway.calls import Calls
from services.gateway.config import GatewayConfig
from services.gateway.door import ANY_TOKEN, TRACE_ID, Admitted, Door, abort, send_trace_id
from services.gateway.errors import StartError
from services.gateway.health import SERVICE as HEALTH
from services.gateway.health import Health
from services.gateway.reflection import Reflection
from services.gateway.tls import server_credentials
from services.gateway.tokens import Credentials

_KEEPALIVE_MS = 60_000  # a client that vanished gives its streams back after this
# gRPC's own limits (a ping in five minutes, two strikes) close the connection of a client that keeps it alive while it
# waits for a long answer, or measures its bandwidth while it reads a backlog, with every call on it.
_CLIENT_KEEPALIVE_MS = 10_000
_PING_STRIKES = 1000
# Calls of all connections that gRPC keeps until Python takes them, those that were cancelled meanwhile among them.
# Whichever comes beyond that it ends with a bare CANCELLED; by default it does so by chance from 1,000 on. Each may
# hold the 64 KiB below.
_UNTAKEN = 8_192


class GatewayServer:
    """One port for every service of the table. Make it in the event loop that is to run it."""

    def __init__(
        self,
        config: GatewayConfig,
        credentials: Credentials,
        backends: Mapping[str, Backend],
        methods: Mapping[str, Method] = METHODS,
    ) -> None:
        self._config = config
        self._door = Door(credentials, config)
        self._calls = Calls(self._door, backends, config)
        self._health = Health(backends, methods, config)
        self._reflection = Reflection({HEALTH, *(method.partition("/")[0] for method in methods)})
        self._server = grpc.aio.server(options=_options(config))
        self._server.add_generic_rpc_handlers((_Routes(self._routes(methods), self._calls.unknown()),))
        self._watching: asyncio.Task[None] | None = None
        self.port = 0

    async def start(self) -> None:
        """Listen. StartError names the setting when the port or the certificate cannot be used."""
        self.port = self._bind()
        await self._health.prepare()
        await self._server.start()
        self._watching = asyncio.create_task(self._health.watch())

    def require_alive(self) -> None:
        """RuntimeError when a part of the server has died."""
        if self._watching is None or self._watching.done():
            raise RuntimeError("the health watch has ended")

    async def stop(self) -> None:
        """NOT_SERVING, no new calls, running ones get ``stop_grace_s`` to end, then they are cancelled."""
        await self._health.stop()
        self._calls.stop_watchers()
        if self._watching is not None:
            self._watching.cancel()
        await self._server.stop(self._config.stop_grace_s)

    def _routes(self, methods: Mapping[str, Method]) -> dict[str, Any]:
        routes = {method: self._calls.handler(method, spec) for method, spec in methods.items()}
        routes[f"{HEALTH}/Check"] = grpc.unary_unary_rpc_method_handler(self._check_health)
        routes[f"{HEALTH}/Watch"] = grpc.unary_stream_rpc_method_handler(self._follow_health)
        for method in reflection.METHODS:
            routes[method] = grpc.stream_stream_rpc_method_handler(self._reflect)
        return {f"/{method}": handler for method, handler in routes.items()}

    async def _check_health(self, request: bytes, context: Any) -> bytes:
        context.set_trailing_metadata(((TRACE_ID, trace_id := telemetry.trace_id()),))
        try:
            answer = await self._health.check(request, context)
            await send_trace_id(context, trace_id)
            return answer
        except MnemeError as error:
            await abort(context, error)

    async def _follow_health(self, request: bytes, context: Any) -> None:
        async def work(admitted: Admitted) -> None:
            await self._health.follow(request, admitted.write)

        await self._door.run(f"{HEALTH}/Watch", ANY_TOKEN, context, work)

    async def _reflect(self, requests: AsyncIterator[bytes], context: Any) -> None:
        async def work(admitted: Admitted) -> None:
            await self._reflection.answer(requests, admitted.write)

        await self._door.run(reflection.METHODS[0], ANY_TOKEN, context, work)

    def _bind(self) -> int:
        address = f"{self._config.host}:{self._config.port}"
        credentials = server_credentials(self._config)
        try:
            port: int = (
                self._server.add_secure_port(address, credentials)
                if credentials
                else self._server.add_insecure_port(address)
            )
        except RuntimeError as error:
            raise StartError(
                f"gateway.port: {address} cannot be listened on. Stop what uses it, or set gateway.port to a free "
                "port (gateway.host to an address of this machine)."
            ) from error
        return port


class _Routes(grpc.GenericRpcHandler):  # type: ignore[misc]
    """Handlers by method, and one for all other methods."""

    def __init__(self, handlers: Mapping[str, Any], unknown: Any) -> None:
        self._handlers = handlers
        self._unknown = unknown

    def service(self, details: Any) -> Any:
        return self._handlers.get(details.method, self._unknown)


def _options(config: GatewayConfig) -> list[tuple[str, int]]:
    return [
        ("grpc.so_reuseport", int(config.reuse_port)),
        # Above our own limit, which answers with a typed error; this one protects memory.
        ("grpc.max_receive_message_length", 2 * config.max_message_bytes),
        # Else gRPC takes what a connection carries in a moment, megabytes for every call, before anybody reads it. So
        # it is 64 KiB for a call until its message is read, and then what is left of the message.
        ("grpc.http2.bdp_probe", 0),
        ("grpc.server.max_pending_requests", _UNTAKEN),
        ("grpc.server.max_pending_requests_hard_limit", _UNTAKEN),
        ("grpc.max_send_message_length", -1),
        ("grpc.max_concurrent_streams", config.max_calls_per_connection),
        ("grpc.max_allowed_incoming_connections", config.max_connections),
        ("grpc.server_handshake_timeout_ms", int(config.handshake_timeout_s * 1000)),
        ("grpc.max_connection_idle_ms", int(config.idle_connection_s * 1000)),
        # What a connection may have open counts until it is cleared away here: who cancels what he starts keeps a place
        # for each call that Python has not taken, and what comes beyond them is refused (UNAVAILABLE) before anybody
        # waits behind it. So is what a client that keeps to the bound starts just as another of its calls ends.
        ("grpc.http.overload_protection", 1),
        ("grpc.keepalive_time_ms", _KEEPALIVE_MS),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_recv_ping_interval_without_data_ms", _CLIENT_KEEPALIVE_MS),
        ("grpc.http2.max_ping_strikes", _PING_STRIKES),
    ]
