"""What an entry of the ledger says, as the record of a base engram."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from mneme.v1 import ledger_pb2 as pb
from mneme.v1.common_pb2 import MetadataValue, Observation, TimeRange
from mneme.v1.episodic_pb2 import EngramKind, RememberRequest

from services.common.ledger import entries as ledger
from services.common.serving import clocks
from services.episodic.plugins.base import Interval, Record
from services.episodic.write import said

AT = datetime(2023, 5, 8, 22, 15, tzinfo=UTC)
METADATA = {"team": MetadataValue(text="blue"), "size": MetadataValue(number=3.0)}


def stamp(at: datetime) -> Timestamp:
    out = Timestamp()
    out.FromDatetime(at)
    return out


def test_an_observation_keeps_all_that_it_came_with_and_its_clock() -> None:
    hour = timedelta(hours=1)
    whole = pb.TimeMention(range=TimeRange(start=stamp(AT - hour), end=stamp(AT)))
    halves = [pb.TimeMention(range=TimeRange(start=stamp(AT))), pb.TimeMention(range=TimeRange(end=stamp(AT)))]
    observation = Observation(
        id="o1",
        text="Ruth came.",
        session="s",
        actor="Ann",
        source="chat",
        metadata=METADATA,
        observed_at=stamp(AT),
        utc_offset_minutes=-420,
    )
    perceived = pb.PerceivedObservation(
        observation=observation, people=["Ruth"], places=["Bath"], times=[halves[0], whole, halves[1]]
    )
    record = said.observed("acme", perceived, 7)
    assert record == Record(
        id=ledger.base_id("acme", "o1"),
        namespace="acme",
        kind="turn",
        text="Ruth came.",
        event=Interval(AT, AT),
        session="s",
        actor="Ann",
        source="chat",
        people=("Ruth",),
        places=("Bath",),
        times=(Interval(AT - hour, AT),),
        metadata={"size": 3.0, "team": "blue"},
        made_by="host@1",
        seq=7,
    )
    assert {clocks.offset_of(at) for i in (record.event, *record.times) for at in (i.start, i.end)} == {-420}


@pytest.mark.parametrize("told", [True, False], ids=["its own time", "the time it came"])
def test_a_note_has_the_time_that_it_names_or_else_came_at(told: bool) -> None:
    request = RememberRequest(
        id="r1", text="Ruth likes tea.", actor="Ann", source="crm", metadata=METADATA, utc_offset_minutes=60
    )
    if told:
        request.event_at.CopyFrom(stamp(AT))
    came = AT + timedelta(days=3)
    record = said.remembered("acme", request, stamp(came), 9)
    at = AT if told else came
    assert record == Record(
        id=ledger.remembered_id("acme", "r1"),
        namespace="acme",
        kind="note",
        text="Ruth likes tea.",
        event=Interval(at, at),
        actor="Ann",
        source="crm",
        metadata={"size": 3.0, "team": "blue"},
        made_by="host@1",
        seq=9,
    )
    assert clocks.offset_of(record.event.start) == 60


def test_a_note_is_of_the_kind_that_it_says() -> None:
    fact = RememberRequest(id="r1", kind=EngramKind.ENGRAM_KIND_FACT)
    assert said.remembered("acme", fact, stamp(AT), 1).kind == "fact"


def test_an_entry_holds_the_text_of_a_caller_or_none() -> None:
    sealed = pb.Sealed(key_id="k")
    for entry in (
        pb.LedgerEntry(observation_accepted=pb.ObservationAccepted(sealed=sealed)),
        pb.LedgerEntry(remembered=pb.Remembered(sealed=sealed)),
        pb.LedgerEntry(corrected=pb.Corrected(sealed=sealed, engram_id="e")),
    ):
        body = said.of(entry)
        assert body is not None
        assert body == getattr(entry, entry.WhichOneof("body") or "")
    assert said.of(pb.LedgerEntry(session_ended=pb.SessionEnded(session_mac=b"s"))) is None
    assert said.of(pb.LedgerEntry(remembered=pb.Remembered())) is None
