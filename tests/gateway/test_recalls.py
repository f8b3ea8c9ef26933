"""What several shards recalled, as one answer."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from mneme.v1.common_pb2 import Position
from mneme.v1.episodic_pb2 import Engram, RecallItem, RecallRequest, RecallResponse, StageScore

from services.gateway.recalls import merged_recalls

WEIGHTS = {"dense": 1.0, "lexical": 1.0}


def item(id: str, *, minute: int = 0, tokens: int = 0, **scores: float) -> RecallItem:
    engram = Engram(id=id)
    engram.event_start.FromDatetime(datetime(2026, 3, 2, tzinfo=UTC) + timedelta(minutes=minute))
    trace = [StageScore(stage=stage, rank=1, score=score) for stage, score in scores.items()]
    return RecallItem(engram=engram, score=1.0, trace=trace, tokens=tokens)


def answer(*items: RecallItem, confidence: float = 0.5, found: bool = True, **more: object) -> RecallResponse:
    fields: dict[str, object] = {"channel_weights": WEIGHTS, "threshold": 0.3, **more}
    return RecallResponse(items=items, confidence=confidence, found=found, **fields)  # type: ignore[arg-type]


def ids(response: RecallResponse) -> list[str]:
    return [each.engram.id for each in response.items]


def test_the_first_of_a_shard_that_knows_nothing_stands_behind_what_another_one_found() -> None:
    """Alone, each is the first of its shard, with the best score that there is."""
    mine = answer(item("mine", dense=0.2, lexical=1.0), confidence=0.1, found=False)
    theirs = answer(item("a", dense=0.8, lexical=9.0), item("b", dense=0.7, lexical=7.0), confidence=0.9)
    merged = merged_recalls(RecallRequest(limit=2), [mine, theirs])
    assert ids(merged) == ["a", "b"]
    assert (merged.found, merged.confidence) == (True, 0.9)
    assert [each.score for each in merged.items] == sorted((each.score for each in merged.items), reverse=True)
    assert merged.items[0].score == 1.0


def test_what_a_shard_put_first_stays_before_what_it_put_behind() -> None:
    """It may have put it there by more than its channels."""
    reranked = answer(item("first", dense=0.1), item("second", dense=0.9))
    merged = merged_recalls(RecallRequest(limit=5), [reranked, answer(item("other", dense=0.5))])
    assert ids(merged).index("first") < ids(merged).index("second")
    assert set(ids(merged)) == {"first", "second", "other"}


def test_equal_ones_are_in_the_order_of_a_shard_the_later_first_then_by_id() -> None:
    one = answer(item("b", dense=0.5, minute=1))
    merged = merged_recalls(
        RecallRequest(limit=5), [one, answer(item("c", dense=0.5, minute=2)), answer(item("a", dense=0.5, minute=1))]
    )
    assert ids(merged) == ["c", "a", "b"]


def test_limit_and_budget_hold_for_all_of_them_together() -> None:
    mine = answer(item("a", dense=0.9, tokens=6), item("b", dense=0.3, tokens=3), dropped=["x"])
    theirs = answer(item("c", dense=0.8, tokens=6), item("d", dense=0.2, tokens=1))
    merged = merged_recalls(RecallRequest(limit=2, token_budget=10), [mine, theirs])
    assert ids(merged) == ["a", "b"]
    assert list(merged.dropped) == ["x", "c"]
    assert ids(merged_recalls(RecallRequest(limit=0), [mine, theirs])) == ["a", "c"]  # as many as a shard gives


def test_epochs_and_positions_are_of_all() -> None:
    mine = answer(item("a", dense=0.9), erasure_epochs={"n": 1}, positions=[Position(partition=0, offset=4)])
    theirs = answer(erasure_epochs={"m": 2}, positions=[Position(partition=1, offset=7)])
    merged = merged_recalls(RecallRequest(), [mine, theirs])
    assert dict(merged.erasure_epochs) == {"n": 1, "m": 2}
    assert [(p.partition, p.offset) for p in merged.positions] == [(0, 4), (1, 7)]
    assert dict(merged.channel_weights) == WEIGHTS
