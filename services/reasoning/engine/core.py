"""The engine's loop, one step at a time: admit, compute, choose, seal, publish. One thread owns it."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping

import torch
from torch import Tensor

from services.common.models.packages import ModelError
from services.reasoning.blocks import BLOCK_TOKENS, FRAME_VERSION, EngramRef, Frame, Identity
from services.reasoning.engine.attention import PagedAttention, StepTables, check_backend, pages_for
from services.reasoning.engine.chain import Chain, Runner
from services.reasoning.engine.cpu_kernels import choose_cpu_kernels
from services.reasoning.engine.fetch import Reader, at_once
from services.reasoning.engine.pool import PagePool
from services.reasoning.engine.port import (
    EPOCH_LIMIT,
    Dropped,
    EngineStats,
    Finished,
    FinishReason,
    Refused,
    Request,
    Token,
    check_sampling,
)
from services.reasoning.engine.sampler import BadLogits, choose
from services.reasoning.engine.scheduler import Scheduler, Work
from services.reasoning.engine.sequence import RequestState, Sequence, pages_needed
from services.reasoning.engine.settings import EngineSettings
from services.reasoning.engine.store import BlockStore
from services.reasoning.engine.stream import TokenStream
from services.reasoning.models.load import LoadedModel

_log = logging.getLogger(__name__)

ENGINE_ID = "mneme/1"
"""Raise the number whenever the arithmetic changes: blocks of another number are not found."""


def identity_of(model: LoadedModel, settings: EngineSettings) -> Identity:
    """What decides the bytes of the blocks of an engine with these settings. ModelError as EngineCore's."""
    c = model.transformer.config
    kernels = choose_cpu_kernels(settings.cpu_kernels, model.transformer.device, model.transformer.dtype)
    return Identity(
        weights=model.transformer.digest,
        adapter=b"",
        tokenizer=model.tokenizer.digest,
        rope=f"theta={c.rope_theta!r} scaling={c.rope_scaling!r} windows={c.windows!r} eps={c.norm_eps!r} "
        f"heads={c.heads}/{c.kv_heads}x{c.head_dim}",
        dtype=str(model.transformer.dtype).removeprefix("torch."),
        frame_version=FRAME_VERSION,
        # Triton's kernels, which run on a GPU, and native ones round elsewhere than torch's operations on a CPU.
        engine=f"{ENGINE_ID} {settings.attention} {kernels.backend}",
        policy="dense",
    )


class EngineCore:
    """Everything but threads. Only ``prepare`` may be called by another thread than the owner's."""

    def __init__(
        self,
        model: LoadedModel,
        settings: EngineSettings,
        store: BlockStore | None,
        runner: Runner,
        clock: Callable[[], float] = time.monotonic,
        reader: Reader = at_once,
    ) -> None:
        """``runner`` runs the store's puts, ``reader`` what is asked of it, beside the loop or within it. ModelError
        when model, settings and processor do not fit together.
        """
        transformer = model.transformer
        config = transformer.config
        check_backend(settings.attention, transformer.device, transformer.dtype)
        self._kernels = choose_cpu_kernels(settings.cpu_kernels, transformer.device, transformer.dtype)
        if settings.cpu_kernels == "auto" and self._kernels.backend == "torch" and transformer.device.type == "cpu":
            _log.warning("cpu_kernels: %s", self._kernels.which)
        if settings.max_context > config.context:
            raise ModelError(
                f"reasoning.engine.max_context is {settings.max_context}, but the model's context is "
                f"{config.context} tokens. Lower the setting."
            )
        self._model = transformer
        self._name = model.name
        self._settings = settings
        self._clock = clock
        frame = Frame(config.layers, config.kv_heads, config.head_dim, transformer.dtype.itemsize)
        self._pool = PagePool(frame, settings.pool_pages, transformer.dtype, transformer.device)
        self._identity = identity_of(model, settings).digest()
        self._chain = Chain(self._pool, store, self._identity, settings.prefill_wait_s, clock, runner, reader)
        self._scheduler = Scheduler(settings)
        columns = pages_for(settings.max_context)
        self._tables = torch.zeros((settings.max_running, columns), dtype=torch.int32)
        self._lives: dict[str, RequestState] = {}
        self._finished: Counter[str] = Counter()
        self._tokens: Counter[str] = Counter()

    @property
    def waiting(self) -> int:
        return len(self._scheduler.waiting)

    @property
    def live(self) -> Collection[str]:
        """The ids of what waits or runs."""
        return self._lives.keys()

    @property
    def idle(self) -> bool:
        return not self._lives and not self._chain.publishing

    def prepare(self, request: Request, stream: TokenStream) -> RequestState:
        """What ``submit`` takes. Refused when this request could never be served.

        Touches nothing of the loop's: any thread may call it, and a defect that a request meets here is its own.
        """
        self._check(request)
        return RequestState(request, stream, self._identity, self._clock())

    def _check(self, request: Request) -> None:
        self._check_prompt(request.prompt)
        if request.max_tokens < 1:
            raise Refused("max_tokens must be at least 1.", "max_tokens")
        most_samples = min(self._settings.max_samples, self._settings.max_running)
        if request.samples < 1:
            raise Refused("samples must be at least 1.", "samples")
        if request.samples > most_samples:
            raise Refused(f"At most {most_samples} samples can be asked for at once.", "samples")
        self._check_room(request)
        if not all(0 <= epoch < EPOCH_LIMIT for _, epoch in request.scope.epochs):
            raise Refused("An erasure epoch is at least 0 and below 2 to the 63.", "scope.epochs")
        check_sampling(request.sampling)

    def _check_prompt(self, prompt: tuple[int, ...]) -> None:
        if not prompt:
            raise Refused("The prompt is empty.", "prompt")
        if not all(0 <= token < self._model.config.vocab for token in prompt):
            raise Refused("The prompt holds tokens that the model does not have.", "prompt")

    def _check_room(self, request: Request) -> None:
        """In the context and in the pool; to blame is what alone makes it too much."""
        prompt, room = len(request.prompt), self._settings.max_context
        if prompt + request.max_tokens > room:
            raise Refused(
                f"The prompt has {prompt} tokens and may be answered with {request.max_tokens}, together more than the "
                f"{room} of the engine's context. Shorten the prompt or lower max_tokens.",
                "prompt" if prompt >= room else "max_tokens",
            )
        pool, needed = self._settings.pool_pages, pages_needed(request)
        if needed > pool:
            one_sample = pages_needed(dataclasses.replace(request, samples=1))
            too_long = "prompt" if pages_for(prompt) > pool else "max_tokens"
            raise Refused(
                f"The request needs {needed} pages and the pool has {pool}. Ask for fewer tokens or samples, "
                "or raise reasoning.engine.pool_pages.",
                "samples" if one_sample <= pool else too_long,
            )

    def submit(self, live: RequestState) -> None:
        """Queues what ``prepare`` made, under an id that is not in use; how many may wait is the inbox's matter."""
        self._lives[live.request.id] = live
        self._scheduler.waiting.append(live)
        self._tokens["requests"] += 1

    def cancel(self, request_id: str) -> None:
        """Ends a request now; its pages are free when this returns."""
        live = self._lives.get(request_id)
        if live is not None:
            self._end(live, "cancelled")

    def fail_all(self, detail: str) -> None:
        """Ends every request, because the engine cannot go on."""
        for live in list(self._lives.values()):
            self._end(live, "failed", detail)

    def drop(self, lineage: Collection[EngramRef], epochs: Mapping[str, int]) -> Dropped:
        return self._chain.drop(lineage, epochs, self._scheduler.lives())

    def wipe(self) -> None:
        """Leaves no text in memory. The last call, once nothing is on its way to the store."""
        self._pool.wipe()
        self._chain.wipe()

    def step(self) -> bool:
        """Computes the next tokens of what runs. False: there was nothing to compute or publish."""
        now = self._clock()
        for live in [live for live in self._lives.values() if live.deadline <= now]:
            self._end(live, "deadline")
        self._scheduler.admit(self._chain, now)
        works = self._scheduler.pick()
        if works:
            self._compute(works)
        published = self._chain.publish(self._settings.publish_per_step)
        return bool(works) or published

    def sleep_s(self) -> float:
        """How long nothing happens by itself, after a step that found nothing to do."""
        times = [live.deadline for live in self._lives.values()]
        look = self._scheduler.next_look()
        if look is not None:
            times.append(look)
        return max(0.0, min(times) - self._clock()) if times else 60.0

    def stats(self) -> EngineStats:
        used = self._pool.pages - self._pool.free - self._pool.cached
        return EngineStats(
            model=self._name,
            attention=self._settings.attention,
            cpu_kernels=self._kernels.which,
            pages=self._pool.pages,
            pages_free=self._pool.free,
            pages_cached=self._pool.cached,
            pages_used=used,
            running=len(self._scheduler.running),
            waiting=self.waiting,
            requests=self._tokens["requests"],
            refused=0,
            finished=dict(self._finished),
            prompt_tokens=self._tokens["prompt"],
            generated_tokens=self._tokens["generated"],
            cached_tokens=self._tokens["cached"],
            blocks_in_pool=self._tokens["in_pool"],
            blocks_loaded=self._tokens["loaded"],
            blocks_computed=self._tokens["computed"],
            blocks_published=self._chain.counts["published"],
            blocks_not_published=self._chain.counts["not_published"],
            store_failures=self._chain.counts["store_failures"],
            copies_on_write=self._pool.copies,
            dropped_keys=self._chain.counts["dropped_keys"],
        )

    def _compute(self, works: list[Work]) -> None:
        for work in works:
            self._provide_pages(work)
        ends = [work for work in works if work.reaches_end]
        logits = self._forward(works)
        for work in works:
            work.sequence.computed += work.count
            self._chain.seal(work.live, work.sequence)
        for row, work in enumerate(ends):
            if work.live.request.id in self._lives:  # an earlier row of the same request may have failed it
                self._choose(work.live, work.sequence, logits[row])

    def _forward(self, works: list[Work]) -> Tensor:
        """Logits of the works that reach their sequence's end, in order."""
        tokens: list[int] = []
        positions: list[int] = []
        slots: list[int] = []
        rows: list[int] = []
        for work in works:
            s = work.sequence
            tokens += s.tokens[s.computed : s.computed + work.count]
            positions += range(s.computed, s.computed + work.count)
            slots += [s.slot] * work.count
            if work.reaches_end:
                rows.append(len(tokens) - 1)
        device = self._model.device
        at = torch.tensor(positions)
        pages = self._tables[torch.tensor(slots), at // BLOCK_TOKENS].long().to(device)
        tables = self._step_tables(works, pages, (at % BLOCK_TOKENS).to(device))
        kernels = self._kernels.backend
        attend = PagedAttention(self._model.config, self._pool, self._settings.attention, tables, kernels)
        chosen = torch.tensor(rows, dtype=torch.int64, device=device)
        known = torch.tensor(tokens, device=device)
        return self._model.forward(known, at.to(device), chosen, attend, kernels=kernels).cpu()

    def _step_tables(self, works: list[Work], pages: Tensor, places: Tensor) -> StepTables:
        device = self._model.device
        single = [work for work in works if work.count == 1]
        chunks = [work for work in works if work.count > 1]
        starts = torch.tensor([0, *(work.count for work in chunks)], dtype=torch.int32).cumsum(0, dtype=torch.int32)
        single_lens = [work.sequence.computed + 1 for work in single]
        chunk_lens = [work.sequence.computed + work.count for work in chunks]
        return StepTables(
            pages=pages,
            places=places,
            decode_tables=self._rows(single, single_lens).to(device),
            decode_lens=torch.tensor(single_lens, dtype=torch.int32, device=device),
            chunk_tables=self._rows(chunks, chunk_lens).to(device),
            chunk_lens=torch.tensor(chunk_lens, dtype=torch.int32, device=device),
            chunk_starts=starts.to(device),
            longest_decode=max(single_lens, default=0),
            longest_chunk=max((work.count for work in chunks), default=0),
        )

    def _rows(self, works: list[Work], lens: list[int]) -> Tensor:
        columns = pages_for(max(lens, default=0))
        return self._tables[[work.sequence.slot for work in works], :columns]

    def _provide_pages(self, work: Work) -> None:
        """Pages for what the step will write; one that others hold too is copied first."""
        live, sequence = work.live, work.sequence
        first = sequence.computed // BLOCK_TOKENS
        if first < len(sequence.pages):
            old = sequence.pages[first]
            new = self._pool.writable(old)
            if new != old:
                live.promised -= 1
                sequence.pages[first] = new
        while len(sequence.pages) < pages_for(sequence.computed + work.count):
            page = self._pool.allocate()
            if live.private_from is not None:
                self._pool.condemn(page, live.block_lineage(len(sequence.pages)))
            live.promised -= 1
            sequence.pages.append(page)
        self._tables[sequence.slot, : len(sequence.pages)] = torch.tensor(sequence.pages, dtype=torch.int32)

    def _choose(self, live: RequestState, sequence: Sequence, logits: Tensor) -> None:
        """The next token of a sequence; of all its samples when the prompt has just been computed."""
        first = sequence.computed == len(live.request.prompt)
        if first:
            self._chain.leave(live)
            self._chain.used(live)
            live.first_token = self._clock()
            self._count_prompt(live, sequence)
            for sample in range(1, live.request.samples):
                self._fork(live, sequence, sample)
        for each in list(live.sequences) if first else [sequence]:
            try:
                token = choose(logits, live.request.sampling, each.sample, len(each.tokens))
            except BadLogits:
                self._end(live, "failed", "The model produced no numbers. Tell the operator.")
                return
            except Exception:  # noqa: BLE001
                # A defect that one request meets must not end everybody's.
                _log.exception("a token could not be chosen", extra={"request": live.request.id})
                self._end(live, "failed", "The engine failed. Give the operator the trace id of this call.")
                return
            self._append(live, each, token)

    def _append(self, live: RequestState, sequence: Sequence, token: int) -> None:
        if token in live.request.stop_ids:
            self._finish(live, sequence, "stop")
            return
        sequence.tokens.append(token)
        live.stream.write(Token(sequence.sample, token))
        self._tokens["generated"] += 1
        if len(sequence.tokens) - len(live.request.prompt) == live.request.max_tokens:
            self._finish(live, sequence, "length")

    def _fork(self, live: RequestState, parent: Sequence, sample: int) -> None:
        """Another sample: the same pages, and its own from the first token on that differs."""
        for page in parent.pages:
            self._pool.share(page)
        live.sequences.append(
            Sequence(
                sample,
                list(parent.tokens),
                live.reserved_slots.pop(),
                parent.computed,
                list(parent.pages),
                list(parent.keys),
                parent.sealed,
            )
        )

    def _count_prompt(self, live: RequestState, sequence: Sequence) -> None:
        usage = live.usage(sequence)
        self._tokens["prompt"] += usage.prompt_tokens
        self._tokens["cached"] += usage.cached_tokens
        self._tokens["in_pool"] += usage.blocks_in_pool
        self._tokens["loaded"] += usage.blocks_loaded
        self._tokens["computed"] += usage.blocks_computed

    def _finish(self, live: RequestState, sequence: Sequence, reason: FinishReason, detail: str = "") -> None:
        """Ends one sequence and frees what it held; the last one ends the request."""
        live.sequences.remove(sequence)
        for page in reversed(sequence.pages):
            self._pool.release(page)
        if sequence.slot >= 0:
            self._scheduler.free_slot(sequence.slot)
        self._finished[reason] += 1
        live.stream.write(Finished(sequence.sample, reason, live.usage(sequence), detail))
        if not live.sequences:
            self._forget(live)

    def _end(self, live: RequestState, reason: FinishReason, detail: str = "") -> None:
        """Ends every sequence of a request, those that have not begun too."""
        begun = {s.sample for s in live.sequences}
        unbegun = [] if live.first_token else [s for s in range(live.request.samples) if s not in begun]
        for sequence in list(live.sequences):
            self._finish(live, sequence, reason, detail)
        for sample in unbegun:
            self._finished[reason] += 1
            live.stream.write(Finished(sample, reason, live.usage(None), detail))
        self._forget(live)

    def _forget(self, live: RequestState) -> None:
        self._chain.give_up(live)
        for slot in live.reserved_slots:
            self._scheduler.free_slot(slot)
        live.reserved_slots = []
        live.promised = 0
        if live in self._scheduler.running:
            self._scheduler.running.remove(live)
        elif live in self._scheduler.waiting:
            self._scheduler.waiting.remove(live)
        self._lives.pop(live.request.id, None)
