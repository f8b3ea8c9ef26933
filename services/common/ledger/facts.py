"""The facts of the ledger: its namespaces and their settings, what was erased and deleted, and ids that were seen.

The one fold of them. It looks at nothing but its arguments: no log, no key, no clock; so whoever folds the same entries
of a partition in the same order knows the same. Alias groups stay sealed; ids are keyed hashes; there are no texts.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Flag, auto

from mneme.v1.ledger_pb2 import Erased, LedgerEntry, NamespaceChanged, NamespaceCreated, NamespaceDeleted

from services.common.crypto.seal import Keyring
from services.common.ledger.places import Places
from services.common.ledger.quota import Amount
from services.common.ledger.settings import FirstSeen, Place, Settings
from services.common.ledger.spaces import ByNamespace
from services.common.ledger.usage import Usage

# Entries that are folded into engrams, with the alias groups of their time.
FOLDED = frozenset({"observation_accepted", "remembered", "corrected", "episode_closed"})


class Learned(Flag):
    """What an entry told that was not known."""

    NOTHING = 0
    SETTINGS = auto()  # the namespace's fields, alias groups or quota are other ones now
    ERASURE = auto()
    DELETION = auto()


@dataclass(frozen=True, slots=True)
class SessionSeen:
    """The newest entry of a session, and whether that ended it."""

    place: Place
    ended: bool


@dataclass(frozen=True, slots=True)
class Deleted:
    """The last deletion of a namespace."""

    place: Place
    receipt_id: str
    name_key_id: str  # of the key that goes last then


@dataclass(slots=True)
class Erasures:
    """Of a namespace, since it was made or made anew."""

    macs: dict[bytes, Place] = field(default_factory=dict)  # the first erasure of each observation
    ids: set[str] = field(default_factory=set)  # of base engrams
    selectors: dict[str, bytes] = field(default_factory=dict)  # what was selected, as its hash, by receipt id


@dataclass(slots=True)
class NamespaceFacts:
    """What the ledger says of one namespace; of what was deleted, that it was."""

    partition: int
    settings: Settings | None = None  # None: never created, or deleted since
    erasures: Erasures = field(default_factory=Erasures)
    observations: dict[bytes, FirstSeen] = field(default_factory=dict)
    sessions: dict[bytes, SessionSeen] = field(default_factory=dict)
    places: Places = field(default_factory=Places)
    usage: Usage = field(default_factory=Usage)
    deleted: Deleted | None = None
    epochs: dict[int, int] = field(default_factory=dict)  # of each erasure and deletion, by its offset
    in_clear: bool = False  # the ledger holds entries that are keyed by the name, for good

    def is_deleted_since(self, offset: int) -> bool:
        """Whether the namespace that an entry at this offset is of was deleted after it."""
        return self.deleted is not None and offset < self.deleted.place.offset

    def epoch_before(self, offset: float) -> int:
        """The highest erasure epoch of entries before an offset; 0 where there is none."""
        return max((epoch for at, epoch in self.epochs.items() if at < offset), default=0)

    def newest(self, end: float) -> int:
        """The newest entry before an offset that told, erased or created something; -1 where there is none."""
        created = [] if self.settings is None else [self.settings.place.offset]
        return max((self.places.newest(end), *(at for at in (*created, *self.epochs) if at < end)))

    def acts(self, end: float) -> list[int]:
        """Entries before an offset, in no order: the last deletion, what was done since, and boundaries of episodes."""
        since = self.deleted.place.offset if self.deleted is not None else 0
        settings = self.settings
        places = [] if settings is None else [settings.place, *(seen.place for seen in settings.changes.values())]
        others = (*(place.offset for place in places), *(at for at in self.epochs if at >= since))
        return [*self.places.told(end), *(at for at in others if at < end)]

    @property
    def held(self) -> Amount:
        """What the namespace was told and is not erased."""
        return Amount(self.usage.texts - len(self.erasures.ids), self.usage.bytes - self.usage.erased_bytes)

    @property
    def is_gone(self) -> bool:
        """Whether it was deleted, and not made anew as far as the ledger is known."""
        return self.deleted is not None and self.settings is None


class Facts(ByNamespace[NamespaceFacts]):
    """By namespace. Not thread-safe."""

    def __init__(self, keyring: Keyring, *, observations: bool) -> None:
        """``observations``: ids of observations and sessions are held, about 300 bytes an observation; else where the
        ledger holds what a namespace was told, 12 bytes an entry."""
        super().__init__(keyring)
        self.holds_observations = observations


def fold(facts: Facts, entry: LedgerEntry, place: Place) -> Learned:
    """Change ``facts`` by one entry, in the order of its partition; again is once.

    An erasure or a deletion may come ahead of its turn, when it was just appended: entries of before a deletion that is
    known say nothing.
    """
    of = facts.get(entry.namespace)
    if of is None:
        of = facts[entry.namespace] = NamespaceFacts(place.partition)
    body = entry.WhichOneof("body")
    if body == "namespace_created" and not entry.pseudonym:
        of.in_clear = True
    if of.is_deleted_since(place.offset):
        return Learned.NOTHING
    if body in FOLDED:
        _tell(of, entry, place, places=not facts.holds_observations)
    match body:
        case "observation_accepted" | "session_ended" if facts.holds_observations:
            _see(of, entry, place)
        case "erased":
            return _erase(of, entry.erased, place)
        case "namespace_created":
            if of.settings is None:
                facts[entry.namespace] = of  # by the name as it reads now
            return _create(of, entry.namespace_created, place)
        case "namespace_changed":
            return _change(of, entry.namespace_changed, place)
        case "namespace_deleted":
            return _delete(of, entry.namespace_deleted, place)
        case _:
            pass  # what is said of engrams is no fact of the ledger
    return Learned.NOTHING


def _tell(of: NamespaceFacts, entry: LedgerEntry, place: Place, *, places: bool) -> None:
    if of.settings is not None and place.offset > of.settings.place.offset:
        of.settings.need(place.offset)
    if places:
        of.places.add(entry, place.offset)
    if not entry.HasField("episode_closed"):
        of.usage.add(entry, place.offset)


def _see(of: NamespaceFacts, entry: LedgerEntry, place: Place) -> None:
    accepted = entry.observation_accepted
    if entry.HasField("session_ended"):
        of.sessions[entry.session_ended.session_mac] = SessionSeen(place, ended=True)
        return
    of.observations.setdefault(accepted.id_mac, FirstSeen(accepted.content_mac, place))
    of.sessions[accepted.session_mac] = SessionSeen(place, ended=False)


def _erase(of: NamespaceFacts, erased: Erased, place: Place) -> Learned:
    known = of.erasures
    for id_mac in erased.id_macs:
        known.macs.setdefault(id_mac, place)
    sizes = dict(zip(erased.engram_ids, erased.engram_bytes, strict=False))  # of an earlier version none
    of.usage.erased_bytes += sum(size for id, size in sizes.items() if id not in known.ids)
    known.ids.update(erased.engram_ids)
    known.selectors.setdefault(erased.receipt_id, erased.selector_mac)
    of.epochs[place.offset] = erased.erasure_epoch
    took = of.settings is not None and of.settings.erase(erased)
    return Learned.ERASURE | Learned.SETTINGS if took else Learned.ERASURE


def _create(of: NamespaceFacts, created: NamespaceCreated, place: Place) -> Learned:
    if of.settings is not None:
        return Learned.NOTHING
    of.settings = Settings.of(created, place)
    return Learned.SETTINGS


def _change(of: NamespaceFacts, changed: NamespaceChanged, place: Place) -> Learned:
    """One from before the creation, of who wrote too early, does not count when it is read again either."""
    settings = of.settings
    if settings is None or place.offset < settings.place.offset or not settings.change(changed, place):
        return Learned.NOTHING
    return Learned.SETTINGS


def _delete(of: NamespaceFacts, deleted: NamespaceDeleted, place: Place) -> Learned:
    """Made anew, its ids are free."""
    if of.deleted is not None and of.deleted.place == place:
        return Learned.NOTHING
    of.deleted = Deleted(place, deleted.receipt_id, deleted.name_key_id)
    of.epochs[place.offset] = deleted.erasure_epoch
    of.settings, of.erasures, of.observations, of.sessions = None, Erasures(), {}, {}
    of.places, of.usage = Places(), Usage()
    return Learned.DELETION
