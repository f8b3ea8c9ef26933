"""A name that is a word as well decides nothing about a time; and times that small letters and long counts hid."""

from __future__ import annotations

import pytest

from tests.common.test_times_kinds import spans, table

# Read on Wednesday 6 May 2026.
LAST_FRIDAY, NEXT_FRIDAY = ("2026-05-01", "2026-05-02"), ("2026-05-08", "2026-05-09")
LAST_SUNDAY, NEXT_SUNDAY = ("2026-05-03", "2026-05-04"), ("2026-05-10", "2026-05-11")
LAST_APRIL = ("2026-04-01", "2026-05-01")
LOOKS_BACK = [
    ("Met Ann on Friday.", *LAST_FRIDAY),
    ("Sat in the park on Sunday.", *LAST_SUNDAY),
    ("Sat on the sofa all Friday.", *LAST_FRIDAY),
    ("Will rang on Friday.", *LAST_FRIDAY),
    ("On Friday Will rang.", *LAST_FRIDAY),
    ("On Friday, Will came.", *LAST_FRIDAY),
    ("Will ate with us on Sunday.", *LAST_SUNDAY),
    ("Will drank tea here on Sunday.", *LAST_SUNDAY),
    ("Will sang on Friday.", *LAST_FRIDAY),
    ("On Friday Will ran home.", *LAST_FRIDAY),
    ("Will swam on Sunday.", *LAST_SUNDAY),
    ("Will bore it well on Friday.", *LAST_FRIDAY),
    ("Will trod on a nail on Friday.", *LAST_FRIDAY),
    ("Will overslept on Friday.", *LAST_FRIDAY),
    ("Will had a cold on Sunday.", *LAST_SUNDAY),
    ("Will never came on Sunday.", *LAST_SUNDAY),
    ("Will called on Friday.", *LAST_FRIDAY),
    ("Will gave a talk in April.", *LAST_APRIL),
    ("Will got the flu in April.", *LAST_APRIL),
    ("I saw that Will rang on Friday.", *LAST_FRIDAY),
    ("Ann says Will left on Friday.", *LAST_FRIDAY),
    ("Will Smith sang on Friday.", *LAST_FRIDAY),
    ("Will and Ann rang on Friday.", *LAST_FRIDAY),
    ("We ate and on Sunday Will sang.", *LAST_SUNDAY),
    ("Will's train left on Friday.", *LAST_FRIDAY),
    ("My brother Will rang on Friday.", *LAST_FRIDAY),
    ("will rang on friday", *LAST_FRIDAY),
    ("WILL rang on Friday.", *LAST_FRIDAY),
    ("In march we moved.", "2026-03-01", "2026-04-01"),
    ("May rang on Friday.", *LAST_FRIDAY),
    ("On Friday May ate with us.", *LAST_FRIDAY),
    ("Sue rang on Friday.", *LAST_FRIDAY),
    ("Drew ate here on Sunday.", *LAST_SUNDAY),
    ("we left in march", "2026-03-01", "2026-04-01"),
    ("Ann moved here in march.", "2026-03-01", "2026-04-01"),
    ("since march Ann has lived here", "2026-03-01", "2026-04-01"),
    ("one hundred and twenty days ago", "2026-01-06", "2026-01-07"),
    ("We met a hundred and five days ago.", "2026-01-21", "2026-01-22"),
    ("two hundred days ago", "2025-10-18", "2025-10-19"),
    ("thirty-five days ago", "2026-04-01", "2026-04-02"),
]
LOOKS_AHEAD = [
    ("Will you come on Friday?", *NEXT_FRIDAY),
    ("Will it rain on Sunday?", *NEXT_SUNDAY),
    ("Will Ann come on Friday?", *NEXT_FRIDAY),
    ("Will Ann read it on Friday?", *NEXT_FRIDAY),
    ("Will the bus run on Sunday?", *NEXT_SUNDAY),
    ("Ann will come on Friday.", *NEXT_FRIDAY),
    ("Ann will put it up on Friday.", *NEXT_FRIDAY),
    ("Will will come on Friday.", *NEXT_FRIDAY),
    ("Will comes on Friday.", *NEXT_FRIDAY),
    ("Will call on Friday.", *NEXT_FRIDAY),
    ("Will need it on Friday.", *NEXT_FRIDAY),
    ("Will be there on Friday.", *NEXT_FRIDAY),
    ("May we meet on Friday?", *NEXT_FRIDAY),
]
NOT_TOLD = [
    "Will hit his head on Friday.",
    "On Friday Will hit his head.",
    "Will cut the cake on Sunday.",
    "Will read a poem on Friday.",
    "Will Smith read a poem on Friday.",
    "My brother Will hit his head on Friday.",
    "we leave in march",
    "I think Will read it on Friday.",
    "Will shut the shop on Sunday.",
    "May put it up on Sunday.",
    "The Friday club meets.",
    "The Monday class is full.",
    "Friday club meets in the hall.",
    "I solved the 3rd Sunday crossword.",
    "The first Monday meeting is long.",
    "It was our second Tuesday together.",
    "They march in march.",
    "The army stood in march order.",
]


@table(LOOKS_BACK)
def test_a_past_behind_a_name_is_past(text: str, first: str, after: str) -> None:
    assert spans(text) == [(first, after)]


@table(LOOKS_AHEAD)
def test_a_modal_is_still_one(text: str, first: str, after: str) -> None:
    assert spans(text) == [(first, after)]


@pytest.mark.parametrize("text", NOT_TOLD)
def test_what_nothing_tells_is_left_out(text: str) -> None:
    assert spans(text) == []


def test_which_weekday_of_a_month_is_one_day() -> None:
    assert spans("We meet on the 3rd Sunday of June 2026.") == [("2026-06-21", "2026-06-22")]
