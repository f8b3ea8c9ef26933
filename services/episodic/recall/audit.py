"""Who did what in a namespace, as its ledger entries tell: read again in pages, and nothing of them opened."""

from __future__ import annotations

from collections.abc import Iterator
from math import inf

from mneme.v1 import admin_pb2
from mneme.v1.admin_pb2 import AuditAction, AuditEntry
from mneme.v1.common_pb2 import Position
from mneme.v1.ledger_pb2 import LedgerEntry

from services.common.ledger import entries as ledger
from services.common.ledger.audit import AuditPage, Wanted, newest_first, place_in
from services.common.log.base import Record
from services.episodic.write.writer import Host

# By what an entry holds. What else it may hold nobody asked for.
_ACTIONS: dict[str, AuditAction] = {
    "observation_accepted": admin_pb2.AUDIT_ACTION_OBSERVED,
    "remembered": admin_pb2.AUDIT_ACTION_REMEMBERED,
    "corrected": admin_pb2.AUDIT_ACTION_CORRECTED,
    "erased": admin_pb2.AUDIT_ACTION_ERASED,
    "namespace_created": admin_pb2.AUDIT_ACTION_NAMESPACE_CREATED,
    "namespace_changed": admin_pb2.AUDIT_ACTION_NAMESPACE_CHANGED,
    "namespace_deleted": admin_pb2.AUDIT_ACTION_NAMESPACE_DELETED,
}


class Audit:
    """Of the namespaces of one partition."""

    def __init__(self, host: Host) -> None:
        self._host = host

    def page(self, namespace: str, wanted: Wanted, size: int, token: str) -> AuditPage:
        """Before ``token``, or before what is applied now. INVALID_FIELD; LogError.

        A token counts the namespace's own entries: an offset would tell what others write.
        """
        partition, registry = self._host.partition, self._host.registry
        # What is known beyond that may be an erasure ahead of entries that are not: these would be counted later.
        end = inf if token else self._host.progress.snapshot()[partition]
        offsets = registry.acts_at(namespace, end)

        def read(start: int, end: int) -> Iterator[tuple[int, AuditEntry | None]]:
            places = {offset: place for place, offset in enumerate(offsets[start:end], start)}
            for record in ledger.records_at(self._host.parts.log, partition, places):
                yield places[record.offset], self._told(namespace, record)

        start = min(place_in(token), len(offsets)) if token else len(offsets)
        return newest_first(read, start, wanted, size)

    def _told(self, namespace: str, record: Record) -> AuditEntry | None:
        """None of what is erased, of what was deleted meanwhile, and of what nobody asked for."""
        entry = ledger.entry_of(record)
        registry = self._host.registry
        if entry is None or registry.is_deleted_since(namespace, record.offset):
            return None
        action = _ACTIONS.get(entry.WhichOneof("body") or "")
        if action is None or any(registry.is_erased_mac(namespace, mac) for _, _, mac in ledger.seals_in(entry) if mac):
            return None
        return AuditEntry(
            action=action,
            principal=entry.principal,
            at=entry.ingested_at,
            position=Position(partition=record.partition, offset=record.offset),
            subject=_subject(entry),
            count=len(entry.erased.engram_ids),
            selected_by=entry.erased.selected_by,
        )


def _subject(entry: LedgerEntry) -> str:
    """What it was done to, by an id that says nothing."""
    for body in (entry.observation_accepted, entry.remembered):
        if body.id_mac:
            return body.id_mac.hex()
    return entry.corrected.engram_id or entry.erased.receipt_id or entry.namespace_deleted.receipt_id
