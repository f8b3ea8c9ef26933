"""The chain path: longest prefix, load, compute the rest, publish; one prefill for many; drop by lineage."""

from __future__ import annotations

import enum
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

import torch

from services.reasoning.blocks import BLOCK_TOKENS, ROOT, EngramRef, Lineage, chain_key, hit_limit, unlisted
from services.reasoning.engine.pool import PagePool
from services.reasoning.engine.port import Dropped
from services.reasoning.engine.sequence import RequestState, Sequence, pages_needed
from services.reasoning.engine.store import Block, BlockStore, StoreFailure

T = TypeVar("T")

# Frames copied from the store at once: few enough to stay in a processor's cache on their way into the pool.
_LOAD_FRAMES = 4
# Frames put at once.
_PUT_FRAMES = 16
# How often a request that waits for another engine's prefill looks whether it has come further, in seconds.
_LOOK_AGAIN_S = 0.02
# After a failure the store is left alone for this long, in seconds, so that its deadlines do not add up.
_STORE_REST_S = 1.0
# Erased engrams remembered, the newest: a prompt that still names one is computed for its caller alone.
_MAX_ERASED = 100_000
# Drops whose counts are remembered, the newest, for whoever asks again.
_MAX_DROPS = 1024


class Admission(enum.Enum):
    READY = enum.auto()  # the request holds every page that was found
    PARKED = enum.auto()  # somebody else computes its next block
    NO_ROOM = enum.auto()


@dataclass(frozen=True, slots=True)
class _Outgoing:
    """A sealed page on its way to the store, with a reference of its own."""

    live: RequestState
    page: int
    key: bytes
    lineage: Lineage


@dataclass(frozen=True, slots=True)
class _End:
    """Announcements to take back, once what was announced before is published."""

    keys: list[bytes]


@dataclass(frozen=True, slots=True)
class Put:
    """What became of a batch on its way to the store."""

    kept: int
    lost: int
    failed: bool


Runner: TypeAlias = Callable[[Callable[[], Put]], "Future[Put]"]
"""Runs a put, beside the loop or within it. Never two at once."""


class Chain:
    """Blocks found, loaded, sealed, published and dropped. Owned by the engine's loop, like the pool."""

    def __init__(
        self,
        pool: PagePool,
        store: BlockStore | None,
        identity: bytes,
        prefill_wait_s: float,
        clock: Callable[[], float],
        runner: Runner,
    ) -> None:
        self._pool = pool
        self._store = store
        self._identity = identity
        self._prefill_wait_s = prefill_wait_s
        self._clock = clock
        self._runner = runner
        self._putting: Future[Put] | None = None
        self._store_rests_until = 0.0
        self._computing: dict[bytes, RequestState] = {}
        self._outgoing: deque[_Outgoing | _End] = deque()
        # The newest erasure epoch heard of, for each namespace in which something was ever erased.
        self._epochs: dict[str, int] = {}
        self._erased: OrderedDict[EngramRef, None] = OrderedDict()
        self._drops: OrderedDict[tuple[tuple[str, int], ...], Dropped] = OrderedDict()
        self._load_frames, self._loading = _staging(pool, _LOAD_FRAMES)
        self._put_frames, self._leaving = _staging(pool, _PUT_FRAMES)
        self._wipe_put_frames = False
        self.counts: Counter[str] = Counter()

    @property
    def publishing(self) -> bool:
        """Something is on its way to the store, or waits for it."""
        return bool(self._outgoing) or self._putting is not None

    def admit(self, live: RequestState, promised: int) -> Admission:
        """Finds the longest prefix for ``live``, in the pool and then the store, and puts its pages in its sequence.

        ``promised``: pages that others may still take. Unless READY, ``live`` holds nothing afterwards.
        """
        if self._stale(live):
            live.private_from = 0
        pages = self._in_pool(live) if live.private_from is None else []
        if self._pool.available - promised < pages_needed(live.request) - len(pages):
            self._let_go(pages)
            return Admission.NO_ROOM
        return Admission.READY if live.private_from is not None else self._beyond_pool(live, pages)

    def seal(self, live: RequestState, sequence: Sequence) -> None:
        """Makes blocks that a step filled findable, here and (later, see publish) through the store."""
        full = sequence.computed // BLOCK_TOKENS
        while sequence.sealed < full:
            block = sequence.sealed
            sequence.sealed += 1
            if live.private_from is not None:
                continue
            if block == len(sequence.keys):
                tokens = sequence.tokens[block * BLOCK_TOKENS : (block + 1) * BLOCK_TOKENS]
                parent = sequence.keys[-1] if sequence.keys else ROOT
                sequence.keys.append(chain_key(parent, tokens, self._identity, live.salt))
            key = sequence.keys[block]
            if self._pool.seal(sequence.pages[block], key, live.block_lineage(block)):
                self._send(live, sequence.pages[block], sequence.keys, block)
            self._computed(live, key)

    def publish(self, limit: int) -> bool:
        """Hands up to ``limit`` sealed blocks to the store, unless it is still busy. False: nothing was done."""
        done = 0
        while done < limit and self._collect() and self._outgoing:
            blocks, live, ended = self._batch(limit - done)
            self._putting = self._runner(lambda b=blocks, o=live, e=ended: self._put(b, o, e))  # type: ignore[misc]
            done += len(blocks) + 1
        return done > 0

    def leave(self, live: RequestState) -> None:
        """``live`` computes no more: whoever waits for it may go on."""
        for key in live.computing:
            del self._computing[key]
        live.computing.clear()
        if live.announced:
            # After its last block, so that who waits elsewhere finds that block first.
            self._outgoing.append(_End(live.announced))
            live.announced = []

    def used(self, live: RequestState) -> None:
        """Tells the store that the chain of ``live`` is in use, all of it."""
        if live.prompt_keys and live.private_from is None:
            self._ask(lambda s: s.used(live.prompt_keys), None)

    def drop(
        self, lineage: Collection[EngramRef], epochs: Mapping[str, int], lives: Collection[RequestState]
    ) -> Dropped:
        """See Engine.drop. ``lives``: every request that runs or waits."""
        asked, lineage = lineage, self._not_dropped_yet(lineage, epochs)
        for namespace, epoch in epochs.items():
            self._epochs[namespace] = max(epoch, self._epochs.get(namespace, 0))
        self._erased.update((ref, None) for ref in lineage if ref != unlisted(ref[0]))
        while len(self._erased) > _MAX_ERASED:
            self._erased.popitem(last=False)
        keep: deque[_Outgoing | _End] = deque()
        for out in self._outgoing:
            if isinstance(out, _End) or out.lineage.isdisjoint(lineage):
                keep.append(out)
            else:
                self._pool.release(out.page)
        self._outgoing = keep
        self._load_frames.zero_()
        self._wipe_put_frames = True
        self._collect()
        keys, wiped = self._pool.drop(lineage)
        for live in lives:
            self._make_private(live, lineage)
        self.counts["dropped_keys"] += keys
        return self._count_drop(tuple(sorted(epochs.items())), keys, wiped, self._pool.in_use(asked))

    def wipe(self) -> None:
        """Overwrites what lies between pool and store. The last call."""
        self._load_frames.zero_()
        self._put_frames.zero_()

    def _not_dropped_yet(self, lineage: Collection[EngramRef], epochs: Mapping[str, int]) -> Collection[EngramRef]:
        """``lineage`` without the unlisted of namespaces whose epoch is known: what is there of them came after it."""
        known = {unlisted(namespace) for namespace, epoch in epochs.items() if epoch <= self._epochs.get(namespace, 0)}
        return [ref for ref in lineage if ref not in known]

    def _count_drop(self, of: tuple[tuple[str, int], ...], keys: int, wiped: int, in_use: int) -> Dropped:
        """All that became of a drop, each time it was asked for; what is no longer in use was wiped meanwhile."""
        before = self._drops.pop(of, Dropped(0, 0, 0))
        wiped += max(0, before.pages_in_use - in_use)
        self._drops[of] = Dropped(before.keys + keys, before.pages_wiped + wiped, in_use)
        while len(self._drops) > _MAX_DROPS:
            self._drops.popitem(last=False)
        return self._drops[of]

    def _make_private(self, live: RequestState, lineage: Collection[EngramRef]) -> None:
        """From the first block that holds erased text on, nothing of ``live`` is found."""
        if live.all_lineage().isdisjoint(lineage):
            return
        first = next((b for b, ids in enumerate(live.lineage) if not ids.isdisjoint(lineage)), len(live.lineage) - 1)
        live.private_from = first if live.private_from is None else min(first, live.private_from)
        self.leave(live)
        for sequence in live.sequences:
            for block in range(live.private_from, len(sequence.pages)):
                if not self._pool.condemned(sequence.pages[block]):
                    self._pool.condemn(sequence.pages[block], live.block_lineage(block))

    def _stale(self, live: RequestState) -> bool:
        """Recalled before an erasure; or after it, and yet it names what was erased."""
        old = any(epoch < self._epochs.get(namespace, 0) for namespace, epoch in live.epochs.items())
        return old or not self._erased.keys().isdisjoint(live.all_lineage())

    def _in_pool(self, live: RequestState) -> list[int]:
        pages: list[int] = []
        for key in live.prompt_keys[: hit_limit(len(live.request.prompt))]:
            page = self._pool.find(key)
            if page is None:
                break
            pages.append(page)
        return pages

    def _beyond_pool(self, live: RequestState, pages: list[int]) -> Admission:
        """``pages`` were found in the pool: waits for a prefill under way, or loads what the store has."""
        keys = live.prompt_keys
        limit = hit_limit(len(live.request.prompt))
        found = len(pages)
        if found < limit and keys[found] in self._computing:
            return self._park(live, pages, 0.0)  # who computes it runs in this loop
        stored = self._ask(lambda s: s.lookup(keys[:limit]), 0) if limit else 0
        loaded_before = live.loaded  # while it was parked; the pool has them now
        live.loaded += self._load(live, keys[found:stored], pages)
        rest = keys[len(pages) :]
        if len(pages) < limit and not self._may_compute(live, rest):
            return self._park(live, pages, _LOOK_AGAIN_S)
        live.looked_up, live.in_pool = limit, max(0, found - loaded_before)
        sequence = live.sequences[0]
        sequence.pages, sequence.computed, sequence.sealed = pages, len(pages) * BLOCK_TOKENS, len(pages)
        sequence.keys = keys[: len(pages)]
        for block in range(stored, found):  # the pool knows more than the store, which was started anew, say
            self._send(live, pages[block], keys, block)
        for key in rest:
            if key not in self._computing:
                self._computing[key] = live
                live.computing.add(key)
        return Admission.READY

    def _may_compute(self, live: RequestState, keys: list[bytes]) -> bool:
        """Announces ``keys`` to the store. False: another engine computes the first of them, and time is left."""
        if self._store is None or self._store_rests():
            return True
        live.announced = keys  # also where the answer is lost: the question may have been heard
        if self._ask(lambda s: s.begin(keys), True):
            return True
        live.announced = []
        since = self._clock() if live.parked_since is None else live.parked_since
        return self._clock() - since >= self._prefill_wait_s

    def _park(self, live: RequestState, pages: list[int], again_s: float) -> Admission:
        self._let_go(pages)
        now = self._clock()
        live.parked_since = now if live.parked_since is None else live.parked_since
        live.look_at = now + again_s
        return Admission.PARKED

    def _load(self, live: RequestState, keys: list[bytes], pages: list[int]) -> int:
        """Appends to ``pages`` what of ``keys`` the store gives; how many. Loaded pages are sealed at once."""
        start, total = len(pages), 0
        while total < len(keys):
            batch = keys[total : total + _LOAD_FRAMES]
            got = self._fetch(batch)
            for i in range(got):
                page = self._pool.allocate()
                self._pool.write_frame(page, self._load_frames[i])
                self._pool.seal(page, batch[i], live.block_lineage(start + total + i))
                pages.append(page)
            total += got
            if got < len(batch):
                break
        return total

    def _fetch(self, keys: list[bytes]) -> int:
        return self._ask(lambda s: s.load(keys, self._loading[: len(keys)]), 0)

    def _batch(self, limit: int) -> tuple[list[Block], RequestState | None, list[bytes]]:
        """The next blocks of one request, copied out of the pool, and announcements that end with them."""
        blocks: list[Block] = []
        live: RequestState | None = None
        while self._outgoing and len(blocks) < min(limit, _PUT_FRAMES):
            out = self._outgoing[0]
            if isinstance(out, _End):
                self._outgoing.popleft()
                return blocks, live, out.keys
            if live is not None and out.live is not live:
                break
            self._outgoing.popleft()
            live = out.live
            self._pool.read_frame(out.page, self._put_frames[len(blocks)])
            self._pool.release(out.page)
            blocks.append(Block(out.key, self._leaving[len(blocks)], out.lineage))
        return blocks, live, []

    def _put(self, blocks: list[Block], live: RequestState | None, ended: list[bytes]) -> Put:
        """May run beside the loop: touches nothing but the store."""
        assert self._store is not None
        kept, failed = 0, False
        try:
            if live is not None and not self._store_rests():
                kept = self._store.put(blocks, live.request.scope.namespace, live.epochs)
        except StoreFailure:
            failed = True
        try:
            if ended:  # even while the store rests: other engines wait for these
                self._store.end(ended)
        except StoreFailure:
            failed = True
        return Put(kept, len(blocks) - kept, failed)

    def _collect(self) -> bool:
        """Notes what became of the last put, and wipes its frames after an erasure. False: it is still under way."""
        if self._putting is not None:
            if not self._putting.done():
                return False
            put, self._putting = self._putting.result(), None
            self.counts["published"] += put.kept
            self.counts["not_published"] += put.lost
            if put.failed:
                self._rest()
        if self._wipe_put_frames:
            self._put_frames.zero_()
            self._wipe_put_frames = False
        return True

    def _send(self, live: RequestState, page: int, keys: list[bytes], block: int) -> None:
        if self._store is None:
            return
        self._pool.share(page)
        self._outgoing.append(_Outgoing(live, page, keys[block], live.block_lineage(block)))

    def _computed(self, live: RequestState, key: bytes) -> None:
        if key in live.computing:
            live.computing.discard(key)
            del self._computing[key]

    def _let_go(self, pages: list[int]) -> None:
        for page in reversed(pages):  # the chain's end is given up before its beginning
            self._pool.release(page)

    def _ask(self, call: Callable[[BlockStore], T], otherwise: T) -> T:
        """The store's answer, or ``otherwise`` when there is none: a store that fails costs time only."""
        if self._store is None or self._store_rests():
            return otherwise
        try:
            return call(self._store)
        except StoreFailure:
            self._rest()
            return otherwise

    def _store_rests(self) -> bool:
        return self._clock() < self._store_rests_until

    def _rest(self) -> None:
        self.counts["store_failures"] += 1
        self._store_rests_until = self._clock() + _STORE_REST_S


def _staging(pool: PagePool, count: int) -> tuple[torch.Tensor, list[memoryview]]:
    """Room for ``count`` frames outside the pool, as tensors and as bytes."""
    f = pool.frame
    shape = (count, f.layers, f.kv_heads, 2, BLOCK_TOKENS, f.head_dim)
    frames = torch.zeros(shape, dtype=pool.layers[0].dtype)
    flat = frames.view(torch.uint8).view(count, -1).numpy()
    return frames, [memoryview(flat[i]) for i in range(count)]
