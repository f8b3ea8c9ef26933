"""Forgetting: what a selector means, the one command that erases it, and the probe that looks for what is left."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import TypeAlias

from mneme.v1 import ledger_pb2 as pb
from mneme.v1.admin_pb2 import AliasGroup
from mneme.v1.episodic_pb2 import ErasureProbe, ForgetSelector, Person

from services.common.ledger import entries as ledger
from services.common.ledger import topics
from services.common.ledger.entries import MAC_FORGET, MAC_OBSERVATION, MAC_SELECTOR, MAC_SESSION
from services.common.ledger.settings import Place
from services.common.log.base import Message, MessageTooLarge, partition_of
from services.common.serving import clocks
from services.common.serving.errors import MnemeError, invalid
from services.common.serving.pages import fitting
from services.common.text.extract import plain
from services.common.turns import checkpoint, uninterrupted
from services.episodic.erasure.person import Doubt, Naming
from services.episodic.erasure.probe import Probing
from services.episodic.erasure.probe_deleted import DeletedProbing
from services.episodic.recall.recall import not_fresh
from services.episodic.state.checks import check_name, check_reference, time_range, unknown_namespace
from services.episodic.state.mentions import mentions_key, name_hashes, short_id
from services.episodic.state.namespaces import NamespaceInfo
from services.episodic.state.records import Stored, engram_bytes, to_us
from services.episodic.state.service_state import BY_NAMESPACE
from services.episodic.state.slots import Slot, slot_of
from services.episodic.write import deletion as delete
from services.episodic.write.parked import Parked
from services.episodic.write.writer import Host

_BATCH = 256
_LOOKS = 16  # through what came while a person was looked for
_MOST_UNSEEN, _MOST_CHARACTERS = 64, 8_000  # texts that are looked through while nothing is folded, and in them
MAX_IDS = 10_000  # of a selector
MAX_ALIASES = 256  # of a person
# Of a text and a person: names of theirs that it came with, a doubt, or None where it is not about them.
Verdict: TypeAlias = tuple[str, ...] | Doubt | None


@dataclass(frozen=True, slots=True)
class Doubtful:
    """An engram that may name the person, and the first reason why that is doubtful."""

    slot: Slot
    doubt: Doubt


@dataclass(frozen=True, slots=True)
class Targets:
    """What a selector means at a moment: base engrams and what derives from them, and the names it was widened to."""

    base: Sequence[Slot]
    derived: Sequence[Slot]
    names: Sequence[str]
    alias_groups: int = 0  # of the namespace, that hold one of the names
    aliases_left: Sequence[AliasGroup] = ()  # what is left of all its groups without them
    left_before: Mapping[str, Sequence[AliasGroup]] = field(default_factory=dict)  # the same of earlier ones, by key
    doubtful: Sequence[Doubtful] = ()  # base engrams that may name the person, and are left
    sought: Sequence[str] = ()  # the person's names as they are looked for
    unfolded: Mapping[str, Stored] = field(default_factory=dict)  # of the base, what could not be folded, opened
    named: Mapping[str, Sequence[Slot]] = field(default_factory=dict)  # of the base, what each id of the selector means
    declared: Mapping[str, str] = field(default_factory=dict)  # of the base, what is not selected, and why it goes


@dataclass(frozen=True, slots=True)
class _Looked:
    """Who is meant by a person, with the alias groups of ``info``; and what was found of each engram's version."""

    info: NamespaceInfo | None
    naming: Naming
    verdicts: dict[tuple[str, int], Verdict] = field(default_factory=dict)

    def unseen(self, told: Iterable[Slot]) -> list[str]:
        """Ids of what was not looked through."""
        return [slot.id for slot in told if (slot.id, slot.version) not in self.verdicts]


class Forgetting:
    def __init__(self, host: Host) -> None:
        self._host = host
        self._probing = Probing(host)
        self._deleted = DeletedProbing(host)
        self._lock = threading.Lock()  # one command at a time: epochs are counted up
        self.look_for = self._probing.look_for

    # --- resolving ---

    def resolve(self, namespace: str, selector: ForgetSelector, looked: _Looked | None = None) -> Targets:
        """Base engrams that the selector names, the corrections of each with it, and what derives from those.

        ``looked``: what was found before of the person whom it names.
        """
        _require_bounded(selector)
        by = selector.WhichOneof("by")
        if by is None:
            raise invalid(
                "selector", "Nothing is selected.", "Set exactly one of session, person, source, event_time, ids."
            )
        parked = self._parked(namespace)
        slots = self._told(namespace, parked)
        if by == "person":
            return self._resolve_person(namespace, selector.person, slots, parked, looked)
        if by == "ids":
            named = self._by_ids(namespace, slots, selector.ids.ids)
            chosen = {slot.id: slot for of_one in named.values() for slot in of_one}
            return replace(self._targets(namespace, list(chosen.values()), slots, parked), named=named)
        return self._targets(namespace, self._chosen(namespace, slots, selector, by), slots, parked)

    def shown(self, namespace: str, targets: Targets) -> dict[str, Stored]:
        """Of what a dry run lists, by id, the first texts that a page has room for."""
        slots = (*targets.base, *(each.slot for each in targets.doubtful), *targets.derived)
        ids = [slot.id for slot in slots if slot.id not in targets.unfolded]
        opened = chain(targets.unfolded.values(), self._host.live.store.opened(namespace, ids))
        return {each.id: each for each in fitting(opened, engram_bytes)[0]}

    def _parked(self, namespace: str) -> dict[str, Parked]:
        """What could not be folded, by the id that it would have."""
        opened = self._host.parking.opened(namespace, self._host.live.store.directory)
        return {each.stored.id: each for each in opened}

    def _told(self, namespace: str, parked: Mapping[str, Parked]) -> list[Slot]:
        """Base engrams, and what would be some if it could be folded."""
        slots = [s for s in self._host.live.store.directory.slots(namespace) if s.is_base]
        return [*slots, *(slot_of(each.stored, -1, 0) for each in parked.values())]

    def _targets(
        self, namespace: str, chosen: Sequence[Slot], slots: Sequence[Slot], parked: Mapping[str, Parked]
    ) -> Targets:
        """The chosen and what goes with them, in ledger order, and what derives from any of them, in order of id."""
        directory = self._host.live.store.directory
        told = {s.id: s for s in slots}
        reasons = self._going(namespace, chosen, told, parked)
        base = [told[id] for id in reasons]
        ids = {i for slot in base for i in directory.derived_from(namespace, slot.id)}
        derived = [slot for i in sorted(ids) if (slot := directory.get(namespace, i)) is not None]
        base.sort(key=lambda s: (s.seq, s.id))
        unfolded = {slot.id: parked[slot.id].stored for slot in base if slot.id in parked}
        declared = {id: reason for id, reason in reasons.items() if reason}
        return Targets(base, derived, (), unfolded=unfolded, declared=declared)

    def _resolve_person(
        self,
        namespace: str,
        person: Person,
        slots: Sequence[Slot],
        parked: Mapping[str, Parked],
        looked: _Looked | None,
    ) -> Targets:
        info = self._host.registry.namespace(namespace)
        groups = info.aliases if info else ()
        looked = self._meant(person, info, looked)
        naming = looked.naming
        self._look(namespace, looked, slots, parked)
        chosen, doubtful, names = _of_person(looked, slots)
        if person.include_doubtful:
            chosen += [each.slot for each in doubtful]
        found = self._targets(namespace, chosen, slots, parked)
        going = {slot.id for slot in found.base}
        left = [each for each in doubtful if each.slot.id not in going]
        held, others = naming.without(groups)
        before: dict[str, Sequence[AliasGroup]] = {}
        for earlier in info.earlier if info else ():
            named, rest = naming.without(earlier.groups)
            if named:
                before[earlier.key_id] = rest
                held += naming.without([group for group in earlier.groups if group not in groups])[0]
        return replace(
            found,
            names=names,
            alias_groups=held,
            aliases_left=others,
            left_before=before,
            doubtful=left,
            sought=naming.sought,
        )

    def _chosen(self, namespace: str, slots: Sequence[Slot], selector: ForgetSelector, by: str) -> list[Slot]:
        if by == "session":
            named = _named("selector.session", selector.session)
            mac = self._host.parts.keyring.mac(namespace, MAC_SESSION, named)
            return [s for s in slots if mac == s.session_mac or s.session == named]
        if by == "source":
            return [s for s in slots if s.source == _named("selector.source", selector.source)]
        start, end = time_range(selector.event_time, "selector.event_time")
        if start is None and end is None:
            raise invalid("selector.event_time", "The range has no side.", "Set start, end or both.")
        low = to_us(start) if start is not None else None
        high = to_us(end) if end is not None else None
        return [s for s in slots if (low is None or s.start_us >= low) and (high is None or s.start_us < high)]

    def _by_ids(self, namespace: str, slots: Sequence[Slot], ids: Sequence[str]) -> dict[str, list[Slot]]:
        """By id of an engram or an observation, what it names; a derived engram's id stands for its sources."""
        directory, keyring = self._host.live.store.directory, self._host.parts.keyring
        by_id = {slot.id: slot for slot in slots}
        by_mac = {slot.id_mac: slot for slot in slots if slot.id_mac}
        named: dict[str, list[Slot]] = {}
        for id in ids:
            engram = directory.get(namespace, id)
            reached = [by_id.get(each) for each in (id, *(engram.sources if engram else ()))]
            reached.append(by_mac.get(keyring.mac(namespace, MAC_OBSERVATION, id)))
            named[id] = list({slot.id: slot for slot in reached if slot is not None}.values())
        return named

    def _going(
        self, namespace: str, chosen: Iterable[Slot], told: Mapping[str, Slot], parked: Mapping[str, Parked]
    ) -> dict[str, str]:
        """All that goes, by id, each with the reason where the selector does not mean it.

        A text and its corrections go together, whichever of them was named, and with each of them what says that it is
        derived from it, or from an engram that is.
        """
        together: dict[str, list[str]] = {}
        declared: dict[str, list[str]] = {}
        for slot in told.values():
            other = parked[slot.id].goes_with if slot.id in parked else slot.superseded_by
            together.setdefault(other, []).append(slot.id)
            if slot.superseded_by:
                together.setdefault(slot.id, []).append(slot.superseded_by)
            for source in slot.derived_from:
                declared.setdefault(source, []).append(slot.id)
        going: dict[str, str] = {}
        waiting = deque((slot.id, "") for slot in chosen)
        while waiting:
            id, reason = waiting.popleft()
            if id not in told or id in going:
                continue
            going[id] = reason
            waiting += [(other, reason) for other in together.get(id, ())]
            for source in (id, *self._host.live.store.directory.derived_from(namespace, id)):
                reason = f"It says that it is derived from {source}."
                waiting += [(derived, reason) for derived in declared.get(source, ())]
        return going

    # --- persons ---

    def _look(self, namespace: str, looked: _Looked, told: Sequence[Slot], parked: Mapping[str, Parked]) -> None:
        """Look for the person in what was not looked through yet."""
        unseen = looked.unseen(told)
        unfolded = [parked[id].stored for id in unseen if id in parked]
        for stored in chain(self._opened(namespace, [id for id in unseen if id not in parked]), unfolded):
            looked.verdicts[stored.id, stored.version] = _judge(looked.naming, stored)
            checkpoint()

    def _meant(self, person: Person, info: NamespaceInfo | None, before: _Looked | None = None) -> _Looked:
        """Who is meant, with what was found ``before`` where it holds still: it is a function of names and texts."""
        if before is not None and before.info is info:
            return before
        _named("selector.person.name", plain(person.name))
        naming = Naming([person.name, *person.aliases], info.aliases if info else ())
        is_same = before is not None and before.naming.key == naming.key
        return _Looked(info, naming, before.verdicts if before is not None and is_same else {})

    def _opened(self, namespace: str, ids: Sequence[str]) -> Iterator[Stored]:
        """Engrams, opened in pages."""
        for start in range(0, len(ids), _BATCH):
            yield from self._host.live.store.fetch(namespace, ids[start : start + _BATCH]).values()

    # --- the command ---

    def command(self, namespace: str, selector: ForgetSelector, request_id: str, principal: str) -> tuple[str, Targets]:
        """Append the one Erased entry; returns the receipt's id and what it erases.

        The same ``request_id`` again appends nothing and returns the same receipt's id, and no targets; ID_REUSED with
        another selector. NOT_FOUND when the selector names nothing, no alias group either; INVALID_FIELD when more than
        one entry takes (some 26,000 engrams). The entry holds ids and keyed hashes, never the selector.
        """
        _require_bounded(selector)
        keyring = self._host.parts.keyring
        receipt_id = keyring.mac(namespace, MAC_FORGET, request_id).hex()
        selector_mac = keyring.mac(namespace, MAC_SELECTOR, _canonical(selector))
        erased = pb.Erased(
            receipt_id=receipt_id, selector_mac=selector_mac, selected_by=selector.WhichOneof("by") or ""
        )
        looked: _Looked | None = None
        for _ in range(_LOOKS):
            if selector.WhichOneof("by") == "person" and not self._known(namespace, receipt_id, selector_mac):
                looked = self._looked_through(namespace, selector.person, looked)
            with uninterrupted(), self._lock:
                if self._host.registry.is_gone(namespace):
                    raise unknown_namespace(namespace)
                if self._known(namespace, receipt_id, selector_mac):
                    return receipt_id, Targets((), (), ())
                # Nothing is folded meanwhile: what was read with the erased aliases is among the targets.
                with self._host.fold_lock:
                    if looked is not None and self._has_much_unseen(namespace, looked):
                        continue
                    self._require_settled(namespace)
                    targets = self.resolve(namespace, selector, looked)
                    self._append(namespace, targets, erased, principal)
                    return receipt_id, targets
        what = "More is told meanwhile than is looked through for the person."
        raise MnemeError("NOT_FRESH", what, field="namespace", remedy="Send it again, with the same id, when less is.")

    def _require_settled(self, namespace: str) -> None:
        """NOT_FRESH while a change of the settings waits to be applied: its alias groups may name the person."""
        log, reached = self._host.parts.log, self._host.progress.snapshot()
        partition = partition_of(namespace.encode(), len(reached))
        for record in log.read(topics.LEDGER, partition, reached[partition]):
            entry = ledger.entry_of(record)
            if entry is not None and entry.namespace == namespace and entry.HasField("namespace_changed"):
                raise not_fresh()

    def _looked_through(self, namespace: str, person: Person, before: _Looked | None) -> _Looked:
        """Every text, looked through for a person's names under no lock: it holds nobody up."""
        info = self._host.registry.namespace(namespace)
        looked = self._meant(person, info, before)
        for groups in (info.aliases, *(earlier.groups for earlier in info.earlier)) if info else ():
            looked.naming.without(groups)
        parked = self._parked(namespace)
        self._look(namespace, looked, self._told(namespace, parked), parked)
        return looked

    def _has_much_unseen(self, namespace: str, looked: _Looked) -> bool:
        """Whether much came that was not looked through, or the namespace's aliases changed."""
        if looked.info is not self._host.registry.namespace(namespace):
            return True
        parked = self._parked(namespace)
        unseen = looked.unseen(self._told(namespace, parked))
        if len(unseen) > _MOST_UNSEEN:
            return True
        texts = [parked[id].stored for id in unseen if id in parked]
        texts += self._host.live.store.fetch(namespace, [id for id in unseen if id not in parked]).values()
        return sum(len(stored.record.text) for stored in texts) > _MOST_CHARACTERS

    def _append(self, namespace: str, targets: Targets, erased: pb.Erased, principal: str) -> None:
        """Append the entry over these targets, and know it from then on. NOT_FOUND, INVALID_FIELD."""
        if not targets.base and not targets.alias_groups:
            remedy = "Try it with dry_run first."
            if targets.doubtful:
                remedy = f"{len(targets.doubtful)} are doubtful: a dry run lists them, include_doubtful erases them."
            what = "The selector names nothing that is remembered."
            raise MnemeError("NOT_FOUND", what, field="selector", remedy=remedy)
        erased.id_macs.extend(s.id_mac for s in targets.base if s.id_mac)
        erased.engram_ids.extend(s.id for s in targets.base)
        erased.engram_bytes.extend(self._host.registry.sizes(namespace, [s.seq for s in targets.base]))
        erased.key_ids.extend(sorted({s.seal_key for s in targets.base}))
        erased.names.extend(name_hashes(targets.sought, mentions_key(self._host.parts.keyring, namespace)))
        erased.doubtful = b"".join(short_id(each.slot.id) for each in targets.doubtful)
        erased.declared = len(targets.declared)
        erased.erasure_epoch = self._host.registry.next_epoch(namespace)
        key = self._erase_aliases(namespace, targets, erased) if targets.alias_groups else []
        entry = pb.LedgerEntry(namespace=namespace, principal=principal, erased=erased)
        entry.ingested_at.CopyFrom(clocks.now())
        try:
            [*_, at] = self._host.parts.log.append([*key, ledger.message(entry)])
        except MessageTooLarge as error:
            what = f"It names {len(targets.base)} engrams, more than one erasure takes."
            remedy = "Forget by parts: narrower time ranges, or one session after another."
            raise invalid("selector", what, remedy) from error
        self._host.registry.fold(entry, Place(at.partition, at.offset))

    def _erase_aliases(self, namespace: str, targets: Targets, erased: pb.Erased) -> list[Message]:
        """Name the key of the namespace's alias groups, and seal what is left of them under a new one.

        So with those from before a change that held a name, which are still needed. Returns the new keys' messages, to
        be appended before the entry; none where nothing is left.
        """
        info, keys = self._host.registry.namespace(namespace), list[Message]()
        assert info is not None
        erased.alias_groups = targets.alias_groups
        erased.key_ids.append(info.aliases_key)
        if targets.aliases_left:
            erased.aliases.CopyFrom(self._seal_left(namespace, targets.aliases_left, keys))
        for key_id, groups in targets.left_before.items():
            erased.key_ids.append(key_id)
            left = self._seal_left(namespace, groups, keys) if groups else pb.Sealed()
            erased.aliases_before[key_id].CopyFrom(left)
        return keys

    def _seal_left(self, namespace: str, groups: Sequence[AliasGroup], keys: list[Message]) -> pb.Sealed:
        keyring = self._host.parts.keyring
        key = keyring.new_key(namespace)
        keys.append(key.message)
        return ledger.seal_aliases(keyring, key.key_id, namespace, groups)

    def _known(self, namespace: str, receipt_id: str, selector_mac: bytes) -> bool:
        """Whether this very command was given before, applied or not. ID_REUSED."""
        before = self._host.registry.selector_mac(namespace, receipt_id)
        if before and before != selector_mac:
            raise MnemeError(
                "ID_REUSED", "The id was taken before with another selector.", field="id", remedy="Use a new id."
            )
        return before is not None

    # --- a whole namespace ---

    def delete(self, namespace: str, id: str, principal: str) -> str:
        """Append the one NamespaceDeleted entry; the receipt's id. UNKNOWN_NAMESPACE."""
        return delete.command(self._host.parts, self._host.registry, self._lock, namespace, id, principal)

    def known_deletion(self, namespace: str, id: str) -> str | None:
        """The receipt's id of a deletion that was asked for before with this idempotency key."""
        receipt_id = delete.deletion_id(self._host.parts, namespace, id)
        known = self._host.registry.deletion(namespace) == receipt_id or self._host.state.deletion(receipt_id)
        return receipt_id if known else None

    def is_deletion(self, namespace: str, receipt_id: str) -> bool:
        """Whether this is the receipt of a deletion of the namespace, applied or not."""
        if self._host.registry.deletion(namespace) == receipt_id:
            return True
        stored = self._host.state.deletion(receipt_id)
        return stored is not None and self._deleted.is_of(namespace, stored)

    # --- looking for what is left ---

    def probe(self, namespace: str, receipt: pb.StoredReceipt) -> list[ErasureProbe]:
        """Try to read the erased in every store. A readable count of 0 everywhere is clean."""
        return self._probing.probe(namespace, receipt)

    def verify(self, namespace: str, receipt: pb.StoredReceipt) -> tuple[list[ErasureProbe], list[str]]:
        """As ``probe``, and ids of engrams that were left and may name a forgotten person."""
        if receipt.receipt.selected_by == BY_NAMESPACE:
            return self._deleted.probe(namespace, receipt), []
        return self._probing.verify(namespace, receipt)


def _of_person(looked: _Looked, told: Sequence[Slot]) -> tuple[list[Slot], list[Doubtful], list[str]]:
    """What names the person, and what may; the names, and those seen that hold one of them."""
    chosen: list[Slot] = []
    doubtful: list[Doubtful] = []
    names = set(looked.naming.names)
    for slot in sorted(told, key=lambda slot: slot.id):
        verdict = looked.verdicts.get((slot.id, slot.version))
        if isinstance(verdict, Doubt):
            doubtful.append(Doubtful(slot, verdict))
        elif verdict is not None:
            chosen.append(slot)
            names.update(verdict)
    return chosen, doubtful, sorted(names)


def _judge(naming: Naming, stored: Stored) -> Verdict:
    record, ids = stored.record, stored.given_ids
    if naming.meant_by(record, ids):
        return tuple(n for n in (*record.people, record.actor) if naming.within(n))
    return next(iter(naming.doubted_of(record, ids)), None)


def _require_bounded(selector: ForgetSelector) -> None:
    """INVALID_FIELD for more than a call looks at, before anything is done with it."""
    if len(selector.ids.ids) > MAX_IDS:
        remedy = f"Name at most {MAX_IDS} at once; forget by parts."
        raise invalid("selector.ids.ids", f"There are {len(selector.ids.ids)}.", remedy)
    if len(selector.person.aliases) > MAX_ALIASES:
        what = f"There are {len(selector.person.aliases)}."
        raise invalid("selector.person.aliases", what, f"Name at most {MAX_ALIASES}; forget by parts.")
    for n, name in enumerate((selector.person.name, *selector.person.aliases)):
        check_name(name, "selector.person.name" if n == 0 else f"selector.person.aliases[{n - 1}]")
    check_reference(selector.session, "selector.session")
    check_reference(selector.source, "selector.source")
    for n, id in enumerate(selector.ids.ids):
        check_reference(_named(f"selector.ids.ids[{n}]", id), f"selector.ids.ids[{n}]")


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
