"""Shares, multiples, rates, places in an order, days and names in small letters of an English wording."""

from __future__ import annotations

import pytest

from services.reasoning.grounding import Grounding
from services.reasoning.prompt import Note
from tests.reasoning.test_quantities import borne_out

RENT = "The rent is 740 euros."
VOTE = "Two thirds voted."
DOSE = "Take 5 mg of the syrup twice a day."
QUIZ = "Ida won the quiz with 31 points."
BERN = "Kim raced in Bern."

BORNE_OUT = [
    (VOTE, "Two thirds of them voted."),
    ("Half of the class came.", "50% of the class came."),
    ("75% of the class came.", "Three quarters of the class came."),
    ("A third of them voted.", "One third voted."),
    ("The price doubled.", "The price is twice what it was."),
    ("Sales rose threefold.", "Sales tripled."),
    ("The walk takes half an hour.", "The walk takes 30 minutes."),
    ("The walk takes 30 minutes.", "The walk takes half an hour."),
    ("It opens at half past nine.", "It opens at half past nine."),
    ("It is a quarter past four.", "It is a quarter past four."),
    ("He is my half-brother.", "He is a half-brother."),
    ("Rent is 740 euros a week.", "The rent is 740 euros per week."),
    ("The weekly rent is 740 euros.", "The rent is 740 euros a week."),
    ("It does 40 km/h.", "It does 40 km/h."),
    (DOSE, "Take 5 milligrams of the syrup two times a day."),
    (DOSE, "Take five mg twice a day."),
    ("Take 5 mg daily.", "Take 5 mg once a day."),
    ("Once Rosa came by.", "Rosa came by once."),
    (QUIZ, "Ida had 31 points."),
    ("Ida won the 31st quiz.", "It was the 31st quiz that Ida won."),
    ("Ida sits in row 4.", "Ida sits in the fourth row."),
    ("It is paid on the first Monday of May.", "It is paid on the first Monday of May."),
    ("The wedding is on the 12th.", "The wedding is on the 12th."),
    ("The wedding is on 12 June 2026.", "The wedding is on the 12th."),
    ("The wedding is on the 12th of June.", "The wedding is on the 12th."),
    ("The bill is due in spring.", "It is due in spring."),
    ("We met in the winter.", "They met in the winter."),
    (BERN, "kim raced in bern."),
    (BERN, "Kim was in a race in Bern."),
    ("Team Bear won the cup.", "team bear won the cup."),
    ("The key says `open sesame`.", "It says `open sesame`."),
    ("The key says `open sesame`.", 'It says "open sesame".'),
]
INVENTED = [
    (VOTE, "Three quarters voted."),
    (VOTE, "A third voted."),
    (VOTE, "Twice as many voted."),
    (VOTE, "Half of them voted."),
    (VOTE, "Two fifths voted."),
    (VOTE, "Two voted."),
    (RENT, "The rent was doubled."),
    (RENT, "The rent is half of that."),
    (RENT, "The rent rose threefold."),
    (RENT, "The rent has tripled."),
    (RENT, "The rent is three times as much."),
    (RENT, "The rent is 740 euros a week."),
    (RENT, "The rent is 740 euros per person."),
    (RENT, "The rent is 740 euros every month."),
    ("Rent is 740 euros a month; we paid it last week.", "Rent is 740 euros a week."),
    (DOSE, "Take five milligrams once a day."),
    (DOSE, "Take 5 mg thrice a day."),
    (DOSE, "Take 5 mg twice a week."),
    ("Half the class came.", "A quarter of the class came."),
    (QUIZ, "Ida won the 31st quiz."),
    ("Ida won the 31st quiz.", "Ida won 31 quizzes."),
    ("Ida has 4 cats.", "Ida came fourth."),
    (RENT, "The rent is due in spring."),
    (RENT, "The rent is due in winter."),
    (RENT, "The rent is due on the first Monday."),
    (RENT, "The rent is due on Monday."),
    ("The rent is due on Monday.", "The rent is due on the first Monday."),
    ("The rent is due on the 11th.", "The rent is due on the 12th."),
    ("The wedding is on the 12th.", "The wedding is on the 12th of June."),
    (BERN, "kim raced in basel."),
    (BERN, "kim raced in winter gear at dusk in york."),
    ("Team Bear won the cup.", "team fox won the cup."),
    ("Ask Dr. Weber about the leg.", "ask dr. fuchs about the leg."),
    ("we stayed at hotel astra.", "they stayed at hotel luna."),
    ("Page 7 is torn.", "The 7th chapter is torn."),
    ("Rent is 740 euros.", "Rent is 740 euros weekly."),
    ("Rent is 740 euros.", "Rent is 740 euros per annum."),
    ("The key says `open sesame`.", "It says `shut barley`."),
]


@pytest.mark.parametrize(("text", "sentence"), BORNE_OUT)
def test_the_same_share_rate_or_place_is_borne_out(text: str, sentence: str) -> None:
    assert borne_out("", text, sentence)


@pytest.mark.parametrize(("text", "sentence"), INVENTED)
def test_another_share_rate_or_place_is_withheld(text: str, sentence: str) -> None:
    assert not borne_out("", text, sentence)


@pytest.mark.parametrize(
    ("sentence", "is_borne_out"), [("Ann saw Rita on March 2.", True), ("Ann sees Rita on March 2.", False)]
)
def test_the_day_of_a_note_is_when_something_happened_not_when_it_is_due(sentence: str, is_borne_out: bool) -> None:
    grounding = Grounding("When?", [Note("home", "e", "I saw Rita.", "Ann", "2026-03-02", frozenset())])
    assert (grounding.cited(sentence) is not None) == is_borne_out


def test_a_question_of_a_rate_is_answered_in_it() -> None:
    assert borne_out("What is the rent per month?", RENT, "The rent is 740 euros a month.")
