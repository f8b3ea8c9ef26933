"""Applying an erasure to a generation.

The command names base ids. What they touched is folded again from the ledger without them: the sessions they lie in,
or all of the namespace where a plug-in reads that far. What comes out otherwise than it stands is rewritten under
new keys; what does not come out at all is reduced to a stub; all keys that so became needless are destroyed. One
transaction holds all of it, so a crash leaves either nothing done or only the index to follow the feed.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace

from mneme.v1 import ledger_pb2 as pb

from services.common import topics
from services.common.log.base import Log
from services.episodic.directory import Slot
from services.episodic.fold import Entry, Poison
from services.episodic.generation import Generation, decode
from services.episodic.plugins.base import Plugin
from services.episodic.records import Stored
from services.episodic.view import View


@dataclass(slots=True)
class Erasure:
    """What an Erased entry means for one generation."""

    base: list[str] = field(default_factory=list)  # ids that become stubs
    retired: list[str] = field(default_factory=list)  # derived ids that become stubs
    changed: list[Stored] = field(default_factory=list)
    rebuilt: int = 0  # derived among the changed
    doomed_keys: set[str] = field(default_factory=set)


def plan(generation: Generation, entry: Entry, plugins: Sequence[Plugin], log: Log) -> Erasure:
    """What must change. Reads only; the registry must know the erasure already."""
    directory = generation.store.directory
    namespace, erased = entry.namespace, entry.body.erased
    ids = set(erased.engram_ids)
    ids |= {id for mac in erased.id_macs if (id := directory.by_mac(namespace, mac)) is not None}
    present = [slot for id in sorted(ids) if (slot := directory.get(namespace, id)) is not None]
    result = Erasure(doomed_keys=set(erased.key_ids))
    if not present:
        return result
    sessions = _touched(generation, present)
    whole = any(plugin.reads == "namespace" for plugin in plugins)
    hidden = None if whole else sessions
    view = _fold_again(generation, entry, hidden, log)
    standing = [s for s in directory.slots(namespace) if hidden is None or s.session in hidden]
    for slot in standing:
        _compare(generation, entry, slot, view.changed.pop(slot.id, None), result)
    result.changed += [replace(stored, version=entry.offset) for stored in view.changed.values()]
    return result


def _touched(generation: Generation, present: Sequence[Slot]) -> set[str]:
    """Sessions of the erased, and of whatever derives from them."""
    directory = generation.store.directory
    sessions = {slot.session for slot in present}
    for slot in present:
        for id in directory.derived_from(slot.namespace, slot.id):
            derived = directory.get(slot.namespace, id)
            if derived is not None:
                sessions.add(derived.session)
    return sessions


def _fold_again(generation: Generation, entry: Entry, hidden: Collection[str] | None, log: Log) -> View:
    """The hidden sessions as the ledger so far makes them without the erased."""
    namespace = entry.namespace
    view = View(generation.store, namespace, hidden)
    slots = [s for s in generation.store.directory.slots(namespace) if hidden is None or s.session in hidden]
    start = min(slot.place for slot in slots)
    macs = {slot.session_mac for slot in slots if slot.session_mac}
    until = min(entry.offset, generation.applied.get(entry.partition, entry.offset))
    for record in log.read(topics.LEDGER, entry.partition, start, until):
        try:
            past = decode(record)
            if past.namespace == namespace and (hidden is None or _concerns(past.body, hidden, macs, view)):
                generation.folder.fold(past, view)
        except Poison:
            continue  # it became a dead letter when it was first folded
    return view


def _concerns(body: pb.LedgerEntry, hidden: Collection[str], macs: set[bytes], view: View) -> bool:
    what = body.WhichOneof("body")
    if what == "observation_accepted":
        return body.observation_accepted.session_mac in macs
    if what == "episode_closed":
        return body.episode_closed.session_mac in macs
    if what == "remembered":
        return "" in hidden
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
