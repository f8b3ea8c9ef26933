"""Ask: recall, quote, say how sure, and let the model word it. Generate: continue a prompt. Translates only."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from functools import partial

from mneme.v1 import reasoning_pb2 as pb
from mneme.v1.reasoning_pb2 import AskRequest, AskResponse

from services.common import telemetry
from services.common.crypto.auth import Signer
from services.common.models.packages import ModelError
from services.common.serving.errors import MnemeError, invalid
from services.common.serving.fair import FairThreads
from services.common.serving.serving import WAITING, Application, Call, Handler, Waiting, tenant
from services.reasoning import converters
from services.reasoning.config import ReasoningConfig
from services.reasoning.extract import extract
from services.reasoning.models.tokenizer import TooLong
from services.reasoning.recaller import Recaller
from services.reasoning.wording import MARGIN_S, Worder
from services.reasoning.writer import Order, Piece, Writer

# Threads that cut, score and check texts: Python computes in one at a time, so more would bring nothing. A principal
# has one of them, so that another waits for one piece of work of each.
_THREADS = 2

KvStats = Callable[[], Awaitable[pb.GetKvStatsResponse]]


class Reasoning:
    def __init__(
        self,
        config: ReasoningConfig,
        recaller: Recaller,
        writer: Writer | None = None,
        kv_stats: KvStats | None = None,
    ) -> None:
        """``writer``: None where no model is configured. ``kv_stats``: of this node's store and engines."""
        self._config = config
        self._recaller = recaller
        self._writer = writer
        self._threads = FairThreads(_THREADS, 1, tenant, "ask")
        self._worder = Worder(config, writer, self._threads)
        self._kv_stats = kv_stats

    # --- Ask ---

    async def ask(self, request: AskRequest, call: Call) -> AsyncGenerator[AskResponse, None]:
        """Evidence as soon as it is there, then the extractive answer, then its wording, and what it took.

        Where recall finds nothing good enough, the evidence holds the nearest misses, no sentence is quoted, and the
        model is not asked. Neither is it for ``extractive_only``, nor unasked where the service is set so.
        """
        converters.check_namespaces(
            [("namespace", request.namespace), *(("scopes", scope) for scope in request.scopes)]
        )
        call.require_namespace(request.namespace)
        for scope in request.scopes:
            call.require_namespace(scope, "scopes")
        self._worder.check(request)
        stages = telemetry.Stages("reasoning")
        try:
            with stages("recall"):
                response = await self._recaller.recall(converters.to_recall(request, self._config.evidence), call)
        except MnemeError as error:
            raise converters.as_asked(error) from error
        yield converters.evidence_part(response)
        with stages("extract"):
            sources = converters.to_sources(response) if response.found else []
            most = self._config.sentences
            chosen = await self._threads.run(call.caller.tenant, lambda: extract(request.question, sources, most))
        yield converters.extractive_part(response, chosen)
        wording = self._worder.begin(request, response.found)
        if wording is not None and not wording.outcome:
            with stages("wording"):
                async with aclosing(self._worder.word(request, response, call, wording)) as pieces:
                    async for piece in pieces:
                        yield AskResponse(wording=piece)
        yield converters.done_part(request, response, stages.seconds, self._worder.model, wording)

    # --- Generate ---

    async def generate(self, request: pb.GenerateRequest, call: Call) -> AsyncGenerator[pb.GenerateResponse, None]:
        """Pieces as they are made, an end for each sample, then done."""
        converters.check_namespaces(converters.namespaces_of(request))
        call.require_namespace(request.namespace)
        for n, engram in enumerate(request.engrams.engrams):
            call.require_namespace(engram.namespace, f"engrams[{n}].namespace")
        for namespace in request.erasure_epochs:
            call.require_namespace(namespace, "erasure_epochs")
        converters.check_generate(request)
        if self._writer is None:
            raise MnemeError(
                "SERVICE_UNAVAILABLE",
                "No language model is configured.",
                remedy="Name one in reasoning.model, and start again.",
            )
        writer = self._writer
        try:
            most = self._config.engine.max_context
            prompt = await self._threads.run(call.caller.tenant, lambda: _encode(writer, request, most))
        except TooLong as error:
            field = "messages" if request.messages else "text"
            raise invalid(
                field, f"It has more than the {error.most} tokens of the model's context.", "Shorten it."
            ) from error
        except ModelError as error:
            raise invalid("messages", str(error), "Send turns that the template knows, or a plain text.") from error
        order = Order(
            prompt=tuple(prompt),
            max_tokens=request.max_tokens or self._config.generate_tokens,
            scope=converters.to_scope(request.namespace, await self._epochs(request, call)),
            spans=converters.to_spans(request),
            sampling=converters.to_sampling(request.sampling),
            samples=request.samples or 1,
        )
        try:
            async with aclosing(writer.write(order, call.time_left_s() - MARGIN_S)) as events:
                async for event in events:
                    if isinstance(event, Piece):
                        yield converters.generated_piece(event)
                    else:
                        yield converters.generated_end(event, writer.name)
        except MnemeError as error:
            raise converters.as_generated(error, request) from error
        yield converters.generate_done(request, writer.model)

    async def _epochs(self, request: pb.GenerateRequest, call: Call) -> Mapping[str, int]:
        """Erasure epochs of the prompt's namespaces: the caller's own words, and what holds now where it has none."""
        epochs = dict(request.erasure_epochs)
        if request.namespace not in epochs:
            epochs[request.namespace] = await self._recaller.erasure_epoch(request.namespace, call)
        return epochs

    # --- operating ---

    async def get_kv_stats(self, request: pb.GetKvStatsRequest, call: Call) -> pb.GetKvStatsResponse:
        call.caller.require_every_namespace("The counts are of all tenants together.")
        return await self._kv_stats() if self._kv_stats is not None else pb.GetKvStatsResponse()


def _encode(writer: Writer, request: pb.GenerateRequest, most: int) -> list[int]:
    if request.text:
        return writer.tokenizer.encode(request.text, most=most)
    messages = [{"role": m.role, "content": m.content} for m in request.messages]
    return writer.tokenizer.encode_chat(messages, most=most)


async def _ask(reasoning: Reasoning, request: AskRequest, call: Call) -> AsyncGenerator[AskResponse | Waiting, None]:
    """``ask``, which says of an impatient call that it waits, in recall, for what the index has not reached."""
    if request.HasField("freshness") and not call.patient:
        yield WAITING
    async with aclosing(reasoning.ask(request, call)) as parts:
        async for part in parts:
            yield part


def application(reasoning: Reasoning, grants: Signer) -> Application:
    service = "mneme.v1.ReasoningService/"
    handlers = {
        f"{service}Ask": Handler(AskRequest, partial(_ask, reasoning)),
        f"{service}Generate": Handler(pb.GenerateRequest, reasoning.generate),
        f"{service}GetKvStats": Handler(pb.GetKvStatsRequest, reasoning.get_kv_stats),
    }
    return Application("reasoning", grants, handlers)
