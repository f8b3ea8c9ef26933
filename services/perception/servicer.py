"""The handlers of perception: translate, call, translate back."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from mneme.v1.admin_pb2 import CreateNamespaceRequest, CreateNamespaceResponse
from mneme.v1.perception_pb2 import EndSessionRequest, EndSessionResponse, ObserveRequest, ObserveResponse

from services.common import telemetry
from services.common.errors import MnemeError
from services.common.serving import Call, Handler
from services.perception import converters
from services.perception.accept import Accepted, Intake


class Servicer:
    """Runs the intake in threads, so that the event loop stays free."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake

    def handlers(self) -> Mapping[str, Handler]:
        return {
            "mneme.v1.PerceptionService/Observe": Handler(ObserveRequest, self.observe),
            "mneme.v1.PerceptionService/EndSession": Handler(EndSessionRequest, self.end_session),
            "mneme.v1.AdminService/CreateNamespace": Handler(CreateNamespaceRequest, self.create_namespace),
        }

    async def observe(self, state: bytes, requests: Sequence[ObserveRequest], call: Call) -> bytes:
        """One page of a stream. ``state`` is the response so far."""
        response = ObserveResponse.FromString(state)
        observations = [request.observation for request in requests]
        with telemetry.QUEUE.labels("perception", "observe").track_inprogress():
            try:
                outcomes = await asyncio.to_thread(self._intake.observe, observations, call.caller)
            except MnemeError as error:
                # Nothing of this page is acknowledged; the pages before are.
                raise converters.refused(error, response) from error
        refusal = outcomes[-1] if outcomes and isinstance(outcomes[-1], MnemeError) else None
        converters.add(response, [o for o in outcomes if isinstance(o, Accepted)])
        if refusal is not None:
            raise converters.refused(refusal, response)
        return response.SerializeToString()

    async def end_session(self, request: EndSessionRequest, call: Call) -> EndSessionResponse:
        place = await asyncio.to_thread(self._intake.end_session, request.namespace, request.session, call.caller)
        return EndSessionResponse(position=converters.to_position(place))

    async def create_namespace(self, request: CreateNamespaceRequest, call: Call) -> CreateNamespaceResponse:
        place = await asyncio.to_thread(self._intake.create_namespace, converters.to_settings(request), call.caller)
        return CreateNamespaceResponse(position=converters.to_position(place))
