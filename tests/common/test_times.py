"""Time expressions: what they mean at a given time. Expected days are worked out by hand from a calendar of 1888."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.text import tagger
from services.common.text.times import MAX_MENTIONS, find, read

TUESDAY = datetime(1888, 4, 10, 15, 30, tzinfo=UTC)

# expression, first day, day after the last
SAID_ON_TUESDAY_10_APRIL_1888 = [
    ("yesterday", "1888-04-09", "1888-04-10"),
    ("to-day", "1888-04-10", "1888-04-11"),
    ("to-morrow", "1888-04-11", "1888-04-12"),
    ("the day before yesterday", "1888-04-08", "1888-04-09"),
    ("last night", "1888-04-09", "1888-04-10"),
    ("this morning", "1888-04-10", "1888-04-11"),
    ("last Tuesday", "1888-04-03", "1888-04-04"),
    ("on Tuesday", "1888-04-03", "1888-04-04"),
    ("on Monday", "1888-04-09", "1888-04-10"),
    ("next Tuesday", "1888-04-17", "1888-04-18"),
    ("He will come on Friday", "1888-04-13", "1888-04-14"),
    ("10 days ago", "1888-03-31", "1888-04-01"),
    ("a couple of days ago", "1888-04-08", "1888-04-09"),
    ("a few days ago", "1888-04-06", "1888-04-09"),
    ("a week ago", "1888-04-02", "1888-04-09"),
    ("two weeks ago", "1888-03-26", "1888-04-02"),
    ("a fortnight ago", "1888-03-26", "1888-04-02"),
    ("one month ago", "1888-03-01", "1888-04-01"),
    ("five years ago", "1883-01-01", "1884-01-01"),
    ("in two weeks", "1888-04-23", "1888-04-30"),
    ("three days from now", "1888-04-13", "1888-04-14"),
    ("last week", "1888-04-02", "1888-04-09"),
    ("this week", "1888-04-09", "1888-04-16"),
    ("next month", "1888-05-01", "1888-06-01"),
    ("last year", "1887-01-01", "1888-01-01"),
    ("last weekend", "1888-04-07", "1888-04-09"),
    ("this weekend", "1888-04-14", "1888-04-16"),
    ("in March", "1888-03-01", "1888-04-01"),
    ("in November", "1887-11-01", "1887-12-01"),
    ("in April", "1888-04-01", "1888-05-01"),
    ("last April", "1887-04-01", "1887-05-01"),
    ("next March", "1889-03-01", "1889-04-01"),
    ("March 1887", "1887-03-01", "1887-04-01"),
    ("on 15 November", "1887-11-15", "1887-11-16"),
    ("We shall meet on 15 November", "1888-11-15", "1888-11-16"),
    ("November 15th, 1890", "1890-11-15", "1890-11-16"),
    ("the 15th of November 1889", "1889-11-15", "1889-11-16"),
    ("Sunday, April 8", "1888-04-08", "1888-04-09"),
    ("April 10", "1888-04-10", "1888-04-11"),
    ("the 8th", "1888-04-08", "1888-04-09"),
    ("the 15th", "1888-03-15", "1888-03-16"),
    ("the 31st", "1888-03-31", "1888-04-01"),
    ("2026-11-15", "2026-11-15", "2026-11-16"),
    ("in 1886", "1886-01-01", "1887-01-01"),
    ("last summer", "1887-06-01", "1887-09-01"),
    ("the winter of 1885", "1885-12-01", "1886-03-01"),
    ("last Christmas", "1887-12-25", "1887-12-26"),
    ("Boxing Day", "1887-12-26", "1887-12-27"),
    ("Easter Monday", "1888-04-02", "1888-04-03"),
    ("the week before 9 June 1888", "1888-06-02", "1888-06-09"),
    ("the day after April 3", "1888-04-04", "1888-04-05"),
    ("between 3 March and 5 April", "1888-03-03", "1888-04-06"),
    ("29 February", "1888-02-29", "1888-03-01"),
]


@pytest.mark.parametrize(("words", "first", "after"), SAID_ON_TUESDAY_10_APRIL_1888)
def test_an_expression_means_the_days_that_a_calendar_gives(words: str, first: str, after: str) -> None:
    [mention] = find(words, TUESDAY)
    assert (f"{mention.start:%Y-%m-%d}", f"{mention.end:%Y-%m-%d}") == (first, after)
    assert words[mention.at : mention.at + len(mention.text)] == mention.text


@pytest.mark.parametrize(
    "words",
    [
        "I may go, and the sun shines in may",
        "the 19th century, the 3rd time, the 2nd floor",
        "I paid 1888 pounds",
        "31 February",
        "We march on; second to none",
        "in a minute",
        "",
    ],
)
def test_what_is_no_time_is_left_alone(words: str) -> None:
    assert find(words, TUESDAY) == []


def test_several_times_come_in_order_of_appearance() -> None:
    text = "Yesterday it rained. We met on 15 November and shall meet again next Tuesday."
    assert [m.text for m in find(text, TUESDAY)] == ["Yesterday", "15 November", "next Tuesday"]


def test_words_without_a_year_say_so() -> None:
    yearless = {
        m.text: m.yearless for m in find("15 November; 15 November 1887; in March; last March; two days ago", TUESDAY)
    }
    assert yearless == {
        "15 November": True,
        "15 November 1887": False,
        "in March": True,
        "last March": False,
        "two days ago": False,
    }


def test_a_day_is_one_on_the_clock_of_whoever_speaks() -> None:
    late_in_new_york = datetime.fromisoformat("1888-04-09T22:00:00-05:00")  # 10 April, 03:00 UTC
    [mention] = find("yesterday", late_in_new_york)
    assert mention.start == datetime.fromisoformat("1888-04-08T00:00:00-05:00")
    assert mention.end == datetime.fromisoformat("1888-04-09T00:00:00-05:00")
    assert mention.start.utcoffset() == timedelta(hours=-5)


def test_a_text_is_read_once_for_several_times() -> None:
    spoken = read("We met on 15 November and leave on Friday.")
    for now in (TUESDAY, TUESDAY + timedelta(400)):
        assert spoken.at(now) == find(spoken.text, now)


GREGORIAN_CYCLE = timedelta(days=146_097)  # 400 years: the calendar repeats, weekdays and leap years included


@given(
    st.sampled_from([words for words, *_ in SAID_ON_TUESDAY_10_APRIL_1888 if not re.search(r"\d{4}|Easter", words)]),
    st.datetimes(min_value=datetime(1800, 1, 1), max_value=datetime(1990, 1, 1)),
)
def test_the_wall_clock_has_no_say(words: str, now: datetime) -> None:
    """The calendar repeats every 400 years, so a reading at now + 400 years is the reading at now, 400 years on.

    The wall clock lies between the two, and would have to show in one of them. (Easter has a longer cycle.)
    """
    then = now.replace(tzinfo=UTC)
    here = [(m.text, m.start + GREGORIAN_CYCLE, m.end + GREGORIAN_CYCLE) for m in find(words, then)]
    there = [(m.text, m.start, m.end) for m in find(words, then + GREGORIAN_CYCLE)]
    assert here == there


@given(st.text(max_size=300), st.datetimes(min_value=datetime(1000, 1, 1), max_value=datetime(9000, 1, 1)))
def test_any_text_gives_proper_intervals_or_none(text: str, now: datetime) -> None:
    for mention in find(text, now.replace(tzinfo=UTC)):
        assert mention.start < mention.end


_PIECES = [words for words, *_ in SAID_ON_TUESDAY_10_APRIL_1888] + [
    *("from between and to of the on in since by for . , - / 2nd 12 1200 2026 June may Friday spring".split()),
    *("2026-01/20 31.12.2026 T08:30 left leaves will".split()),
]


@given(st.lists(st.sampled_from(_PIECES), max_size=8), st.datetimes(datetime(1000, 1, 1), datetime(9000, 1, 1)))
def test_any_words_of_time_give_proper_intervals_or_none(pieces: list[str], now: datetime) -> None:
    text = " ".join(pieces)
    mentions = find(text, now.replace(tzinfo=UTC))
    assert all(m.start < m.end and text[m.at :].startswith(m.text) for m in mentions)
    assert [m.at for m in mentions] == sorted({m.at for m in mentions})


def test_a_text_made_of_dates_costs_no_more_than_its_share() -> None:
    text = "31 February, on Tuesday, 15 November. " * 1_500  # 57,000 bytes
    tagger.load()
    started = time.thread_time()  # others' work is no part of it
    found = find(text, TUESDAY)
    assert 0 < len(found) <= MAX_MENTIONS
    assert time.thread_time() - started < 1.0
