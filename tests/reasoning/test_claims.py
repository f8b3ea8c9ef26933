"""Small numbers, figures in a chain, signs, places and addresses: each must stand in the note as the wording has it."""

from __future__ import annotations

import pytest

from tests.reasoning.test_quantities import borne_out

# note, what it bears out
BORNE_OUT = [
    ("Rosa has two children.", "Rosa has 2 children."),
    ("Rosa has a child.", "Rosa has one child."),
    ("Rosa has no children.", "Rosa has zero children."),
    ("Rosa has five children.", "One of them may be hers, says Rosa."),
    ("Rosa and Ben met.", "The two met, Rosa and Ben."),
    ("Rosa came on a Monday.", "One day Rosa came."),
    ("Nobody rang Rosa.", "No one rang Rosa."),
    ("Rosa has a son and a dog.", "Rosa has one son and one dog."),
    ("Both sons of Rosa came.", "Rosa's two sons came."),
    ("Rosa rang twice.", "Rosa rang two times."),
    ("The boat is at pier 2.", "The boat is at pier two."),
    ("The boat leaves at one.", "The boat leaves at 1 o'clock."),
    ("The flat has 3 bedrooms.", "It is a three-bedroom flat."),
    ("We run version 2.4.1.", "The version is 2.4.1."),
    ("The printer is at 10.15.7.20.", "The address of the printer is 10.15.7.20."),
    ("Our team won 3:1.", "The team won 3-1."),
    ("Dial 555-0142.", "Dial 555 0142."),
    ("We run version 2.4.1. Take 3 pills a day.", "Take 3 pills a day."),
    ("It was -5 degrees.", "It was minus five degrees."),
    ("It was five degrees below zero.", "It was −5 degrees."),
    ("Kara lives at 14 Mill Road, floor 3.", "Kara lives on the third floor, at 14 Mill Road."),
    ("Kara moved to 12B Baker Lane.", "She lives at 12B Baker Lane."),
    ("Kara moved to 12b Baker Lane.", "Kara lives at 12B Baker Lane."),
    ("Write to kara@firma.example.", "Her address is Kara@firma.example."),
    ("The guide is at https://firma.example/docs.", "See firma.example/docs for the guide."),
    ("The ferry leaves at half past four.", "The ferry leaves at 4:30."),
    ("The trip takes 5-7 hours.", "The trip takes between five and seven hours."),
    ("The ratio is 4:3.", "The ratio is 4 to 3."),
    ("It opens at 9:00-17:00.", "It opens from 9 to 17."),
    ("The two of them left Oslo.", "Two left Oslo."),
    ("Take 1-2 pills.", "Take one or two pills."),
    ("The red one is Ivo's.", "Ivo has the red one."),
    ("Ann has two cats, Tom has three.", "Tom has three cats."),
    ("Seat 12A is mine.", "My seat is 12A."),
    ("The server is 192.168.0.12, port 8080.", "The server listens on port 8080 at 192.168.0.12."),
    ("Her handle is @lena_k.", "Lena is @lena_k."),
    ("Buy 3 apples and 5 pears.", "Buy 5 pears."),
    ("He gets 1.5 litres a day.", "He gets one and a half litres a day."),
    ("Leo and Ida have each other.", "They have one another, Leo and Ida."),
    ("Leo's phone is +49 30 901820.", "Leo's phone is +4930901820."),
    ("Ann was 2nd.", "Ann came second."),
    ("The boat leaves at half past one.", "The boat leaves at 1:30."),
]
INVENTED = [
    ("Rosa has five children.", "Rosa has two children."),
    ("Rosa has five children.", "Rosa has one child."),
    ("Rosa has two children.", "Rosa has one child and two dogs."),
    ("There were seven boats.", "There were two boats."),
    ("The boat is at pier 3.", "The boat is at pier two."),
    ("The boat is at pier 3.", "The boat is at pier one."),
    ("The stay took three days.", "The stay took one day."),
    ("Rosa rang five times.", "Rosa rang twice."),
    ("It is a three-bedroom flat.", "The flat has two bedrooms."),
    ("It is on the fourth floor.", "It is on the first floor."),
    ("The boat leaves at 3.", "The boat leaves at one o'clock."),
    ("We run version 2.4.1.", "The version is 2.4.2."),
    ("We run version 2.4.1.", "The version is 4.2.1."),
    ("We run version 2.4.1.", "We run version 1."),
    ("We run version 2.4.1.", "We run version 2.4."),
    ("The printer is at 10.15.7.20.", "The printer is at 15.10.7.20."),
    ("The printer is at 10.15.7.20.", "The printer has 20 users."),
    ("Our team won 3:1.", "The team won 1:3."),
    ("Our team won 3-1.", "The team won 3-2."),
    ("Dial 555-0142.", "Dial 0142-555."),
    ("Dial 555-0142.", "Dial 0142 555."),
    ("We run version 2.4.1. Take 3 pills a day.", "Take 2 pills a day."),
    ("It was -5 degrees.", "It was 5 degrees."),
    ("It was 5 degrees.", "It was minus 5 degrees."),
    ("Kara lives at 14 Mill Road, floor 3.", "Kara lives at 3 Mill Road, floor 14."),
    ("Kara lives at Mill Road 14, floor 3.", "Kara lives at Mill Road 3, floor 14."),
    ("Kara lives at 12B Baker Lane.", "Kara lives at 12C Baker Lane."),
    ("Write to kara@firma.example.", "Write to mara@firma.example."),
    ("Write to kara@firma.example.", "Write to kara@firma.test."),
    ("The guide is at https://firma.example/docs.", "The guide is at https://other.example/docs."),
    ("The guide is at https://firma.example/docs.", "The guide is at https://firma.example/news."),
    ("Ann says Boeing 747 and Airbus 320 flew.", "Ann says Boeing 320 and Airbus 747 flew."),
    ("Ivo lives in Elm Street 7, flat 12.", "Ivo lives in Elm Street 12, flat 7."),
    ("Call 0171 234567 for Ivo.", "Ivo's number is 234567 0171."),
    ("The game ended 4:2.", "The game ended 2 to 4."),
    ("The game ended 4:2.", "The game had 4 goals."),
    ("Seat 12A is mine.", "My seat is 12F."),
    ("Her handle is @lena_k.", "Her handle is @lena_m."),
    ("Ann has three sons.", "Ann has zero sons."),
    ("Ann has three sons.", "Ann has only one."),
    ("Ann and her sons live here.", "Ann has one son."),
    ("Python 3.11.4 is used by Leo.", "Leo is 11."),
    ("Chapter 4, page 17.", "Chapter 17, page 4."),
    ("Leo's mail is leo.b@ship.example.", "Leo's mail is b@ship.example."),
    ("Ann has 4 brothers and 2 sisters.", "Ann has one brother and one sister."),
    ("The isbn is 978-3-16-148410-0.", "The isbn is 978-3-16-148410-1."),
]


@pytest.mark.parametrize(("text", "sentence"), BORNE_OUT)
def test_what_says_the_same_is_borne_out(text: str, sentence: str) -> None:
    assert borne_out("", text, sentence)


@pytest.mark.parametrize(("text", "sentence"), INVENTED)
def test_another_number_or_the_same_elsewhere_is_withheld(text: str, sentence: str) -> None:
    assert not borne_out("", text, sentence)
