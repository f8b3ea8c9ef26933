"""Ask and Generate below the transport: a memory that answers as told, an engine that says what it is told."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from mneme.v1 import reasoning_pb2 as pb
from mneme.v1.episodic_pb2 import RecallRequest, RecallResponse

from services.common.crypto.auth import Caller, Right
from services.common.models.packages import locate, verify
from services.common.serving.serving import Call
from services.reasoning.blocks import EngramRef
from services.reasoning.config import ReasoningConfig
from services.reasoning.engine.port import Dropped, EngineStats, Event, Finished, Request, Token, Usage
from services.reasoning.models.gguf_file import GgufFile
from services.reasoning.models.tokenizer import ChatTokenizer, from_gguf
from services.reasoning.servicer import Reasoning
from services.reasoning.writer import Writer

P = TypeVar("P")
STOP = 0  # ends a scripted answer; of SmolLM2, the end of a text


def call(seconds: float = 60, principal: str = "ann") -> Call:
    caller = Caller(principal, ("home",), frozenset(Right), "t", time.time() + 600)
    return Call(caller, "grant", time.monotonic() + seconds)


async def everything(parts: AsyncIterator[P]) -> list[P]:
    return [part async for part in parts]


@dataclass
class Memory:
    response: RecallResponse
    asked: list[RecallRequest] = field(default_factory=list)
    epochs_asked: list[str] = field(default_factory=list)

    async def recall(self, request: RecallRequest, call: Call) -> RecallResponse:
        self.asked.append(request)
        return self.response

    async def erasure_epoch(self, namespace: str, call: Call) -> int:
        self.epochs_asked.append(namespace)
        return self.response.erasure_epochs[namespace]


def tokenizer_of(config: ReasoningConfig) -> ChatTokenizer:
    """The packaged model's, without its weights."""
    path = locate(config.model.package) / config.model.file
    return from_gguf(GgufFile(verify(path, config.model.sha256, "reasoning.model.sha256")))


@dataclass
class Script:
    """The events of one request, all there from the start."""

    events: list[Event]

    def __iter__(self) -> Iterator[Event]:
        return iter(self.events)

    async def __aiter__(self) -> AsyncIterator[Event]:
        for event in self.events:
            yield event


class ScriptedEngine:
    """An Engine whose model says ``text`` whatever it is asked, as far as the tokens reach that it may make."""

    def __init__(self, tokenizer: ChatTokenizer, text: str, pages: int = 64) -> None:
        self.tokenizer = tokenizer
        self.text = text
        self.pages = pages
        self.requests: list[Request] = []

    def submit(self, request: Request) -> Script:
        self.requests.append(request)
        tokens = self.tokenizer.encode(self.text)
        said = tokens[: request.max_tokens]
        usage = Usage(len(request.prompt), len(said), 0, 0, 0, 0, 0, 0.0, 0.0)
        ended = Finished(0, "stop" if said == tokens else "length", usage)
        return Script([*(Token(0, token) for token in said), ended])

    def cancel(self, request_id: str) -> None: ...

    def drop(self, lineage: Collection[EngramRef], epochs: Mapping[str, int], *, timeout_s: float) -> Dropped:
        return Dropped(0, 0, 0)

    def stats(self) -> EngineStats:
        return EngineStats("scripted", "none", "none", self.pages, self.pages, 0, 0, 0, 0, len(self.requests), 0)

    def prompt(self) -> str:
        """The text of the newest prompt."""
        return self.tokenizer.decode(self.requests[-1].prompt)


def scripted(config: ReasoningConfig, memory: Memory, engine: ScriptedEngine) -> Reasoning:
    writer = Writer(engine, engine.tokenizer, "scripted", "engine-1", {STOP}, config.engine.max_context)
    return Reasoning(config, memory, writer)


def worded(parts: list[pb.AskResponse]) -> str:
    return "".join(part.wording.text for part in parts)


def lines(text: str) -> list[str]:
    return re.split(r"[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]", text)
