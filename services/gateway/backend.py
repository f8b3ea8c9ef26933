"""The port behind the door: how a call reaches an application. In process here; over Ray Serve in serve_backend."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Protocol

from services.common.serving.serving import Application, CallContext, Waiting


class Backend(Protocol):
    """Applications by name. Bytes in, bytes out.

    Failures are MnemeErrors; SERVICE_UNAVAILABLE when the application does not answer. A caller that is cancelled,
    or closes a stream before its end, cancels the work in the application.
    """

    async def unary(self, app: str, method: str, request: bytes, context: CallContext) -> bytes:
        """NotYet when the call is not patient and would have to wait."""
        ...

    def stream(
        self, app: str, method: str, request: bytes, context: CallContext
    ) -> AsyncGenerator[bytes | Waiting, None]: ...

    async def page(
        self, app: str, method: str, request: bytes, cursor: bytes, context: CallContext
    ) -> tuple[list[bytes], bytes]: ...

    async def fold(self, app: str, method: str, state: bytes, requests: list[bytes], context: CallContext) -> bytes: ...

    async def ping(self, app: str) -> None:
        """Returns when the application takes calls."""
        ...

    async def leave(self, app: str) -> None:
        """Nothing is asked of it any more: it may end."""
        ...


class LocalBackend:
    """Applications of this process: the gateway's own, and those of tests."""

    def __init__(self, applications: Mapping[str, Application]) -> None:
        self._applications = applications

    async def unary(self, app: str, method: str, request: bytes, context: CallContext) -> bytes:
        return await self._applications[app].unary(method, request, context)

    async def stream(
        self, app: str, method: str, request: bytes, context: CallContext
    ) -> AsyncGenerator[bytes | Waiting, None]:
        async with aclosing(self._applications[app].stream(method, request, context)) as responses:
            await anext(responses)  # "a replica has the call"
            async for response in responses:
                yield response

    async def page(
        self, app: str, method: str, request: bytes, cursor: bytes, context: CallContext
    ) -> tuple[list[bytes], bytes]:
        return await self._applications[app].page(method, request, cursor, context)

    async def fold(self, app: str, method: str, state: bytes, requests: list[bytes], context: CallContext) -> bytes:
        return await self._applications[app].fold(method, state, requests, context)

    async def ping(self, app: str) -> None:
        await self._applications[app].ping()

    async def leave(self, app: str) -> None:
        """It ends with this process."""
