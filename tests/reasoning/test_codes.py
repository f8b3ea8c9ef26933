"""Codes and passwords of a wording stand whole in the note; titles stand in any of their forms."""

from __future__ import annotations

import pytest

from services.reasoning.grounding import Grounding
from services.reasoning.prompt import Note

PASSWORD = "The password of the printer is heron-lake-77."
CODE = "The code of the gate is x7k2-99b."
FLIGHT = "Our flight is LH 454."
WORDS = "The pass phrase is correct-horse-battery."
DOCTOR = "Dr. Amara Okoye lives in Rome."
STREET = "The office is at 5 St. Mary's St. in York."

BORNE_OUT = [
    (PASSWORD, "The printer's password is heron-lake-77."),
    (PASSWORD, "The printer's password is “Heron-Lake-77”."),
    (PASSWORD, "The printer's password is heron lake 77."),
    (CODE, "The gate's code is x7k2-99b."),
    (FLIGHT, "The flight is LH454."),
    (FLIGHT, "The flight is LH-454."),
    ("The order is A-1234-X.", "The order is A1234X."),
    (WORDS, "The phrase is correct-horse-battery."),
    ("The paper is A4-sized.", "The paper is A4."),
    ("Anna is 15 years old.", "Anna is a 15-year-old."),
    ("The lake is 5 km away.", "The lake is 5km away."),
    ("The shop is open from 9 am to 5 pm.", "The shop is open 9am-5pm."),
    ("Anna is Ben's mother by law.", "Anna is Ben's mother-in-law."),
    ("诊所的电话是4471。", "诊所的电话是4471。"),
    (DOCTOR, "Doctor Okoye lives in Rome."),
    ("Doctor Amara Okoye lives in Rome.", "Dr. Okoye lives in Rome."),
    ("Prof. Lind called.", "Professor Lind called."),
    ("Mister Lind called.", "Mr. Lind called."),
    (STREET, "The office is at 5 Saint Mary's Street in York."),
]
INVENTED = [
    (PASSWORD, "The printer's password is heron-pond-77."),
    (PASSWORD, "The printer's password is heron-77."),
    (PASSWORD, "The printer's password is lake-77."),
    (PASSWORD, "The printer's password is heron-lake-77-b."),
    (PASSWORD, "The printer's password is 77-heron-pond-7."),
    (CODE, "The gate's code is x7k2."),
    (CODE, "The gate's code is x7k9-99b."),
    (FLIGHT, "The flight is LH-455."),
    ("The order is A-1234-X.", "The order is A-1234-Y."),
    (WORDS, "The phrase is correct-pony-battery."),
    (DOCTOR, "Professor Okoye lives in Rome."),
    (DOCTOR, "Doctor Mary Okoye lives in Rome."),
]


def borne_out(text: str, sentence: str) -> bool:
    notes = [Note("home", "e", text, "", "2026-02-02", frozenset())]
    return Grounding("What is it?", notes).cited(sentence) is not None


@pytest.mark.parametrize(("text", "sentence"), BORNE_OUT)
def test_the_same_code_or_title_is_borne_out(text: str, sentence: str) -> None:
    assert borne_out(text, sentence)


@pytest.mark.parametrize(("text", "sentence"), INVENTED)
def test_a_code_that_differs_in_any_part_is_withheld(text: str, sentence: str) -> None:
    assert not borne_out(text, sentence)
