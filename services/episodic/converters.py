"""Between the wire and the host: requests to what the host takes, its answers to responses."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from google.protobuf.duration_pb2 import Duration
from mneme.v1 import admin_pb2, episodic_pb2
from mneme.v1.common_pb2 import Position, TimeRange
from mneme.v1.ledger_pb2 import FeedRecord, StoredReceipt

from services.common.ledger.audit import Wanted
from services.common.ledger.quota import is_given
from services.common.ledger.usage import Usage
from services.common.serving import clocks
from services.common.serving.errors import invalid
from services.episodic.erasure.forget import Targets
from services.episodic.plugins.base import Filter, Interval, Kind, Query, Ranked
from services.episodic.recall.recall import Recalled
from services.episodic.state.checks import claimed, require_declared, time_range
from services.episodic.state.namespaces import NamespaceInfo
from services.episodic.state.records import Stored, from_us, kind_of, kind_to_proto, stamp, to_engram

MAX_LIMIT = 100
MAX_LISTED = 5_000  # targets of a dry run, and doubtful ones
_ACTIONS = frozenset(admin_pb2.AuditAction.values()) - {admin_pb2.AUDIT_ACTION_UNSPECIFIED}
_ANY_CONDITION = "Set equals or in_range."


def to_query(request: episodic_pb2.RecallRequest, infos: Sequence[NamespaceInfo], default_limit: int) -> Query:
    """INVALID_FIELD, TIME_RANGE, UNDECLARED_METADATA."""
    if request.limit > MAX_LIMIT:
        raise invalid("limit", f"It is {request.limit}.", f"Ask for 1 to {MAX_LIMIT}.")
    clocks.check_offset(request.asked_utc_offset_minutes, "asked_utc_offset_minutes")
    asked_at = claimed(request.asked_at, "asked_at") if request.HasField("asked_at") else datetime.now(UTC)
    known = claimed(request.as_of_known, "as_of_known") if request.HasField("as_of_known") else None
    return Query(
        namespaces=tuple(info.name for info in infos),
        text=request.query,
        limit=request.limit or default_limit,
        token_budget=request.token_budget or None,
        asked_at=asked_at.astimezone(clocks.zone(request.asked_utc_offset_minutes)),
        filter=to_filter(request.filter, infos),
        known=known,
    )


def to_wanted(request: admin_pb2.ListAuditRequest) -> Wanted:
    """INVALID_FIELD, TIME_RANGE."""
    for n, action in enumerate(request.actions):
        if action not in _ACTIONS:
            raise invalid(f"actions[{n}]", "There is no such action.", "Name one of AuditAction, or none for all.")
    start, end = time_range(request.time, "time")
    return Wanted(request.principal, frozenset(request.actions), start, end)


def to_usage(name: str, told: Usage, erased: int, quota: admin_pb2.Quota) -> admin_pb2.NamespaceUsage:
    usage = admin_pb2.NamespaceUsage(
        namespace=name,
        told=told.texts,
        erased=erased,
        ledger_bytes=told.bytes,
        erased_bytes=told.erased_bytes,
        quota=quota if is_given(quota) else None,
    )
    if told.texts:
        usage.last_told_at.FromMicroseconds(told.newest_us)
    return usage


def to_filter(given: episodic_pb2.RecallFilter, infos: Sequence[NamespaceInfo]) -> Filter:
    equals: dict[str, str | float] = {}
    ranges: dict[str, tuple[float | None, float | None]] = {}
    for n, condition in enumerate(given.metadata):
        path = f"filter.metadata[{n}]"
        sort = _add_condition(condition, equals, ranges, path)
        for info in infos:
            require_declared(info, condition.field, sort, path)
    return Filter(
        kinds=tuple(_kinds(given.kinds)),
        actor=given.actor,
        session=given.session,
        source=given.source,
        event=time_range(given.event_time, "filter.event_time"),
        metadata_equals=equals,
        metadata_range=ranges,
    )


def _add_condition(
    condition: episodic_pb2.MetadataFilter,
    equals: dict[str, str | float],
    ranges: dict[str, tuple[float | None, float | None]],
    path: str,
) -> str:
    """Adds it; returns the type that the field must have."""
    which = condition.WhichOneof("condition")
    if condition.field in equals or condition.field in ranges:
        raise invalid(path, "The field has two conditions.", "Set one condition a field.")
    if which == "in_range":
        low = condition.in_range.min if condition.in_range.HasField("min") else None
        high = condition.in_range.max if condition.in_range.HasField("max") else None
        ranges[condition.field] = (low, high)
        return "number"
    sort: str | None = condition.equals.WhichOneof("value") if which == "equals" else None
    if sort is None:
        raise invalid(path, "There is no condition.", _ANY_CONDITION)
    equals[condition.field] = condition.equals.text if sort == "text" else condition.equals.number
    return sort


def _kinds(kinds: Iterable[int]) -> Iterable[Kind]:
    for kind in kinds:
        try:
            yield kind_of(kind)
        except KeyError as error:
            raise invalid("filter.kinds", "This is no kind of engram.", "Use one that this release knows.") from error


def narrowed(wanted: Filter, start: datetime | None, end: datetime | None) -> Filter:
    """A filter, and a range beside its own."""
    low, high = wanted.event
    starts = [t for t in (low, start) if t is not None]
    ends = [t for t in (high, end) if t is not None]
    return replace(wanted, event=(max(starts, default=None), min(ends, default=None)))


def to_recall_response(recalled: Recalled) -> episodic_pb2.RecallResponse:
    return episodic_pb2.RecallResponse(
        items=[
            _item(item, recalled.stored[item.record.id], recalled.tokens.get(item.record.id, 0))
            for item in recalled.items
        ],
        found=recalled.found,
        confidence=recalled.confidence,
        threshold=recalled.threshold,
        understood_time=to_time_range(recalled.time) if recalled.time else None,
        stages=[
            episodic_pb2.StageTime(stage=stage, duration=Duration(nanos=int(seconds % 1 * 1e9), seconds=int(seconds)))
            for stage, seconds in recalled.seconds.items()
        ],
        positions=positions(recalled.applied),
        erasure_epochs=recalled.epochs,
        dropped=recalled.dropped,
        channel_weights=recalled.weights,
    )


def _item(item: Ranked, stored: Stored, tokens: int) -> episodic_pb2.RecallItem:
    return episodic_pb2.RecallItem(
        engram=to_engram(stored),
        score=item.score,
        trace=[episodic_pb2.StageScore(stage=stage, rank=rank, score=score) for stage, rank, score in item.trace],
        why=item.why,
        repeats=1 + len(item.repeats),
        repeated_ids=item.repeats,
        tokens=tokens,
    )


def to_time_range(interval: Interval) -> TimeRange:
    return TimeRange(start=stamp(interval.start), end=stamp(interval.end))


def positions(offsets: Mapping[int, int]) -> list[Position]:
    """Of entries, by partition."""
    return [Position(partition=partition, offset=offset) for partition, offset in offsets.items()]


def to_dry_run(targets: Targets, texts: Mapping[str, Stored]) -> episodic_pb2.ForgetResponse:
    """The first of what would go and of what is doubtful, with the texts that are given."""
    return episodic_pb2.ForgetResponse(
        targets=[
            episodic_pb2.ForgetTarget(
                engram_id=slot.id,
                kind=kind_to_proto(slot.kind),
                derived=not slot.is_base,
                text=texts[slot.id].record.text if slot.id in texts else "",
                event_start=stamp(from_us(slot.start_us)),
                utc_offset_minutes=slot.utc_offset_minutes or None,
                reason=targets.declared.get(slot.id, ""),
            )
            for slot in (*targets.base, *targets.derived)[:MAX_LISTED]
        ],
        names=targets.names,
        alias_groups=targets.alias_groups,
        doubtful=[
            episodic_pb2.DoubtfulMatch(
                engram_id=each.slot.id,
                text=texts[each.slot.id].record.text if each.slot.id in texts else "",
                written=each.doubt.written,
                reason=each.doubt.reason,
            )
            for each in targets.doubtful[:MAX_LISTED]
        ],
        named=to_named(targets),
        targets_told=len(targets.base),
        targets_derived=len(targets.derived),
        doubtful_total=len(targets.doubtful),
    )


def to_named(targets: Targets) -> list[episodic_pb2.NamedById]:
    return [
        episodic_pb2.NamedById(id=id, engram_ids=[slot.id for slot in slots]) for id, slots in targets.named.items()
    ]


def to_forgotten(receipt: StoredReceipt) -> episodic_pb2.ForgetResponse:
    """Ids only: nothing else is left."""
    targets = [episodic_pb2.ForgetTarget(engram_id=id) for id in receipt.base_ids]
    targets += [episodic_pb2.ForgetTarget(engram_id=id, derived=True) for id in receipt.derived_ids]
    return episodic_pb2.ForgetResponse(targets=targets, receipt=receipt.receipt)


def to_watched(change: Stored | FeedRecord, cursor: int) -> episodic_pb2.WatchResponse:
    if isinstance(change, Stored):
        return episodic_pb2.WatchResponse(engram=to_engram(change), cursor=str(cursor))
    gone = episodic_pb2.Engram(
        id=change.engram_id,
        namespace=change.namespace,
        state=episodic_pb2.EngramState.ENGRAM_STATE_FORGOTTEN,
        version=change.version,
    )
    return episodic_pb2.WatchResponse(engram=gone, cursor=str(cursor))


def to_namespace(info: NamespaceInfo, epoch: int) -> admin_pb2.Namespace:
    return admin_pb2.Namespace(
        name=info.name,
        metadata_fields=info.fields,
        aliases=info.aliases,
        erasure_epoch=epoch,
        quota=info.quota if is_given(info.quota) else None,
    )
