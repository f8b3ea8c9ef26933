"""What holds now comes before what held, what was not said yet is not known, and what is repeated takes one place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from services.common.text import lexical
from services.episodic.plugins import build
from services.episodic.plugins.base import EpisodeClosed, Filter
from services.episodic.plugins.exact import ExactHost
from services.episodic.plugins.pipeline import Recalled
from services.episodic.plugins.updates import Updates
from tests.episodic.plugins import world

Told = tuple[str, str, int]  # who, what, in which month of 2025
NOW = datetime(2026, 3, 4, tzinfo=UTC)


def month(number: int) -> datetime:
    return datetime(2025, number, 1, tzinfo=UTC)


def memory(told: Sequence[Told]) -> ExactHost:
    """A session a turn, so that no turn has another before it."""
    events: list[world.Event] = []
    for n, (actor, text, at) in enumerate(told):
        turn = world.turn(n, f"s{n}", actor, text, month(at))
        events += [turn, EpisodeClosed(f"e{n}", f"s{n}", (turn,), "session ended", n)]
    return world.host(build(world.SHIPPED), events)


def ask(host: ExactHost, text: str, known: datetime | None = None, limit: int = 5) -> Recalled:
    return world.ask(host, replace(world.query(text, limit), asked_at=NOW, known=known))


IDA: Sequence[Told] = (
    ("Ida", "I work at the bakery on Mill Lane.", 2),
    ("Ida", "It rained all week.", 4),
    ("Ida", "I left the bakery, I am at the post office now.", 8),
)
CASES: list[tuple[Sequence[Told], str]] = [
    (IDA, "Where does Ida work?"),
    (
        (("Bo", "I live in a flat in Oslo.", 1), ("Bo", "Snow again.", 2), ("Bo", "I moved from Oslo to Bergen.", 6)),
        "Where does Bo live?",
    ),
    (
        (
            ("", "The weekly meeting is on Tuesday at ten.", 3),
            ("", "Lunch was cold.", 4),
            ("", "The weekly meeting was moved to Thursday.", 5),
        ),
        "When is the weekly meeting?",
    ),
    (
        (
            ("Cy", "My favourite colour is blue.", 1),
            ("Cy", "Hello.", 2),
            ("Cy", "My favourite colour is green now.", 3),
        ),
        "What is Cy's best colour?",
    ),
]


@pytest.mark.parametrize(("told", "question"), CASES, ids=lambda case: case if isinstance(case, str) else "")
def test_what_was_said_later_comes_first_and_what_was_known_then_as_of_then(
    told: Sequence[Told], question: str
) -> None:
    host = memory(told)
    assert world.texts(ask(host, question))[0] == told[2][1]
    then = ask(host, question, known=month(told[2][2]) - timedelta(microseconds=1))
    assert world.texts(then)[0] == told[0][1]
    assert told[2][1] not in world.texts(then)


@pytest.mark.parametrize(
    "question", ["Where did Ida work in February?", "Where did Ida work first?", "bakery Mill Lane"]
)
def test_a_question_about_the_past_is_left_alone(question: str) -> None:
    assert world.texts(ask(memory(IDA), question))[0] == IDA[0][1]


def test_another_speaker_changes_nothing_nor_does_a_change_of_something_else() -> None:
    others = (IDA[0], ("Ben", "I left the bakery, I am at the post office now.", 8), ("Ida", "I sold my bike.", 9))
    assert world.texts(ask(memory(others), "Where does Ida work?"))[0] == IDA[0][1]


def test_a_text_asked_for_by_its_own_words_is_not_passed() -> None:
    told = (("Ida", "The bakery is on Mill Lane.", 2), ("Ida", "The bakery on Mill Lane moved.", 8))
    assert world.texts(ask(memory(told), told[0][1]))[0] == told[0][1]
    assert world.texts(ask(memory(told), "Where is the bakery?"))[0] == told[1][1]


# --- as of ------------------------------------------------------------------------------------------------------


def test_what_was_not_said_yet_is_in_no_item_of_any_kind() -> None:
    """An episode that had begun by then, and a neighbour that came after, say nothing of later."""
    host = world.host(build(world.SHIPPED))
    middle = world.turns()[1].event.start
    for kinds in ((), ("episode",)):
        wanted = Filter(kinds=kinds)
        found = world.ask(host, replace(world.query("kettle harmonium tea", 12, wanted=wanted), known=middle))
        assert all(i.record.event.end <= middle for i in found.ranked)
        assert bool(found.ranked) == (kinds == ())


# --- repeats ----------------------------------------------------------------------------------------------------


def test_the_same_sentence_said_six_times_takes_one_place_with_its_count() -> None:
    said = [("Ann", text, n) for n, text in enumerate(["The ferry is late!", "the ferry is late"] * 3, 1)]
    others = [
        ("Bob", "The ferry is late.", 7),
        ("Ann", "The ferry has a new captain.", 8),
        ("Ann", "The ferry costs nine crowns.", 9),
        ("Ann", "We took the ferry to Bergen.", 10),
    ]
    host = memory([*said, *others])
    found = ask(host, "ferry").kept
    assert sorted(i.record.text for i in found if not i.repeats) == sorted(text for _, text, _ in others)
    (one,) = [i for i in found if i.repeats]
    assert one.record.actor == "Ann"
    assert len({one.record.id, *one.repeats}) == 6
    assert one.why.endswith("said 6 times")


def test_long_texts_are_not_cut_whole_to_be_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    told = [("Ida", f"It rained all week in {town}. " * 1000, at) for at, town in enumerate(("Oslo", "Bergen"), 1)]
    host = memory(told)
    recalled = ask(host, "Is the ferry to Bergen late?")
    ctx, cut = host.context(NOW), list[str]()

    def terms(text: str) -> list[str]:
        cut.append(text)
        return lexical.terms(text)

    monkeypatch.setattr(ctx, "terms", terms)
    assert list(Updates().rerank(recalled.plan, recalled.ranked, ctx)) == list(recalled.ranked)
    assert len(recalled.ranked) >= 2
    assert sum(map(len, cut)) < 1000
