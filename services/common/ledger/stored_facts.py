"""The facts of a partition as a snapshot keeps them, and back."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import repeat
from typing import TypeVar

from mneme.v1.admin_pb2 import MetadataField
from mneme.v1.ledger_pb2 import (
    PartitionFacts,
    Sealed,
    StoredAliases,
    StoredDeletion,
    StoredErasures,
    StoredFacts,
    StoredIds,
    StoredSessions,
    StoredSettings,
)

from services.common.crypto.seal import Keyring
from services.common.ids import unnamed
from services.common.ledger import quota, topics
from services.common.ledger.entries import entry_of
from services.common.ledger.facts import Deleted, Erasures, Facts, NamespaceFacts, SessionSeen, fold
from services.common.ledger.places import Places
from services.common.ledger.settings import FirstSeen, Period, Place, Settings
from services.common.ledger.usage import Usage
from services.common.log.base import Log

P = TypeVar("P", MetadataField, Sealed)


def stored(facts: Facts, partition: int, next: int) -> PartitionFacts:
    """Of every namespace of a partition, which is known up to ``next``."""
    namespaces = (_stored(facts.pseudonym(name), of) for name, of in facts.items() if of.partition == partition)
    return PartitionFacts(partition=partition, next=next, namespaces=namespaces)


def restore(facts: Facts, of: PartitionFacts) -> None:
    """Add what was stored of a partition. A namespace is found by its name, and listed without it."""
    for one in of.namespaces:
        facts[unnamed(one.pseudonym)] = _restored(of.partition, one)


def gone_on_with(of: PartitionFacts, log: Log, keyring: Keyring, end: int) -> PartitionFacts:
    """A snapshot without observations, with what the ledger holds since, up to an offset. LogUnavailable."""
    facts, next = Facts(keyring, observations=False), of.next
    restore(facts, of)
    for record in log.read(topics.LEDGER, of.partition, of.next, end):
        if (entry := entry_of(record)) is not None:
            fold(facts, entry, Place(of.partition, record.offset))
        next = record.offset + 1
    return stored(facts, of.partition, next)


def _stored(pseudonym: bytes, of: NamespaceFacts) -> StoredFacts:
    erasures = StoredErasures(
        macs=of.erasures.macs,
        offsets=(place.offset for place in of.erasures.macs.values()),
        engram_ids=of.erasures.ids,
        selectors=of.erasures.selectors,
    )
    sessions = StoredSessions(
        macs=of.sessions,
        offsets=(seen.place.offset for seen in of.sessions.values()),
        ended=(seen.ended for seen in of.sessions.values()),
    )
    return StoredFacts(
        pseudonym=pseudonym,
        in_clear=of.in_clear,
        settings=None if of.settings is None else _stored_settings(of.settings),
        deleted=None if of.deleted is None else _stored_deletion(of.deleted),
        erasures=erasures,
        observations=_stored_ids(of.observations),
        sessions=sessions,
        epochs=of.epochs,
        places=of.places.stored(),
        usage=of.usage.stored(),
    )


def _restored(partition: int, one: StoredFacts) -> NamespaceFacts:
    erasures, sessions = one.erasures, one.sessions
    seen = map(SessionSeen, map(Place, repeat(partition), sessions.offsets), sessions.ended)
    return NamespaceFacts(
        partition,
        settings=_settings(partition, one.settings) if one.HasField("settings") else None,
        erasures=Erasures(
            dict(zip(erasures.macs, map(Place, repeat(partition), erasures.offsets), strict=True)),
            set(erasures.engram_ids),
            dict(erasures.selectors),
        ),
        observations=_ids(partition, one.observations),
        sessions=dict(zip(sessions.macs, seen, strict=True)),
        deleted=_deletion(partition, one.deleted) if one.HasField("deleted") else None,
        epochs=dict(one.epochs),
        places=Places.restored(one.places),
        usage=Usage.restored(one.usage),
        in_clear=one.in_clear,
    )


def _stored_settings(settings: Settings) -> StoredSettings:
    return StoredSettings(
        offset=settings.place.offset,
        metadata_fields=settings.fields.values(),
        late=settings.late,
        changes=_stored_ids(settings.changes),
        needless_key_ids=settings.needless,
        quota=settings.quota,
        aliases=(
            StoredAliases(
                offset=period.offset,
                sealed=period.sealed,
                needed=period.needed,
                erased_from=period.erased_from,
                replaced_bytes=period.replaced_bytes,
            )
            for period in settings.periods
        ),
    )


def _settings(partition: int, one: StoredSettings) -> Settings:
    return Settings(
        Place(partition, one.offset),
        {declared.name: _apart(declared) for declared in one.metadata_fields},
        [Period(a.offset, _apart(a.sealed), a.needed, a.erased_from, a.replaced_bytes) for a in one.aliases],
        set(one.late),
        _ids(partition, one.changes),
        set(one.needless_key_ids),
        quota.changed(quota.NO_QUOTA, one.quota),
    )


def _apart(part: P) -> P:
    """A part of a message keeps all of it in memory: here a whole partition's facts."""
    alone = type(part)()
    alone.CopyFrom(part)
    return alone


def _stored_deletion(deleted: Deleted) -> StoredDeletion:
    offset = deleted.place.offset
    return StoredDeletion(offset=offset, receipt_id=deleted.receipt_id, name_key_id=deleted.name_key_id)


def _deletion(partition: int, one: StoredDeletion) -> Deleted:
    return Deleted(Place(partition, one.offset), one.receipt_id, one.name_key_id)


def _stored_ids(ids: Mapping[bytes, FirstSeen]) -> StoredIds:
    return StoredIds(
        macs=ids,
        content_macs=(first.content_mac for first in ids.values()),
        offsets=(first.place.offset for first in ids.values()),
    )


def _ids(partition: int, one: StoredIds) -> dict[bytes, FirstSeen]:
    places = map(Place, repeat(partition), one.offsets)
    return dict(zip(one.macs, map(FirstSeen, one.content_macs, places), strict=True))
