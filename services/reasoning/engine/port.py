"""The engine port: what the reasoning service knows of any engine, ours or another.

Tokens in, tokens out; text, templates and memory are the service's. Nothing here names a device, a pool or a store.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from services.reasoning.blocks import EngramRef, Scope, Span

LEAST_TEMPERATURE, MOST_TEMPERATURE = 0.01, 100.0
"""Of a draw. A lower one takes the likeliest token anyhow, and a very low one is too much for a double."""
EPOCH_LIMIT = 2**63
"""Erasure epochs are less: what a block's key holds of one."""

FinishReason = Literal["stop", "length", "cancelled", "deadline", "failed"]


class Refused(Exception):
    """A request that the engine does not take. ``reason`` is fit for a caller and names the remedy.

    ``field``: of Request, "sampling.top_p" say; empty when none is to blame. ``overloaded``: the same request may be
    taken later; otherwise never.
    """

    def __init__(self, reason: str, field: str = "", *, overloaded: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.field = field
        self.overloaded = overloaded


class EngineDown(Exception):
    """The engine has stopped after a defect; the log says which. It takes nothing until it is started anew."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the next token is chosen. Reproducible: the same request with the same seed draws the same numbers."""

    # 0: the likeliest token, always; else LEAST_TEMPERATURE to MOST_TEMPERATURE.
    temperature: float = 0.0
    # Keep the k likeliest tokens; 0: all.
    top_k: int = 0
    # Keep the likeliest tokens that together have this probability; 1: all.
    top_p: float = 1.0
    seed: int = 0


def check_sampling(sampling: Sampling) -> None:
    """Refused where no engine could draw so."""
    if sampling.temperature != 0 and not LEAST_TEMPERATURE <= sampling.temperature <= MOST_TEMPERATURE:
        raise Refused(
            f"Sampling needs a temperature of 0, or of {LEAST_TEMPERATURE} to {MOST_TEMPERATURE}.",
            "sampling.temperature",
        )
    if sampling.top_k < 0:
        raise Refused("Sampling needs top_k >= 0.", "sampling.top_k")
    if not 0 < sampling.top_p <= 1:
        raise Refused("Sampling needs 0 < top_p <= 1.", "sampling.top_p")


@dataclass(frozen=True, slots=True)
class Request:
    """One prompt, and how to continue it."""

    # Unique among the engine's live requests.
    id: str
    prompt: tuple[int, ...]
    max_tokens: int
    # For whom, and with which erasure epochs recalled. The epoch of the scope's own namespace belongs in it, too:
    # without, the request counts as older than any erasure there.
    scope: Scope
    # Where the text of which engrams begins. Prompts of unknown content: blocks.unlisted, from token 0.
    spans: tuple[Span, ...] = ()
    sampling: Sampling = Sampling()
    # Sequences to draw, each with its own numbers.
    samples: int = 1
    # Tokens that end a sequence, not part of it.
    stop_ids: frozenset[int] = frozenset()
    # Seconds from submit to the last token, waiting included; what is unfinished then ends with "deadline".
    deadline_s: float = 300.0


@dataclass(frozen=True, slots=True)
class Token:
    """The next token of one of the request's sequences."""

    sample: int
    id: int


@dataclass(frozen=True, slots=True)
class Usage:
    """What a sequence cost. Blocks are of the prompt."""

    prompt_tokens: int
    generated_tokens: int
    # Prompt tokens whose keys and values were found rather than computed.
    cached_tokens: int
    blocks_looked_up: int
    # Found in the engine's own pool, and loaded from the store.
    blocks_in_pool: int
    blocks_loaded: int
    blocks_computed: int
    # Seconds from submit: until computing began, and until the first token. 0: never.
    queued_s: float
    first_token_s: float


@dataclass(frozen=True, slots=True)
class Finished:
    """The last event of a sequence."""

    sample: int
    reason: FinishReason
    usage: Usage
    # Why it failed, fit for a caller; empty otherwise.
    detail: str = ""


Event = Token | Finished


class EventStream(Protocol):
    """The events of one request: tokens of each sample in order, then one Finished for each sample.

    Always ends: by the request's deadline at the latest. Holds a bounded number of events; a sequence whose reader
    lags further pauses. Read by one reader, either way. Leaving the loop early does not cancel: call ``cancel``.
    """

    def __iter__(self) -> Iterator[Event]: ...

    def __aiter__(self) -> AsyncIterator[Event]: ...


@dataclass(frozen=True, slots=True)
class Dropped:
    """What a drop did, whenever it was asked for: asked again with the same epochs, the counts go on."""

    keys: int
    pages_wiped: int
    # Now: wiped when the sequences that use them end, by their deadlines at the latest, and never shared.
    pages_in_use: int


@dataclass(frozen=True, slots=True)
class EngineStats:
    model: str
    attention: str
    # Besides, on a CPU: "native (<instruction set>)", or "torch", with the reason where auto chose it.
    cpu_kernels: str
    pages: int
    pages_free: int
    # Held for a later hit only; given up when room is needed.
    pages_cached: int
    pages_used: int
    running: int
    waiting: int
    # Since the start.
    requests: int
    refused: int
    finished: Mapping[str, int] = field(default_factory=dict)
    prompt_tokens: int = 0
    generated_tokens: int = 0
    cached_tokens: int = 0
    blocks_in_pool: int = 0
    blocks_loaded: int = 0
    blocks_computed: int = 0
    blocks_published: int = 0
    blocks_not_published: int = 0
    store_failures: int = 0
    copies_on_write: int = 0
    dropped_keys: int = 0


class Engine(Protocol):
    """One engine. Every call may come from any thread."""

    def submit(self, request: Request) -> EventStream:
        """Takes a request into its bounded queue. Refused when it cannot or when the queue is full. EngineDown.

        TimeoutError when its deadline has passed already.
        """
        ...

    def cancel(self, request_id: str) -> None:
        """Ends a request; its pages are free within one step. Unknown and finished ids are ignored."""
        ...

    def drop(self, lineage: Collection[EngramRef], epochs: Mapping[str, int], *, timeout_s: float) -> Dropped:
        """Makes every chain whose lineage names one of ``lineage`` not addressable and wipes its bytes.

        Copies that are on their way to a store right then are wiped once they are there, or refused.

        ``epochs``: the namespaces' erasure epochs from now on; a request with an older one is computed, but finds
        and leaves nothing; so is one that names any of ``lineage``, oldest first. Dropping twice is dropping once,
        counts included. How many names and drops are remembered for that is bounded, and the newest are.

        TimeoutError when the engine does not get to it in time; it drops then all the same.
        """
        ...

    def stats(self) -> EngineStats: ...
