"""The engine's own state of a request and of its sequences."""

from __future__ import annotations

from dataclasses import dataclass, field

from services.reasoning.blocks import BLOCK_TOKENS, Lineage, chain_keys, chain_lineage
from services.reasoning.engine.attention import pages_for
from services.reasoning.engine.fetch import Fetch
from services.reasoning.engine.port import Request, Usage
from services.reasoning.engine.stream import TokenStream


def pages_needed(request: Request) -> int:
    """Pages of all samples together: full prompt pages once, the rest for each (the last token is never stored)."""
    prompt = len(request.prompt)
    shared = prompt // BLOCK_TOKENS
    return shared + request.samples * (pages_for(prompt + request.max_tokens - 1) - shared)


@dataclass(slots=True, eq=False)
class Sequence:
    """One sample of a request: its tokens, and the pages that hold their keys and values."""

    sample: int
    # Prompt, then what was generated. The last generated token is not in the pool yet.
    tokens: list[int]
    # Row of the engine's block tables.
    slot: int
    # Tokens whose keys and values are in the pool.
    computed: int = 0
    pages: list[int] = field(default_factory=list)
    # Keys of its full blocks so far, and how many of them were offered to the pool's index.
    keys: list[bytes] = field(default_factory=list)
    sealed: int = 0


class RequestState:
    """A request from submit to its last event."""

    def __init__(self, request: Request, stream: TokenStream, identity: bytes, now: float) -> None:
        self.request = request
        self.stream = stream
        self.submitted = now
        self.deadline = now + request.deadline_s
        self.salt = request.scope.salt()
        # A namespace whose epoch the caller does not know counts as never erased from: stale once something was.
        self.epochs = {request.scope.namespace: 0, **dict(request.scope.epochs)}
        self.prompt_keys = chain_keys(request.prompt, identity, self.salt)
        self.lineage = chain_lineage(request.spans, len(self.prompt_keys) + 1)
        # The first block that nobody may find, because what it holds was erased; None: all may be shared.
        self.private_from: int | None = None
        self.sequences: list[Sequence] = []
        # What the store is asked for, before it runs.
        self.fetch: Fetch | None = None
        # Rows of the block tables that its other samples will use.
        self.reserved_slots: list[int] = []
        # Pages it was promised at admission and has not taken yet.
        self.promised = 0
        # Keys that it computes: in this engine's table, and announced to the store.
        self.computing: set[bytes] = set()
        self.announced: list[bytes] = []
        # Waiting for somebody else's prefill: when it began, and when to look again.
        self.parked_since: float | None = None
        self.look_at = 0.0
        self.started = 0.0
        self.first_token = 0.0
        self.looked_up = self.in_pool = self.loaded = 0

    def block_lineage(self, block: int) -> Lineage:
        """Of prompt blocks their own; what is generated has attended to everything."""
        return self.lineage[min(block, len(self.lineage) - 1)]

    def all_lineage(self) -> Lineage:
        return frozenset().union(*(span.engrams for span in self.request.spans))

    def usage(self, sequence: Sequence | None) -> Usage:
        prompt = len(self.request.prompt)
        hits = self.in_pool + self.loaded
        computed = max(0, sequence.computed if sequence else 0)
        return Usage(
            prompt_tokens=prompt,
            generated_tokens=len(sequence.tokens) - prompt if sequence else 0,
            cached_tokens=hits * BLOCK_TOKENS,
            blocks_looked_up=self.looked_up,
            blocks_in_pool=self.in_pool,
            blocks_loaded=self.loaded,
            blocks_computed=max(0, min(computed, prompt) // BLOCK_TOKENS - hits),
            queued_s=max(0.0, self.started - self.submitted),
            first_token_s=max(0.0, self.first_token - self.submitted),
        )
