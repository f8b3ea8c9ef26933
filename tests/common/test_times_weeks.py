"""A weekday with its week, with its day of the month or with its date is that day; a day of a month that counts from
now is of that month.

All are said on Wednesday 6 May 2026, and every expected day was read off a calendar.
"""

from __future__ import annotations

import pytest

from tests.common.test_times_kinds import spans, table

# text, first day, day after the last
OF_A_WEEK = [
    ("The plumber came on Tuesday last week.", "2026-04-28", "2026-04-29"),
    ("on Tuesday of last week", "2026-04-28", "2026-04-29"),
    ("on Monday of last week", "2026-04-27", "2026-04-28"),
    ("On Monday last week I was ill", "2026-04-27", "2026-04-28"),
    ("on Thursday of next week", "2026-05-14", "2026-05-15"),
    ("on Friday next week", "2026-05-15", "2026-05-16"),
    ("by Friday next week", "2026-05-15", "2026-05-16"),
    ("before Tuesday last week", "2026-04-28", "2026-04-29"),
    ("since Tuesday last week", "2026-04-28", "2026-04-29"),
    ("on Monday this week", "2026-05-04", "2026-05-05"),
    ("I leave on Friday this week", "2026-05-08", "2026-05-09"),
    ("on Monday earlier this week", "2026-05-04", "2026-05-05"),
    ("on the Tuesday of last week", "2026-04-28", "2026-04-29"),
    ("from Monday to Wednesday last week", "2026-04-27", "2026-04-30"),
    ("from Monday to Wednesday of next week", "2026-05-11", "2026-05-14"),
    ("between Tuesday and Thursday of last week", "2026-04-28", "2026-05-01"),
    ("Monday-Friday last week", "2026-04-27", "2026-05-02"),
    ("from Friday to Monday next week", "2026-05-08", "2026-05-12"),
    ("from Thursday this week to Tuesday next week", "2026-05-07", "2026-05-13"),
    ("last week from Monday to Wednesday we painted", "2026-04-27", "2026-04-30"),
    ("next week Monday to Wednesday", "2026-05-11", "2026-05-14"),
    ("on Tuesday morning last week", "2026-04-28", "2026-04-29"),
    ("Tuesday night last week", "2026-04-28", "2026-04-29"),
    ("on Tuesday at 9:30 am last week", "2026-04-28", "2026-04-29"),
    ("on Tuesday, last week, we met", "2026-04-28", "2026-04-29"),
    ("last week, on Tuesday, we met", "2026-04-28", "2026-04-29"),
    ("on Friday of the week before last", "2026-04-24", "2026-04-25"),
    ("on Tuesday the week after next", "2026-05-19", "2026-05-20"),
    ("on Sunday two weeks ago", "2026-04-26", "2026-04-27"),
    ("two weeks ago on Sunday", "2026-04-26", "2026-04-27"),
    ("on Tuesday a fortnight ago", "2026-04-21", "2026-04-22"),
    ("on Tuesday in two weeks", "2026-05-19", "2026-05-20"),
    ("on Tuesday in the week before 20 May 2026", "2026-05-19", "2026-05-20"),
    ("on Saturday next weekend", "2026-05-16", "2026-05-17"),
    ("on Sunday a few weeks ago", "2026-04-06", "2026-04-27"),
    ("We sat last week in the garden.", "2026-04-27", "2026-05-04"),
    ("on Tuesday last month", "2026-04-01", "2026-05-01"),
    ("We met on Tuesday last year.", "2025-01-01", "2026-01-01"),
    ("on Monday of next month", "2026-06-01", "2026-07-01"),
    ("Last week's Tuesday meeting", "2026-04-28", "2026-04-29"),
    ("next week’s lunch on Friday", "2026-05-15", "2026-05-16"),
    ("on Tuesday's call last week", "2026-04-28", "2026-04-29"),
    ("on Saturday in the morning next week", "2026-05-16", "2026-05-17"),
]

WITH_ITS_NUMBER = [
    ("on Tuesday the 19th at 9", "2026-05-19", "2026-05-20"),
    ("Dentist on Tuesday the 19th at 9", "2026-05-19", "2026-05-20"),
    ("We meet on Tuesday the 19th.", "2026-05-19", "2026-05-20"),
    ("on Saturday the 16th", "2026-05-16", "2026-05-17"),
    ("on Monday 18th", "2026-05-18", "2026-05-19"),
    ("Sat 16th", "2026-05-16", "2026-05-17"),
    ("on Tuesday, the 5th", "2026-05-05", "2026-05-06"),
    ("on Wednesday the 6th", "2026-05-06", "2026-05-07"),
    ("We met on Friday the 13th.", "2026-03-13", "2026-03-14"),
    ("on Tuesday the 31st", "2026-03-31", "2026-04-01"),
    ("on Saturday (the 16th)", "2026-05-16", "2026-05-17"),
    ("on Tue (19th)", "2026-05-19", "2026-05-20"),
    ("the 19th (Tuesday)", "2026-05-19", "2026-05-20"),
    ("on the 19th, a Tuesday", "2026-05-19", "2026-05-20"),
    ("from Tuesday the 19th to Thursday the 21st", "2026-05-19", "2026-05-22"),
    ("from Tuesday to Thursday the 21st", "2026-05-19", "2026-05-22"),
    ("from Monday to Friday the 15th of May", "2026-05-11", "2026-05-16"),
    ("on Saturday (16 May)", "2026-05-16", "2026-05-17"),
    ("on Saturday (May 16)", "2026-05-16", "2026-05-17"),
    ("16 May (Saturday)", "2026-05-16", "2026-05-17"),
    ("on Saturday, 2026-05-16", "2026-05-16", "2026-05-17"),
    ("2026-05-16 (Saturday)", "2026-05-16", "2026-05-17"),
    ("on Saturday 16.05.2026", "2026-05-16", "2026-05-17"),
    ("from Saturday (16 May) to Monday (18 May)", "2026-05-16", "2026-05-19"),
    ("See you tomorrow (Thursday).", "2026-05-07", "2026-05-08"),
    ("on Tuesday 5th graders came", "2026-05-05", "2026-05-06"),
    ("on Tuesday 5th Avenue was shut", "2026-05-05", "2026-05-06"),
    ("on Friday the eighth", "2026-05-08", "2026-05-09"),
    ("on Tuesday the nineteenth at 9", "2026-05-19", "2026-05-20"),
    ("On Friday the first guests came.", "2026-05-01", "2026-05-02"),
    ("On Tuesday the second of us left.", "2026-05-05", "2026-05-06"),
    ("Tuesday the 19th works for me", "2026-05-19", "2026-05-20"),
]

OF_A_MONTH = [
    ("the 14th of last month", "2026-04-14", "2026-04-15"),
    ("on Tuesday the 14th of last month", "2026-04-14", "2026-04-15"),
    ("the third of last month", "2026-04-03", "2026-04-04"),
    ("on the 3rd last month", "2026-04-03", "2026-04-04"),
    ("from the 3rd to the 5th of last month", "2026-04-03", "2026-04-06"),
    ("between the 3rd and the 5th of next month", "2026-06-03", "2026-06-06"),
    ("the 2nd of next month", "2026-06-02", "2026-06-03"),
    ("by the 3rd of next month", "2026-06-03", "2026-06-04"),
    ("the 14th of the month before last", "2026-03-14", "2026-03-15"),
    ("on the first Tuesday of last month", "2026-04-07", "2026-04-08"),
    ("the last Friday of next month", "2026-06-26", "2026-06-27"),
    ("last march was cold", "2026-03-01", "2026-04-01"),
    ("We moved last march", "2026-03-01", "2026-04-01"),
    ("We moved last may.", "2025-05-01", "2025-06-01"),
]

THANKS = [
    ("Thanks for Saturday, it was fun.", "2026-05-02", "2026-05-03"),
    ("Thank you so much for Sunday. It was great.", "2026-05-03", "2026-05-04"),
    ("Thanks for coming on Saturday, it was lovely.", "2026-05-02", "2026-05-03"),
    ("Thanks, see you on Saturday.", "2026-05-09", "2026-05-10"),
]

LISTS = [
    ("on Monday and Tuesday last week", [("2026-04-27", "2026-04-28"), ("2026-04-28", "2026-04-29")]),
    ("last week on Monday and Tuesday", [("2026-04-27", "2026-04-28"), ("2026-04-28", "2026-04-29")]),
    ("on the 3rd and 5th of last month", [("2026-04-03", "2026-04-04"), ("2026-04-05", "2026-04-06")]),
    ("on Tuesday the 5th and Wednesday the 6th", [("2026-05-05", "2026-05-06"), ("2026-05-06", "2026-05-07")]),
    (
        "We met on Tuesday last week and on Friday this week.",
        [("2026-04-28", "2026-04-29"), ("2026-05-08", "2026-05-09")],
    ),
    (
        "They moved the lunch from Monday to Thursday next week.",
        [("2026-05-11", "2026-05-12"), ("2026-05-14", "2026-05-15")],
    ),
    ("We met on Sunday, last week was hard.", [("2026-05-03", "2026-05-04"), ("2026-04-27", "2026-05-04")]),
    ("I moved last week, on Monday I start.", [("2026-04-27", "2026-05-04"), ("2026-05-11", "2026-05-12")]),
    ("I saw him on Monday last week and on Friday.", [("2026-04-27", "2026-04-28"), ("2026-05-01", "2026-05-02")]),
]

IN_DOUBT = """
on Tuesday of that week
on Tuesday the week after
Friday of the following week
on Tuesday every week
on Tuesday the 17th of that month
on Tuesday the 20th
We met on Tuesday the 19th.
on Tuesday the 5th of last month
the 31st of last month
I watched Friday the 13th.
Friday the 13th is a film.
Thanks for Saturday!
Thank you for the flowers on Saturday.
T.G.I. Friday's was full.
We ate at TGI Friday's.
Monday.com is down
We use monday.com.
I bought it on Black Friday.
our last march was cold
Those who come last may not leave.
""".strip().splitlines()


@table(OF_A_WEEK)
def test_a_weekday_beside_a_week_is_a_day_of_that_week(text: str, first: str, after: str) -> None:
    assert spans(text) == [(first, after)]


@table(WITH_ITS_NUMBER)
def test_a_weekday_with_its_day_of_the_month_is_one_day(text: str, first: str, after: str) -> None:
    assert spans(text) == [(first, after)]


@table(OF_A_MONTH)
def test_a_month_that_counts_from_now_is_found_with_its_days(text: str, first: str, after: str) -> None:
    assert spans(text) == [(first, after)]


@table(THANKS)
def test_one_gives_thanks_for_a_day_that_was(text: str, first: str, after: str) -> None:
    assert spans(text) == [(first, after)]


@pytest.mark.parametrize(("text", "days"), [pytest.param(*row, id=row[0]) for row in LISTS])
def test_each_of_several_weekdays_is_of_the_week_that_is_said_of_it(text: str, days: list[tuple[str, str]]) -> None:
    assert spans(text) == days


@pytest.mark.parametrize("text", IN_DOUBT)
def test_a_weekday_of_an_unknown_week_and_one_in_a_name_are_no_day(text: str) -> None:
    assert spans(text) == []
