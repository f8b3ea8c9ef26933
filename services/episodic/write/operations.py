"""Applying what hooks return: operations on a view, once per operation key.

Everything a plug-in may not do is refused here, with ``Refused``; the host turns that into a dead letter.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from services.common.ids import digest
from services.common.ledger.room import ENGRAM_BYTES
from services.common.text.limits import MAX_TEXT_BYTES
from services.episodic.plugins.base import Key, Link, Operation, Patch, Plugin, Put, Retire, Touch, Unlink
from services.episodic.state.records import Stored, happened, to_core, to_detail
from services.episodic.state.view import View

_BASE_FIELDS = frozenset({"keys", "links"})
_DERIVED_FIELDS = _BASE_FIELDS | {"text", "people", "places", "times", "metadata", "actor", "source", "event"}


MAX_HISTORY_BYTES = 1_000_000  # a feed record takes 2 MiB
MAX_DETAIL_BYTES = 1_500_000  # of it, keys and history and counts together


class Refused(Exception):
    """A plug-in returned an operation that it may not do. The message holds ids and names, no text."""


@dataclass(frozen=True, slots=True)
class Cause:
    """Which hook of which plug-in ran on what, and the entry it ran for."""

    plugin: Plugin
    made_by: str
    hook: str
    trigger: str  # id of the event or record
    about: str  # id of what was written, or of the episode that was closed
    namespace: str
    session: str
    partition: int
    offset: int
    at: Timestamp
    generation: int

    def key(self, ordinal: int) -> bytes:
        """The operation key: hash of generation, plug-in, hook, trigger and ordinal."""
        parts = (self.generation, self.plugin.name, self.hook, self.trigger, ordinal)
        return bytes.fromhex(digest(*parts))[:8]


def apply(view: View, operations: Sequence[Operation], cause: Cause) -> list[str]:
    """Apply operations in order, all or none; an applied one is a no-op. Returns ids of engrams that were put."""
    scratch: dict[str, Stored] = {}
    put: list[str] = []
    for ordinal, operation in enumerate(operations):
        id = _target(operation)
        current = scratch.get(id) or view.whole(cause.namespace, id)
        key = cause.key(ordinal)
        if current is not None and key in current.applied:
            continue
        changed = _APPLY[type(operation)](view, scratch, current, operation, cause)
        for one in (current, changed):
            if one is not None:
                _in_scope(one, cause)
        scratch[id] = replace(changed, applied=changed.applied | {key}, version=cause.offset)
        if isinstance(operation, Put):
            put.append(id)
    for stored in scratch.values():
        _fits(stored)
    for stored in scratch.values():
        view.put(stored)
    return put


def _fits(stored: Stored) -> None:
    """The index and the feed take it: what they refuse later would stop the partition."""
    if to_core(stored).ByteSize() > ENGRAM_BYTES or to_detail(stored).ByteSize() > MAX_DETAIL_BYTES:
        raise Refused(f"engram {stored.id}: with its links and keys it is more than the index takes")


def _target(operation: Operation) -> str:
    if isinstance(operation, Put):
        return operation.record.id
    return operation.src if isinstance(operation, (Link, Unlink)) else operation.id


def _in_scope(stored: Stored, cause: Cause) -> None:
    record, name = stored.record, cause.plugin.name
    if cause.plugin.reads != "session":
        return
    if record.session != cause.session:
        raise Refused(f"{name} declares reads = 'session' and writes engram {record.id} of another one")
    # What was stated outside of any session stands alone: an erasure folds it again alone.
    if not record.session and record.id != cause.about and record.sources != (cause.about,):
        raise Refused(f"{name} declares reads = 'session' and writes engram {record.id}, which was stated apart")


def _existing(current: Stored | None, id: str) -> Stored:
    if current is None:
        raise Refused(f"no engram {id}")
    return current


def _put(view: View, scratch: Mapping[str, Stored], current: Stored | None, op: Put, cause: Cause) -> Stored:
    record = op.record
    if not record.sources or (current is not None and current.record.is_base):
        raise Refused(f"engram {record.id}: a plug-in puts derived engrams only")
    if record.namespace != cause.namespace:
        raise Refused(f"engram {record.id} lies in another namespace")
    if not 1 <= len(record.text.encode()) <= MAX_TEXT_BYTES:
        raise Refused(f"engram {record.id}: a text has 1 to {MAX_TEXT_BYTES} bytes")
    slots = [view.slot(cause.namespace, source) for source in record.sources]
    seqs = [slot.seq for slot in slots if slot is not None and slot.is_base]
    if len(seqs) != len(slots):
        raise Refused(f"engram {record.id}: every source must be a base engram")
    record = replace(record, seq=max(seqs), made_by=cause.made_by, state="active", superseded_by="")
    if current is None:
        current = Stored(record=record, partition=cause.partition, version=cause.offset, place=record.seq)
        return happened(current, "derived", cause.offset, cause.at)
    current = happened(current, "derived", cause.offset, cause.at)
    if sum(event.ByteSize() for event in current.history) > MAX_HISTORY_BYTES:
        raise Refused(f"engram {record.id}: its history is more than {MAX_HISTORY_BYTES} bytes")
    return replace(current, record=replace(record, links=record.links or current.record.links))


def _patch(view: View, scratch: Mapping[str, Stored], current: Stored | None, op: Patch, cause: Cause) -> Stored:
    stored = _existing(current, op.id)
    allowed = _BASE_FIELDS if stored.record.is_base else _DERIVED_FIELDS
    if op.field not in allowed:
        raise Refused(f"engram {op.id}: its {op.field} cannot be patched")
    if op.field == "keys" and not (isinstance(op.value, tuple) and all(isinstance(k, Key) for k in op.value)):
        raise Refused(f"engram {op.id}: keys are a tuple of Key")
    if op.seq < stored.patched.get(op.field, 0):
        return stored  # a later writer was here
    if op.field == "text":
        stored = happened(stored, "changed", cause.offset, cause.at)
    changes: dict[str, Any] = {op.field: op.value}
    return replace(stored, record=replace(stored.record, **changes), patched={**stored.patched, op.field: op.seq})


def _link(view: View, scratch: Mapping[str, Stored], current: Stored | None, op: Link, cause: Cause) -> Stored:
    stored = _existing(current, op.src)
    if op.dst not in scratch and view.slot(cause.namespace, op.dst) is None:
        raise Refused(f"engram {op.src}: no engram {op.dst} to link to")
    others = (link for link in stored.record.links if link[:2] != (op.dst, op.relation))
    links = tuple(sorted((*others, (op.dst, op.relation, op.weight))))
    return replace(stored, record=replace(stored.record, links=links))


def _unlink(view: View, scratch: Mapping[str, Stored], current: Stored | None, op: Unlink, cause: Cause) -> Stored:
    stored = _existing(current, op.src)
    links = tuple(link for link in stored.record.links if link[:2] != (op.dst, op.relation))
    return replace(stored, record=replace(stored.record, links=links))


def _retire(view: View, scratch: Mapping[str, Stored], current: Stored | None, op: Retire, cause: Cause) -> Stored:
    stored = _existing(current, op.id)
    if op.state not in ("archived", "superseded"):
        raise Refused(f"engram {op.id}: a plug-in archives or supersedes; only an erasure makes it {op.state}")
    stored = happened(stored, op.state, cause.offset, cause.at)
    return replace(stored, record=replace(stored.record, state=op.state, superseded_by=op.superseded_by))


def _touch(view: View, scratch: Mapping[str, Stored], current: Stored | None, op: Touch, cause: Cause) -> Stored:
    stored = _existing(current, op.id)
    return replace(stored, touches={op.event_id: op.amount, **stored.touches})


_Apply = Callable[[View, Mapping[str, Stored], Stored | None, Any, Cause], Stored]
_APPLY: dict[type[Operation], _Apply] = {
    Put: _put,
    Patch: _patch,
    Link: _link,
    Unlink: _unlink,
    Retire: _retire,
    Touch: _touch,
}
