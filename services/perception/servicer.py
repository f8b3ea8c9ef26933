"""The handlers of perception: translate, call, translate back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextvars import copy_context
from functools import partial
from typing import ParamSpec, TypeVar

from mneme.v1.admin_pb2 import (
    CreateNamespaceRequest,
    CreateNamespaceResponse,
    ListDeadLettersRequest,
    ListDeadLettersResponse,
    PurgeDeadLettersRequest,
    PurgeDeadLettersResponse,
    ReplayDeadLettersRequest,
    ReplayDeadLettersResponse,
    UpdateNamespaceRequest,
    UpdateNamespaceResponse,
)
from mneme.v1.perception_pb2 import EndSessionRequest, EndSessionResponse, ObserveRequest, ObserveResponse

from services.common import telemetry
from services.common.log.away import unavailable
from services.common.log.base import LogError
from services.common.serving.errors import MnemeError
from services.common.serving.fair import FairThreads
from services.common.serving.pages import page_size
from services.common.serving.serving import Call, Handler, tenant
from services.perception import converters
from services.perception.intake.accept import Intake
from services.perception.intake.decision import Accepted
from services.perception.refused import RefusedRecords

P = ParamSpec("P")
T = TypeVar("T")

# A page of many observations takes seconds, most of them in Python, which computes in one thread at a time.
_THREADS = 6
_THREADS_A_PRINCIPAL = 2


class Servicer:
    """Runs the intake in threads, so that the event loop stays free."""

    def __init__(self, intake: Intake, refused: RefusedRecords) -> None:
        self._intake = intake
        self._refused = refused
        self._threads = FairThreads(_THREADS, _THREADS_A_PRINCIPAL, tenant, "call")

    def handlers(self) -> Mapping[str, Handler]:
        return {
            "mneme.v1.PerceptionService/Observe": Handler(ObserveRequest, self.observe),
            "mneme.v1.PerceptionService/EndSession": Handler(EndSessionRequest, self.end_session),
            "mneme.v1.AdminService/CreateNamespace": Handler(CreateNamespaceRequest, self.create_namespace),
            "mneme.v1.AdminService/UpdateNamespace": Handler(UpdateNamespaceRequest, self.update_namespace),
            "mneme.v1.AdminService/ListDeadLetters": Handler(ListDeadLettersRequest, self.list_dead_letters),
            "mneme.v1.AdminService/ReplayDeadLetters": Handler(ReplayDeadLettersRequest, self.replay_dead_letters),
            "mneme.v1.AdminService/PurgeDeadLetters": Handler(PurgeDeadLettersRequest, self.purge_dead_letters),
        }

    async def observe(self, state: bytes, requests: Sequence[ObserveRequest], call: Call) -> bytes:
        """One page of a stream. ``state`` is the response so far."""
        response = ObserveResponse.FromString(state)
        observations = [request.observation for request in requests]
        with telemetry.QUEUE.labels("perception", "observe").track_inprogress():
            try:
                outcomes = await self._run(self._intake.observe, observations, call.caller)
            except MnemeError as error:
                # Nothing of this page is acknowledged; the pages before are.
                raise converters.refused(error, response) from error
        refusal = outcomes[-1] if outcomes and isinstance(outcomes[-1], MnemeError) else None
        converters.add(response, [o for o in outcomes if isinstance(o, Accepted)])
        if refusal is not None:
            raise converters.refused(refusal, response)
        return response.SerializeToString()

    async def end_session(self, request: EndSessionRequest, call: Call) -> EndSessionResponse:
        place = await self._run(self._intake.end_session, request.namespace, request.session, call.caller)
        return EndSessionResponse(position=converters.to_position(place))

    async def create_namespace(self, request: CreateNamespaceRequest, call: Call) -> CreateNamespaceResponse:
        place = await self._run(self._intake.create_namespace, converters.to_settings(request), call.caller)
        return CreateNamespaceResponse(position=converters.to_position(place))

    async def update_namespace(self, request: UpdateNamespaceRequest, call: Call) -> UpdateNamespaceResponse:
        request.DiscardUnknownFields()  # they are bounded by nothing that is checked, and part of what it asks for
        place = await self._run(self._intake.change_namespace, request, call.caller)
        return UpdateNamespaceResponse(position=converters.to_position(place))

    async def list_dead_letters(self, request: ListDeadLettersRequest, call: Call) -> ListDeadLettersResponse:
        _require_all_of(request.namespace, call)
        size = page_size(request.page_size)
        page = partial(self._refused.page, with_payload=request.with_payload)
        records, token = await self._letters(page, request.namespace, size, request.page_token)
        return ListDeadLettersResponse(records=records, next_page_token=token)

    async def replay_dead_letters(self, request: ReplayDeadLettersRequest, call: Call) -> ReplayDeadLettersResponse:
        _require_all_of(request.namespace, call)
        records = await self._letters(self._refused.replay, request.namespace, request.ids, call.caller.principal)
        return ReplayDeadLettersResponse(records=records)

    async def purge_dead_letters(self, request: PurgeDeadLettersRequest, call: Call) -> PurgeDeadLettersResponse:
        _require_all_of(request.namespace, call)
        purged = await self._letters(self._refused.purge, request.namespace, request.ids, call.caller.principal)
        return PurgeDeadLettersResponse(purged=purged)

    async def _letters(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """As ``_run``. LOG_UNAVAILABLE."""
        try:
            return await self._run(function, *args, **kwargs)
        except LogError as error:
            raise unavailable(error, "The log does not answer.", "Try again: what was done is done once.") from error

    async def _run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """In a thread of the calls, within the current trace."""
        work = partial(copy_context().run, function, *args, **kwargs)
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)


def _require_all_of(namespace: str, call: Call) -> None:
    """PERMISSION_DENIED unless the caller may administer the namespace; where none is named, every one."""
    if namespace:
        call.require_namespace(namespace)
    else:
        call.caller.require_every_namespace(
            "Without a namespace these are of every one, and of none.",
            field="namespace",
            remedy='Name the namespace, or use a token whose prefix is "".',
        )
