"""The four kinds of calls, as bytes: what each does between the client's stream and the application."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing, suppress
from dataclasses import replace
from typing import Any

import grpc

from services.common.crypto.auth import Right
from services.common.serving.methods import Kind, Method
from services.common.serving.serving import NotYet, Waiting
from services.gateway.backend import Backend
from services.gateway.config import GatewayConfig
from services.gateway.door import Admitted, Door
from services.gateway.errors import no_message, stopping
from services.gateway.gather import Gatherer, PageLimits
from services.gateway.shares import Share
from services.gateway.sizes import require_size

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

        async def refuse(_: AsyncIterator[bytes], context: Any) -> None:
            await self._door.run("unknown", None, context, _never)

        return grpc.stream_stream_rpc_method_handler(refuse)

    def _unary(self, method: str, spec: Method, backend: Backend) -> Any:
        async def call(_: AsyncIterator[bytes], context: Any) -> bytes:
            async def work(admitted: Admitted) -> bytes:
                share = admitted.share
                async with self._message(context, admitted) as request:
                    with suppress(NotYet):
                        # What writes or forgets waits for the log, not for a core.
                        async with share.reading() if spec.right is Right.READ else share.running():
                            return await backend.unary(spec.app, method, request, admitted.context(patient=False))
                    async with share.waiting():
                        return await backend.unary(spec.app, method, request, admitted.context())

            return await self._door.run(method, spec, context, work)

        return grpc.stream_unary_rpc_method_handler(call)

    def _stream(self, method: str, spec: Method, backend: Backend) -> Any:
        async def call(_: AsyncIterator[bytes], context: Any) -> None:
            async def work(admitted: Admitted) -> None:
                async with self._message(context, admitted) as request:
                    stream = backend.stream(spec.app, method, request, admitted.context(patient=False))
                    async with aclosing(_in_its_place(stream, admitted.share)) as responses:
                        async for response in responses:
                            await admitted.write(response)

            await self._door.run(method, spec, context, work)

        return grpc.stream_stream_rpc_method_handler(call)

    def _pages(self, method: str, spec: Method, backend: Backend) -> Any:
        async def call(_: AsyncIterator[bytes], context: Any) -> None:
            async def work(admitted: Admitted) -> None:
                async with self._message(context, admitted) as request:

                    async def fetch(cursor: bytes) -> tuple[list[bytes], bytes]:
                        if self._stopping.is_set():
                            raise stopping()
                        await admitted.share.pace()
                        page_context = admitted.context(self._config.page_timeout_s)
                        return await backend.page(spec.app, method, request, cursor, page_context)

                    await _write_pages(fetch, admitted.write)

            await self._door.run(method, spec, context, work)

        return grpc.stream_stream_rpc_method_handler(call)

    def _fold(self, method: str, spec: Method, backend: Backend) -> Any:
        async def call(_: AsyncIterator[bytes], context: Any) -> bytes:
            async def work(admitted: Admitted) -> bytes:
                async def fold(state: bytes, page: list[bytes]) -> bytes:
                    admitted.share.count_bytes(sum(map(len, page)))
                    await admitted.share.pace()
                    within = admitted.context(self._config.max_timeout_s)
                    return await backend.fold(spec.app, method, state, page, within)

                limits = replace(self._limits, message_bytes=self._most_bytes(spec))
                return await _fold_pages(Gatherer(_Messages(context), limits, method), fold)

            return await self._door.run(method, spec, context, work)

        return grpc.stream_unary_rpc_method_handler(call)

    def _message(self, context: Any, admitted: Admitted) -> AbstractAsyncContextManager[bytes]:
        """Around what is done with the one message of a call. Read only now: what is refused before is never held."""

        async def receive() -> bytes:
            async for message in _Messages(context):
                admitted.share.count_bytes(len(message))
                require_size(message, self._most_bytes(admitted.spec), admitted.method)
                return message
            raise no_message()

        return admitted.share.holding(receive)

    def _most_bytes(self, spec: Method) -> int:
        return min(spec.max_bytes or self._config.max_message_bytes, self._config.max_message_bytes)


class _Messages:
    """The messages of a call, none of them kept: gRPC's own iterator keeps the last until the garbage is collected."""

    def __init__(self, context: Any) -> None:
        self._context = context

    def __aiter__(self) -> _Messages:
        return self

    async def __anext__(self) -> bytes:
        message: bytes = await self._context.read()
        if message is grpc.aio.EOF:
            raise StopAsyncIteration
        return message


async def _in_its_place(stream: AsyncGenerator[bytes | Waiting, None], share: Share) -> AsyncGenerator[bytes, None]:
    """The messages of a stream, which holds a place of those that work, or of those that wait while it says so."""
    async with AsyncExitStack() as place:
        await place.enter_async_context(share.running())
        waits = False
        async with aclosing(stream) as messages:
            async for message in messages:
                if waits != isinstance(message, Waiting):
                    waits = not waits
                    await place.aclose()
                    await place.enter_async_context(share.waiting() if waits else share.running())
                if not isinstance(message, Waiting):
                    yield message


async def _write_pages(fetch: Callable[[bytes], Any], write: Callable[[bytes], Awaitable[None]]) -> None:
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
                await write(message)
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


async def _never(admitted: Admitted) -> None:
    raise AssertionError("an unknown method passed the door")
