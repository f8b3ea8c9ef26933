"""Episodic's shards as one application: a call goes to the shard of its namespace, or to all of them."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from typing import Any, TypeVar

from google.protobuf import descriptor_pool, message_factory
from google.protobuf.message import Message
from mneme.v1 import admin_pb2, episodic_pb2
from mneme.v1 import admin_service_pb2 as _admin  # noqa: F401  # imported for their descriptors
from mneme.v1 import episodic_service_pb2 as _episodic  # noqa: F401

from services.common.ledger.assignment import HELD, Assignment
from services.common.serving.errors import MnemeError
from services.common.serving.operations import merged, operation_id
from services.common.serving.pages import fitting, page_size
from services.common.serving.serving import CallContext, Waiting, decoded
from services.common.serving.shards import Moved, application_of, require_few
from services.gateway.backend import Backend
from services.gateway.recalls import merged_recalls
from services.gateway.routes import Routes

M = TypeVar("M", bound=Message)
_E, _A = "mneme.v1.EpisodicService/", "mneme.v1.AdminService/"


class ShardedBackend:
    """What a ``Backend`` is, of one application in several shards. Each shard checks the caller's rights itself.

    A call for a partition that is on its way to another shard waits, within its time, until it has arrived.
    """

    def __init__(self, inner: Backend, routes: Routes) -> None:
        self._inner = inner
        self._routes = routes
        self._gathers: Mapping[str, Callable[[Assignment, bytes, CallContext], Awaitable[bytes]]] = {
            _E + "Recall": self._recall,
            _A + "ListNamespaces": self._list_namespaces,
            _A + "ListUsage": self._list_usage,
            _A + "ListAudit": self._list_audit,
            _A + "GetOperation": self._get_operation,
            _A + "Rebuild": self._rebuild,
        }

    async def unary(self, app: str, method: str, request: bytes, context: CallContext) -> bytes:
        gather = self._gathers.get(method, partial(self._of_owner, method))
        if method == _A + "Rebuild":
            request = _named(request)
        return await self._routes.settled(lambda now, left: gather(now, request, left), context)

    async def page(
        self, app: str, method: str, request: bytes, cursor: bytes, context: CallContext
    ) -> tuple[list[bytes], bytes]:
        def page(now: Assignment, left: CallContext) -> Awaitable[tuple[list[bytes], bytes]]:
            return self._inner.page(_owner(now, method, request), method, request, cursor, left)

        return await self._routes.settled(page, context)

    async def stream(
        self, app: str, method: str, request: bytes, context: CallContext
    ) -> AsyncGenerator[bytes | Waiting, None]:
        async for message in self._inner.stream(_owner(self._routes.now, method, request), method, request, context):
            yield message

    async def fold(self, app: str, method: str, state: bytes, requests: list[bytes], context: CallContext) -> bytes:
        owner = _owner(self._routes.now, method, requests[0])
        return await self._inner.fold(owner, method, state, requests, context)

    async def ping(self, app: str) -> None:
        await _all(self._inner.ping(shard) for shard in self._routes.now.applications)

    async def leave(self, app: str) -> None:
        await _all(self._inner.leave(shard) for shard in self._routes.now.applications)

    async def follow(self) -> None:
        """Leave shards that have no partition any more, for ever."""
        known = set[str]()
        while True:
            now = self._routes.now
            for shard in known - set(now.applications):
                await self._inner.leave(shard)
            known = set(now.applications)
            await self._routes.changed(now)

    async def _of_owner(self, method: str, now: Assignment, request: bytes, context: CallContext) -> bytes:
        return await self._inner.unary(_owner(now, method, request), method, request, context)

    # --- of several shards ---

    async def _recall(self, now: Assignment, raw: bytes, context: CallContext) -> bytes:
        request = decoded(episodic_pb2.RecallRequest, raw)
        require_few(request.scopes)  # before they are looked at, and of all: a shard would count its own
        fields = {request.namespace: "namespace"}
        for n, scope in enumerate(request.scopes):
            fields.setdefault(scope, f"scopes[{n}]")
        parts: dict[str, list[tuple[str, str]]] = {}  # by shard: namespaces, and the field that names each
        for name, field in fields.items():
            parts.setdefault(_served_by(now, name), []).append((name, field))
        own = now.application(request.namespace)
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

    async def _list_namespaces(self, now: Assignment, raw: bytes, context: CallContext) -> bytes:
        size = page_size(decoded(admin_pb2.ListNamespacesRequest, raw).page_size)
        pages = await self._ask_all(now, _A + "ListNamespaces", raw, context, admin_pb2.ListNamespacesResponse)
        shown, token = _first(pages, size, lambda each: each.name)
        return admin_pb2.ListNamespacesResponse(namespaces=shown, next_page_token=token).SerializeToString()

    async def _list_usage(self, now: Assignment, raw: bytes, context: CallContext) -> bytes:
        size = page_size(decoded(admin_pb2.ListUsageRequest, raw).page_size)
        pages = await self._ask_all(now, _A + "ListUsage", raw, context, admin_pb2.ListUsageResponse)
        shown, token = _first(pages, size, lambda each: each.namespace)
        return admin_pb2.ListUsageResponse(namespaces=shown, next_page_token=token).SerializeToString()

    async def _list_audit(self, now: Assignment, raw: bytes, context: CallContext) -> bytes:
        """What was done to the service itself any shard knows: it is in the log."""
        method = _A + "ListAudit"
        if decoded(admin_pb2.ListAuditRequest, raw).namespace:
            return await self._of_owner(method, now, raw, context)
        return await self._inner.unary(now.applications[0], method, raw, context)

    async def _get_operation(self, now: Assignment, raw: bytes, context: CallContext) -> bytes:
        """Any shard knows all parts of it: they are in the log."""
        return await self._inner.unary(now.applications[0], _A + "GetOperation", raw, context)

    async def _rebuild(self, now: Assignment, raw: bytes, context: CallContext) -> bytes:
        # So that nothing begins where one of them does not answer.
        spaces = admin_pb2.ListNamespacesRequest(page_size=1).SerializeToString()
        await self._ask_all(now, _A + "ListNamespaces", spaces, context, admin_pb2.ListNamespacesResponse)
        first, *others = self._asked(now, _A + "Rebuild", raw, context)
        # The first alone: of two rebuilds at once it refuses one, which then has begun nowhere.
        answers = [await first(), *await asyncio.gather(*(ask() for ask in others), return_exceptions=True)]
        begun = [admin_pb2.RebuildResponse.FromString(each).operation for each in answers if isinstance(each, bytes)]
        for failed in answers:
            if isinstance(failed, MnemeError) and not isinstance(failed, Moved):
                raise _half_begun(admin_pb2.RebuildRequest.FromString(raw).id, len(begun), len(answers), failed)
            if isinstance(failed, BaseException):
                raise failed
        return admin_pb2.RebuildResponse(operation=merged(begun)).SerializeToString()

    async def _ask_all(
        self, now: Assignment, method: str, request: bytes, context: CallContext, answer: type[M]
    ) -> list[M]:
        asked = self._asked(now, method, request, context)
        return list(map(answer.FromString, await _all(ask() for ask in asked)))

    def _asked(
        self, now: Assignment, method: str, request: bytes, context: CallContext
    ) -> list[Callable[[], Awaitable[bytes]]]:
        """Calls of every shard for its partitions, each of which is thus asked for once; Moved where one moves."""
        if now.moving:
            raise Moved
        return [
            partial(
                self._inner.unary,
                application_of(shard),
                method,
                request,
                replace(context, partitions=frozenset(now.held_by(shard))),
            )
            for shard in sorted(set(now.shards))
        ]


def _owner(now: Assignment, method: str, request: bytes) -> str:
    """The shard of the namespace that a request names; of one that names none, whichever refuses it."""
    named: Any = decoded(_request_type(method), request)
    return _served_by(now, named.namespace)


def _served_by(now: Assignment, namespace: str) -> str:
    """Moved while nobody serves it."""
    if now.owners[now.partition_of(namespace)].phase != HELD:
        raise Moved
    return now.application(namespace)


def _first(pages: Sequence[Any], size: int, name: Callable[[Any], str]) -> tuple[list[Any], str]:
    """The first namespaces of what the shards list, in the order of their names; and the token of the next page."""
    found = sorted((each for page in pages for each in page.namespaces), key=name)
    # Behind where a shard's page ends, it has more that are not here.
    ends = [page.next_page_token for page in pages if page.next_page_token]
    known = [each for each in found if all(name(each) <= end for end in ends)]
    shown, _ = fitting(known[:size], lambda each: each.ByteSize())
    return shown, name(shown[-1]) if len(shown) < len(known) else min(ends, default="")


def _named(raw: bytes) -> bytes:
    """A request to rebuild, with an id: the same for all shards, so that together they are one operation."""
    request = decoded(admin_pb2.RebuildRequest, raw)
    request.id = request.id or secrets.token_hex(8)
    return request.SerializeToString()


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
