"""A weekday that is said with its week, or with its number, is found by the day that it was, and by no other."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from services.common.text.times import find
from services.episodic.plugins import build
from services.episodic.plugins.base import Query
from tests.episodic.plugins import world as small
from tests.episodic.world import NAMESPACE, World

SAID = [
    ("plumber", "The plumber came on Tuesday last week.", "2026-05-06T12:00:00+00:00"),
    ("dentist", "I will see the dentist on Tuesday the 19th at 9.", "2026-05-06T12:05:00+00:00"),
    ("lease", "We signed the lease on the 14th of last month.", "2026-05-06T12:10:00+00:00"),
    ("tiles", "We laid the tiles from Monday to Wednesday of last week.", "2026-05-06T12:15:00+00:00"),
    ("paint", "Bought paint for the shed.", "2026-03-20T10:00:00+00:00"),
]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder: Path = tmp_path_factory.mktemp("days_of_a_week")
    running = World(folder, small.embedder(), build(small.SHIPPED)).open()
    running.create()
    for id, text, when in SAID:
        at = datetime.fromisoformat(when)
        spoken_of = [(m.start, m.end) for m in find(text, at)]  # as perception does
        running.observe(id, text, f"session {id}", at=at, times=spoken_of)
    running.settle()
    yield running
    running.close()


@pytest.mark.parametrize(
    ("question", "asked", "found"),
    [
        ("What happened on 28 April?", "2026-05-20", {"plumber", "tiles"}),
        ("What happened on Tuesday of last week?", "2026-05-06", {"plumber", "tiles"}),
        ("What happened yesterday?", "2026-05-06", set()),
        ("What happened on 29 April?", "2026-05-20", {"tiles"}),
        ("What is on 19 May?", "2026-05-07", {"dentist"}),
        ("What is on Tuesday the 19th?", "2026-05-07", {"dentist"}),
        ("What is on 12 May?", "2026-05-07", set()),
        ("What did we sign on 14 April?", "2026-05-20", {"lease"}),
        ("What happened on 5 May?", "2026-05-20", set()),
    ],
)
def test_what_is_said_of_a_weekday_is_found_by_its_day_and_by_no_other(
    world: World, question: str, asked: str, found: set[str]
) -> None:
    at = datetime.fromisoformat(f"{asked}T18:00:00+00:00")
    recalled = world.recaller.recall(Query((NAMESPACE,), question, 5, None, at))
    in_time = {
        recalled.stored[item.record.id].observation_id
        for item in recalled.items
        if any(stage == "time" for stage, *_ in item.trace)
    }
    assert in_time == found


def test_the_one_of_that_day_comes_first(world: World) -> None:
    at = datetime.fromisoformat("2026-05-20T18:00:00+00:00")
    recalled = world.recaller.recall(Query((NAMESPACE,), "What happened on 14 April?", 5, None, at))
    assert recalled.stored[recalled.items[0].record.id].observation_id == "lease"
