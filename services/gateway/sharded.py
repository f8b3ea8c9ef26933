"""Episodic's shards as one application: a call goes to the shard of its namespace, or to all of them."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping, Sequence
from functools import cache
from typing import Any, TypeVar

from google.protobuf import descriptor_pool, message_factory
from google.protobuf.message import Message
from mneme.v1 import admin_pb2, episodic_pb2
from mneme.v1 import admin_service_pb2 as _admin  # noqa: F401  # imported for their descriptors
from mneme.v1 import episodic_service_pb2 as _episodic  # noqa: F401
from mneme.v1.admin_pb2 import Operation

from services.common.serving.errors import MnemeError
from services.common.serving.operations import merged, operation_id
from services.common.serving.serving import CallContext, Waiting, decoded
from services.common.serving.shards import Shards, require_few
from services.gateway.backend import Backend
from services.gateway.recalls import merged_recalls

M = TypeVar("M", bound=Message)
_E, _A = "mneme.v1.EpisodicService/", "mneme.v1.AdminService/"


class ShardedBackend:
    """What a ``Backend`` is, of one application in several shards. Each shard checks the caller's rights itself."""

    def __init__(self, inner: Backend, shards: Shards) -> None:
        self._inner = inner
        self._shards = shards
        self._gathers: Mapping[str, Callable[[bytes, CallContext], Awaitable[bytes]]] = {
            _E + "Recall": self._recall,
            _A + "ListNamespaces": self._list_namespaces,
            _A + "GetOperation": self._get_operation,
            _A + "Rebuild": self._rebuild,
        }

    async def unary(self, app: str, method: str, request: bytes, context: CallContext) -> bytes:
        gather = self._gathers.get(method)
        if gather is not None:
            return await gather(request, context)
        return await self._inner.unary(self._owner(method, request), method, request, context)

    async def page(
        self, app: str, method: str, request: bytes, cursor: bytes, context: CallContext
    ) -> tuple[list[bytes], bytes]:
        return await self._inner.page(self._owner(method, request), method, request, cursor, context)

    async def stream(
        self, app: str, method: str, request: bytes, context: CallContext
    ) -> AsyncGenerator[bytes | Waiting, None]:
        async for message in self._inner.stream(self._owner(method, request), method, request, context):
            yield message

    async def fold(self, app: str, method: str, state: bytes, requests: list[bytes], context: CallContext) -> bytes:
        return await self._inner.fold(self._owner(method, requests[0]), method, state, requests, context)

    async def ping(self, app: str) -> None:
        await _all(self._inner.ping(shard) for shard in self._shards.applications)

    def _owner(self, method: str, request: bytes) -> str:
        """The shard of the namespace that a request names; of one that names none, whichever refuses it."""
        named: Any = decoded(_request_type(method), request)
        return self._shards.of(named.namespace)

    # --- of several shards ---

    async def _recall(self, raw: bytes, context: CallContext) -> bytes:
        request = decoded(episodic_pb2.RecallRequest, raw)
        require_few(request.scopes)  # before they are looked at, and of all: a shard would count its own
        fields = {request.namespace: "namespace"}
        for n, scope in enumerate(request.scopes):
            fields.setdefault(scope, f"scopes[{n}]")
        parts: dict[str, list[tuple[str, str]]] = {}  # by shard: namespaces, and the field that names each
        for name, field in fields.items():
            parts.setdefault(self._shards.of(name), []).append((name, field))
        own = self._shards.of(request.namespace)
        if len(parts) == 1:
            return await self._inner.unary(own, _E + "Recall", raw, context)
        order = [own, *(shard for shard in parts if shard != own)]
        responses = await _all(self._recall_of(shard, request, parts[shard], context) for shard in order)
        return merged_recalls(request, responses).SerializeToString()

    async def _recall_of(
        self, shard: str, request: episodic_pb2.RecallRequest, named: Sequence[tuple[str, str]], context: CallContext
    ) -> episodic_pb2.RecallResponse:
        """What a shard recalls of those namespaces that are its own."""
        part = episodic_pb2.RecallRequest()
        part.CopyFrom(request)
        part.namespace = named[0][0]
        part.scopes[:] = [name for name, _ in named[1:]]
        try:
            answer = await self._inner.unary(shard, _E + "Recall", part.SerializeToString(), context)
        except MnemeError as error:
            fields = {"namespace": named[0][1], **{f"scopes[{n}]": field for n, (_, field) in enumerate(named[1:])}}
            error.field = fields.get(error.field, error.field)
            raise error from None
        return episodic_pb2.RecallResponse.FromString(answer)

    async def _list_namespaces(self, raw: bytes, context: CallContext) -> bytes:
        request = decoded(admin_pb2.ListNamespacesRequest, raw)
        pages = await self._ask_all(_A + "ListNamespaces", raw, context, admin_pb2.ListNamespacesResponse)
        found = sorted((each for page in pages for each in page.namespaces), key=lambda each: each.name)
        size = request.page_size or max(len(page.namespaces) for page in pages)
        more = len(found) > size or any(page.next_page_token for page in pages)
        token = found[:size][-1].name if more else ""
        return admin_pb2.ListNamespacesResponse(namespaces=found[:size], next_page_token=token).SerializeToString()

    async def _get_operation(self, raw: bytes, context: CallContext) -> bytes:
        """NOT_FOUND where no shard has a part of it; of those that have none where others have, the result tells."""
        shards = self._shards.applications
        asked = [self._inner.unary(shard, _A + "GetOperation", raw, context) for shard in shards]
        answers = await asyncio.gather(*asked, return_exceptions=True)
        failed = [answer for answer in answers if isinstance(answer, BaseException)]
        if other := [error for error in failed if not (isinstance(error, MnemeError) and error.reason == "NOT_FOUND")]:
            raise other[0]
        found = [admin_pb2.GetOperationResponse.FromString(a).operation for a in answers if isinstance(a, bytes)]
        if not found:
            raise failed[0]
        operation = merged(found)
        if failed:
            without = [shard for shard, answer in zip(shards, answers, strict=True) if not isinstance(answer, bytes)]
            operation.result["no_part_in"] = ", ".join(without)
        return admin_pb2.GetOperationResponse(operation=operation).SerializeToString()

    async def _rebuild(self, raw: bytes, context: CallContext) -> bytes:
        request = decoded(admin_pb2.RebuildRequest, raw)
        request.id = request.id or secrets.token_hex(8)  # the same for all: together they are one operation
        first, *others = self._shards.applications
        # So that nothing begins where one of them does not answer.
        spaces = admin_pb2.ListNamespacesRequest(page_size=1).SerializeToString()
        await self._ask_all(_A + "ListNamespaces", spaces, context, admin_pb2.ListNamespacesResponse)
        # The first alone: of two rebuilds at once it refuses one, which then has begun nowhere.
        begun = [await self._begin(first, request, context)]
        rest = await asyncio.gather(*(self._begin(shard, request, context) for shard in others), return_exceptions=True)
        begun += [each for each in rest if isinstance(each, Operation)]
        for failed in rest:
            if isinstance(failed, MnemeError):
                raise _half_begun(request.id, len(begun), len(others) + 1, failed)
            if isinstance(failed, BaseException):
                raise failed
        return admin_pb2.RebuildResponse(operation=merged(begun)).SerializeToString()

    async def _begin(self, shard: str, request: admin_pb2.RebuildRequest, context: CallContext) -> Operation:
        answer = await self._inner.unary(shard, _A + "Rebuild", request.SerializeToString(), context)
        return admin_pb2.RebuildResponse.FromString(answer).operation

    async def _ask_all(self, method: str, request: bytes, context: CallContext, answer: type[M]) -> list[M]:
        shards = self._shards.applications
        return list(
            map(answer.FromString, await _all(self._inner.unary(shard, method, request, context) for shard in shards))
        )


def _half_begun(id: str, begun: int, shards: int, error: MnemeError) -> MnemeError:
    return MnemeError(
        error.reason,
        f"The rebuild has begun in {begun} of {shards} shards. In another one: {error.message}",
        remedy="Ask again with the id of this error's metadata: what has begun goes on, and the rest begins.",
        metadata={**error.metadata, "id": id, "operation": operation_id(id), "begun": str(begun)},
    )


T = TypeVar("T")


async def _all(calls: Iterable[Awaitable[T]]) -> list[T]:
    """What all of them give, in order. The first that fails cancels the others, and its error is raised."""
    tasks = [asyncio.ensure_future(call) for call in calls]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@cache
def _request_type(method: str) -> type[Message]:
    found = descriptor_pool.Default().FindMethodByName(method.replace("/", "."))
    made: type[Message] = message_factory.GetMessageClass(found.input_type)
    return made
