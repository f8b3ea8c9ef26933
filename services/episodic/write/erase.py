"""What an erasure changes in a generation.

The command names base ids. What they touched is folded again from the ledger without them: the sessions they lie in;
of what was stated outside of any session, them and what derives from them or was corrected by them; or all of the
namespace where a plug-in reads that far. What comes out otherwise than it stands is rewritten under
new keys; what does not come out at all is reduced to a stub; all keys that so became needless are destroyed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace

from mneme.v1 import ledger_pb2 as pb

from services.common.ledger.entries import entry_of, records_at
from services.common.log.base import Log
from services.episodic.state.directory import Directory
from services.episodic.state.records import Stored
from services.episodic.state.slots import Slot
from services.episodic.state.view import Part, View
from services.episodic.write.fold import Entry, Poison
from services.episodic.write.generation import Generation, decode


@dataclass(slots=True)
class Erasure:
    """What an Erased entry means for one generation."""

    base: list[str] = field(default_factory=list)  # ids that become stubs
    retired: list[str] = field(default_factory=list)  # derived ids that become stubs
    changed: list[Stored] = field(default_factory=list)
    rebuilt: int = 0  # derived among the changed
    doomed_keys: set[str] = field(default_factory=set)


def plan(
    generation: Generation,
    entry: Entry,
    hidden: Part | None,
    parked: Collection[int],
    log: Log,
    alive: Callable[[], None],
) -> Erasure:
    """What must change in this part, or where None in all of the namespace. Reads only; the registry must know
    the erasure already.

    ``parked``: where the namespace's entries lie of which no engram was made. ``alive``: called between two entries,
    for a session may take minutes."""
    namespace, result = entry.namespace, Erasure()
    standing = _standing(generation, namespace, hidden)
    if not standing:
        return result
    ids = _erased_ids(generation, entry)
    view = _fold_again(generation, entry, hidden, standing, parked, log, alive)
    for slot in standing:
        again = view.changed.pop(slot.id, None)
        if again is None and slot.is_base and slot.id not in ids and generation.store.whole(namespace, slot.id):
            continue  # not erased, and this code makes no engram of it any more: it stands until a rebuild parks it
        _compare(generation, entry, slot, again, result)
    result.changed += [replace(stored, version=entry.offset) for stored in view.changed.values()]
    return result


def _erased_ids(generation: Generation, entry: Entry) -> set[str]:
    erased = entry.body.erased
    by_mac = (generation.store.directory.by_mac(entry.namespace, mac) for mac in erased.id_macs)
    return {*erased.engram_ids, *(id for id in by_mac if id is not None)}


def _standing(generation: Generation, namespace: str, hidden: Part | None) -> list[Slot]:
    directory = generation.store.directory
    if hidden is None:
        return directory.slots(namespace)
    alone = [slot for id in sorted(hidden.alone) if (slot := directory.get(namespace, id)) is not None]
    return [*alone, *(slot for session in sorted(hidden.sessions) for slot in directory.slots(namespace, session))]


def touched(generation: Generation, entry: Entry, log: Log) -> tuple[set[str], list[set[str]]]:
    """Sessions of the erased and of whatever derives from them; and of what was stated outside of any, the ids of what
    goes together.

    The rows of the erased may be gone, and text of theirs still stand elsewhere: what derives from them names them
    itself, and their sessions, whose retrieval keys may hold it, are found in the ledger.
    """
    directory, namespace, ids = generation.store.directory, entry.namespace, _erased_ids(generation, entry)
    derived = {i for id in ids for i in directory.derived_from(namespace, id)}
    slots = [slot for id in {*ids, *derived} if (slot := directory.get(namespace, id)) is not None]
    standing = directory.slots(namespace)
    slots += [slot for slot in standing if slot.superseded_by in ids]
    if entry.body.erased.alias_groups:
        # Read with the alias groups as they were; what is left of them may read a doubtful name that stays otherwise.
        slots += [slot for slot in standing if slot.is_alone or slot.superseded_by]
    sessions = {slot.session for slot in slots if not slot.is_alone}
    if any(directory.get(namespace, id) is None for id in ids):
        sessions |= _sessions_in_ledger(generation, entry, log)
    heads = {_head(directory, slot) for slot in slots if slot.is_alone}
    together: dict[str, set[str]] = {head: set() for head in sorted(heads)}
    for slot in directory.slots(namespace, "") if heads else ():
        if (head := _head(directory, slot)) in heads:
            together[head].add(slot.id)
    return sessions, list(together.values())


def _head(directory: Directory, slot: Slot) -> str:
    """What was stated outside of any session by its newest correction: one id for it, all it was corrected from and
    what is derived from these."""
    at = slot if slot.is_base else directory.get(slot.namespace, slot.sources[0]) or slot
    while at.superseded_by and (newer := directory.get(slot.namespace, at.superseded_by)) is not None:
        at = newer
    return at.id


def _sessions_in_ledger(generation: Generation, entry: Entry, log: Log) -> set[str]:
    """Sessions, of those that stand, in which the erased were told. Reads all that the namespace was told: rows are
    seldom gone."""
    macs = set(entry.body.erased.id_macs)
    told: set[bytes] = set()
    told_at = generation.reducer.registry.told_at(entry.namespace, _until(generation, entry))
    for record in records_at(log, entry.partition, told_at):
        body = entry_of(record)
        if body is None or body.namespace != entry.namespace:
            continue
        if body.observation_accepted.id_mac in macs:
            told.add(body.observation_accepted.session_mac)
    slots = generation.store.directory.slots(entry.namespace)
    return {slot.session for slot in slots if slot.session_mac in told}


def _until(generation: Generation, entry: Entry) -> int:
    """The ledger offset that the generation was folded to, before the erasure."""
    return min(entry.offset, generation.applied)


def _fold_again(
    generation: Generation,
    entry: Entry,
    hidden: Part | None,
    standing: Sequence[Slot],
    parked: Collection[int],
    log: Log,
    alive: Callable[[], None],
) -> View:
    """The hidden part, of which these slots stand, as the ledger so far makes them without the erased."""
    namespace, registry = entry.namespace, generation.reducer.registry
    view = View(generation.store, namespace, hidden)
    start, end = min(slot.place for slot in standing), _until(generation, entry)
    macs = {slot.session_mac for slot in standing if slot.session_mac}
    told = {slot.seq for slot in standing if slot.is_base}
    told.update(offset for mac in macs for offset in registry.boundaries(namespace, mac))
    for record in records_at(log, entry.partition, (at for at in told.union(parked) if start <= at < end)):
        alive()
        try:
            past = decode(record)
            if past.namespace == namespace and (hidden is None or _concerns(past.body, hidden, macs, view)):
                generation.reducer.fold(past, view)
        except Poison:
            continue  # it became a dead letter when it was first folded
    return view


def _concerns(body: pb.LedgerEntry, hidden: Part, macs: set[bytes], view: View) -> bool:
    what = body.WhichOneof("body")
    if what == "observation_accepted":
        return body.observation_accepted.session_mac in macs
    if what == "episode_closed":
        return body.episode_closed.session_mac in macs
    if what == "remembered":
        return bool(hidden.alone)
    return what == "corrected" and body.corrected.engram_id in view.changed


def _compare(generation: Generation, entry: Entry, slot: Slot, again: Stored | None, result: Erasure) -> None:
    if again is None:
        (result.base if slot.is_base else result.retired).append(slot.id)
        result.doomed_keys |= {slot.seal_key, slot.detail_key}
        return
    old = generation.store.whole(slot.namespace, slot.id)
    if old is not None and _same(old, again):
        return
    if slot.detail_key != slot.seal_key:
        result.doomed_keys.add(slot.detail_key)
    if not slot.is_base:
        result.doomed_keys.add(slot.seal_key)
        result.rebuilt += 1
    result.changed.append(replace(again, version=entry.offset, detail_key=""))


def _same(old: Stored, again: Stored) -> bool:
    """Whether folding again came to what stands, keys and versions apart."""
    return (
        old.record == again.record
        and old.place == again.place
        and old.history == again.history
        and old.applied == again.applied
        and old.touches == again.touches
        and old.patched == again.patched
    )
