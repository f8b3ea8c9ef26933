"""What comes first, through the running service: own words before borrowed ones, and what was known then."""

import json

from mneme.v1 import common_pb2, reasoning_pb2

from services.cli import render
from services.cli.local import Local
from tests.e2e.test_cli import mneme


def told(*turns: tuple[str, str, str]) -> str:
    """Lines to ingest, of (id, time, text)."""
    return "\n".join(
        json.dumps({"id": id, "session": "talk", "actor": "Ida", "text": text, "observed_at": f"{at}Z"})
        for id, at, text in turns
    )


def test_the_one_item_of_an_answer_is_the_turn_that_says_it_not_the_one_behind(local: Local) -> None:
    namespace, answer = "e2e/permit", "The parking permit number is PX-88."
    lines = told(
        ("m0", "2026-02-01T09:00:00", "Hi! How did the move go, with the piano, the cat and all those boxes of books?"),
        ("m1", "2026-02-01T09:01:00", answer),
        ("m2", "2026-02-01T09:02:00", "Great."),
        ("m3", "2026-02-01T09:03:00", "Is the heater fixed?"),
    )
    mneme(local, "ingest", "-n", namespace, "-", stdin=lines)
    request = reasoning_pb2.AskRequest(
        namespace=namespace,
        question="parking permit number",
        evidence_limit=1,
        extractive_only=True,
        freshness=common_pb2.Freshness(strong=True),
    )
    given = render.collect(local.client.reasoning.Ask(request, metadata=local.client.metadata, timeout=30))
    assert [sentence.text for sentence in given.extractive.sentences] == [answer]


def test_recall_as_of_a_time_reads_what_had_been_said_by_then(local: Local) -> None:
    namespace = "e2e/ida"
    lines = told(
        ("w0", "2025-02-01T09:00:00", "I work at the bakery on Mill Lane."),
        ("w1", "2025-04-01T09:00:00", "It rained all week."),
        ("w2", "2025-08-01T09:00:00", "I left the bakery, I am at the post office now."),
    )
    mneme(local, "ingest", "-n", namespace, "-", stdin=lines)
    asked = ("recall", "-n", namespace, "--fresh", "Where does Ida work?")
    assert "  1. 2025-08-01 w2 " in mneme(local, *asked)
    then = mneme(local, *asked, "--as-of", "2025-05-01T00:00:00Z")
    assert "  1. 2025-02-01 w0 " in then
    assert "w2" not in then
    assert "--as-of" in mneme(local, *asked, "--as-of", "last May", code=2)
