"""The four kinds of calls, as bytes: what each does between the client's stream and the application."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing
from typing import Any

import grpc

from services.common.methods import Kind, Method
from services.gateway.backend import Backend
from services.gateway.config import GatewayConfig
from services.gateway.door import Admitted, Door
from services.gateway.errors import stopping, too_large
from services.gateway.gather import Gatherer, PageLimits

# Between two pages of which the first was empty: an application that does not wait must not make us spin.
_EMPTY_PAGE_PAUSE_S = 0.02


class Calls:
    """gRPC handlers for a method table. Bytes in, bytes out."""

    def __init__(self, door: Door, backends: Mapping[str, Backend], config: GatewayConfig) -> None:
        self._door = door
        self._backends = backends
        self._config = config
        self._stopping = asyncio.Event()
        self._limits = PageLimits(
            config.fold_messages, config.fold_bytes, config.fold_window_s, config.max_message_bytes
        )

    def stop_watchers(self) -> None:
        """End endless streams at their next page, with SERVICE_UNAVAILABLE."""
        self._stopping.set()

    def handler(self, method: str, spec: Method) -> Any:
        """The handler of one method, by its kind."""
        make = {Kind.UNARY: self._unary, Kind.STREAM: self._stream, Kind.PAGES: self._pages, Kind.FOLD: self._fold}
        return make[spec.kind](method, spec, self._backends[spec.app])

    def unknown(self) -> Any:
        """The handler of every other method: refuses it, after the token."""

        async def refuse(messages: AsyncIterator[bytes], context: Any) -> None:
            await self._door.run("unknown", None, context, _never)

        return grpc.stream_stream_rpc_method_handler(refuse)

    def _unary(self, method: str, spec: Method, backend: Backend) -> Any:
        async def call(request: bytes, context: Any) -> bytes:
            async def work(admitted: Admitted) -> bytes:
                self._require_size(request)
                return await backend.unary(spec.app, method, request, admitted.context())

            return await self._door.run(method, spec, context, work)

        return grpc.unary_unary_rpc_method_handler(call)

    def _stream(self, method: str, spec: Method, backend: Backend) -> Any:
        async def call(request: bytes, context: Any) -> None:
            async def work(admitted: Admitted) -> None:
                self._require_size(request)
                stream = backend.stream(spec.app, method, request, admitted.context())
                async with aclosing(stream) as messages:
                    async for message in messages:
                        await _write(context, message)

            await self._door.run(method, spec, context, work)

        return grpc.unary_stream_rpc_method_handler(call)

    def _pages(self, method: str, spec: Method, backend: Backend) -> Any:
        async def call(request: bytes, context: Any) -> None:
            async def work(admitted: Admitted) -> None:
                self._require_size(request)

                async def fetch(cursor: bytes) -> tuple[list[bytes], bytes]:
                    if self._stopping.is_set():
                        raise stopping()
                    page_context = admitted.context(self._config.page_timeout_s)
                    return await backend.page(spec.app, method, request, cursor, page_context)

                await _write_pages(fetch, context)

            await self._door.run(method, spec, context, work)

        return grpc.unary_stream_rpc_method_handler(call)

    def _fold(self, method: str, spec: Method, backend: Backend) -> Any:
        async def call(messages: AsyncIterator[bytes], context: Any) -> bytes:
            async def work(admitted: Admitted) -> bytes:
                def fold(state: bytes, page: list[bytes]) -> Awaitable[bytes]:
                    return backend.fold(spec.app, method, state, page, admitted.context(self._config.max_timeout_s))

                return await _fold_pages(Gatherer(messages, self._limits), fold)

            return await self._door.run(method, spec, context, work)

        return grpc.stream_unary_rpc_method_handler(call)

    def _require_size(self, message: bytes) -> None:
        if len(message) > self._config.max_message_bytes:
            raise too_large(self._config.max_message_bytes, len(message))


async def _write_pages(fetch: Callable[[bytes], Any], context: Any) -> None:
    """Write pages for ever, the next one fetched while this one is written. A write waits for the client to read."""
    ahead = asyncio.create_task(fetch(b""))
    try:
        while True:
            asked = time.monotonic()
            messages, cursor = await ahead
            if not messages:
                await asyncio.sleep(max(0.0, _EMPTY_PAGE_PAUSE_S - (time.monotonic() - asked)))
            ahead = asyncio.create_task(fetch(cursor))
            for message in messages:
                await _write(context, message)
    finally:
        ahead.cancel()
        await asyncio.gather(ahead, return_exceptions=True)


async def _fold_pages(gatherer: Gatherer, fold: Callable[[bytes, list[bytes]], Awaitable[bytes]]) -> bytes:
    """Fold page after page, the next one gathered while one is away; once, with nothing, for an empty stream."""
    try:
        page = await gatherer.next()
        state = await fold(b"", page)
        while page and (page := await gatherer.next()):
            state = await fold(state, page)
        return state
    finally:
        await gatherer.close()


async def _write(context: Any, message: bytes) -> None:
    try:
        await context.write(message)
    except (grpc.aio.BaseError, asyncio.InvalidStateError) as error:
        if not context.done():
            raise
        raise asyncio.CancelledError from error  # the client left while it was being written to


async def _never(admitted: Admitted) -> None:
    raise AssertionError("an unknown method passed the door")
