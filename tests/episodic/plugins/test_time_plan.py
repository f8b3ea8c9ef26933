"""What a question says about time."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from time import thread_time

import pytest

from services.episodic.plugins import build
from services.episodic.plugins.base import Anchor, Interval, Plan, Query
from services.episodic.plugins.between import Between
from services.episodic.plugins.exact import ExactHost
from services.episodic.plugins.time_plan import TimePlan
from tests.episodic.plugins import world


def planned(text: str, asked: datetime = world.ASKED, first: str = "1888-04-03", last: str = "1889-07-11") -> Plan:
    """The plan over a memory that spans these days."""
    host = ExactHost((), world.embedder().embed)
    for n, day in enumerate((first, last)):
        host.observe(world.turn(n, "s", "", "Nothing.", datetime.fromisoformat(day).replace(tzinfo=UTC)))
    asked_query = Query(("home",), text, 5, None, asked)
    return TimePlan().plan(Plan(asked_query, text), host.context(asked))


def days(interval: Interval | None) -> tuple[str, str] | None:
    return (f"{interval.start:%Y-%m-%d}", f"{interval.end:%Y-%m-%d}") if interval else None


@pytest.mark.parametrize(
    ("text", "first", "others"),
    [
        ("What happened on August 4?", ("1888-08-04", "1888-08-05"), []),
        ("What happened on April 27?", ("1889-04-27", "1889-04-28"), [("1888-04-27", "1888-04-28")]),
        ("Who came in May 1889?", ("1889-05-01", "1889-06-01"), []),
        ("Who came the day after Christmas?", ("1888-12-26", "1888-12-27"), []),
        ("Who came the week before May 20?", ("1889-05-13", "1889-05-20"), [("1888-05-13", "1888-05-20")]),
    ],
)
def test_a_date_means_a_day_of_the_memorys_own_years(
    text: str, first: tuple[str, str], others: list[tuple[str, str]]
) -> None:
    plan = planned(text)
    assert days(plan.time) == first
    assert [days(t) for t in plan.other_times] == others


def test_a_date_within_an_anchor_needs_no_search() -> None:
    shifted = planned("Who came the day immediately after Christmas?")
    assert (shifted.text, days(shifted.time)) == ("Who came ?", ("1888-12-26", "1888-12-27"))
    same = planned("Who came on the evening of 7 May, 1889?")
    assert (same.text, days(same.time)) == (same.query.text, ("1889-05-07", "1889-05-08"))
    assert same.anchor is None


def test_a_date_of_the_calendar_goes_before_one_that_counts_from_now() -> None:
    plan = planned("What did she do last weekend, before April 10, 1889?", asked=datetime(1889, 6, 12, tzinfo=UTC))
    assert days(plan.time) == ("1889-04-10", "1889-04-11")


def test_what_is_to_come_is_the_next_of_its_kind_and_then_those_of_the_memorys_years() -> None:
    plan = planned("What is due on August 4?", asked=datetime(1889, 6, 12, tzinfo=UTC))
    assert days(plan.time) == ("1889-08-04", "1889-08-05")
    assert [days(t) for t in plan.other_times] == [("1888-08-04", "1888-08-05")]


@pytest.mark.parametrize(
    "text", ["Who read the 2nd volume?", "Did Friday bite the postman?", "Which room holds 1200 guests?"]
)
def test_what_may_be_no_time_changes_nothing(text: str) -> None:
    plan = planned(text)
    assert (plan.time, plan.anchor, plan.text) == (None, None, text)


def test_many_dates_cost_a_question_little_over_the_years_of_a_long_memory() -> None:
    planned("Who came on 12 May?")  # loads the tagger
    asked = datetime(2024, 6, 1, tzinfo=UTC)
    before = thread_time()
    plan = planned("Who came on " + "12 May " * 32, asked=asked, first="2004-01-01", last="2024-05-20")
    assert thread_time() - before < 0.6
    assert days(plan.time) == ("2024-05-12", "2024-05-13")
    assert [days(t) for t in plan.other_times] == [(f"{y}-05-12", f"{y}-05-13") for y in (2023, 2022, 2021, 2020)]


def test_last_week_counts_from_when_one_asks() -> None:
    plan = planned("What happened last week?", asked=datetime(1889, 6, 12, tzinfo=UTC))
    assert days(plan.time) == ("1889-06-03", "1889-06-10")


@pytest.mark.parametrize(
    ("text", "anchor", "rest"),
    [
        ("What did Bert do the week after the ball?", Anchor("the ball", 1, 8), "What did Bert do ?"),
        ("What did Bert do the day after the ball?", Anchor("the ball", 1, 2), "What did Bert do ?"),
        ("Who fell on the evening of the mayor's dinner?", Anchor("the mayor's dinner", 0, 1), "Who fell ?"),
        ("In the week before the ball who came to tea?", Anchor("the ball", -7, 0), "who came to tea?"),
        ("Two days before the move, what broke?", Anchor("the move", -2, -1), ", what broke?"),
        ("What broke two weeks after the move?", Anchor("the move", 12, 17), "What broke ?"),
        ("What broke in the month after the move?", Anchor("the move", 1, 31), "What broke ?"),
        ("What broke a few days after the move?", Anchor("the move", 2, 6), "What broke ?"),
        ("What broke the Sunday after the move?", Anchor("the move", 1, 8), "What broke ?"),
        ("What broke the very next day after the move?", Anchor("the move", 1, 2), "What broke ?"),
        ("On the day the pipes burst, what broke?", Anchor("the pipes burst", 0, 1), "what broke?"),
        ("What broke the same evening as the window?", Anchor("the window", 0, 1), "What broke ?"),
        ("What broke the night Bert fell?", Anchor("Bert fell", 0, 1), "What broke ?"),
        ("On the day when Bert fell, what did Ada say?", Anchor("Bert fell", 0, 1), "what did Ada say?"),
    ],
)  # fmt: skip
def test_a_time_by_an_event_is_an_anchor_and_the_rest_is_searched(text: str, anchor: Anchor, rest: str) -> None:
    plan = planned(text)
    assert plan.anchor == anchor
    assert plan.text == rest.strip(" ,")
    assert plan.time is None


@pytest.mark.parametrize(
    "text",
    [
        "How long was it since the ball?",
        "How many days after the ball did she come?",
        "Who danced with the mayor?",
        "What did she do in the days of her youth?",
        "What did Bert say after the ball?",
        "Which month of the year is best?",
        "Which day is washing day?",
        "What is the week like at the office?",
        "",
    ],
)
def test_other_questions_name_no_time(text: str) -> None:
    plan = planned(text)
    assert (plan.time, plan.anchor, plan.text) == (None, None, text)


def test_the_host_finds_the_event_and_searches_the_week_after_it() -> None:
    host = world.host(build(world.SHIPPED))
    found = world.ask(host, world.query("What did the tailor want the week after the ball?"))
    ball = (world.START + timedelta(days=60)).replace(hour=0)
    assert found.plan.time == Interval(ball + timedelta(days=1), ball + timedelta(days=8))
    assert world.texts(found)[0] == "The tailor wants nine shillings for the coat."
    assert "in the time asked for" in found.kept[0].why


def test_an_event_fills_its_day_and_what_only_mentions_it_stands_alone() -> None:
    """Here the mention weeks later says all the words of the question, and no turn of the day itself does."""
    said = {
        50: ["An invitation to a ball at the Guildhall!"],
        60: ["We came to the Guildhall at nine.", "The ball was grand, and I danced.", "I left the ball late."],
        61: ["My head aches, and I slept until noon."],
        90: ["The ball at the Guildhall is in the paper."],
        91: ["Nothing in the paper today."],
    }
    at = {day: world.START + timedelta(days=day) for day in said}
    told = [(day, text) for day, texts in said.items() for text in texts]
    host = world.host(build(world.SHIPPED), [world.turn(n, f"s{d}", "Ada", t, at[d]) for n, (d, t) in enumerate(told)])
    found = world.ask(host, world.query("In what state was Ada on the morning after the ball at the Guildhall?"))
    assert found.plan.time is not None
    assert found.plan.time.start == at[61].replace(hour=0)
    assert said[61][0] in world.texts(found)[:2]


def test_what_speaks_of_one_reading_and_was_said_on_another_has_the_better_of_both() -> None:
    """On the first reading's day much more was said; the other one's day has this turn alone."""
    first, other = world.START + timedelta(days=50), world.START + timedelta(days=10)
    tomorrow = Interval(first.replace(hour=0), first.replace(hour=0) + timedelta(days=1))
    packed = replace(world.turn(0, "s0", "", "Spent the evening packing.", other), times=(tomorrow,))
    talk = [world.turn(n, "s1", "", f"The letter came, said {n}.", first) for n in range(1, 9)]
    ctx = world.host(build(world.SHIPPED), [packed, *talk]).context(world.ASKED)
    earlier = Interval(other.replace(hour=0), other.replace(hour=0) + timedelta(days=1))
    asked = Plan(world.query("Which letter came?"), "Which letter came?")

    def score(*times: Interval) -> float:
        plan = asked.with_(time=times[0], other_times=times[1:])
        return next(hit.score for hit in Between().retrieve(plan, ctx)["time"] if hit.id == packed.id)

    assert score(tomorrow, earlier) == score(earlier) > score(tomorrow)


def test_a_time_never_gates() -> None:
    """The right answer lies outside the range that the question names, and is still found."""
    host = world.host(build(world.SHIPPED))
    found = world.ask(host, world.query("Who plays the harmonium, in May 1901?", limit=12))
    assert "She plays the harmonium, does she not?" in world.texts(found)


def test_an_event_that_is_not_there_gives_no_time() -> None:
    plan = world.ask(
        ExactHost(build(world.SHIPPED), world.embedder().embed), world.query("Who came the day after the war?")
    )
    assert plan.plan.time is None


def at(day: str) -> datetime:
    return datetime.fromisoformat(day).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "asked", "expected"),
    [
        ("What happened on April 27 or last week?", "9999-01-01", ("1889-04-27", "1889-04-28")),
        ("What happened on April 27?", "0001-01-01", None),
        ("Who came the week before April 27, 1889?", "0001-01-01", ("1889-04-20", "1889-04-27")),
    ],
)
def test_at_the_ends_of_the_calendar_a_question_can_still_be_asked(
    text: str, asked: str, expected: tuple[str, str] | None
) -> None:
    plan = planned(text, asked=at(asked))
    assert days(plan.time) == expected


def test_a_week_after_the_end_of_the_calendar_is_its_last_day() -> None:
    picnic = world.turn(0, "s", "", "The picnic by the river.", at("9999-12-31"))
    host = world.host(build(world.SHIPPED), [picnic])
    found = world.ask(host, world.query("Who came the week after the picnic by the river?"))
    assert found.plan.time == Interval(at("9999-12-31"), at("9999-12-31"))
    assert world.texts(found) == ["The picnic by the river."]


def test_a_memory_of_the_first_years_has_no_years_before_them() -> None:
    plan = planned("What happened on April 27?", first="0001-01-01", last="0003-01-11")
    assert plan.time == Interval(at("0002-04-27"), at("0002-04-28"))
    assert plan.other_times == (Interval(at("0001-04-27"), at("0001-04-28")),)
