"""Reflection over our descriptors, so that grpcurl needs no .proto files. Behind the token."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any

from google.protobuf import descriptor_pool
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.message import DecodeError
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha.reflection import aio as reflection_aio

# Imported for their descriptors.
from mneme.v1 import (  # noqa: F401
    admin_service_pb2,
    episodic_service_pb2,
    errors_pb2,
    perception_service_pb2,
    reasoning_service_pb2,
)

from services.common.serving.errors import invalid

# The two versions differ in their name only; newer clients ask for v1 first.
METHODS = (
    "grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
    "grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
)


class Reflection:
    def __init__(self, services: Iterable[str]) -> None:
        names = [*services, *(m.partition("/")[0] for m in METHODS)]
        self._servicer = reflection_aio.ReflectionServicer(sorted(names), pool=_Pool())

    async def answer(self, requests: AsyncIterator[bytes], write: Callable[[bytes], Awaitable[None]]) -> None:
        async for response in self._servicer.ServerReflectionInfo(_decoded(requests), None):
            await write(response.SerializeToString())


class _Pool:
    """The descriptors of this process, of which methods are found by name, too, "pkg.Service.Method" or
    "pkg.Service/Method": `describe` asks for them, and protobuf's own pool knows only the services that hold them."""

    def __init__(self) -> None:
        self._pool = descriptor_pool.Default()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pool, name)

    def FindFileContainingSymbol(self, symbol: str) -> FileDescriptor:
        """KeyError when there is none."""
        try:
            return self._pool.FindFileContainingSymbol(symbol)
        except KeyError:
            return self._pool.FindMethodByName(symbol.replace("/", ".")).containing_service.file


async def _decoded(requests: AsyncIterator[bytes]) -> AsyncIterator[reflection_pb2.ServerReflectionRequest]:
    async for raw in requests:
        try:
            yield reflection_pb2.ServerReflectionRequest.FromString(raw)
        except DecodeError as error:
            raise invalid("", "This is no ServerReflectionRequest.", "See grpc.reflection.v1alpha.") from error
