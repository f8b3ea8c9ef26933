"""The chain path: longest prefix, load, compute the rest, publish; one prefill for many; drop by lineage."""

from __future__ import annotations

import enum
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

import torch

from services.reasoning.blocks import BLOCK_TOKENS, ROOT, EngramRef, Lineage, chain_key, hit_limit, unlisted
from services.reasoning.engine.fetch import NOTHING, Fetch, Fetched, Fetcher, Reader
from services.reasoning.engine.pool import PagePool
from services.reasoning.engine.port import Dropped
from services.reasoning.engine.sequence import RequestState, Sequence, pages_needed
from services.reasoning.engine.store import Block, BlockStore, StoreFailure

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
    FETCHING = enum.auto()  # the store is asked for more of it; it holds what was found, and what that may fill
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
        reader: Reader,
    ) -> None:
        self._pool = pool
        self._store = store
        self._identity = identity
        self._prefill_wait_s = prefill_wait_s
        self._clock = clock
        self._runner = runner
        self._reader = reader
        self._putting: Future[Put] | None = None
        self._store_rests_until = 0.0
        self._computing: dict[bytes, RequestState] = {}
        self._outgoing: deque[_Outgoing | _End] = deque()
        # The newest erasure epoch heard of, for each namespace in which something was ever erased.
        self._epochs: dict[str, int] = {}
        self._erased: OrderedDict[EngramRef, None] = OrderedDict()
        self._drops: OrderedDict[tuple[tuple[str, int], ...], Dropped] = OrderedDict()
        self._load_frames, loading = _staging(pool, _LOAD_FRAMES)
        self._fetcher = None if store is None else Fetcher(pool, store, self._load_frames, loading)
        self._fetching: list[Fetch] = []
        self._given_up: list[Fetch] = []  # of requests that have ended
        self._using: Future[Fetched] | None = None
        self._put_frames, self._leaving = _staging(pool, _PUT_FRAMES)
        self._wipe_put_frames = False
        self.counts: Counter[str] = Counter()

    @property
    def publishing(self) -> bool:
        """Something is on its way to the store, or waits for it; or comes from there for nobody."""
        return bool(self._outgoing) or self._putting is not None or bool(self._given_up)

    def admit(self, live: RequestState, promised: int) -> Admission:
        """Finds the longest prefix for ``live``, in the pool and then the store, and puts its pages in its sequence.

        ``promised``: pages that others may still take. Unless READY or FETCHING, ``live`` holds nothing afterwards. To
        be asked again until it is READY.
        """
        if live.fetch is not None:
            return self._fetched(live, live.fetch) if live.fetch.future.done() else Admission.FETCHING
        if self._stale(live):
            live.private_from = 0
        pages = self._in_pool(live) if live.private_from is None else []
        if self._pool.available - promised < pages_needed(live.request) - len(pages):
            self._let_go(pages)
            return Admission.NO_ROOM
        return Admission.READY if live.private_from is not None else self._beyond_pool(live, pages)

    def give_up(self, live: RequestState) -> None:
        """``live`` has ended. What is fetched for it keeps its pages until nothing writes into them."""
        self.leave(live)
        if live.fetch is not None:
            live.fetch.given_up = True
            for block, page in enumerate(live.fetch.pages, live.fetch.found):
                self._pool.condemn(page, live.block_lineage(block))
            self._given_up.append(live.fetch)
            live.fetch = None

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
        self._note_used()
        self._collect_given_up()
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
        """Tells the store that the chain of ``live`` is in use, all of it. Not while the hint before is under way."""
        keys, fetcher = live.prompt_keys, self._fetcher
        if fetcher is None or not keys or live.private_from is not None or self._using is not None:
            return
        if not self._store_rests():
            self._using = self._reader(lambda: fetcher.use(keys))
            self._note_used()

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
        if self._fetcher is not None:
            self._fetcher.wipe = True
        self._wipe_load_frames()
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
        if live.fetch is not None:
            live.fetch.given_up = True
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
        """``pages`` were found in the pool: waits for a prefill under way, or asks the store for more."""
        keys = live.prompt_keys
        limit = hit_limit(len(live.request.prompt))
        found = len(pages)
        if found < limit and keys[found] in self._computing:
            return self._park(live, pages, 0.0)  # who computes it runs in this loop
        for key in keys[found:]:
            if key not in self._computing:
                self._computing[key] = live
                live.computing.add(key)
        more = [] if self._fetcher is None else [self._pool.allocate() for _ in range(found, limit)]
        live.sequences[0].pages = pages + more
        live.promised = pages_needed(live.request) - len(live.sequences[0].pages)
        for page in more:
            self._pool.share(page)
        fetch = live.fetch = Fetch(keys, found, limit, more)
        if self._fetcher is None or self._store_rests():
            fetch.future.set_result(NOTHING)
        else:
            fetch.future = self._reader(partial(self._fetcher.run, fetch))
        self._fetching.append(fetch)
        return self._fetched(live, fetch) if fetch.future.done() else Admission.FETCHING

    def _fetched(self, live: RequestState, fetch: Fetch) -> Admission:
        """Takes what came from the store; parks ``live`` where another engine computes the next block."""
        keys, sequence = fetch.keys, live.sequences[0]
        got, live.fetch = self._end_fetch(fetch), None
        hits = fetch.found + got.loaded
        for block in range(fetch.found, hits):
            if live.private_from is None or block < live.private_from:
                self._pool.seal(sequence.pages[block], keys[block], live.block_lineage(block))
            self._computed(live, keys[block])
        loaded_before = live.loaded  # while it was parked; the pool has them now
        live.loaded += got.loaded
        if got.elsewhere and live.private_from is None and not self._has_waited(live):
            self.leave(live)
            live.promised = 0
            return self._park(live, sequence.pages, _LOOK_AGAIN_S)
        if got.announced:
            live.announced = keys[hits:]
        if live.private_from is not None:
            self.leave(live)
        live.looked_up, live.in_pool = fetch.limit, max(0, fetch.found - loaded_before)
        sequence.computed, sequence.sealed, sequence.keys = hits * BLOCK_TOKENS, hits, keys[:hits]
        if live.private_from is None:
            for block in range(got.stored, fetch.found):  # the pool knows more than the store, which began anew, say
                self._send(live, sequence.pages[block], keys, block)
        return Admission.READY

    def _end_fetch(self, fetch: Fetch) -> Fetched:
        got = fetch.future.result()
        self._fetching.remove(fetch)
        for page in fetch.pages:
            self._pool.release(page)
        if got.failed:
            self._rest()
        if not self._fetching:
            self._wipe_load_frames()
        return got

    def _collect_given_up(self) -> None:
        for fetch in [fetch for fetch in self._given_up if fetch.future.done()]:
            self._given_up.remove(fetch)
            got = self._end_fetch(fetch)
            if got.announced:
                self._outgoing.append(_End(fetch.keys[fetch.found + got.loaded :]))

    def _wipe_load_frames(self) -> None:
        """Now, where nothing is copied through them; else when that ends."""
        if self._fetcher is not None and self._fetcher.wipe and not self._fetching:
            self._fetcher.wipe = False
            self._load_frames.zero_()

    def _has_waited(self, live: RequestState) -> bool:
        """Long enough for another engine's prefill."""
        since = self._clock() if live.parked_since is None else live.parked_since
        return self._clock() - since >= self._prefill_wait_s

    def _park(self, live: RequestState, pages: list[int], again_s: float) -> Admission:
        self._let_go(pages)
        now = self._clock()
        live.parked_since = now if live.parked_since is None else live.parked_since
        live.look_at = now + again_s
        return Admission.PARKED

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

    def _note_used(self) -> None:
        """What became of the last hint that a chain is used."""
        if self._using is not None and self._using.done():
            used, self._using = self._using.result(), None
            if used.failed:
                self._rest()

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
