"""The offset of a time, from the JSON of the wire to the answer, through the running service."""

from __future__ import annotations

import json

from mneme.v1.episodic_pb2 import RecallResponse

from services.cli import render
from services.cli.local import Local
from services.common.serving import wire_json
from tests.e2e import talk
from tests.e2e.test_cli import mneme

NAMESPACE = "e2e/local-days"
SAID = [
    ("a", "Saw fireworks over the harbour tonight.", "2024-07-04T22:15:00-07:00"),
    ("b", "Early swim before work this morning.", "2024-07-05T06:40:00+09:00"),
]


def line(id: str, text: str, when: str) -> str:
    return json.dumps({"id": id, "session": id, "text": text, "observed_at": when})


def test_a_day_is_that_of_whoever_spoke_and_yesterday_that_of_whoever_asks(local: Local) -> None:
    assert "2 accepted" in mneme(local, "ingest", "-n", NAMESPACE, "-", stdin="\n".join(line(*said) for said in SAID))
    bad = mneme(local, "ingest", "-n", NAMESPACE, "-", stdin=line("c", "Rain.", "2024-07-05T06:40:00"), code=1)
    assert "line 1" in bad
    assert "observed_at" in bad
    assert "The offset is missing." in bad

    def recalled(question: str, asked_at: str) -> RecallResponse:
        at, offset = wire_json.timestamp(asked_at, "asked_at")
        return talk.recall(local.client, NAMESPACE, question, asked_at=at, asked_utc_offset_minutes=offset)

    evening = recalled("What happened on the evening of July 4?", "2024-07-10T12:00:00Z").items[0].engram
    assert (evening.observation_id, evening.utc_offset_minutes) == ("a", -420)
    assert "2024-07-04" in render.item(recalled("fireworks", "2024-07-10T12:00:00Z").items[0], 1)

    yesterday = recalled("What did I see yesterday?", "2024-07-05T21:00:00-07:00")
    understood = yesterday.understood_time
    assert understood.start.ToJsonString() == "2024-07-04T07:00:00Z"
    assert understood.end.ToJsonString() == "2024-07-05T07:00:00Z"
    assert yesterday.items[0].engram.observation_id == "a"

    dry_run = mneme(local, "forget", "-n", NAMESPACE, "--id", "a", "--dry-run")
    assert "2024-07-04 turn" in dry_run

    asked = ("recall", "-n", NAMESPACE, "What did I see yesterday?", "--asked-at")
    assert "1. 2024-07-04 a" in mneme(local, *asked, "2024-07-05T21:00:00-07:00")
    assert "The offset is missing" in mneme(local, *asked, "2024-07-05T21:00:00", code=2)
