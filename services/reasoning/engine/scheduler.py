"""Who is computed next: admission in order, and what one step holds."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from services.reasoning.engine.chain import Admission, Chain
from services.reasoning.engine.sequence import RequestState, Sequence, pages_needed
from services.reasoning.engine.settings import EngineSettings


@dataclass(frozen=True, slots=True)
class Work:
    """``count`` tokens of one sequence, from its first that is not computed yet."""

    live: RequestState
    sequence: Sequence
    count: int

    @property
    def reaches_end(self) -> bool:
        """Its last token is in it, so the next one can be chosen."""
        return self.sequence.computed + self.count == len(self.sequence.tokens)


class Scheduler:
    """Waiting and running requests. A request is admitted once every page it can ever need is promised to it, so
    that nothing has to be thrown out later; in order, but past those that wait for another's prefill or for the store.
    """

    def __init__(self, settings: EngineSettings) -> None:
        self._settings = settings
        self.waiting: deque[RequestState] = deque()
        self.running: list[RequestState] = []
        self._slots = list(range(settings.max_running - 1, -1, -1))

    def lives(self) -> list[RequestState]:
        return [*self.running, *self.waiting]

    def promised(self) -> int:
        return sum(live.promised for live in self.lives())

    def admit(self, chain: Chain, now: float) -> None:
        """Moves waiting requests into the running ones, as far as sequences and pages reach.

        Those first that have their pages already, and asked the store: nobody who has none holds them up.
        """
        for live in [live for live in self.waiting if live.fetch is not None]:
            self._admit(live, chain, now)
        for live in [live for live in self.waiting if live.fetch is None]:
            if live.request.samples > len(self._slots) - self._reserved():
                break
            if live.look_at <= now:
                live.sequences = [Sequence(0, list(live.request.prompt), slot=-1)]
                if self._admit(live, chain, now) is Admission.NO_ROOM:
                    break

    def _admit(self, live: RequestState, chain: Chain, now: float) -> Admission:
        outcome = chain.admit(live, self.promised())
        if outcome is Admission.READY:
            self.waiting.remove(live)
            self._start(live, now)
        elif outcome is not Admission.FETCHING:
            live.sequences = []
        return outcome

    def _reserved(self) -> int:
        """Slots of requests that have their pages and ask the store."""
        return sum(live.request.samples for live in self.waiting if live.fetch is not None)

    def pick(self) -> list[Work]:
        """The next step: one token of every sequence that has its prompt, then chunks of prompts, oldest first.

        Works of one token come first.
        """
        budget = self._settings.step_tokens
        single: list[Work] = []
        chunks: list[Work] = []
        for live, sequence in self._ready(prompt_done=True):
            single.append(Work(live, sequence, 1))
            budget -= 1
        for live, sequence in self._ready(prompt_done=False):
            count = min(budget, self._settings.chunk_tokens, len(sequence.tokens) - sequence.computed)
            if count <= 0:
                break
            (single if count == 1 else chunks).append(Work(live, sequence, count))
            budget -= count
        return single + chunks

    def take_slot(self) -> int:
        return self._slots.pop()

    def free_slot(self, slot: int) -> None:
        self._slots.append(slot)

    def next_look(self) -> float | None:
        """When a request that waits for another engine looks again; None when none does."""
        parked = (live for live in self.waiting if live.parked_since is not None and live.fetch is None)
        return min((live.look_at for live in parked), default=None)

    def _start(self, live: RequestState, now: float) -> None:
        live.started = now
        live.promised = pages_needed(live.request) - len(live.sequences[0].pages)
        live.sequences[0].slot = self.take_slot()
        # The other samples' slots are theirs from now on; they fork when the prompt is computed.
        live.reserved_slots = [self.take_slot() for _ in range(live.request.samples - 1)]
        self.running.append(live)

    def _ready(self, *, prompt_done: bool) -> Iterator[tuple[RequestState, Sequence]]:
        for live in self.running:
            if prompt_done and live.stream.full:
                continue
            for sequence in live.sequences:
                if (sequence.computed >= len(live.request.prompt)) is prompt_done:
                    yield live, sequence
