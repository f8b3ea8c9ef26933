"""Ask: recall, quote, say how sure, and let the model word it. Generate: continue a prompt. Translates only."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from functools import partial

from mneme.v1 import reasoning_pb2 as pb
from mneme.v1.episodic_pb2 import RecallRequest, RecallResponse
from mneme.v1.reasoning_pb2 import AskRequest, AskResponse

from services.common import telemetry
from services.common.auth import Signer
from services.common.errors import MnemeError, invalid
from services.common.models import ModelError
from services.common.serving import WAITING, Application, Call, Handler, Waiting
from services.reasoning import converters
from services.reasoning.config import ReasoningConfig
from services.reasoning.engine.port import Finished
from services.reasoning.extract import extract
from services.reasoning.prompt import Note, Prompt, ask_prompt, support
from services.reasoning.recaller import Recaller
from services.reasoning.writer import Order, Piece, Writer

# Kept of a call's deadline, to say that the engine's ended.
_MARGIN_S = 0.2

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
        self._kv_stats = kv_stats

    # --- Ask ---

    async def ask(self, request: AskRequest, call: Call) -> AsyncGenerator[AskResponse, None]:
        """Evidence as soon as it is there, then the extractive answer, then its wording, and what it took.

        Where recall finds nothing good enough, the evidence holds the nearest misses, no sentence is quoted, and the
        model is not asked. Neither is it for ``extractive_only``.
        """
        converters.check_namespaces(
            [("namespace", request.namespace), *(("scopes", scope) for scope in request.scopes)]
        )
        call.require_namespace(request.namespace)
        for scope in request.scopes:
            call.require_namespace(scope, "scopes")
        self._check_room(request.wording.max_tokens)
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
        wording = None
        if self._is_to_word(request):
            wording = pb.WordingEnd()
            with stages("wording"):
                async with aclosing(self._word(request, response, call, wording)) as pieces:
                    async for piece in pieces:
                        yield converters.wording_piece(piece)
        model = self._writer.model if self._writer is not None else converters.NO_MODEL
        yield converters.done_part(request, response, stages.seconds, model, wording)

    def _check_room(self, max_tokens: int) -> None:
        """INVALID_FIELD when an answer of so many tokens leaves none for a prompt."""
        if self._writer is not None and max_tokens >= self._writer.context:
            raise invalid(
                "wording.max_tokens",
                f"Prompt and answer share the {self._writer.context} tokens of the model's context.",
                "Ask for fewer tokens, or 0 for the service's default.",
            )

    def _is_to_word(self, request: AskRequest) -> bool:
        """By default where there is a model. Where there is none, who sets options is told so."""
        return not request.extractive_only and (self._writer is not None or request.HasField("wording"))

    async def _word(
        self, request: AskRequest, response: RecallResponse, call: Call, end: pb.WordingEnd
    ) -> AsyncGenerator[Piece, None]:
        """The pieces of the wording; ``end`` then says how it ended. The extractive answer stands in any case."""
        if self._writer is None:
            end.outcome = pb.WORDING_OUTCOME_NO_MODEL
            return
        if not response.found:
            end.outcome = pb.WORDING_OUTCOME_NOT_FOUND
            return
        writer, options = self._writer, request.wording
        most = options.max_tokens or self._config.wording_tokens
        notes = converters.to_notes(response)
        try:
            prompt = await asyncio.to_thread(
                ask_prompt, writer.tokenizer, request.question, notes, writer.context - most
            )
            order = Order(
                prompt=prompt.ids,
                max_tokens=most,
                scope=converters.to_scope(request.namespace, response.erasure_epochs),
                spans=prompt.spans,
                sampling=converters.to_sampling(options.sampling),
            )
            said: list[str] = []
            async with aclosing(writer.write(order, call.time_left_s() - _MARGIN_S)) as events:
                async for event in events:
                    if isinstance(event, Piece):
                        said.append(event.text)
                        if event.text:
                            yield event
                    else:
                        self._ended(event, end)
            end.citations.extend(_citations("".join(said), prompt))
        except (MnemeError, ModelError) as error:
            overloaded = isinstance(error, MnemeError) and error.reason == "OVERLOADED"
            end.outcome = pb.WORDING_OUTCOME_OVERLOADED if overloaded else pb.WORDING_OUTCOME_FAILED
            end.detail = error.message if isinstance(error, MnemeError) else str(error)

    def _ended(self, ended: Finished, end: pb.WordingEnd) -> None:
        assert self._writer is not None
        end.usage.CopyFrom(converters.to_usage(ended, self._writer.name))
        worded = ended.reason in ("stop", "length")
        end.outcome = pb.WORDING_OUTCOME_WORDED if worded else pb.WORDING_OUTCOME_FAILED
        end.detail = ended.detail or ("" if worded else f"The engine ended it: {ended.reason}.")

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
            prompt = await asyncio.to_thread(_encode, writer, request)
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
            async with aclosing(writer.write(order, call.time_left_s() - _MARGIN_S)) as events:
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
            # Whatever is recalled: the epochs come with it.
            now = await self._recaller.recall(RecallRequest(namespace=request.namespace, query="?", limit=1), call)
            epochs[request.namespace] = now.erasure_epochs[request.namespace]
        return epochs

    # --- operating ---

    async def get_kv_stats(self, request: pb.GetKvStatsRequest, call: Call) -> pb.GetKvStatsResponse:
        return await self._kv_stats() if self._kv_stats is not None else pb.GetKvStatsResponse()


def _encode(writer: Writer, request: pb.GenerateRequest) -> list[int]:
    if request.text:
        return writer.tokenizer.encode(request.text)
    return writer.tokenizer.encode_chat([{"role": m.role, "content": m.content} for m in request.messages])


def _citations(wording: str, prompt: Prompt) -> list[pb.Citation]:
    def cited(note: Note, share: float) -> pb.Citation:
        return pb.Citation(namespace=note.namespace, engram_id=note.engram_id, support=round(share, 4))

    return [cited(note, share) for note, share in support(wording, prompt.notes)]


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
