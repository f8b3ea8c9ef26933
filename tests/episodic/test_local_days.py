"""A day is the day on the clock of whoever spoke, from the ledger to the answer, and after a restart and a rebuild."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from mneme.v1.episodic_pb2 import RememberRequest

from services.common.serving.errors import MnemeError
from services.episodic.plugins import build
from services.episodic.plugins.base import Filter, Interval, Query
from services.episodic.plugins.exact import ExactHost
from services.episodic.recall.recall import Recalled
from services.episodic.state.records import to_engram
from tests.episodic.plugins import world as small
from tests.episodic.world import ANY, NAMESPACE, World

SAID = [
    ("a", "Saw fireworks over the harbour tonight.", "2026-07-04T22:15:00-07:00"),
    ("b", "Early swim before work this morning.", "2026-07-05T06:40:00+09:00"),
    ("c", "Bought paint for the shed.", "2026-06-20T10:00:00+00:00"),
]


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder: Path = tmp_path_factory.mktemp("local_days")
    running = World(folder, small.embedder(), build(small.SHIPPED)).open()
    running.create()
    for id, text, when in SAID:
        running.observe(id, text, f"session {id}", at=at(when))
    running.settle()
    yield running
    running.close()


def ask(world: World, text: str, asked: str, wanted: Filter = ANY) -> Recalled:
    return world.recaller.recall(Query((NAMESPACE,), text, 5, None, at(asked), wanted))


def first(recalled: Recalled) -> str:
    return recalled.stored[recalled.items[0].record.id].observation_id


def in_time(recalled: Recalled) -> set[str]:
    """Observations that the channel of times found."""
    return {
        recalled.stored[item.record.id].observation_id
        for item in recalled.items
        if any(stage == "time" for stage, *_ in item.trace)
    }


def check(world: World) -> None:
    evening = ask(world, "What happened on the evening of July 4?", "2026-07-10T12:00:00+00:00")
    assert first(evening) == "a"
    assert in_time(evening) == {"a"}
    assert in_time(ask(world, "What was on July 5?", "2026-07-10T12:00:00+00:00")) == {"b"}
    yesterday = ask(world, "What did I see yesterday?", "2026-07-05T21:00:00-07:00")
    assert yesterday.time == Interval(at("2026-07-04T00:00:00-07:00"), at("2026-07-05T00:00:00-07:00"))
    assert in_time(yesterday) == {"a"}


def test_a_day_is_that_of_whoever_spoke_after_a_restart_and_a_rebuild_too(world: World) -> None:
    check(world)
    before = world.hash()
    world.restart()
    world.settle()
    check(world)
    world.rebuild()
    check(world)
    assert world.hash() == before


def test_the_engram_and_its_keys_have_the_offset(world: World) -> None:
    item = ask(world, "fireworks", "2026-07-10T12:00:00+00:00").items[0]
    stored = world.host.live.store.whole(NAMESPACE, item.record.id)
    assert stored is not None
    assert to_engram(stored).utc_offset_minutes == -420
    assert to_engram(stored).event_start.ToJsonString() == "2026-07-05T05:15:00Z"
    assert "4 July 2026, Saturday" in stored.record.keys[0].text
    unset = ask(world, "paint", "2026-07-10T12:00:00+00:00").items[0]
    assert not to_engram(world.host.live.store.fetch(NAMESPACE, [unset.record.id])[unset.record.id]).HasField(
        "utc_offset_minutes"
    )


def test_a_filter_of_instants_stays_one(world: World) -> None:
    day = (at("2026-07-05T00:00:00+00:00"), at("2026-07-06T00:00:00+00:00"))
    found = ask(world, "What happened?", "2026-07-10T12:00:00+00:00", Filter(event=day))
    assert [found.stored[i.record.id].observation_id for i in found.items] == ["a"]


def test_the_exact_host_answers_alike(world: World) -> None:
    host = ExactHost(build(small.SHIPPED), small.embedder().embed)
    for n, (id, text, when) in enumerate(SAID):
        host.observe(small.turn(n, f"session {id}", "", text, at(when)))
    for text in ("What happened on the evening of July 4?", "What was on July 5?"):
        query = Query(("home",), text, 5, None, at("2026-07-10T12:00:00+00:00"))
        theirs = small.ask(host, query)
        mine = ask(world, text, "2026-07-10T12:00:00+00:00")
        assert [i.record.text for i in mine.items] == [i.record.text for i in theirs.kept]


def test_what_is_remembered_has_the_day_of_its_own_clock(world: World) -> None:
    info = world.host.registry.namespace(NAMESPACE)
    assert info is not None
    request = RememberRequest(namespace=NAMESPACE, id="r1", text="The lease was signed.", utc_offset_minutes=-420)
    request.event_at.FromDatetime(at("2026-03-01T20:00:00-07:00"))
    world.commands.remember(request, info, "test", "test")
    world.settle()
    assert first(ask(world, "What was signed on March 1?", "2026-07-10T12:00:00+00:00")) == ""
    assert in_time(ask(world, "What was signed on March 1?", "2026-07-10T12:00:00+00:00")) == {""}
    assert in_time(ask(world, "What was signed on March 2?", "2026-07-10T12:00:00+00:00")) == set()
    request.id, request.utc_offset_minutes = "r2", 1_081
    with pytest.raises(MnemeError) as refused:
        world.commands.remember(request, info, "test", "test")
    assert (refused.value.reason, refused.value.field) == ("INVALID_FIELD", "utc_offset_minutes")


def test_a_time_that_may_be_none_changes_no_rank(tmp_path: Path) -> None:
    """Turns that lie nearer the second of a month stay behind the one that speaks of the second volume."""
    running = World(tmp_path, small.embedder(), build(small.SHIPPED)).open()
    running.create()
    said = [
        ("Otis read the 2nd volume of the atlas.", "2026-02-01"),
        ("Otis bought milk.", "2026-03-02"),
        ("Otis swept the yard.", "2026-03-02"),
        ("The atlas is heavy.", "2026-03-02"),
    ]
    for n, (text, day) in enumerate(said):
        running.observe(f"o{n}", text, at=at(f"{day}T12:00:00+00:00"))
    running.settle()
    found = ask(running, "Who read the 2nd volume?", "2026-03-04T12:00:00+00:00")
    assert found.time is None
    assert running.texts(found)[0] == said[0][0]
    running.close()


def test_old_entries_without_an_offset_are_read_as_utc(world: World) -> None:
    record = ask(world, "paint", "2026-07-10T12:00:00+00:00").items[0].record
    assert record.event.start == datetime(2026, 6, 20, 10, tzinfo=UTC)
    assert record.event.start.utcoffset() == timedelta(0)
