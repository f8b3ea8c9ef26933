"""What a generation's host knows of every engram without opening it, by namespace.

A namespace is loaded when somebody asks for it, and given back when others need the room (``Warm``). Thread-safe.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager

from services.episodic.plugins.base import Filter, Vector
from services.episodic.state.slots import Document, Slot
from services.episodic.state.space import Space
from services.episodic.state.warm import Warm


class Directory:
    def __init__(
        self,
        load: Callable[[str], Space] | None = None,
        warm: Warm | None = None,
        *,
        holds_vectors: bool = True,
    ) -> None:
        """``load``: reads a namespace from the index, which is written before what is ``put`` here; None: there is no
        index, and all that is put stays. ``holds_vectors``: dense keys are kept and searched here, not in the index."""
        self.holds_vectors = holds_vectors
        self._is_all = load is None
        self._load = load or (lambda namespace: Space(holds_vectors=self.holds_vectors))
        self._warm = warm or Warm(None)

    def held(self, namespace: str) -> AbstractContextManager[Space]:
        """The namespace, loaded where it is not there, and not given back while the block runs. IndexUnavailable."""
        return self._warm.held((self, namespace), lambda: self._load(namespace))

    def let_go(self) -> None:
        """Give back everything: the generation is in no use any more."""
        self._warm.drop(self)

    def _space(self, namespace: str) -> Space:
        """For one look, which may be at what is given back meanwhile."""
        space = self._warm.now((self, namespace))
        if space is not None:
            return space
        with self.held(namespace) as space:
            return space

    def _written(self, namespace: str) -> AbstractContextManager[Space | None]:
        return self.held(namespace) if self._is_all else self._warm.there((self, namespace))

    # --- writing: by the generation's one writer, once the index has it ---

    def put(self, slot: Slot, documents: Sequence[Document], dense: Sequence[tuple[float, Vector]]) -> None:
        """Add or replace an engram with its lexical keys, and its dense ones as (weight, unit vector). Of a namespace
        that is not held nothing need be done: who asks for it finds it in the index."""
        with self._written(slot.namespace) as space:
            if space is not None:
                space.put(slot, documents, dense)

    def remove(self, namespace: str, id: str) -> None:
        with self._written(namespace) as space:
            if space is not None:
                space.remove(id)

    # --- reading: as ``Space`` ---

    def get(self, namespace: str, id: str) -> Slot | None:
        return self._space(namespace).get(id)

    def some(self, namespace: str, ids: Iterable[str]) -> dict[str, Slot]:
        return self._space(namespace).some(ids)

    def began(self, namespace: str, ids: Iterable[str]) -> dict[str, int]:
        """Starts of events in microseconds, of those ids that are there."""
        return {id: slot.start_us for id, slot in self.some(namespace, ids).items()}

    def by_mac(self, namespace: str, mac: bytes) -> str | None:
        return self._space(namespace).by_mac(mac)

    def slots(self, namespace: str, session: str | None = None) -> list[Slot]:
        return self._space(namespace).slots(session)

    def turns(self, namespace: str, session: str) -> list[tuple[int, str]]:
        return self._space(namespace).turns(session)

    def around(
        self, namespace: str, session: str, place: int, id: str, before: int, after: int
    ) -> tuple[list[str], list[str]]:
        return self._space(namespace).around(session, place, id, before, after)

    def derived_from(self, namespace: str, id: str) -> list[str]:
        return self._space(namespace).derived_from(id)

    def changed(self, namespace: str) -> int:
        return self._space(namespace).changed

    def search(self, namespace: str, query: Mapping[int, float], k: int, wanted: Filter) -> list[tuple[Slot, float]]:
        return self._space(namespace).search(query, k, wanted)

    def nearest(self, namespace: str, vector: Vector, k: int, wanted: Filter) -> list[tuple[Slot, float]]:
        assert self.holds_vectors
        return self._space(namespace).nearest(vector, k, wanted)

    def idf(self, namespace: str, term: int) -> float:
        return self._space(namespace).idf(term)

    def between(self, namespace: str, start_us: int, end_us: int, k: int, wanted: Filter) -> list[tuple[Slot, int]]:
        return self._space(namespace).between(start_us, end_us, k, wanted)

    def span(self, namespace: str) -> tuple[int, int] | None:
        return self._space(namespace).span()
