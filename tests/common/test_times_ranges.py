"""Ranges and lists of times: each keeps its year, its start and its end, and what only looks like one is none.

All are said on Wednesday 6 May 2026, and every expected day was read off a calendar.
"""

from __future__ import annotations

import pytest

from services.common.text.times import find
from tests.common.test_times_kinds import WEDNESDAY, spans

# text, [first day, day after the last] of each time
SEVERAL = [
    ("May 3-June 5, 2021 we toured Spain.", [("2021-05-03", "2021-06-06")]),
    ("from May '19 to July '20", [("2019-05-01", "2020-08-01")]),
    ("between May and July of 2021", [("2021-05-01", "2021-08-01")]),
    ("on the 3rd and 5th of May 2022", [("2022-05-03", "2022-05-04"), ("2022-05-05", "2022-05-06")]),
    ("in June or July 2020", [("2020-06-01", "2020-07-01"), ("2020-07-01", "2020-08-01")]),
    ("January 20th through the 25th, 2026", [("2026-01-20", "2026-01-26")]),
    ("from 20.01. to 25.01.2026", [("2026-01-20", "2026-01-26")]),
    ("20-25.01.2026", [("2026-01-20", "2026-01-26")]),
    ("20–25.01.2026", [("2026-01-20", "2026-01-26")]),
    ("20.-25. January 2026", [("2026-01-20", "2026-01-26")]),
    ("2026-01-20 to 25", [("2026-01-20", "2026-01-26")]),
    ("Summer 2019 to winter 2020", [("2019-06-01", "2021-03-01")]),
    ("between spring and autumn 2020", [("2020-03-01", "2020-12-01")]),
    ("on 3 and 5 May 2022", [("2022-05-03", "2022-05-04"), ("2022-05-05", "2022-05-06")]),
    ("3 to 5 days ago", [("2026-05-01", "2026-05-04")]),
    ("from 2019 to now", [("2019-01-01", "2026-05-07")]),
    ("on May 3 and 5, 2022", [("2022-05-03", "2022-05-04"), ("2022-05-05", "2022-05-06")]),
    ("2011-2013 was hard", [("2011-01-01", "2014-01-01")]),
    ("20.01.-25.01.2026", [("2026-01-20", "2026-01-26")]),
    ("7 and 9 April 2024", [("2024-04-07", "2024-04-08"), ("2024-04-09", "2024-04-10")]),
    (
        "We met on March 2, 9 and 16, 2023.",
        [("2023-03-02", "2023-03-03"), ("2023-03-09", "2023-03-10"), ("2023-03-16", "2023-03-17")],
    ),
    (
        "The shop closed on the 2nd, 9th and 16th of March.",
        [("2026-03-02", "2026-03-03"), ("2026-03-09", "2026-03-10"), ("2026-03-16", "2026-03-17")],
    ),
    ("It rained on 11 or 12 August 2019.", [("2019-08-11", "2019-08-12"), ("2019-08-12", "2019-08-13")]),
    (
        "He was here in March, April and June 2018.",
        [("2018-03-01", "2018-04-01"), ("2018-04-01", "2018-05-01"), ("2018-06-01", "2018-07-01")],
    ),
    ("from August 2017 until October 2018", [("2017-08-01", "2018-11-01")]),
    ("from Sept. '08 till Feb. '09", [("2008-09-01", "2009-03-01")]),
    ("October 30 – November 2, 2022", [("2022-10-30", "2022-11-03")]),
    ("Dec 28-Jan 3, 2020", [("2019-12-28", "2020-01-04")]),
    ("28 December – 3 January 2020", [("2019-12-28", "2020-01-04")]),
    ("12.-14. August 2019", [("2019-08-12", "2019-08-15")]),
    ("12.08.-03.09.2019", [("2019-08-12", "2019-09-04")]),
    ("12.08. bis 03.09.2019", [("2019-09-03", "2019-09-04")]),
    ("12.–14.08.2019", [("2019-08-12", "2019-08-15")]),
    ("between 12.08. and 03.09.2019", [("2019-08-12", "2019-09-04")]),
    ("30.12. to 02.01.2020", [("2019-12-30", "2020-01-03")]),
    ("2019-08-12 to 09-03", [("2019-08-12", "2019-09-04")]),
    ("2019-08-12/14", [("2019-08-12", "2019-08-15")]),
    ("2019-08-12 through 14", [("2019-08-12", "2019-08-15")]),
    ("two to three weeks ago", [("2026-04-13", "2026-04-27")]),
    ("three or four months ago", [("2026-01-01", "2026-03-01")]),
    ("2-3 years ago", [("2023-01-01", "2025-01-01")]),
    ("I lived there from 2003 to the present.", [("2003-01-01", "2026-05-07")]),
    ("from March 2020 until today", [("2020-03-01", "2026-05-07")]),
    ("from 3 March 2020 till now", [("2020-03-03", "2026-05-07")]),
    ("It ran from autumn 2012 to spring 2014.", [("2012-09-01", "2014-06-01")]),
    ("from spring to autumn 2012", [("2012-03-01", "2012-12-01")]),
    ("in spring and autumn 2012", [("2012-03-01", "2012-06-01"), ("2012-09-01", "2012-12-01")]),
    ("between the winter of 2010 and the summer of 2012", [("2010-12-01", "2012-09-01")]),
    ("from winter to summer 2012", [("2011-12-01", "2012-09-01")]),
    ("In 2016 and 2018 we lost.", [("2016-01-01", "2017-01-01"), ("2018-01-01", "2019-01-01")]),
    ("It was built in 1998 or 1999.", [("1998-01-01", "1999-01-01"), ("1999-01-01", "2000-01-01")]),
    ("2015–2017 were good years", [("2015-01-01", "2018-01-01")]),
    ("from Oct 2010 to Mar 2011", [("2010-10-01", "2011-04-01")]),
    ("April-June 2017", [("2017-04-01", "2017-07-01")]),
    ("between August 2 and September 9, 2015", [("2015-08-02", "2015-09-10")]),
    ("from the 5th of June to the 8th of July 2014", [("2014-06-05", "2014-07-09")]),
    ("June 5th through June 9th, 2014", [("2014-06-05", "2014-06-10")]),
    ("from the 12th to the 18th of July, 2016", [("2016-07-12", "2016-07-19")]),
    ("in July, 2020", [("2020-07-01", "2020-08-01")]),
    ("in July of 2020", [("2020-07-01", "2020-08-01")]),
    ("on 3 May and 5 June 2021", [("2021-05-03", "2021-05-04"), ("2021-06-05", "2021-06-06")]),
    ("on May 3 and June 5, 2021", [("2021-05-03", "2021-05-04"), ("2021-06-05", "2021-06-06")]),
    ("on 3/5/2021", []),
    ("from 20/01 to 25/01/2026", [("2026-01-20", "2026-01-26")]),
    ("early May to late July 2019", [("2019-05-01", "2019-08-01")]),
    ("from early May to late July 2019", [("2019-05-01", "2019-08-01")]),
    ("from Q1 to Q3 2019", [("2019-01-01", "2019-10-01")]),
    ("Q1-Q3 2019", [("2019-01-01", "2019-10-01")]),
    ("from the 1980s to the 1990s", [("1980-01-01", "2000-01-01")]),
    ("the 3rd to 5th of May, 2022", [("2022-05-03", "2022-05-06")]),
    ("May 3rd & 5th, 2022", [("2022-05-03", "2022-05-04"), ("2022-05-05", "2022-05-06")]),
    ("July/August 2019", [("2019-07-01", "2019-08-01"), ("2019-08-01", "2019-09-01")]),
    ("mid-May until early June 2019", [("2019-05-01", "2019-07-01")]),
    ("from Christmas 2019 to Easter 2020", [("2019-12-25", "2020-04-13")]),
    ("between Easter and Christmas 2019", [("2019-04-21", "2019-12-26")]),
    ("between January and March of last year", [("2025-01-01", "2025-04-01")]),
    ("We planned to go from 3 May to 5 June 2021.", [("2021-05-03", "2021-06-06")]),
    ("We will meet on 3 and 9 June.", [("2026-06-03", "2026-06-04"), ("2026-06-09", "2026-06-10")]),
    (
        "We swam in November, December and January.",
        [("2025-11-01", "2025-12-01"), ("2025-12-01", "2026-01-01"), ("2026-01-01", "2026-02-01")],
    ),
    ("2019-present", [("2019-01-01", "2026-05-07")]),
    ("between 2019 and today", [("2019-01-01", "2026-05-07")]),
    ("from the end of May to the start of July 2021", [("2021-05-01", "2021-08-01")]),
    ("a day or two ago", [("2026-05-04", "2026-05-06")]),
    ("from the third to the fifth of May 2022", [("2022-05-03", "2022-05-06")]),
    ("20/5-25/5/2021", [("2021-05-20", "2021-05-26")]),
    ("Tues-Thurs we were shut", [("2026-04-28", "2026-05-01")]),
    (
        "Mary was born on 3 May 1990 and John on 4 May 1991.",
        [("1990-05-03", "1990-05-04"), ("1991-05-04", "1991-05-05")],
    ),
    ("3 May last year", [("2025-05-03", "2025-05-04")]),
    ("the summer of last year", [("2025-06-01", "2025-09-01")]),
    ("By the end of June", [("2026-06-01", "2026-07-01")]),
    ("until the end of June", [("2026-06-01", "2026-07-01")]),
    ("tues evening was fun", [("2026-05-05", "2026-05-06")]),
    ("lunch was good, sat night was not", [("2026-05-02", "2026-05-03")]),
    ("She lived here from 2003 till 2007; now she is gone.", [("2003-01-01", "2008-01-01")]),
    ("I have lived here since 2019 and now it rains.", [("2019-01-01", "2020-01-01")]),
    ("He sold 3 and 5 May roses.", [("2026-05-05", "2026-05-06")]),
    ("Chapter 3 and 5 May 2022", [("2022-05-05", "2022-05-06")]),
    ("on May 3 and 5 friends came", [("2026-05-03", "2026-05-04")]),
    *(
        (text, [("1990-01-01", "2000-01-01"), ("2000-01-01", "2010-01-01")])
        for text in (
            "She lived there in the 1990s and 2000s.",
            "In the 1990s and the 2000s we lived in Rome.",
            "In the late 1990s and early 2000s they toured.",
            "the 1990s/2000s",
            "the ’90s or 2000s",
            "in the nineties & the 2000s",
        )
    ),
    (
        "He smoked in the 60s, 70s and 80s.",
        [("1960-01-01", "1970-01-01"), ("1970-01-01", "1980-01-01"), ("1980-01-01", "1990-01-01")],
    ),
    ("In the eighties and nineties", [("1980-01-01", "1990-01-01"), ("1990-01-01", "2000-01-01")]),
    ("between the 1960s and 1980s", [("1960-01-01", "1990-01-01")]),
    ("from the 1960s to 1980s", [("1960-01-01", "1990-01-01")]),
    ("during the 1920s-1930s", [("1920-01-01", "1940-01-01")]),
    *(
        (text, [("2019-01-01", "2021-01-01")])
        for text in (
            "In 2019/2020 I studied in Lyon.",
            "in 2019/20",
            "since 2019/2020",
            "2019/2020 was a hard season.",
            "Lyon (2019/2020)",
            "The season 2019/2020 was short.",
            "The school year 2019/20 was odd.",
            "the 2019/20 season",
            "from 2019-20",
        )
    ),
    ("in 1999/00", [("1999-01-01", "2001-01-01")]),
    ("between 2019/2020 and 2021/2022", [("2019-01-01", "2023-01-01")]),
    ("the academic years 2019/20 and 2020/21", [("2019-01-01", "2021-01-01"), ("2020-01-01", "2022-01-01")]),
    ("in the years 2019 and 2021", [("2019-01-01", "2020-01-01"), ("2021-01-01", "2022-01-01")]),
    ("the summers of 2018 and 2019", [("2018-06-01", "2018-09-01"), ("2019-06-01", "2019-09-01")]),
    ("in March 2019 and 2020", [("2019-03-01", "2019-04-01"), ("2020-03-01", "2020-04-01")]),
    ("in winter 2019/2020", [("2019-12-01", "2020-03-01")]),
    ("in May 2019 and 2020 people came", [("2019-05-01", "2019-06-01")]),
    ("in the 1990s and 2000 people came", [("1990-01-01", "2000-01-01")]),
]

NONE = """
The spring and fall of the tides wore it out.
ate 5 and 7 friends came
room 5-20.01.2026
version 1-2.3.2020
invoice 2026-01-20/25
until now it works
April and June are sisters.
It will take 3 to 5 days.
Good Friday agreement
The Good Friday Agreement was signed.
Super Tuesday results
we sat night after night
ratio 3-4/05/2020
The temperature was in the 80s and 90s.
in the 18th and 19th centuries
the 1st, 2nd and 3rd floors
The invoice 2019/2020 was paid.
Ratio 2019/2020.
We scored 2019/2020 points.
open until 1800/1900
in 2019/20/05
""".strip().splitlines()


@pytest.mark.parametrize(("text", "days"), [pytest.param(*row, id=row[0]) for row in SEVERAL])
def test_a_range_or_list_keeps_its_year_and_all_its_days(text: str, days: list[tuple[str, str]]) -> None:
    assert spans(text) == days


@pytest.mark.parametrize("text", NONE)
def test_numbers_and_names_in_the_form_of_a_range_are_none(text: str) -> None:
    assert spans(text) == []


def test_days_of_one_list_are_of_one_year() -> None:
    """The 3rd has been, and the 9th is still to come."""
    assert spans("on the 3rd and 9th of May") == [("2026-05-03", "2026-05-04"), ("2026-05-09", "2026-05-10")]


def test_each_time_of_a_list_has_a_place_of_its_own() -> None:
    text = "on May 3, 5 and 9, 2022"
    found = find(text, WEDNESDAY)
    assert [text[m.at :][: len(m.text)] for m in found] == ["on May 3", "5", "9, 2022"]
    assert not any(m.yearless for m in found)
