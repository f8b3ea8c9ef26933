"""One ledger entry to changes of engrams: base engrams made, hooks run, their operations applied.

A pure function of the entry, the view before it, the erased ids and the plug-ins; so a rebuild, and an erasure that
folds a session again, come to what the first time came to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial

from google.protobuf.message import DecodeError
from google.protobuf.timestamp_pb2 import Timestamp
from mneme.v1 import ledger_pb2 as pb
from mneme.v1.episodic_pb2 import CorrectRequest, RememberRequest

from services.common.crypto.seal import KEY_WAIT_S, KeyDestroyed, Keyring, Tampered
from services.common.ids import digest
from services.common.ledger import entries as ledger
from services.common.ledger.room import ENGRAM_BYTES, names_that_fit
from services.common.ledger.settings import Place
from services.common.lineage import lineage_of
from services.common.log.base import Log, LogError
from services.common.text import lexical
from services.common.text.extract import Label
from services.episodic.plugins.base import EpisodeClosed, Event, Observed, Operation, Plugin, Record
from services.episodic.search.index import IndexUnavailable
from services.episodic.state.namespaces import NamespaceInfo, Registry
from services.episodic.state.records import (
    Stored,
    happened,
    seen_by_hooks,
    to_core,
)
from services.episodic.state.store import Store
from services.episodic.state.view import View
from services.episodic.write import said
from services.episodic.write.context import Toolkit, WriteContext
from services.episodic.write.operations import Cause, Refused, apply


class Poison(Exception):
    """An entry that cannot be taken. ``reason`` is the name of an ErrorReason; the message holds no text."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Foreign(Poison):
    """Nothing that was acknowledged here: of a namespace never created."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A ledger entry and where it lies."""

    body: pb.LedgerEntry
    partition: int
    offset: int

    @property
    def namespace(self) -> str:
        return self.body.namespace

    @property
    def place(self) -> Place:
        return Place(self.partition, self.offset)


@dataclass(slots=True)
class Outcome:
    """What folding an entry came to, beside the changes in the view."""

    what: str  # "applied", "duplicate", "erased", "ignored"
    refused: list[Poison]  # of single plug-ins; the rest of the entry counts
    doomed_keys: list[str]  # of texts that may not be kept


def made_by(plugin: Plugin) -> str:
    return f"{plugin.name}@{plugin.version}#{digest(repr(plugin))[:8]}"


def fingerprint(plugins: Sequence[Plugin], embedder: str) -> str:
    """Digest of what makes a generation: the plug-ins that write, their parameters, the embedder, the way to terms."""
    writing = [p for p in plugins if type(p).encode is not Plugin.encode or type(p).link is not Plugin.link]
    return digest(embedder, lexical.IDENTITY, *map(made_by, writing))


class Reducer:
    """Folds entries into one generation's view."""

    def __init__(
        self,
        log: Log,
        keyring: Keyring,
        registry: Registry,
        toolkit: Toolkit,
        plugins: Sequence[Plugin],
        store: Store,
    ) -> None:
        self._log = log
        self._keyring = keyring
        self.registry = registry
        self._toolkit = toolkit
        self._plugins = plugins
        self._store = store

    def fold(self, entry: Entry, view: View) -> Outcome:
        """Change ``view`` by one entry. Poison when it cannot be taken; the view is then as it was.

        Poison destroys nothing: what was acknowledged keeps its key, whatever is thought of it here.
        """
        body = entry.body.WhichOneof("body")
        if self.registry.is_deleted_since(entry.namespace, entry.offset):
            return Outcome("erased", [], [])
        if body == "namespace_created":
            self.registry.fold(entry.body, entry.place)
            return Outcome("applied", [], [])
        if body == "namespace_changed":
            self.registry.fold(entry.body, entry.place)
            return Outcome("applied", [], self._needless(entry))
        if body not in _FOLD:
            return Outcome("ignored", [], [])
        self.registry.told(entry.body, entry.place)
        info = self.registry.namespace_at(entry.namespace, entry.offset)
        if info is None and self.registry.is_gone(entry.namespace):
            return Outcome("erased", [], _keys_of(entry.body))  # who wrote it did not know yet: it goes with the rest
        if info is None:
            raise Foreign("UNKNOWN_NAMESPACE", "The entry names a namespace that was never created.")
        run = _Run(self, entry, view, info)
        try:
            outcome = _FOLD[body](run)
            view.end_entry()
            return outcome
        except KeyDestroyed:
            return Outcome("erased", [], [])
        except Tampered as error:
            raise Poison("INVALID_FIELD", "The entry cannot be opened (Tampered).") from error
        except (DecodeError, KeyError, ValueError, OverflowError) as error:
            raise Poison("INVALID_FIELD", f"The entry cannot be read ({type(error).__name__}).") from error

    def _needless(self, entry: Entry) -> list[str]:
        """Keys of alias groups that nothing is folded with, or that came too late to count."""
        needless = self.registry.needless(entry.namespace)
        if self.registry.is_gone(entry.namespace):
            needless = [entry.body.namespace_changed.aliases.key_id]
        return [key_id for key_id in needless if key_id and self._keyring.has(key_id)]

    def context(self, run: _Run, plugin: Plugin, session: str, now: datetime, trigger: str) -> WriteContext:
        return WriteContext(run.view, self._toolkit, plugin, run.info, session, now, trigger)


@dataclass(slots=True)
class _Run:
    """Folding of one entry."""

    reducer: Reducer
    entry: Entry
    view: View
    info: NamespaceInfo

    @property
    def namespace(self) -> str:
        return self.entry.namespace

    @property
    def at(self) -> Timestamp:
        return self.entry.body.ingested_at

    def open(self, sealed: pb.Sealed, purpose: str) -> bytes:
        return self.reducer._keyring.open(sealed, namespace=self.namespace, purpose=purpose, within_s=KEY_WAIT_S)

    def is_erased(self, mac: bytes) -> bool:
        return self.reducer.registry.is_erased_mac(self.namespace, mac)

    # --- base engrams ---

    def observation(self) -> Outcome:
        body = self.entry.body.observation_accepted
        if self.is_erased(body.id_mac):
            return self._erased(body)
        if self._known(self.view.by_mac(self.namespace, body.id_mac), body.content_mac):
            return Outcome("duplicate", [], self._stray(body))
        perceived = pb.PerceivedObservation.FromString(self.open(body.sealed, ledger.SEAL_OBSERVATION))
        o = perceived.observation
        record = said.observed(self.namespace, perceived, self.entry.offset)
        if self._any_erased(record.derived_from):
            return self._erased(body)
        stored = self._base(record, body, lineage_of(o.derived_from).complete)
        stored = replace(stored, observation_id=o.id, external_id=o.external_id, session_mac=body.session_mac)
        return self._born(_fitting(stored), "observed")

    def remembered(self) -> Outcome:
        body = self.entry.body.remembered
        if self.is_erased(body.id_mac):
            return self._erased(body)
        if self._known(self.view.by_mac(self.namespace, body.id_mac), body.content_mac):
            return Outcome("duplicate", [], self._stray(body))
        r = RememberRequest.FromString(self.open(body.sealed, ledger.SEAL_REMEMBER))
        record = said.remembered(self.namespace, r, self.entry.body.ingested_at, self.entry.offset)
        if self._any_erased(record.derived_from):
            return self._erased(body)
        stored = self._base(self._perceived(record, body), body, lineage_of(r.derived_from).complete)
        stored = replace(stored, external_id=r.external_id)
        return self._born(_fitting(stored), "remembered")

    def corrected(self) -> Outcome:
        body = self.entry.body.corrected
        if self.is_erased(body.id_mac):
            return self._erased(body)
        if self._known(self.view.by_mac(self.namespace, body.id_mac), body.content_mac):
            return Outcome("duplicate", [], self._stray(body))
        if self.reducer.registry.is_erased(self.namespace, body.engram_id):
            return self._erased(body)  # said of something that was erased meanwhile: it may not stay either
        old = self.view.whole(self.namespace, body.engram_id)
        if old is None or not old.record.is_base or old.record.state != "active":
            raise Poison("NOT_FOUND", "The entry corrects an engram that is not there, derived or superseded.")
        r = CorrectRequest.FromString(self.open(body.sealed, ledger.SEAL_CORRECT))
        id = ledger.corrected_id(self.namespace, r.id)
        record = replace(
            old.record,
            id=id,
            text=r.text,
            times=(),
            people=(),
            places=(),
            keys=(),
            links=((old.id, "corrects", 1.0),),
            seq=self.entry.offset,
        )
        stored = self._base(self._perceived(record, body), body, not old.lineage_unknown)
        stored = _fitting(replace(stored, place=old.place, session_mac=old.session_mac, external_id=old.external_id))
        retired = happened(old, "superseded", self.entry.offset, self.at)
        record = replace(retired.record, state="superseded", superseded_by=id, keys=())
        self.view.put(replace(retired, record=record, version=self.entry.offset))
        outcome = self._born(stored, "corrected")
        self._derive_again(old, stored, outcome)
        return outcome

    def _known(self, id: str | None, content_mac: bytes) -> bool:
        """Whether this very entry was folded before. ID_REUSED when it was one with other content."""
        slot = self.view.slot(self.namespace, id) if id is not None else None
        if slot is not None and slot.content_mac != content_mac:
            raise Poison("ID_REUSED", "The id was taken before with other content.")
        return slot is not None

    def _erased(self, body: said.Said) -> Outcome:
        """A text whose id was erased, or what it corrects or is derived from: appended by who did not know, its key is
        still there."""
        key_id = body.sealed.key_id
        return Outcome("erased", [], [key_id] if self.reducer._keyring.has(key_id) else [])

    def _any_erased(self, ids: Sequence[str]) -> bool:
        return any(self.reducer.registry.is_erased(self.namespace, id) for id in ids)

    def _stray(self, body: said.Said) -> list[str]:
        """The key of a text that is known under another: a retry that a process took which did not know of the first.

        No erasure would name it.
        """
        id = self.view.by_mac(self.namespace, body.id_mac)
        slot = self.view.slot(self.namespace, id) if id is not None else None
        return [body.sealed.key_id] if slot is not None and slot.seal_key != body.sealed.key_id else []

    def _base(self, record: Record, body: said.Said, lineage_complete: bool) -> Stored:
        """``lineage_complete``: as the text says itself; here it is seen whether what it names is there. A derived
        engram may have held more when it was read: an erasure rewrites it under the same id."""
        slots = [self.view.slot(self.namespace, id) for id in record.derived_from]
        known = all(slot is not None and slot.is_base for slot in slots)
        return Stored(
            record=record,
            partition=self.entry.partition,
            version=self.entry.offset,
            place=self.entry.offset,
            id_mac=body.id_mac,
            content_mac=body.content_mac,
            lineage_unknown=not (lineage_complete and known),
            seal_key=body.sealed.key_id,
        )

    def _perceived(self, record: Record, body: pb.Remembered | pb.Corrected) -> Record:
        """With people, places and times: what perception does for observations, for what is stated directly."""
        people, places = self.reducer._toolkit.entities(record.text, self.info, self._labels(body))
        times = tuple(i for _, i in self.reducer._toolkit.dates(record.text, record.event.start))
        return replace(record, people=tuple(people), places=tuple(places), times=times)

    def _labels(self, body: pb.Remembered | pb.Corrected) -> list[Label] | None:
        if not body.HasField("reading"):
            return None
        reading = pb.Reading.FromString(self.open(body.reading, ledger.SEAL_READING))
        return [Label(each.start, each.end, each.label) for each in reading.labels]

    def _born(self, stored: Stored, what: str) -> Outcome:
        stored = happened(stored, what, self.entry.offset, self.at)
        self.view.put(stored)
        record = seen_by_hooks(stored)
        return self._hooks(Observed(record), record.id, record.session, record.event.end)

    # --- episodes ---

    def episode_closed(self) -> Outcome:
        body = self.entry.body.episode_closed
        return self._close(body, self.entry.offset, "")

    def _close(self, body: pb.EpisodeClosed, seq: int, again: str) -> Outcome:
        members = tuple(self._members(body))
        if not members:
            return Outcome("erased" if body.id_macs else "ignored", [], [])
        id = ledger.episode_id(self.namespace, body.session_mac, body.id_macs[0])
        event = EpisodeClosed(id, members[0].session, members, body.reason, seq)
        return self._hooks(event, id + again, event.session, members[-1].event.end)

    def _members(self, body: pb.EpisodeClosed) -> Iterator[Record]:
        """The episode's base engrams in order, each in its newest correction; the erased left out."""
        for mac in body.id_macs:
            id = self.view.by_mac(self.namespace, mac)
            stored = self.view.get(self.namespace, id) if id is not None else None
            while stored is not None and stored.record.superseded_by:
                stored = self.view.get(self.namespace, stored.record.superseded_by)
            if stored is not None and stored.record.state == "active":
                yield seen_by_hooks(stored)

    def _derive_again(self, old: Stored, new: Stored, outcome: Outcome) -> None:
        """Run the hooks of every episode that held a corrected engram again, over the correction."""
        first = old
        while first.record.links and (before := self._corrects(first)) is not None:
            first = before
        for offset, body in self._episodes_of(first):
            result = self._close(body, offset, f"/{new.id}")
            outcome.refused += result.refused

    def _corrects(self, stored: Stored) -> Stored | None:
        for dst, relation, _ in stored.record.links:
            if relation == "corrects":
                return self.view.get(self.namespace, dst)
        return None

    def _episodes_of(self, first: Stored) -> Iterator[tuple[int, pb.EpisodeClosed]]:
        """Boundaries so far around an observation."""
        if not first.session_mac:
            return
        offsets = self.reducer.registry.boundaries(self.namespace, first.session_mac, first.id_mac)
        offsets = [offset for offset in offsets if first.place <= offset < self.entry.offset]
        for record in ledger.records_at(self.reducer._log, self.entry.partition, offsets):
            body = ledger.entry_of(record)
            if body is not None and first.id_mac in body.episode_closed.id_macs:
                yield record.offset, body.episode_closed

    # --- hooks ---

    def _hooks(self, event: Event, trigger: str, session: str, now: datetime) -> Outcome:
        """Run encode of every plug-in, then link, on what was just written; apply what they return, in order."""
        outcome = Outcome("applied", [], [])
        derived: list[str] = []
        for plugin in self.reducer._plugins:
            ctx = self.reducer.context(self, plugin, session, now, trigger)
            hook = partial(plugin.encode, event, ctx)
            derived += self._apply(plugin, "encode", trigger, trigger, session, outcome, hook)
            if isinstance(event, Observed):
                link = partial(plugin.link, event.record, ctx)
                self._apply(plugin, "link", trigger, trigger, session, outcome, link)
        for id in derived:
            record = seen_by_hooks(self.view.changed[id])
            for plugin in self.reducer._plugins:
                ctx = self.reducer.context(self, plugin, session, now, id)
                link = partial(plugin.link, record, ctx)
                self._apply(plugin, "link", f"{trigger}/{id}", trigger, session, outcome, link)
        return outcome

    def _apply(
        self,
        plugin: Plugin,
        hook: str,
        trigger: str,
        about: str,
        session: str,
        outcome: Outcome,
        run: Callable[[], Sequence[Operation]],
    ) -> list[str]:
        cause = Cause(
            plugin=plugin,
            made_by=made_by(plugin),
            hook=hook,
            trigger=trigger,
            about=about,
            namespace=self.namespace,
            session=session,
            partition=self.entry.partition,
            offset=self.entry.offset,
            at=self.at,
            generation=self.reducer._store.number,
        )
        try:
            return apply(self.view, run(), cause)
        except Refused as error:
            outcome.refused.append(Poison("INTERNAL", f"{plugin.name}.{hook}: {error}"))
        except (IndexUnavailable, LogError):
            raise
        except Exception as error:  # noqa: BLE001 - a plug-in's defect is poison of one entry, not the partition's end
            outcome.refused.append(Poison("INTERNAL", f"{plugin.name}.{hook} failed: {type(error).__name__}"))
        return []


# As ``facts.FOLDED``.
_FOLD: dict[str | None, Callable[[_Run], Outcome]] = {
    "observation_accepted": _Run.observation,
    "remembered": _Run.remembered,
    "corrected": _Run.corrected,
    "episode_closed": _Run.episode_closed,
}


def _keys_of(body: pb.LedgerEntry) -> list[str]:
    """The key of the text that an entry holds."""
    text = said.of(body)
    return [text.sealed.key_id] if text is not None else []


def _fitting(stored: Stored) -> Stored:
    """With as many of the names found in it as the index takes. TEXT_SIZE where what was said does not fit alone."""
    if to_core(stored).ByteSize() <= ENGRAM_BYTES:
        return stored
    record = stored.record
    room = ENGRAM_BYTES - to_core(replace(stored, record=replace(record, people=(), places=()))).ByteSize()
    if room < 0:
        raise Poison("TEXT_SIZE", "Text and metadata together are more than the index takes.")
    people, places = names_that_fit(room, record.people, record.places)
    return replace(stored, record=replace(record, people=people, places=places))
