"""What the store has of a prompt, read beside the loop: looked up, copied into pages, and the rest announced.

The loop goes on meanwhile. What it shares with a fetch are the pages that it set aside for it, which nobody else reads
or writes until the fetch is done, and the frames, which are the fetching thread's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from torch import Tensor

from services.reasoning.engine.pool import PagePool
from services.reasoning.engine.store import BlockStore, StoreFailure


@dataclass(frozen=True, slots=True)
class Fetched:
    """What came of a fetch."""

    stored: int  # blocks that the store has, from the prompt's first on
    loaded: int  # of those after the pool's, that are in their pages now
    announced: bool  # the rest is, or may be
    elsewhere: bool  # another engine computes the first of the rest
    failed: bool


NOTHING = Fetched(0, 0, announced=False, elsewhere=False, failed=False)

Reader: TypeAlias = Callable[[Callable[[], Fetched]], "Future[Fetched]"]
"""Runs a fetch, beside the loop or within it. One at a time, in order."""


def at_once(work: Callable[[], Fetched]) -> Future[Fetched]:
    """The Reader that runs it within the loop."""
    done: Future[Fetched] = Future()
    done.set_result(work())
    return done


@dataclass(slots=True)
class Fetch:
    """One under way."""

    keys: list[bytes]  # of the whole prompt
    found: int  # of them, in the pool
    limit: int  # how many may be hits
    pages: list[int]  # set aside for keys[found:limit], with a reference of its own
    given_up: bool = False  # nobody wants it any more, or may: it ends as soon as it can
    future: Future[Fetched] = field(default_factory=Future)


class Fetcher:
    """The work of a fetch. Touches the store, the frames and the fetch's pages, and nothing else."""

    def __init__(self, pool: PagePool, store: BlockStore, frames: Tensor, loading: Sequence[memoryview]) -> None:
        """``frames``, as bytes ``loading``: where blocks are copied on their way into the pool."""
        self._pool = pool
        self._store = store
        self._frames = frames
        self._loading = loading
        self.wipe = False  # the frames, once nothing is copied through them

    def run(self, fetch: Fetch) -> Fetched:
        try:
            return NOTHING if fetch.given_up else self._fetch(fetch)
        finally:
            if self.wipe:
                self.wipe = False  # before: what is asked for from here on is done again
                self._frames.zero_()

    def use(self, keys: Sequence[bytes]) -> Fetched:
        """Tell the store that these are used."""
        try:
            self._store.used(keys)
        except StoreFailure:
            return replace(NOTHING, failed=True)
        return NOTHING

    def _fetch(self, fetch: Fetch) -> Fetched:
        stored = loaded = 0
        announced = elsewhere = False
        try:
            stored = self._store.lookup(fetch.keys[: fetch.limit]) if fetch.limit else 0
            while fetch.found + loaded < stored and not fetch.given_up:
                got, wanted = self._load(fetch, loaded, stored)
                loaded += got
                if got < wanted:
                    break
            if fetch.found + loaded < fetch.limit and not fetch.given_up:
                announced = True  # also where the answer is lost: the question may have been heard
                announced = self._store.begin(fetch.keys[fetch.found + loaded :])
                elsewhere = not announced
        except StoreFailure:
            return Fetched(stored, loaded, announced, elsewhere=False, failed=True)
        return Fetched(stored, loaded, announced, elsewhere, failed=False)

    def _load(self, fetch: Fetch, loaded: int, stored: int) -> tuple[int, int]:
        """The next blocks, as many as there are frames: how many came, of how many."""
        start = fetch.found + loaded
        batch = fetch.keys[start : min(stored, start + len(self._loading))]
        got = self._store.load(batch, self._loading[: len(batch)])
        for i in range(got):
            self._pool.write_frame(fetch.pages[loaded + i], self._frames[i])
        return got, len(batch)
