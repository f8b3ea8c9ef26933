"""What a record says itself comes before what it borrows from its neighbours."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from benchmarks import locomo
from services.episodic.plugins import build
from services.episodic.plugins.base import Anchor, EpisodeClosed, Interval, Plan, Record
from services.episodic.plugins.exact import ExactHost
from services.episodic.plugins.own_words import AFTER, BEFORE, Asked, OwnWords
from services.episodic.plugins.turns import Turns
from tests.episodic.plugins import world

MAY_4 = Interval(datetime(1901, 5, 4, tzinfo=UTC), datetime(1901, 5, 5, tzinfo=UTC))
PERMIT = "The parking permit number is PX-88."
MOVE = (
    "Hi! How did the move go, with the piano, the cat and all those boxes of books?",
    PERMIT,
    "Great.",
    "Is the heater fixed?",
)


def session(name: str, texts: Sequence[str], first: int = 0, actors: Sequence[str] = ("",)) -> list[world.Event]:
    """A closed session of these texts, a minute apart."""
    at = world.START + timedelta(days=first)
    said_in_turn = enumerate(texts)
    turns = [
        world.turn(first + n, name, actors[n % len(actors)], text, at + timedelta(minutes=n))
        for n, text in said_in_turn
    ]
    return [*turns, EpisodeClosed(f"episode of {name}", name, tuple(turns), "session ended", turns[-1].seq)]


def memory(*sessions: Sequence[world.Event]) -> ExactHost:
    return world.host(build(world.SHIPPED), [event for one in sessions for event in one])


def first(host: ExactHost, text: str) -> str:
    return world.texts(world.ask(host, world.query(text)))[0]


@pytest.mark.parametrize("question", ["parking permit number", "What is the number of the parking permit?", "PX-88"])
def test_the_answer_comes_before_the_turn_that_borrows_its_words(question: str) -> None:
    assert first(memory(session("move", MOVE)), question) == PERMIT


@pytest.mark.parametrize("apart", [False, True], ids=["one session", "a session each"])
def test_of_eighty_orders_the_one_asked_for_by_number_is_first(apart: bool) -> None:
    orders = [f"Order OR-7{n:02} from Pike Marine was shipped by van K." for n in range(80)]
    sessions = [session(f"s{n}", [o], n) for n, o in enumerate(orders)] if apart else [session("orders", orders)]
    host = memory(*sessions)
    asked = {order: first(host, f"Was order OR-7{n:02} shipped?") for n, order in enumerate(orders)}
    assert {order: got for order, got in asked.items() if got != order} == {}


def test_a_date_that_the_question_only_seems_to_name_moves_nothing() -> None:
    texts = (
        "Otis read the 2nd volume of the atlas.",
        "Otis bought milk.",
        "Otis swept the yard.",
        "The atlas is heavy.",
    )
    host = memory(session("february", texts[:1]), session("march", texts[1:], 29))
    assert first(host, "Who read the 2nd volume?") == texts[0]


@pytest.mark.parametrize(
    "question", ["What did the plumber want on May 4, 1901?", "What did the plumber want the day before May 5, 1901?"]
)
def test_what_was_said_on_the_day_that_is_asked_about_comes_first(question: str) -> None:
    """Days apart the same matter comes up in better words for the question, and in words that only name its date."""
    may_4 = (datetime(1901, 5, 4, 9, tzinfo=UTC) - world.START).days
    host = memory(
        session("march", ["The plumber came and wanted to know what we want of a plumber."], 10),
        session("day", ["A wet morning.", "The plumber asks ten shillings more."], may_4),
        session("june", ["What the plumber did want is a mystery to us all, as it was in May."], may_4 + 40),
    )
    assert first(host, question) == "The plumber asks ten shillings more."


def test_what_speaks_of_the_day_that_is_asked_about_was_not_said_on_it() -> None:
    asked = Asked(Plan(world.query("Who sang on May 4, 1901?"), "", time=MAY_4), world.host(()).context(world.ASKED))
    told = world.turn(1, "s", "", "On May 4 the choir sang.", world.START)
    assert asked.then(replace(told, times=(MAY_4,)))
    assert asked.then(replace(told, event=Interval(MAY_4.start + timedelta(hours=9), MAY_4.end)))
    assert not asked.then(told)
    assert not asked.then(replace(told, times=(Interval(MAY_4.start, MAY_4.start + timedelta(days=31)),)))


def test_a_long_time_or_one_given_by_an_event_lifts_nothing() -> None:
    month, anchor = Interval(MAY_4.start, MAY_4.start + timedelta(days=31)), Anchor("the ball", 0, 1)
    for asked in ({"time": month}, {"time": MAY_4, "anchor": anchor}, {}):
        plan = Plan(world.query("Who sang?"), "").with_(**asked)
        assert Asked(plan, world.host(()).context(world.ASKED)).days == ()


def test_a_turn_asked_for_by_its_own_text_is_first_in_talk_that_repeats_itself() -> None:
    """Sessions that quote, ask back and say the same words in another order."""
    rng, things = random.Random(3), ("boat", "van", "ledger", "heater", "piano", "permit", "key", "garden", "roof")
    texts: list[str] = []
    for thing in things:
        other = rng.choice([t for t in things if t != thing])
        texts += [
            f"Did the {thing} go to Pike Marine with the {other}?",
            f"The {thing} went to Pike Marine without the {other}.",
            f"So the {thing} and the {other} went apart, to Pike Marine and elsewhere, as we said of the {thing}.",
            f"Yes, the {thing}.",
        ]
    cuts = [texts[i : i + 6] for i in range(0, len(texts), 6)]
    host = memory(*(session(f"s{n}", cut, 10 * n, ("Ann", "Bo")) for n, cut in enumerate(cuts)))
    assert {text: got for text in texts if (got := first(host, text)) != text} == {}


@pytest.mark.skipif(locomo.path() is None, reason="needs MNEME_EVAL_DATA with LoCoMo's development half")
def test_a_turn_of_locomo_asked_for_by_its_own_text_is_first() -> None:
    file = locomo.path()
    assert file is not None
    turns = [turn for part in locomo.load(file)[0].sessions[:4] for turn in part]
    host = world.fold(ExactHost(build(world.SHIPPED), world.embedder().embed), turns)
    asked = [(turn, world.query(turn.text, namespaces=(turn.namespace,))) for turn in turns]
    wrong = [turn.text for turn, query in asked if world.ask(host, query).kept[0].record.text != turn.text]
    assert wrong == []


# --- the score --------------------------------------------------------------------------------------------------


def test_a_word_counts_by_where_it_is_said() -> None:
    host = memory(session("s", ("The kettle.", "The piano.", "The garden.")))
    middle = next(r for r in host.spaces["home"].records.values() if r.text == "The piano.")
    asked = Asked(world.plan("piano kettle garden moon"), host.context(world.ASKED))
    weights = asked.weights
    expected = weights["piano"] + BEFORE * weights["kettl"] + AFTER * weights["garden"]
    assert asked.said(middle) == pytest.approx(expected / sum(weights.values()))
    assert Asked(world.plan("the"), host.context(world.ASKED)).said(middle) == 0.0


def test_reranking_adds_and_loses_nothing_and_scores_fall() -> None:
    host = world.host(build([name for name in world.SHIPPED if name != OwnWords.name]))
    fused = world.ask(host, world.query("Who tore the coat of the mayor?", 12)).ranked
    plan = Plan(world.query("Who tore the coat of the mayor?"), "Who tore the coat of the mayor?")
    again = OwnWords().rerank(plan, fused, host.context(world.ASKED))
    assert sorted(i.record.id for i in again) == sorted(i.record.id for i in fused)
    scores = [i.score for i in again]
    assert scores == sorted(scores, reverse=True)
    assert all(0.0 < score <= 1.0 for score in scores)
    assert [i.trace[-1] for i in again] == [("own_words", n, i.score) for n, i in enumerate(again, 1)]


def test_who_said_it_counts_and_a_question_is_no_answer() -> None:
    talk = session("s", ("Does the boiler leak?", "The boiler leaks.", "The boiler leaks."), 0, ("Ann", "Bo", "Cy"))
    host = memory(talk)
    spoken = world.ask(host, world.query("What did Cy say of the boiler's leak?")).kept
    assert spoken[0].record.actor == "Cy"
    assert world.texts(world.ask(host, world.query("boiler leaks")))[-1] == "Does the boiler leak?"


def test_the_key_still_holds_the_turn_before() -> None:
    """Or what is found only by what was asked before it ("Yes, in May!") would be lost."""
    turn: Record = world.turns()[1]
    assert "kettle" in world.host([Turns()]).spaces["home"].records[turn.id].keys[0].text
