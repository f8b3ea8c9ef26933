"""Ask: recall, quote, say how sure. Translates; the work is in extract.py."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from mneme.v1.reasoning_pb2 import AskRequest, AskResponse

from services.common import telemetry
from services.common.auth import Signer
from services.common.errors import MnemeError
from services.common.serving import Application, Call, Handler
from services.reasoning import converters
from services.reasoning.config import ReasoningConfig
from services.reasoning.extract import extract
from services.reasoning.recaller import Recaller


class Reasoning:
    def __init__(self, config: ReasoningConfig, recaller: Recaller) -> None:
        self._config = config
        self._recaller = recaller

    async def ask(self, request: AskRequest, call: Call) -> AsyncIterator[AskResponse]:
        """Evidence as soon as it is there, then the extractive answer, then what it took.

        Where recall finds nothing good enough, the evidence holds the nearest misses and no sentence is quoted.
        """
        call.require_namespace(request.namespace)
        for scope in request.scopes:
            call.require_namespace(scope, "scopes")
        stages = telemetry.Stages("reasoning")
        try:
            with stages("recall"):
                response = await self._recaller.recall(converters.to_recall(request, self._config.evidence), call)
        except MnemeError as error:
            raise converters.as_asked(error) from error
        yield converters.evidence_part(response)
        with stages("extract"):
            sources = converters.to_sources(response) if response.found else []
            chosen = await asyncio.to_thread(extract, request.question, sources, self._config.sentences)
        yield converters.extractive_part(response, chosen)
        yield converters.done_part(request, response, stages.seconds)


def application(reasoning: Reasoning, grants: Signer) -> Application:
    handlers = {"mneme.v1.ReasoningService/Ask": Handler(AskRequest, reasoning.ask)}
    return Application("reasoning", grants, handlers)
