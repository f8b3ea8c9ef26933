"""A small random model and engines over it: real arithmetic, milliseconds a step."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import torch

from services.reasoning.blocks import Scope, Span
from services.reasoning.engine.chain import Put, Runner
from services.reasoning.engine.core import EngineCore
from services.reasoning.engine.fetch import Reader, at_once
from services.reasoning.engine.port import Event, Finished, Request, Sampling, Token
from services.reasoning.engine.settings import EngineSettings
from services.reasoning.engine.store import BlockStore
from services.reasoning.engine.stream import TokenStream
from services.reasoning.models.load import LoadedModel, load_directory
from tests.reasoning.models.reference import VOCAB, make

SETTINGS: dict[str, Any] = {
    "pool_pages": 64,
    "max_context": 512,
    "max_running": 8,
    "max_waiting": 8,
    "max_samples": 4,
    "step_tokens": 64,
    "chunk_tokens": 32,
    "stream_buffer": 256,
    "max_request_s": 60.0,
    "attention": "torch",
    "cpu_kernels": "torch",
    "publish_per_step": 64,
    "prefill_wait_s": 5.0,
}


def settings(**changes: Any) -> EngineSettings:
    return EngineSettings(**{**SETTINGS, **changes})


def load(folder: Path, kind: str = "llama") -> LoadedModel:
    return load_directory(make(kind, folder), dtype="float32")


def prompt(length: int, seed: int = 0) -> tuple[int, ...]:
    return tuple(torch.randint(3, VOCAB, (length,), generator=torch.Generator().manual_seed(seed)).tolist())


def inline(put: Callable[[], Put]) -> Future[Put]:
    """The runner that runs a put at once."""
    done: Future[Put] = Future()
    done.set_result(put())
    return done


class Driver:
    """An engine core whose steps the test takes itself."""

    def __init__(
        self,
        model: LoadedModel,
        store: BlockStore | None = None,
        clock: Callable[[], float] | None = None,
        runner: Runner = inline,
        reader: Reader = at_once,
        **changes: Any,
    ) -> None:
        self.settings = settings(**changes)
        self.core = EngineCore(model, self.settings, store, runner, clock or time.monotonic, reader)
        self._streams: dict[str, TokenStream] = {}
        self._ids = 0

    def submit(
        self,
        tokens: tuple[int, ...],
        max_tokens: int = 8,
        *,
        namespace: str = "ns",
        epochs: dict[str, int] | None = None,
        spans: tuple[Span, ...] = (),
        sampling: Sampling | None = None,
        samples: int = 1,
        stop_ids: frozenset[int] = frozenset(),
        deadline_s: float = 60.0,
    ) -> str:
        self._ids += 1
        request = Request(
            id=f"r{self._ids}",
            prompt=tokens,
            max_tokens=max_tokens,
            scope=Scope.of(namespace, epochs or {}),
            spans=spans,
            sampling=sampling or Sampling(),
            samples=samples,
            stop_ids=stop_ids,
            deadline_s=deadline_s,
        )
        stream = TokenStream(samples, self.settings.stream_buffer, deadline_s, lambda: None)
        self.core.submit(self.core.prepare(request, stream))
        self._streams[request.id] = stream
        return request.id

    def run(self, steps: int = 10_000) -> None:
        """Steps until nothing is left to do."""
        for _ in range(steps):
            self.core.step()
            if self.core.idle:
                return
        raise AssertionError(f"still busy after {steps} steps")

    def run_until_paused(self) -> None:
        """Steps until one finds nothing to compute or publish: every reader lags, or everybody waits."""
        while self.core.step():
            pass

    def events(self, request_id: str) -> list[Event]:
        """What has been written so far."""
        return list(self._streams[request_id]._take())

    def tokens(self, request_id: str) -> list[list[int]]:
        """The finished request's tokens, by sample. Every sample must have ended with "length" or "stop"."""
        events = self.events(request_id)
        ends = [e for e in events if isinstance(e, Finished)]
        assert all(e.reason in ("length", "stop") for e in ends), ends
        made: list[list[int]] = [[] for _ in ends]
        for event in events:
            if isinstance(event, Token):
                made[event.sample].append(event.id)
        self.usage = ends[0].usage
        return made

    def generate(self, tokens: tuple[int, ...], max_tokens: int = 8, **more: Any) -> list[int]:
        """One request on its own."""
        request_id = self.submit(tokens, max_tokens, **more)
        self.run()
        return self.tokens(request_id)[0]
