"""The facts of a partition as a snapshot keeps them, and back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import repeat
from typing import TypeVar

from mneme.v1.admin_pb2 import MetadataField
from mneme.v1.ledger_pb2 import (
    Sealed,
    StoredAliases,
    StoredDeletion,
    StoredErasures,
    StoredFacts,
    StoredIds,
    StoredSessions,
    StoredSettings,
)

from services.common.ids import unnamed
from services.common.ledger.facts import Deleted, Erasures, Facts, NamespaceFacts, SessionSeen
from services.common.ledger.settings import FirstSeen, Period, Place, Settings

P = TypeVar("P", MetadataField, Sealed)


def stored(facts: Facts, partition: int) -> list[StoredFacts]:
    """Of every namespace of a partition."""
    return [_stored(facts.pseudonym(name), of) for name, of in facts.items() if of.partition == partition]


def restore(facts: Facts, partition: int, namespaces: Iterable[StoredFacts]) -> None:
    """Add what was stored of a partition. A namespace is found by its name, and listed without it."""
    for one in namespaces:
        facts[unnamed(one.pseudonym)] = _restored(partition, one)


def _stored(pseudonym: bytes, of: NamespaceFacts) -> StoredFacts:
    erasures = StoredErasures(
        macs=of.erasures.macs,
        offsets=(place.offset for place in of.erasures.macs.values()),
        engram_ids=of.erasures.ids,
        selectors=of.erasures.selectors,
        epoch=of.erasures.epoch,
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
            erasures.epoch,
        ),
        observations=_ids(partition, one.observations),
        sessions=dict(zip(sessions.macs, seen, strict=True)),
        deleted=_deletion(partition, one.deleted) if one.HasField("deleted") else None,
        in_clear=one.in_clear,
    )


def _stored_settings(settings: Settings) -> StoredSettings:
    return StoredSettings(
        offset=settings.place.offset,
        metadata_fields=settings.fields.values(),
        late=settings.late,
        changes=_stored_ids(settings.changes),
        needless_key_ids=settings.needless,
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
