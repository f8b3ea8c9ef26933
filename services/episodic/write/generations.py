"""A partition's generations, that come and go: the live one, the one that is being built, and those to drop."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

from services.common.ledger import topics
from services.common.log.base import LogUnavailable
from services.episodic.search.index import Collection, IndexUnavailable
from services.episodic.state.namespaces import Registry
from services.episodic.state.service_state import OperatorState
from services.episodic.state.store import Store
from services.episodic.write.components import Components
from services.episodic.write.dropping import drop, generations
from services.episodic.write.fold import Reducer
from services.episodic.write.generation import Generation, Step

_log = logging.getLogger(__name__)


class Generations:
    """Of one partition. ``building`` is None where nothing is built, which also tells whoever builds to give up."""

    def __init__(self, parts: Components, partition: int, registry: Registry, state: OperatorState, step: Step) -> None:
        self._partition = partition
        self._parts, self._registry, self._state, self._step = parts, registry, state, step
        self.building: Generation | None = None
        self._live: Generation | None = None
        self._made_by = ""  # fingerprint of the live one
        self._lock = threading.RLock()  # held while generations begin, end and are dropped
        self._doomed: set[int] = set()  # generations to drop: neither live nor being built

    def open(self, committed: int) -> None:
        """Open the live one, and drop what is in no use."""
        known = self._state.generation()
        fingerprint = self._parts.fingerprint
        if known is None:
            self._parts.log.append([self._state.set_generation(1, fingerprint)])
        number = known.number if known else 1
        self._made_by = known.fingerprint if known else fingerprint
        generation = self._made(number)
        generation.open()
        generation.applied = committed
        self._live = generation
        self.building = self._begun_before()
        self._doomed = generations(self._parts, self._state) - {each.number for each in self.all()}
        self.drop_doomed()

    def _begun_before(self) -> Generation | None:
        """What was being built when the last process ended, if it is what is wanted still."""
        known = self._state.building()
        wanted = (self.live.number + 1, self._parts.fingerprint)
        if known is None or (known.number, known.fingerprint) != wanted:
            return None
        generation = self._made(known.number)
        generation.open()
        generation.applied = known.next[0].offset
        generation.built_as = known.fingerprint
        return generation

    def _made(self, number: int) -> Generation:
        """A generation over its collection, which is made where missing."""
        parts = self._parts
        collection, made = parts.index.open(number)
        if not made and (fault := self._fault(number, collection)):
            error = f"the index of partition {self._partition}, generation {number}: {fault}"
            _log.warning("an index is of no use; it is filled again from the feed", extra={"error": error})
            parts.index.drop(number)
            collection, made = parts.index.open(number)
        if made:
            parts.log.append([self._state.set_progress(number, 0)])
        store = Store(
            number,
            parts.log,
            parts.keyring,
            self._registry,
            collection,
            parts.toolkit.embed,
            parts.cache_bytes,
            parts.warm,
        )
        reducer = Reducer(parts.log, parts.keyring, self._registry, parts.toolkit, parts.plugins, store)
        generation = Generation(
            store,
            reducer,
            parts.log,
            parts.keyring,
            self._state,
            self._partition,
            flush_rows=parts.flush_rows,
            flush_after_s=parts.flush_after_s,
            step=self._step,
        )
        generation.begin_anew()
        return generation

    def _fault(self, number: int, collection: Collection) -> str:
        """Why what the index has does not go with the log; "" where it does, as far as the index tells."""
        follows, noted = collection.follows, self._state.progress(number)
        end = self._parts.log.end_offset(topics.FEED, self._partition)
        if follows is not None and follows > end:
            return f"follows: it knows the feed up to offset {follows}, and that ends at {end}"
        if follows is not None and follows < noted:
            return f"follows: it knows the feed up to offset {follows}, and another index was used up to {noted}"
        return ""

    @property
    def live(self) -> Generation:
        assert self._live is not None, "no generation was opened"
        return self._live

    @property
    def outdated(self) -> bool:
        """Whether the live generation was made by other plug-ins, parameters or vectors than are configured."""
        known = self._state.generation()
        return known is not None and known.fingerprint != self._parts.fingerprint

    def begin(self) -> Generation:
        """The next generation, empty, which erasures reach from now on."""
        with self._lock:
            number = self.live.number + 1
            self._doomed.add(number)  # whatever an earlier one left
            self.drop_doomed()
            self._doomed.add(number)  # until it is there: what follows may fail half-way
            self._parts.log.append([self._state.set_building(number, self._parts.fingerprint, 0)])
            generation = self._made(number)
            generation.open()
            generation.built_as = self._parts.fingerprint
            self.building = generation
            self._doomed.remove(number)
            return generation

    def swap(self, generation: Generation) -> None:
        """Make what was built the live one; the one before is dropped soon. Call with ``fold_lock`` held."""
        with self._lock:
            in_use = self._state.set_generation(generation.number, generation.built_as)
            self._parts.log.append([in_use, *self._state.without_building()])
            generation.built_as = ""
            self._doomed.add(self.live.number)
            self.live.store.directory.let_go()
            self._live, self._made_by = generation, self._parts.fingerprint
            self.building = None

    def abandon(self, generation: Generation) -> None:
        """Give up what is being built; it is dropped soon. Whoever builds it may not write to it any more."""
        with generation.lock, self._lock:
            if generation is self.building:
                self.building = None
                self._doomed.add(generation.number)
                generation.store.directory.let_go()

    def try_to_drop(self) -> None:
        """Drop generations in neither use; where a store is away, a thread of the host does it later."""
        try:
            self.drop_doomed()
        except (LogUnavailable, IndexUnavailable) as error:
            _log.warning("a store is away; a generation is not dropped", extra={"error": str(error)})

    def drop_doomed(self) -> None:
        """LogError, IndexUnavailable: what is left is dropped the next time."""
        with self._lock:
            if any(number > self.live.number for number in self._doomed):
                # A swap to it that failed in doubt may yet come to be seen: the later word counts at the next start.
                self._parts.log.append([self._state.set_generation(self.live.number, self._made_by)])
            building = self._state.building()
            for number in sorted(self._doomed):
                if building is not None and building.number == number:
                    self._parts.log.append(self._state.without_building())
                drop(self._parts, self._partition, self._state, number)
                self._doomed.remove(number)

    @contextmanager
    def building_held(self) -> Iterator[None]:
        """With nothing folded into what is being built, if anything is: between two of its batches."""
        with nullcontext() if (building := self.building) is None else building.lock:
            yield

    def let_go(self) -> None:
        """Hold no namespace in memory any more: others of the process need the room."""
        for generation in (self._live, self.building):
            if generation is not None:
                generation.store.directory.let_go()

    def all(self) -> list[Generation]:
        return [self.live] if self.building is None else [self.live, self.building]
