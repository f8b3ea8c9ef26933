"""Text out of an engine: submits a prompt, streams its text, and never leaves a request behind."""

from __future__ import annotations

import secrets
from collections.abc import AsyncGenerator, Collection
from dataclasses import dataclass

from services.common.serving.errors import MnemeError
from services.reasoning.blocks import BLOCK_TOKENS, Scope, Span
from services.reasoning.engine.port import Engine, EngineDown, Finished, Refused, Request, Sampling, Token
from services.reasoning.models.tokenizer import ChatTokenizer, TextStream


@dataclass(frozen=True, slots=True)
class Piece:
    """The next token of a sample, and the text that it completes; without a token, what was left at the end."""

    sample: int
    text: str
    token: int | None


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be written, for whom."""

    prompt: tuple[int, ...]
    max_tokens: int
    scope: Scope
    spans: tuple[Span, ...]
    sampling: Sampling
    samples: int = 1


class Writer:
    """One engine with the tokenizer of its model."""

    def __init__(
        self, engine: Engine, tokenizer: ChatTokenizer, model: str, name: str, eos: Collection[int], context: int
    ) -> None:
        """``name``: of the engine, as usage shows it. ``context``: tokens of prompt and answer together, as far as the
        engine's pool holds them.
        """
        self._engine = engine
        self.tokenizer = tokenizer
        self.model = model
        self.name = name
        self.context = min(context, engine.stats().pages * BLOCK_TOKENS)
        self._eos = frozenset(eos)

    async def write(self, order: Order, deadline_s: float) -> AsyncGenerator[Piece | Finished, None]:
        """Pieces of every sample in order, and one Finished for each. Close it, and the engine stops.

        OVERLOADED, INVALID_FIELD (the field is the engine's) or DEADLINE when the engine does not take it;
        SERVICE_UNAVAILABLE when it has stopped.
        """
        request = Request(
            id=secrets.token_hex(8),
            prompt=order.prompt,
            max_tokens=order.max_tokens,
            scope=order.scope,
            spans=order.spans,
            sampling=order.sampling,
            samples=order.samples,
            stop_ids=self._eos,
            deadline_s=deadline_s,
        )
        try:
            stream = self._engine.submit(request)
        except Refused as refused:
            raise _refusal(refused) from refused
        except TimeoutError as late:
            raise MnemeError("DEADLINE", "The deadline passed.", remedy="Allow more time, or ask for less.") from late
        except EngineDown as down:
            raise MnemeError("SERVICE_UNAVAILABLE", "The engine has stopped.", remedy="Try again.") from down
        texts = [TextStream(self.tokenizer) for _ in range(order.samples)]
        try:
            async for event in stream:
                if isinstance(event, Token):
                    yield Piece(event.sample, texts[event.sample].push(event.id), event.id)
                    continue
                rest = texts[event.sample].end()
                if rest:
                    yield Piece(event.sample, rest, None)
                yield event
        finally:
            self._engine.cancel(request.id)


def _refusal(refused: Refused) -> MnemeError:
    if refused.overloaded:
        return MnemeError("OVERLOADED", refused.reason, remedy="Retry with back-off.", metadata={"of": "engine"})
    return MnemeError("INVALID_FIELD", refused.reason, field=refused.field, remedy="Change the request as it says.")
