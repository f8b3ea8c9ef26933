"""Applying one erasure in bounded pieces, each of which may be done again.

A piece is some sessions, and some of what was stated outside of any; a session is never cut. It is one transaction:
what is written again, stubs, keys destroyed, and a note of its ids. The last one holds the receipt and commits the
command's offset: killed anywhere, the erasure begins again, and finds nothing to do in the parts that were done.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

from mneme.v1.episodic_pb2 import ErasureReceipt
from mneme.v1.ledger_pb2 import StoredReceipt

from services.common.log.base import Consumer, Message
from services.episodic.state.mentions import DOUBTFUL_BYTES
from services.episodic.state.namespaces import Registry
from services.episodic.state.service_state import OperatorState
from services.episodic.state.view import Part
from services.episodic.write import erase
from services.episodic.write.components import Components
from services.episodic.write.fold import Entry
from services.episodic.write.generation import Generation, erased_stub
from services.episodic.write.parked import Parking

_AT_ONCE = 500  # engrams that are folded again in a piece, at most
_AT_FIRST = 8
_PIECE_S = 0.3  # that a piece should take: others of the partition wait for its end


class Pieces:
    """What is left to do of an erasure, taken a piece at a time: as much as was seen to be done in ``_PIECE_S``."""

    def __init__(self, parts: Iterable[tuple[Part | None, int]]) -> None:
        """``parts``: each with its number of engrams; none of them is cut. None: all of the namespace."""
        self._left = deque(parts)
        self._at_once = _AT_FIRST

    def __bool__(self) -> bool:
        return bool(self._left)

    @contextmanager
    def next(self) -> Iterator[Part | None]:
        """The next piece, while it is done; an empty one where nothing is left."""
        start = time.monotonic()
        piece, engrams = self._left.popleft() if self._left else (Part(), 0)
        while piece is not None and self._left and engrams + self._left[0][1] <= min(self._at_once, _AT_ONCE):
            part, count = self._left.popleft()
            assert part is not None, "all of a namespace stands by itself"
            piece, engrams = piece | part, engrams + count
        yield piece
        # No less: a piece takes some time of its own, however little is in it.
        self._at_once = max(_AT_FIRST, int(_PIECE_S * engrams / (time.monotonic() - start)))


class Erasing:
    """Applying one Erased entry."""

    def __init__(
        self,
        parts: Components,
        state: OperatorState,
        registry: Registry,
        parking: Parking,
        entry: Entry,
        alive: Callable[[], None],
    ) -> None:
        """``alive`` keeps the partition: a session is folded again at once, and may take minutes."""
        self._parts, self._state, self._registry, self._parking = parts, state, registry, parking
        self._entry, self._alive = entry, alive
        self._notes = state.notes(entry.namespace, entry.body.erased.receipt_id)

    @property
    def namespace(self) -> str:
        return self._entry.namespace

    def pieces(self, generations: Sequence[Generation]) -> Pieces:
        """What to fold again in these generations."""
        sessions: set[str] = set()
        groups: list[set[str]] = []
        directories = [generation.store.directory for generation in generations]
        for generation in generations:
            named, together = erase.touched(generation, self._entry, self._parts.log)
            sessions |= named
            groups += together
        if (sessions or groups) and any(plugin.reads == "namespace" for plugin in self._parts.plugins):
            return Pieces([(None, 0)])
        alone = [(Part(alone=ids), len(ids)) for ids in _joined(groups)]
        engrams = {each: max(len(d.slots(self.namespace, each)) for d in directories) for each in sorted(sessions)}
        return Pieces([*alone, *((Part(frozenset({each})), count) for each, count in engrams.items())])

    def apply(
        self, generation: Generation, piece: Part | None, consumer: Consumer | None, *, last: bool
    ) -> StoredReceipt | None:
        """One piece, to one generation; the receipt of the last one. Without a consumer, to one that is being built,
        of which nothing is noted. Call with the generation's lock held."""
        entry = self._entry
        namespace, erased = entry.namespace, entry.body.erased
        unfolded = [note.position.offset for note in self._parking.of(namespace)]
        result = erase.plan(generation, entry, piece, unfolded, self._parts.log, self._alive)
        parked = self._parking.meant_by(namespace, erased) if last else []
        if last:
            result.doomed_keys |= {*erased.key_ids, *self._stray_aliases(), *(note.key_id for note in parked)}
            result.doomed_keys |= self._parts.letters.keys(namespace, erased.id_macs)
        stubs = [erased_stub(generation.number, namespace, i, entry) for i in (*result.base, *result.retired)]
        extra: list[Message] = []
        receipt, reached = None, generation.applied
        if consumer is not None:
            self._notes.append(_note(result))
            if last:
                receipt = self._state.receipt(namespace, erased.receipt_id) or self._receipt(len(parked))
                extra += self._state.set_receipt(receipt)
                extra += [*self._state.without_notes(namespace, erased.receipt_id), *self._parking.gone(parked)]
                extra += self._state.without_building()  # until it has followed: the entry does not come again
                reached = entry.offset + 1
            else:
                extra.append(self._state.note(namespace, erased.receipt_id, len(self._notes), self._notes[-1]))
        generation.commit(result.changed, stubs, extra, result.doomed_keys, reached, consumer)
        return receipt

    def _stray_aliases(self) -> set[str]:
        """The key of alias groups that do not count: of a command sent twice, or replaced since.

        No later erasure would name it.
        """
        erased = self._entry.body.erased
        left = {sealed.key_id for sealed in (erased.aliases, *erased.aliases_before.values())} - {""}
        return left - self._registry.alias_keys(self._entry.namespace)

    def _receipt(self, parked: int) -> StoredReceipt:
        entry, erased, notes = self._entry, self._entry.body.erased, self._notes
        derived = {id for note in notes for id in note.derived_ids}
        keys = {id for note in notes for id in note.key_ids}
        return StoredReceipt(
            receipt=ErasureReceipt(
                id=erased.receipt_id,
                namespace=entry.namespace,
                position={"partition": entry.partition, "offset": entry.offset},
                at=entry.body.ingested_at,
                erasure_epoch=erased.erasure_epoch,
                base_erased=sum(len(note.base_ids) for note in notes) + parked,
                derived_retired=len(derived),
                derived_rebuilt=sum(note.receipt.derived_rebuilt for note in notes),
                keys_destroyed=len(keys),
                alias_groups=erased.alias_groups,
                doubtful_left=len(erased.doubtful) // DOUBTFUL_BYTES,
                selected_by=erased.selected_by,
                declared_erased=erased.declared,
            ),
            base_ids=sorted({*erased.engram_ids, *(id for note in notes for id in note.base_ids)}),
            derived_ids=sorted(derived),
            key_ids=sorted(keys),
        )


def _joined(groups: Iterable[set[str]]) -> list[set[str]]:
    """Those that share an id made one: a generation that is being built may not know of a correction yet."""
    of: dict[str, set[str]] = {}
    for group in groups:
        whole = group.union(*(of[id] for id in group if id in of))
        of |= dict.fromkeys(whole, whole)
    return list({min(whole): whole for whole in of.values()}.values())


def _note(result: erase.Erasure) -> StoredReceipt:
    return StoredReceipt(
        receipt=ErasureReceipt(derived_rebuilt=result.rebuilt),
        base_ids=result.base,
        derived_ids=result.retired,
        key_ids=sorted(result.doomed_keys),
    )
