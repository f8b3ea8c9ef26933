"""A date of a wording is one that the note states, or the note's own day where the note states no time."""

from __future__ import annotations

import pytest

from services.reasoning.grounding import Grounding
from services.reasoning.prompt import Note

BORN = "Ida was born on 3 May 1990."
LARS = "We met Lars yesterday in Tromsø."
ANN = "Ann moved on 14 January 2026."
FIXED = "The boiler was fixed."
PIPE = "The pipe burst last Friday."
TWO = f"{FIXED} {BORN}"

# note of Monday 2 February 2026, what it bears out
BORNE_OUT = [
    (FIXED, "The boiler was fixed on 2 February 2026."),
    (FIXED, "The boiler was fixed on Monday."),
    (FIXED, "The boiler was fixed in February 2026."),
    (FIXED, "On Monday, 2 February 2026, the boiler was fixed."),
    ("The boiler was fixed today.", "The boiler was fixed on 2 February 2026."),
    ("The boiler was fixed this morning.", "The boiler was fixed on Monday."),
    (BORN, "Ida was born on Thursday, 3 May 1990."),
    (BORN, "Ida was born in May."),
    (BORN, "Ida was born in 1990."),
    (LARS, "You met Lars on 1 February 2026."),
    (LARS, "You met Lars on Sunday."),
    (LARS, "You met Lars on Sunday, 1 February 2026."),
    (ANN, "Ann moved in January."),
    (ANN, "Ann moved on Wednesday."),
    (ANN, "Ann moved in 2026."),
    (PIPE, "The pipe burst on 30 January 2026."),
    (TWO, "The boiler was fixed on 2 February 2026."),
    (f"{BORN} {FIXED}", "The boiler was fixed on 2 February 2026."),
    (TWO, "The boiler was fixed on 2 February 2026, and Ida was born on 3 May 1990."),
    ("The boiler cost 1500 euros.", "The boiler cost 1500 euros on Monday."),
]
INVENTED = [
    (BORN, "Ida was born on 2 February 2026."),
    (BORN, "Ida was born on 2026-02-02."),
    (BORN, "Ida was born in 2026."),
    (BORN, "Ida was born in February."),
    (BORN, "Ida was born on Monday."),
    (BORN, "Ida was born this year."),
    (BORN, "On Monday, 2 February 2026, Ida was born."),
    (LARS, "You met Lars on Monday, 2 February 2026."),
    (LARS, "You met Lars on Monday."),
    (LARS, "You met Lars on Monday, 1 February 2026."),
    (ANN, "Ann moved in February 2026."),
    (ANN, "Ann moved on Monday."),
    (PIPE, "The pipe burst on 2 February 2026."),
    ("15 people came to the fair yesterday.", "15 people came to the fair on Monday."),
    (FIXED, "The boiler was fixed on 3 February 2026."),
    (FIXED, "The boiler was fixed on Tuesday, 2 February 2026."),
    (TWO, "Ida was born on 2 February 2026."),
    (TWO, "The boiler was fixed, and Ida was born on 2 February 2026."),
    (TWO, "Ida was born on 2 February 2026, and the boiler was fixed."),
    ("Ida was born in Rome. That was on 3 May 1990.", "Ida was born in Rome on 2 February 2026."),
    ("Ida, born 1990, sings.", "Ida was born on 2 February 2026."),
    ("We had planned to leave on Friday.", "We had planned to leave on 2 February 2026."),
    ("Yesterday we went to Tromsø. We met Lars.", "You met Lars on 2 February 2026."),
    ("Wir haben Lars gestern in Rom getroffen.", "You met Lars on 2 February 2026."),
    ("Vi træffede Lars i går, og han var glad.", "You met Lars on 2 February 2026."),
    ("Ida wurde am 3. Mai in Rom geboren.", "Ida was born in Rom on 2 February 2026."),
]


def note(text: str, id: str = "e") -> Note:
    return Note("home", id, text, "", "2026-02-02", frozenset())


@pytest.mark.parametrize(("text", "sentence"), BORNE_OUT)
def test_a_date_that_the_note_states_or_that_it_was_told_on_without_one_is_borne_out(text: str, sentence: str) -> None:
    assert Grounding("What happened?", [note(text)]).cited(sentence) == [note(text)]


@pytest.mark.parametrize(("text", "sentence"), INVENTED)
def test_the_day_of_a_note_that_states_another_time_is_withheld(text: str, sentence: str) -> None:
    assert Grounding("What happened?", [note(text)]).cited(sentence) is None


@pytest.mark.parametrize(("text", "borne_out"), [(FIXED, True), ("The boiler was fixed in 2019.", False)])
def test_yesterday_is_a_note_s_own_day_only_where_it_states_no_time(text: str, borne_out: bool) -> None:
    grounding = Grounding("What happened?", [note(text)], asked_on="2026-02-03")
    assert (grounding.cited("The boiler was fixed yesterday.") is not None) is borne_out


def test_the_day_of_a_note_that_tells_of_something_else_dates_no_other_note_s_claim() -> None:
    moved = note("Ida moved to Rome on 14 January 2026.", "rome")
    grounding = Grounding("When did Ida move?", [moved, note("We moved the sofa.", "sofa")])
    assert grounding.cited("Ida moved to Rome on 2 February 2026.") is None
    assert grounding.cited("Ida moved to Rome on 14 January 2026.") == [moved]
