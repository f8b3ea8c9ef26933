"""The model's wording of what was recalled: whether there is one, and which of its sentences the notes bear out."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TypeVar

from mneme.v1 import reasoning_pb2 as pb
from mneme.v1.episodic_pb2 import RecallResponse
from mneme.v1.reasoning_pb2 import AskRequest

from services.common.models.packages import ModelError
from services.common.serving.errors import MnemeError, invalid
from services.common.serving.fair import FairThreads
from services.common.serving.serving import Call
from services.reasoning import converters
from services.reasoning.config import ReasoningConfig
from services.reasoning.engine.port import Finished, Refused, check_sampling
from services.reasoning.extract import sentences
from services.reasoning.grounding import Grounding
from services.reasoning.models.tokenizer import TooLong
from services.reasoning.prompt import Note, Prompt, ask_prompt, support
from services.reasoning.writer import Order, Writer

T = TypeVar("T")

# Kept of a call's deadline, to say that the engine's ended.
MARGIN_S = 0.2
# Characters after which a sentence that does not end is taken as far as its last white space.
_LONGEST = 1_000


@dataclass(slots=True)
class _Said:
    """What became of a model's sentences so far."""

    grounding: Grounding
    released: list[str] = field(default_factory=list)
    cited: list[Note] = field(default_factory=list)
    withheld: int = 0

    def check(self, text: str) -> pb.WordingPiece | None:
        """What of whole sentences may be sent; None: nothing."""
        kept: list[str] = []
        cited: list[Note] = []
        for sentence, as_written in _with_space_before(text):
            notes = self.grounding.cited(sentence)
            if notes is None:
                self.withheld += 1
                continue
            kept.append(as_written if self.released or kept else sentence)
            cited += [note for note in notes if note not in cited]
        if not kept:
            return None
        self.released += kept
        self.cited += [note for note in cited if note not in self.cited]
        said = "".join(kept)
        return pb.WordingPiece(text=said, citations=converters.to_citations(support(said, cited)))

    def tell(self, end: pb.WordingEnd) -> None:
        """The citations of all of it, how much was withheld, and the outcome where that was everything."""
        end.citations.extend(converters.to_citations(support("".join(self.released), self.cited)))
        end.withheld = self.withheld
        if end.outcome == pb.WORDING_OUTCOME_WORDED and self.withheld:
            plural = "s were" if self.withheld > 1 else " was"
            end.detail = f"{self.withheld} sentence{plural} withheld: the notes do not hold all that they claim."
            end.outcome = pb.WORDING_OUTCOME_WORDED if self.released else pb.WORDING_OUTCOME_WITHHELD


class Worder:
    """Lets one model word answers."""

    def __init__(self, config: ReasoningConfig, writer: Writer | None, threads: FairThreads) -> None:
        self._config = config
        self._writer = writer
        self._threads = threads

    @property
    def model(self) -> str:
        return self._writer.model if self._writer is not None else converters.NO_MODEL

    def check(self, request: AskRequest) -> None:
        """INVALID_FIELD when an answer of as many tokens as asked for leaves none for a prompt, or is drawn as none can
        be."""
        if self._writer is not None and request.wording.max_tokens >= self._writer.context:
            raise invalid(
                "wording.max_tokens",
                f"Prompt and answer share the {self._writer.context} tokens of the model's context.",
                "Ask for fewer tokens, or 0 for the service's default.",
            )
        try:
            check_sampling(converters.to_sampling(request.wording.sampling))
        except Refused as refused:
            remedy = "Change it as it says, or leave it out."
            raise invalid(f"wording.{refused.field}", refused.reason, remedy) from refused

    def begin(self, request: AskRequest, found: bool) -> pb.WordingEnd | None:
        """How the wording ends that is not to be; without an outcome where the model is to be asked.

        None: nobody expects one, or who sets options is told why there is none.
        """
        asked = request.HasField("wording")
        if request.extractive_only or (self._writer is None and not asked):
            return None
        if self._writer is None:
            return pb.WordingEnd(outcome=pb.WORDING_OUTCOME_NO_MODEL)
        if self._config.wording == "off":
            return pb.WordingEnd(outcome=pb.WORDING_OUTCOME_OFF)
        if not asked and not self._config.words_unasked:
            return pb.WordingEnd(outcome=pb.WORDING_OUTCOME_NOT_ASKED)
        return pb.WordingEnd(outcome=pb.WORDING_OUTCOME_UNSPECIFIED if found else pb.WORDING_OUTCOME_NOT_FOUND)

    async def word(
        self, request: AskRequest, response: RecallResponse, call: Call, end: pb.WordingEnd
    ) -> AsyncGenerator[pb.WordingPiece, None]:
        """The sentences that the notes bear out; ``end`` then says how it ended. The quotes stand in any case."""
        assert self._writer is not None
        try:
            order, prompt = await self._order(self._writer, request, response, call)
            if not prompt.notes:  # a model that is given no note invents one
                end.outcome = pb.WORDING_OUTCOME_NO_ROOM
                return
            asked_on = converters.asked_on(request)
            grounding = await self._run(call, lambda: Grounding(request.question, prompt.notes, asked_on))
            said = _Said(grounding)
            async with aclosing(self._checked(self._writer, order, call, end, said)) as pieces:
                async for piece in pieces:
                    yield piece
            said.tell(end)
        except TooLong:
            end.outcome = pb.WORDING_OUTCOME_FAILED
            context = self._writer.context
            end.detail = f"The question and max_tokens do not fit the {context} tokens of the model's context."
        except (MnemeError, ModelError) as error:
            overloaded = isinstance(error, MnemeError) and error.reason == "OVERLOADED"
            end.outcome = pb.WORDING_OUTCOME_OVERLOADED if overloaded else pb.WORDING_OUTCOME_FAILED
            end.detail = error.message if isinstance(error, MnemeError) else str(error)

    async def _order(
        self, writer: Writer, request: AskRequest, response: RecallResponse, call: Call
    ) -> tuple[Order, Prompt]:
        options = request.wording
        most = options.max_tokens or self._config.wording_tokens
        notes = converters.to_notes(response)
        room = writer.context - most
        prompt = await self._run(call, lambda: ask_prompt(writer.tokenizer, request.question, notes, room))
        scope = converters.to_scope(request.namespace, response.erasure_epochs)
        return Order(prompt.ids, most, scope, prompt.spans, converters.to_sampling(options.sampling)), prompt

    async def _checked(
        self, writer: Writer, order: Order, call: Call, end: pb.WordingEnd, said: _Said
    ) -> AsyncGenerator[pb.WordingPiece, None]:
        """Sentences as soon as they are whole and borne out; what the model leaves unfinished last."""
        pending = ""
        async with aclosing(writer.write(order, call.time_left_s() - MARGIN_S)) as events:
            async for event in events:
                if isinstance(event, Finished):
                    self._ended(writer, event, end)
                    continue
                pending += event.text
                if cut := _whole(pending):
                    ready, pending = pending[:cut], pending[cut:]
                    if piece := await self._run(call, lambda ready=ready: said.check(ready)):  # type: ignore[misc]
                        yield piece
        if piece := await self._run(call, lambda: said.check(pending)):
            yield piece

    async def _run(self, call: Call, work: Callable[[], T]) -> T:
        return await self._threads.run(call.caller.tenant, work)

    def _ended(self, writer: Writer, ended: Finished, end: pb.WordingEnd) -> None:
        end.usage.CopyFrom(converters.to_usage(ended, writer.name))
        worded = ended.reason in ("stop", "length")
        end.outcome = pb.WORDING_OUTCOME_WORDED if worded else pb.WORDING_OUTCOME_FAILED
        end.detail = ended.detail or ("" if worded else f"The engine ended it: {ended.reason}.")


def _whole(text: str) -> int:
    """How many of its characters are sentences that nothing more belongs to."""
    found = sentences(text)
    if len(found) > 1:
        return len(text[: text.rindex(found[-1])].rstrip())
    return max(0, text.rstrip().rfind(" ")) if len(text) > _LONGEST else 0


def _with_space_before(text: str) -> Iterator[tuple[str, str]]:
    """Each sentence of a text, alone and with the white space before it."""
    at = 0
    for sentence in sentences(text):
        end = text.index(sentence, at) + len(sentence)
        yield sentence, text[at:end]
        at = end
