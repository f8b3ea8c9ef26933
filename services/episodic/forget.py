"""Forgetting: what a selector means, the one command that erases it, and the probe that looks for what is left."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain

from mneme.v1 import ledger_pb2 as pb
from mneme.v1.admin_pb2 import AliasGroup
from mneme.v1.episodic_pb2 import ErasureProbe, ForgetSelector, Person

from services.common import ledger, topics
from services.common.errors import MnemeError, invalid
from services.common.extract import plain
from services.common.ledger import MAC_FORGET, MAC_OBSERVATION, MAC_SELECTOR, MAC_SESSION
from services.common.log.base import Message, MessageTooLarge
from services.common.seal import KeyDestroyed
from services.episodic.checks import time_range
from services.episodic.directory import Slot, slot_of
from services.episodic.fold import Entry, Poison
from services.episodic.generation import decode
from services.episodic.host import Host
from services.episodic.naming import Naming
from services.episodic.parked import Parked
from services.episodic.records import Stored, from_us, stamp, to_us
from services.episodic.store import open_core, open_whole

_BATCH = 256


@dataclass(frozen=True, slots=True)
class Targets:
    """What a selector means at a moment: base engrams and what derives from them, and the names it was widened to."""

    base: Sequence[Slot]
    derived: Sequence[Slot]
    names: Sequence[str]
    alias_groups: int = 0  # of the namespace, that hold one of the names
    aliases_left: Sequence[AliasGroup] = ()  # what is left of all its groups without them
    unfolded: Mapping[str, Stored] = field(default_factory=dict)  # of the base, what could not be folded, opened


class Forgetting:
    def __init__(self, host: Host) -> None:
        self._host = host
        self._lock = threading.Lock()  # one command at a time: epochs are counted up

    # --- resolving ---

    def resolve(self, namespace: str, selector: ForgetSelector) -> Targets:
        """Base engrams that the selector names, the corrections of each with it, and what derives from those."""
        directory = self._host.live.store.directory
        parked = {each.stored.id: each for each in self._host.parking.opened(namespace, directory)}
        slots = [s for s in directory.slots(namespace) if s.is_base]
        slots += [slot_of(each.stored, -1, 0) for each in parked.values()]
        names: list[str] = []
        alias_groups, aliases_left = 0, list[AliasGroup]()
        by = selector.WhichOneof("by")
        if by == "person":
            info = self._host.registry.namespace(namespace)
            groups = info.aliases if info else ()
            naming = _naming(selector.person, groups)
            chosen, names = self._of_person(namespace, slots, naming, parked)
            alias_groups, aliases_left = naming.without(groups)
        elif by is None:
            raise invalid(
                "selector", "Nothing is selected.", "Set exactly one of session, person, source, event_time, ids."
            )
        else:
            chosen = self._chosen(namespace, slots, selector, by)
        base = self._with_corrections(namespace, chosen)
        reached = {s.id for s in (*base, *chosen)}
        base += [s for s in slots if s.id in parked and not reached.isdisjoint((s.id, parked[s.id].goes_with))]
        ids = {i for slot in base for i in directory.derived_from(namespace, slot.id)}
        derived = [slot for i in sorted(ids) if (slot := directory.get(namespace, i)) is not None]
        base.sort(key=lambda s: (s.seq, s.id))
        unfolded = {slot.id: parked[slot.id].stored for slot in base if slot.id in parked}
        return Targets(base, derived, names, alias_groups, aliases_left, unfolded)

    def _chosen(self, namespace: str, slots: Sequence[Slot], selector: ForgetSelector, by: str) -> list[Slot]:
        if by == "session":
            named = _named("selector.session", selector.session)
            mac = self._host.parts.keyring.mac(namespace, MAC_SESSION, named)
            return [s for s in slots if mac == s.session_mac or s.session == named]
        if by == "source":
            return [s for s in slots if s.source == _named("selector.source", selector.source)]
        if by == "ids":
            return self._by_ids(namespace, slots, selector.ids.ids)
        start, end = time_range(selector.event_time, "selector.event_time")
        if start is None and end is None:
            raise invalid("selector.event_time", "The range has no side.", "Set start, end or both.")
        low = to_us(start) if start is not None else None
        high = to_us(end) if end is not None else None
        return [s for s in slots if (low is None or s.start_us >= low) and (high is None or s.start_us < high)]

    def _by_ids(self, namespace: str, slots: Sequence[Slot], ids: Sequence[str]) -> list[Slot]:
        """Engram ids, observation ids; a derived engram's id stands for its sources."""
        directory, keyring = self._host.live.store.directory, self._host.parts.keyring
        wanted, macs = set(ids), {keyring.mac(namespace, MAC_OBSERVATION, id) for id in ids}
        for id in ids:
            slot = directory.get(namespace, id)
            wanted.update(slot.sources if slot else ())
        return [s for s in slots if s.id in wanted or s.id_mac in macs]

    def _with_corrections(self, namespace: str, chosen: Iterable[Slot]) -> list[Slot]:
        """A text and its corrections go together, whichever of them was named."""
        superseded: dict[str, list[str]] = {}
        slots = {s.id: s for s in self._host.live.store.directory.slots(namespace) if s.is_base}
        for slot in slots.values():
            if slot.superseded_by:
                superseded.setdefault(slot.superseded_by, []).append(slot.id)
        reached: dict[str, Slot] = {}
        waiting = [s.id for s in chosen]
        while waiting:
            id = waiting.pop()
            if id in slots and id not in reached:
                reached[id] = slots[id]
                waiting += [slots[id].superseded_by, *superseded.get(id, [])]
        return list(reached.values())

    # --- persons ---

    def _of_person(
        self, namespace: str, slots: Sequence[Slot], naming: Naming, parked: Mapping[str, Parked]
    ) -> tuple[list[Slot], list[str]]:
        """Base engrams that name the person; the names, and those seen there that hold one of them."""
        base = {s.id: s for s in slots}
        chosen: list[Slot] = []
        names = set(naming.names)
        for stored in chain(self._opened(namespace), (each.stored for each in parked.values())):
            if stored.id in base and naming.meant_by(stored.record):
                chosen.append(base[stored.id])
                names.update(n for n in (*stored.record.people, stored.record.actor) if naming.within(n))
        return chosen, sorted(names)

    def _opened(self, namespace: str) -> Iterator[Stored]:
        """Every base engram, opened, in pages."""
        store = self._host.live.store
        ids = sorted(s.id for s in store.directory.slots(namespace) if s.is_base)
        for start in range(0, len(ids), _BATCH):
            yield from store.fetch(namespace, ids[start : start + _BATCH]).values()

    # --- the command ---

    def command(self, namespace: str, selector: ForgetSelector, request_id: str, principal: str) -> tuple[str, Targets]:
        """Append the one Erased entry; returns the receipt's id and what it erases.

        The same ``request_id`` again appends nothing and returns the same receipt's id, and no targets; ID_REUSED with
        another selector. NOT_FOUND when the selector names nothing, no alias group either; INVALID_FIELD when more than
        one entry takes (some 26,000 engrams). The entry holds ids and keyed hashes, never the selector.
        """
        keyring = self._host.parts.keyring
        receipt_id = keyring.mac(namespace, MAC_FORGET, request_id).hex()
        selector_mac = keyring.mac(namespace, MAC_SELECTOR, _canonical(selector))
        with self._lock:
            if self._known(namespace, receipt_id, selector_mac):
                return receipt_id, Targets((), (), ())
            # Nothing is folded meanwhile: what was read with the erased aliases is among the targets.
            with self._host.fold_lock:
                targets = self.resolve(namespace, selector)
                self._append(namespace, targets, pb.Erased(receipt_id=receipt_id, selector_mac=selector_mac), principal)
        return receipt_id, targets

    def _append(self, namespace: str, targets: Targets, erased: pb.Erased, principal: str) -> None:
        """Append the entry over these targets, and know it from then on. NOT_FOUND, INVALID_FIELD."""
        if not targets.base and not targets.alias_groups:
            raise MnemeError(
                "NOT_FOUND",
                "The selector names nothing that is remembered.",
                field="selector",
                remedy="Try it with dry_run first.",
            )
        erased.id_macs.extend(s.id_mac for s in targets.base if s.id_mac)
        erased.engram_ids.extend(s.id for s in targets.base)
        erased.key_ids.extend(sorted({s.seal_key for s in targets.base}))
        erased.erasure_epoch = self._host.registry.next_epoch(namespace)
        key = self._erase_aliases(namespace, targets, erased) if targets.alias_groups else []
        entry = pb.LedgerEntry(namespace=namespace, principal=principal, erased=erased)
        entry.ingested_at.CopyFrom(stamp(from_us(time.time_ns() // 1_000)))
        try:
            self._host.parts.log.append([*key, ledger.message(entry)])
        except MessageTooLarge as error:
            what = f"It names {len(targets.base)} engrams, more than one erasure takes."
            remedy = "Forget by parts: narrower time ranges, or one session after another."
            raise invalid("selector", what, remedy) from error
        self._host.registry.erase(namespace, erased)

    def _erase_aliases(self, namespace: str, targets: Targets, erased: pb.Erased) -> list[Message]:
        """Name the key of the namespace's alias groups, and seal what is left of them under a new one.

        Returns the new key's message, to be appended before the entry; none where nothing is left.
        """
        info, keyring = self._host.registry.namespace(namespace), self._host.parts.keyring
        assert info is not None
        erased.key_ids.append(info.aliases_key)
        erased.alias_groups = targets.alias_groups
        if not targets.aliases_left:
            return []
        key = keyring.new_key(namespace)
        erased.aliases.CopyFrom(ledger.seal_aliases(keyring, key.key_id, namespace, targets.aliases_left))
        return [key.message]

    def _known(self, namespace: str, receipt_id: str, selector_mac: bytes) -> bool:
        """Whether this very command was given before, applied or not. ID_REUSED."""
        before = self._host.registry.selector_mac(namespace, receipt_id)
        if before and before != selector_mac:
            raise MnemeError(
                "ID_REUSED", "The id was taken before with another selector.", field="id", remedy="Use a new id."
            )
        return before is not None

    # --- looking for what is left ---

    def probe(self, namespace: str, receipt: pb.StoredReceipt) -> list[ErasureProbe]:
        """Try to read the erased in every store. A readable count of 0 everywhere is clean."""
        partition, offset = receipt.receipt.position.partition, receipt.receipt.position.offset
        macs: set[bytes] = set()
        for record in self._host.parts.log.read(topics.LEDGER, partition, offset, offset + 1):
            macs.update(decode(record).body.erased.id_macs)
        ids = {*receipt.base_ids, *receipt.derived_ids}
        blocks = self._probe_blocks(namespace, receipt.receipt.erasure_epoch, ids)
        return [*self.look_for(namespace, partition, ids, macs, receipt.key_ids), *blocks]

    def look_for(
        self, namespace: str, partition: int, ids: set[str], macs: set[bytes], key_ids: Sequence[str]
    ) -> list[ErasureProbe]:
        """What can be read of engrams, of observations by the hashes of their ids, and under data keys."""
        return [
            self._probe_keys(key_ids),
            self._probe_feed(partition, ids, set(key_ids)),
            self._probe_index(ids),
            self._probe_ledger(namespace, partition, macs, set(key_ids)),
            self._probe_recall(namespace, ids),
        ]

    def _probe_blocks(self, namespace: str, epoch: int, ids: set[str]) -> list[ErasureProbe]:
        """Dropping twice is dropping once, and a keeper says what is left then. None where nobody keeps any."""
        asked = self._host.parts.drop_blocks(namespace, epoch, sorted(ids))
        left = [f"{each.keeper}: {each.detail}" for each in asked if not each.done]
        detail = "; ".join(["keepers of KV blocks", *left])
        probe = ErasureProbe(store="blocks", looked_at=len(asked), readable=len(left), detail=detail)
        return [probe] if asked else []

    def _probe_keys(self, key_ids: Sequence[str]) -> ErasureProbe:
        left = sum(self._host.parts.keyring.has(key_id) for key_id in key_ids)
        return ErasureProbe(store="keys", looked_at=len(key_ids), readable=left, detail="data keys that still exist")

    def _probe_feed(self, partition: int, ids: set[str], key_ids: set[str]) -> ErasureProbe:
        looked = readable = 0
        for record in self._host.parts.log.read(topics.FEED, partition):
            feed = pb.FeedRecord.FromString(record.value) if record.value is not None else pb.FeedRecord()
            looked += 1
            if feed.engram_id in ids or {feed.sealed.key_id, feed.detail.key_id} & key_ids:
                readable += self._readable(feed)
        return ErasureProbe(store="feed", looked_at=looked, readable=readable, detail="records that can be opened")

    def _readable(self, feed: pb.FeedRecord) -> bool:
        if feed.erased:
            return False
        keyring = self._host.parts.keyring
        for opening in (open_core, open_whole):
            try:
                opening(feed, keyring)
            except KeyDestroyed:
                continue
            return True
        return False

    def _probe_index(self, ids: set[str]) -> ErasureProbe:
        rows = self._host.live.store.collection.sealed(sorted(ids))
        readable = sum(self._readable(pb.FeedRecord.FromString(sealed)) for sealed in rows.values())
        detail = f"{len(rows)} rows with these ids"
        return ErasureProbe(store="index", looked_at=len(ids), readable=max(readable, len(rows)), detail=detail)

    def _probe_ledger(self, namespace: str, partition: int, macs: set[bytes], key_ids: set[str]) -> ErasureProbe:
        looked = readable = 0
        for record in self._host.parts.log.read(topics.LEDGER, partition):
            looked += 1
            try:
                entry = decode(record)
            except Poison:
                continue  # a dead letter, sealed under a key of its own
            if entry.namespace == namespace and (sealed := _sealed_of(entry, macs, key_ids)) is not None:
                readable += self._opens(namespace, *sealed)
        detail = "sealed texts and alias groups that can be opened"
        return ErasureProbe(store="ledger", looked_at=looked, readable=readable, detail=detail)

    def _opens(self, namespace: str, sealed: pb.Sealed, purpose: str) -> bool:
        try:
            self._host.parts.keyring.open(sealed, namespace=namespace, purpose=purpose)
        except KeyDestroyed:
            return False
        return True

    def _probe_recall(self, namespace: str, ids: set[str]) -> ErasureProbe:
        found = self._host.live.store.fetch(namespace, sorted(ids))
        return ErasureProbe(store="recall", looked_at=len(ids), readable=len(found), detail="engrams that are returned")


def _sealed_of(entry: Entry, macs: set[bytes], key_ids: set[str]) -> tuple[pb.Sealed, str] | None:
    """What an entry holds sealed of the erased, and what it is sealed for: the text of an id, or alias groups."""
    body = entry.body
    if body.observation_accepted.id_mac in macs:
        return body.observation_accepted.sealed, ledger.SEAL_OBSERVATION
    if body.remembered.id_mac in macs:
        return body.remembered.sealed, ledger.SEAL_REMEMBER
    if body.corrected.id_mac in macs:
        return body.corrected.sealed, ledger.SEAL_CORRECT
    for aliases in (body.namespace_created.aliases, body.erased.aliases):
        if aliases.key_id in key_ids:
            return aliases, ledger.SEAL_NAMESPACE
    return None


def _naming(person: Person, groups: Sequence[AliasGroup]) -> Naming:
    _named("selector.person.name", plain(person.name))
    return Naming([person.name, *person.aliases], groups)


def _named(field: str, value: str) -> str:
    if not value:
        raise invalid(field, "It is empty.", "Name what is to be forgotten.")
    return value


def _canonical(selector: ForgetSelector) -> bytes:
    """Equal for selectors that say the same: names and ids in any order, once or twice."""
    same = ForgetSelector()
    same.CopyFrom(selector)
    if same.HasField("person"):
        same.person.aliases[:] = sorted(set(same.person.aliases))
    if same.HasField("ids"):
        same.ids.ids[:] = sorted(set(same.ids.ids))
    return same.SerializeToString(deterministic=True)
