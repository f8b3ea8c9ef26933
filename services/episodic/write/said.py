"""What an entry of the ledger says, once it is opened, as the record of a base engram. Names and hooks come later."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeAlias

from google.protobuf.timestamp_pb2 import Timestamp
from mneme.v1 import ledger_pb2 as pb
from mneme.v1.episodic_pb2 import EngramKind, RememberRequest

from services.common.ledger import entries as ledger
from services.common.lineage import lineage_of
from services.common.serving import clocks
from services.episodic.plugins.base import Interval, Kind, Record
from services.episodic.state.records import kind_of, metadata_of

MADE_BY_HOST = "host@1"
Said: TypeAlias = pb.ObservationAccepted | pb.Remembered | pb.Corrected


def of(entry: pb.LedgerEntry) -> Said | None:
    """What it holds sealed of a caller's, if anything."""
    for body in (entry.observation_accepted, entry.remembered, entry.corrected):
        if body.sealed.key_id:
            return body
    return None


def observed(namespace: str, perceived: pb.PerceivedObservation, seq: int) -> Record:
    """``namespace``, ``seq``: the entry's own, and its ledger offset."""
    o = perceived.observation
    moment = clocks.moment(o.observed_at, o.utc_offset_minutes)
    return Record(
        id=ledger.base_id(namespace, o.id),
        namespace=namespace,
        kind="turn",
        text=o.text,
        event=Interval(moment, moment),
        session=o.session,
        actor=o.actor,
        source=o.source,
        people=tuple(perceived.people),
        places=tuple(perceived.places),
        times=tuple(_intervals(perceived.times, o.utc_offset_minutes)),
        metadata=metadata_of(o.metadata),
        derived_from=lineage_of(o.derived_from).engrams,
        made_by=MADE_BY_HOST,
        seq=seq,
    )


def remembered(namespace: str, r: RememberRequest, ingested_at: Timestamp, seq: int) -> Record:
    moment = clocks.moment(r.event_at if r.HasField("event_at") else ingested_at, r.utc_offset_minutes)
    return Record(
        id=ledger.remembered_id(namespace, r.id),
        namespace=namespace,
        kind=_stated_kind(r.kind),
        text=r.text,
        event=Interval(moment, moment),
        actor=r.actor,
        source=r.source,
        metadata=metadata_of(r.metadata),
        derived_from=lineage_of(r.derived_from).engrams,
        made_by=MADE_BY_HOST,
        seq=seq,
    )


def _intervals(mentions: Sequence[pb.TimeMention], offset_minutes: int) -> Iterator[Interval]:
    for mention in mentions:
        if mention.range.HasField("start") and mention.range.HasField("end"):
            start, end = (clocks.moment(at, offset_minutes) for at in (mention.range.start, mention.range.end))
            yield Interval(start, end)


def _stated_kind(kind: int) -> Kind:
    return "note" if kind == EngramKind.ENGRAM_KIND_UNSPECIFIED else kind_of(kind)
