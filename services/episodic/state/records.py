"""The host's engram (``Stored``): the record that hooks see, and what only the host keeps beside it.

Also how one is written: ``EngramRecord`` (what the index keeps) and ``EngramDetail`` (what only the feed keeps).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Literal, get_args

from google.protobuf.timestamp_pb2 import Timestamp
from mneme.v1 import ledger_pb2 as pb
from mneme.v1.common_pb2 import MetadataValue, Position, TimeRange
from mneme.v1.episodic_pb2 import Engram, EngramKind, EngramState, HistoryEvent
from mneme.v1.episodic_pb2 import Link as LinkProto

from services.common.serving import clocks
from services.episodic.plugins.base import Interval, Key, Kind, Record, State

_USES: dict[str, Literal["both", "dense", "lexical"]] = {"both": "both", "dense": "dense", "lexical": "lexical"}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_KIND_OF: dict[int, Kind] = {EngramKind.Value(f"ENGRAM_KIND_{k.upper()}"): k for k in get_args(Kind)}
_STATE_OF: dict[int, State] = {EngramState.Value(f"ENGRAM_STATE_{s.upper()}"): s for s in get_args(State)}


@dataclass(frozen=True, slots=True)
class Stored:
    """One engram as the host keeps it. Immutable.

    ``whole`` is False for one that was read from the index: keys, history, applied, touches and patched are then
    unknown, and it must not be written.
    """

    record: Record
    partition: int  # of the ledger
    version: int  # ledger offset of the newest entry that changed it
    place: int  # order within the session
    id_mac: bytes = b""
    content_mac: bytes = b""
    session_mac: bytes = b""
    observation_id: str = ""
    external_id: str = ""
    lineage_unknown: bool = False  # not all that it says it was made from is known in the namespace
    seal_key: str = ""  # data key of the EngramRecord; "" until one is made
    detail_key: str = ""  # data key of the EngramDetail
    history: tuple[HistoryEvent, ...] = ()
    applied: frozenset[bytes] = frozenset()
    touches: Mapping[str, float] = field(default_factory=dict)
    patched: Mapping[str, int] = field(default_factory=dict)
    whole: bool = True

    @property
    def id(self) -> str:
        return self.record.id

    @property
    def namespace(self) -> str:
        return self.record.namespace

    @property
    def given_ids(self) -> tuple[str, str]:
        """What the product calls it."""
        return self.observation_id, self.external_id


def seen_by_hooks(stored: Stored) -> Record:
    """The record as ``Context`` returns it: without keys, which hooks write and never read."""
    return replace(stored.record, keys=()) if stored.record.keys else stored.record


# --- time -------------------------------------------------------------------------------------------------------


def to_us(moment: datetime) -> int:
    """Microseconds since 1970, UTC; exact."""
    return (moment - _EPOCH) // timedelta(microseconds=1)


def from_us(us: int) -> datetime:
    return _EPOCH + timedelta(microseconds=us)


def stamp(moment: datetime) -> Timestamp:
    us = to_us(moment)
    return Timestamp(seconds=us // 1_000_000, nanos=us % 1_000_000 * 1_000)


# --- kinds and states -------------------------------------------------------------------------------------------


def kind_to_proto(kind: Kind) -> str:
    """Its name on the wire."""
    return f"ENGRAM_KIND_{kind.upper()}"


def kind_of(value: int) -> Kind:
    """KeyError for the unspecified one."""
    return _KIND_OF[value]


def state_to_proto(state: State) -> str:
    return f"ENGRAM_STATE_{state.upper()}"


def state_of(value: int) -> State:
    return _STATE_OF[value]


# --- messages ---------------------------------------------------------------------------------------------------


def metadata_to_proto(metadata: Mapping[str, str | float]) -> dict[str, MetadataValue]:
    return {k: MetadataValue(text=v) if isinstance(v, str) else MetadataValue(number=v) for k, v in metadata.items()}


def metadata_of(metadata: Mapping[str, MetadataValue]) -> dict[str, str | float]:
    return {k: v.text if v.WhichOneof("value") == "text" else v.number for k, v in sorted(metadata.items())}


def to_engram(stored: Stored) -> Engram:
    """What callers see of an engram."""
    r = stored.record
    return Engram(
        id=r.id,
        namespace=r.namespace,
        kind=kind_to_proto(r.kind),
        text=r.text,
        event_start=stamp(r.event.start),
        event_end=stamp(r.event.end),
        actor=r.actor,
        session=r.session,
        source=r.source,
        observation_id=stored.observation_id,
        external_id=stored.external_id,
        people=r.people,
        places=r.places,
        metadata=metadata_to_proto(r.metadata),
        sources=r.sources,
        links=[LinkProto(dst=dst, relation=relation, weight=weight) for dst, relation, weight in r.links],
        state=state_to_proto(r.state),
        superseded_by=r.superseded_by,
        version=stored.version,
        made_by=r.made_by,
        position=Position(partition=stored.partition, offset=r.seq),
        utc_offset_minutes=clocks.offset_of(r.event.start) or None,
        derived_from=r.derived_from,
        lineage_unknown=stored.lineage_unknown,
    )


def engram_bytes(stored: Stored) -> int:
    """Of its message, as callers see it."""
    return to_engram(stored).ByteSize()


def to_core(stored: Stored) -> pb.EngramRecord:
    return pb.EngramRecord(
        engram=to_engram(stored),
        id_mac=stored.id_mac,
        times=[pb.TimeMention(range=TimeRange(start=stamp(t.start), end=stamp(t.end))) for t in stored.record.times],
        content_mac=stored.content_mac,
        place=stored.place,
        session_mac=stored.session_mac,
    )


def to_detail(stored: Stored) -> pb.EngramDetail:
    return pb.EngramDetail(
        keys=[
            pb.EngramKey(granularity=k.granularity, text=k.text, weight=k.weight, use=k.use) for k in stored.record.keys
        ],
        history=stored.history,
        applied=sorted(stored.applied),
        touches=stored.touches,
        patched=stored.patched,
    )


def from_core(core: pb.EngramRecord, seal_key: str, detail_key: str) -> Stored:
    """An engram as the index keeps it: not whole."""
    e = core.engram
    moment = partial(clocks.moment, offset_minutes=e.utc_offset_minutes)
    record = Record(
        id=e.id,
        namespace=e.namespace,
        kind=kind_of(e.kind),
        text=e.text,
        event=Interval(moment(e.event_start), moment(e.event_end)),
        session=e.session,
        actor=e.actor,
        source=e.source,
        people=tuple(e.people),
        places=tuple(e.places),
        times=tuple(Interval(moment(t.range.start), moment(t.range.end)) for t in core.times),
        metadata=metadata_of(e.metadata),
        sources=tuple(e.sources),
        derived_from=tuple(e.derived_from),
        links=tuple((link.dst, link.relation, link.weight) for link in e.links),
        state=state_of(e.state),
        superseded_by=e.superseded_by,
        made_by=e.made_by,
        seq=e.position.offset,
    )
    return Stored(
        record=record,
        partition=e.position.partition,
        version=e.version,
        place=core.place,
        id_mac=core.id_mac,
        content_mac=core.content_mac,
        session_mac=core.session_mac,
        observation_id=e.observation_id,
        external_id=e.external_id,
        lineage_unknown=e.lineage_unknown,
        seal_key=seal_key,
        detail_key=detail_key,
        whole=False,
    )


def with_detail(core: Stored, detail: pb.EngramDetail) -> Stored:
    """A whole engram."""
    keys = tuple(Key(k.granularity, k.text, k.weight, _USES[k.use]) for k in detail.keys)
    return replace(
        core,
        record=replace(core.record, keys=keys),
        history=tuple(detail.history),
        applied=frozenset(detail.applied),
        touches=dict(detail.touches),
        patched=dict(detail.patched),
        whole=True,
    )


def happened(stored: Stored, what: str, offset: int, at: Timestamp) -> Stored:
    """``stored`` with one more event in its history, to be called *before* the change it names is made.

    The event before gets the engram as it was; the new one stays empty, for it is the record itself.
    """
    history = list(stored.history)
    if history:
        past = HistoryEvent()
        past.CopyFrom(history[-1])
        past.engram.CopyFrom(to_engram(stored))
        history[-1] = past
    history.append(HistoryEvent(position=Position(partition=stored.partition, offset=offset), what=what, at=at))
    return replace(stored, history=tuple(history))


def full_history(stored: Stored) -> list[HistoryEvent]:
    """Every event with the engram as it was after it, oldest first."""
    events = [HistoryEvent.FromString(e.SerializeToString()) for e in stored.history]
    if events:
        events[-1].engram.CopyFrom(to_engram(stored))
    return events
