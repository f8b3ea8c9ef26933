"""A number of a wording must stand in the note as the same kind of quantity, and what is said in other words passes."""

from __future__ import annotations

import pytest

from services.reasoning.grounding import Grounding
from services.reasoning.prompt import Note

# question, note of Monday 2 February 2026, what it bears out, what it does not
TRAIN = ("When does the train leave?", "The train leaves at 14:35 from platform 3.")
SHOP = ("When does the shop open?", "The shop opens at half past nine in the morning.")
EXAM = ("When is the exam?", "The exam runs from 9 to 11 in hall 7.")
SHIRT = ("What did the shirt cost?", "The shirt cost 29.90 euros.")
RENT = ("How much is the rent?", "The rent is 1,250 a month.")
KEY = ("Where does Anna live?", "Dr. Anna Keller lives in Rome.")

BORNE_OUT = [
    (*TRAIN, "The train leaves at 2:35 pm from platform three."),
    (*TRAIN, "The train leaves at 14.35."),
    (*TRAIN, "The train leaves in the afternoon."),
    (*SHOP, "The shop opens at 9:30."),
    (*SHOP, "The shop opens at 9.30 a.m."),
    (*EXAM, "The exam runs from 9:00 until 11:00 in hall 7."),
    (*EXAM, "The exam ends by eleven."),
    ("When does it close?", "It closes at 18:00.", "It closes at six."),
    ("When does it close?", "It closes at noon.", "It closes at 12:00."),
    ("When does it close?", "It closes at midnight.", "It closes at 12 am."),
    (*SHIRT, "The shirt cost €29.90."),
    (*SHIRT, "The shirt cost 29,90 €."),
    (*SHIRT, "The shirt cost 29.90."),
    ("How many euros is the rent?", RENT[1], "The rent is 1250 euros."),
    ("How far is it?", "The lake is between 5 and 7 km away.", "The lake is 5 kilometres away."),
    ("How much did it rise?", "It rose by 7 percent.", "It rose by 7%."),
    ("How old is Ben?", "Ben is 5 and Ruth is 7 years old.", "Ben is 5 years old."),
    ("Who came?", "15 people came.", "Fifteen guests came."),
    ("How many votes?", "12 people voted for it and 8 against it.", "8 people voted against it."),
    ("How many eggs?", "She bought half a dozen eggs.", "She bought six eggs."),
    ("How many copies?", "They sold 1.5 million copies.", "They sold 1,500,000 copies."),
    ("How many copies?", "They sold 3k copies.", "They sold 3,000 copies."),
    ("Which flight is it?", "Our flight is LH 454.", "The flight is LH454."),
    ("What is the number?", "The number is (020) 7946-0018.", "The number is 02079460018."),
    ("Which floor is it?", "It is on the fourth floor.", "It is floor 4."),
    ("What did they eat?", "We had soup tonight.", "They had soup in the evening."),
    ("How many came?", "About 2,000 people marched.", "Around two thousand people marched."),
    ("When do we eat?", "Dinner is at 7 in the evening.", "Dinner is at 7 pm."),
    (*KEY, "Keller lives in rome."),
    (*KEY, "anna keller lives in rome, in a flat of hers."),
]
INVENTED = [
    (*TRAIN, "The train leaves from platform 14."),
    (*TRAIN, "The train leaves from platform 35."),
    (*TRAIN, "The train leaves at 3."),
    (*TRAIN, "The train leaves at 2:35 am."),
    (*TRAIN, "The train leaves at noon."),
    (*TRAIN, "The train leaves in the morning."),
    (*SHOP, "The shop opens at half past ten."),
    (*SHOP, "The shop opens at 9."),
    (*SHOP, "The shop opens at 9:30 pm."),
    (*EXAM, "The exam runs from 9 to 12."),
    (*EXAM, "The exam is in hall 9."),
    (*SHIRT, "The shirt cost $29.90."),
    (*SHIRT, "The shirt cost 90 euros."),
    (*RENT, "The rent is 1,250 euros."),
    (*RENT, "The rent is 1.25 a month."),
    ("How far is it?", "The lake is 5 km away.", "The lake is 5 miles away."),
    ("How far is it?", "The lake is 5 km away.", "The lake is 5 minutes away."),
    ("How much did it rise?", "It rose by 7%.", "It rose by 7 euros."),
    ("What did the car cost?", "The car cost 12,000 dollars.", "The car cost 12 dollars."),
    ("What do they keep?", "They keep 3 cats and 5 dogs.", "They keep 5 cats."),
    ("Which room is the lecture in?", "The lecture is in room 31 on 12 March.", "The lecture is in room 12."),
    ("Which room is the lecture in?", "The lecture moved from room 12 to 31 at 10:15.", "The lecture is in room 10."),
    ("What place was she?", "She came third in the race.", "She came second in the race."),
    ("Which flight is it?", "Our flight is LH 454.", "The flight is LH455."),
    ("What did they eat?", "We had soup.", "They had soup at noon."),
    ("When do we eat?", "Dinner is at 7.", "Dinner is at 7 pm."),
    (*KEY, "Oslo is where Anna lives."),
    (*KEY, "anna lives in oslo."),
    (*KEY, "Anna lives in lyon."),
    (*KEY, "The doctor in Rome is müller."),
]


def borne_out(question: str, text: str, sentence: str) -> bool:
    notes = [Note("home", "e", text, "", "2026-02-02", frozenset())]
    return Grounding(question, notes).cited(sentence) is not None


@pytest.mark.parametrize(("question", "text", "sentence"), BORNE_OUT)
def test_the_same_quantity_in_other_words_is_borne_out(question: str, text: str, sentence: str) -> None:
    assert borne_out(question, text, sentence)


@pytest.mark.parametrize(("question", "text", "sentence"), INVENTED)
def test_the_same_figures_of_another_kind_are_withheld(question: str, text: str, sentence: str) -> None:
    assert not borne_out(question, text, sentence)


def test_a_name_of_another_note_is_a_claim_in_small_letters_too() -> None:
    notes = [
        Note("home", "a", "The phone number is 4471.", "Anna", "2026-02-02", frozenset()),
        Note("home", "b", "We met at the fair.", "Bob", "2026-02-02", frozenset()),
    ]
    grounding = Grounding("What is the phone number?", notes)
    assert grounding.cited("anna's phone number is 4471.") == [notes[0]]
    assert grounding.cited("bob's phone number is 4471.") is None
