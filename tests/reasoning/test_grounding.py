"""Numbers, names, dates and quoted strings of a wording stand in what it cites, or the sentence is withheld."""

from __future__ import annotations

import pytest

from services.reasoning import claims
from services.reasoning.grounding import Grounding
from services.reasoning.prompt import Note

QUESTION = "What is the phone number of the clinic?"


def note(id: str, text: str, actor: str = "", when: str = "2026-02-02") -> Note:
    """Of a Monday, unless another day is said."""
    return Note("home", id, text, actor, when, frozenset())


NOTES = (
    note("phone", "The phone number of the clinic is 4471. She said “come at nine”.", "Anna"),
    note("fair", "15 people came to the fair yesterday.", "Bob"),
    note("bill", "It cost £4,471.50 on 6 April 1888. Dr. Zoë Smith-Jones paid.", when="1888-04-07"),
    note("hall", "The hall holds three hundred; call 020-7946-0018 before Easter.", "Ann Lee"),
)
GROUNDING = Grounding(QUESTION, NOTES)

BORNE_OUT = [
    ("The phone number is 4471.", "phone"),
    ("The phone number is 4,471.", "phone"),
    ("The clinic's phone number is four thousand four hundred and seventy-one.", "phone"),
    ("The phone number is ４４７１.", "phone"),
    ("Anna says that the phone number is 4471.", "phone"),
    ("According to the notes, 15 people came to the fair.", "fair"),
    ("Fifteen people came to the fair on 1 February 2026.", "fair"),
    ("People came to the fair on Sunday.", "fair"),
    ("Bob says that the people came in February 2026.", "fair"),
    ("Zoe Smith-Jones paid it on April 6, 1888.", "bill"),
    ("Smith paid it in April 1888.", "bill"),
    ("It cost 4471.5 pounds.", "bill"),
    ("The hall holds 300.", "hall"),
    ("Call the hall on 020 7946 0018.", "hall"),
    ("Call Ann Lee before Easter.", "hall"),
    ('She said "come at nine".', "phone"),
    ("She said: «Come at nine»!", "phone"),
]
INVENTED = [
    "The phone number is 15.",  # another note's number
    "The phone number is fifteen.",
    "The phone number is 447.",
    "The phone number is 44711.",
    "The phone number is 44.71.",
    "The phone number is 2.",  # of the note's date
    "15.",
    "Zebulon's phone number is 4471.",
    "Zebulon has the phone number.",
    "The phone number of St. Mary's is 4471.",
    "Bob's phone number is 4471.",  # another note's name
    "The phone number was 4471 in 2019.",
    "Fifteen people came to the fair on 2 March 2026.",
    "People came to the fair on Friday.",
    "People came to the fair tomorrow.",
    "People came to the fair today.",  # when they were spoken of, not when they came
    "Smith paid it on 7 May 1888.",
    "It cost 4471 pounds.",
    'She said "come at ten".',
    "She said “come at nine tomorrow”.",
    'She said "come at ten and',
    "The hall holds 3.",
    "诊所的电话是王小明。",
    "Телефон клиники знает Иван.",
    "क्लिनिक का नंबर रमेश के पास है।",
]


@pytest.mark.parametrize(("sentence", "cites"), BORNE_OUT)
def test_what_stands_in_a_note_cites_it_alone(sentence: str, cites: str) -> None:
    cited = GROUNDING.cited(sentence)
    assert cited is not None
    assert [each.engram_id for each in cited] == [cites]


@pytest.mark.parametrize("sentence", INVENTED)
def test_what_stands_in_no_note_is_withheld(sentence: str) -> None:
    assert GROUNDING.cited(sentence) is None


@pytest.mark.parametrize("sentence", ["Nobody knows.", "I don't know.", "Sorry, there is none."])
def test_what_claims_nothing_is_no_invention(sentence: str) -> None:
    cited = GROUNDING.cited(sentence)
    assert cited is not None
    assert [each.engram_id for each in cited] == []


@pytest.mark.parametrize(("sentence", "borne_out"), [("today", False), ("yesterday", True), ("on Monday", True)])
def test_a_day_that_counts_from_now_counts_from_when_it_is_asked(sentence: str, borne_out: bool) -> None:
    said = note("milk", "I bought milk.", "Ben")
    grounding = Grounding("What did Ben buy?", [said], asked_on="2026-02-03")
    assert grounding.cited(f"Ben bought milk {sentence}.") == ([said] if borne_out else None)


def test_a_sentence_of_two_notes_cites_both() -> None:
    grounding = Grounding("Who came?", [note("a", "Ben came to the fair."), note("b", "Ruth came to the fair.")])
    cited = grounding.cited("Ben and Ruth came to the fair.")
    assert cited is not None
    assert {each.engram_id for each in cited} == {"a", "b"}


def test_what_stands_in_a_note_of_any_language_cites_it() -> None:
    notes = [note("zh", "诊所的电话是4471。"), note("ru", "Телефон клиники 4471."), note("hi", "क्लिनिक का नंबर ४४७१ है।")]
    grounding = Grounding("诊所的电话号码?", notes)
    for sentence, id in (
        ("诊所的电话号码是4471。", "zh"),
        ("У клиники телефон 4471.", "ru"),
        ("नंबर ४४७१ है।", "hi"),
        ("क्लिनिक का नंबर 4471 है।", "hi"),
    ):
        cited = grounding.cited(sentence)
        assert cited is not None
        assert [each.engram_id for each in cited] == [id]


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("4,471", {"4471", "4.471"}),
        ("1,234,567.50", {"1234567.5"}),
        ("3.50 and 3,0", {"3.5", "3"}),
        ("on 05.04.1888", {"5", "4", "1888"}),
        ("٤٤٧١", {"4471"}),
        ("007", {"007"}),
        ("twenty-one", {"21"}),
        ("A4", {"4"}),
        ("none at all", set()),
    ],
)
def test_a_number_is_its_value_in_every_reading(text: str, numbers: set[str]) -> None:
    assert claims.values(text) == numbers


@pytest.mark.parametrize(
    ("sentence", "quotes"),
    [
        ('"Yes," he said, "come."', ["yes", "come"]),
        ('It was." She left', ["it was"]),
        ('He said "It is', ["it is"]),
        ("‘So be it’, the dogs' bowl and the cats' food", ["so be it"]),
        ("don't", []),
    ],
)
def test_quoted_strings_are_found_also_where_a_sentence_cuts_them(sentence: str, quotes: list[str]) -> None:
    assert claims.quotes(sentence) == quotes


@pytest.mark.parametrize(
    "text",
    [
        "I, Lena, work at Hofer & Sons.",
        "My name is Lena. I work at Hofer & Sons.",
        "I'm Lena from Hofer & Sons.",
        "I work at Hofer & Sons. - Lena",
    ],
)
@pytest.mark.parametrize("question", ["Where does Lena work?", "Where do I work?", "Who employs Lena?"])
def test_who_speaks_of_themselves_in_a_note_without_an_actor_is_named_by_it(text: str, question: str) -> None:
    others = [note("ferry", "The ferry leaves at nine."), note("tea", "Tom likes tea.")]
    grounding = Grounding(question, [note("work", text), *others])
    assert [n.engram_id for n in grounding.cited("Lena works at Hofer & Sons.") or ()] == ["work"]
    assert grounding.cited("Lena works at Huber & Sons.") is None
    assert grounding.cited("Tom works at Hofer & Sons.") is None


@pytest.mark.parametrize(
    ("text", "told", "invented"),
    [
        ("John Smith and Mary Jones came.", "Mary Jones came with John Smith.", "John Jones came."),
        ("South Korea beat North Ireland.", "South Korea won.", "North Korea won."),
        ("We flew from New Delhi to South Africa.", "We flew to South Africa.", "We flew to New Africa."),
        ("Ann Lee met Bo Day.", "Bo Day met Ann Lee.", "Ann Day met Bo Lee."),
        ("Anna Berg lives in New York.", "New York is where Anna Berg lives.", "Anna York lives in New Berg."),
        ("Smith, John, came with Mary Ann Jones.", "John Smith came with Mary Jones.", "Mary Smith came."),
        ("Mr. J. R. Smith met Dr Jones.", "Doctor Jones met J. R. Smith.", "Dr Smith met Jones."),
    ],
)
def test_a_name_that_is_made_of_two_others_is_withheld(text: str, told: str, invented: str) -> None:
    grounding = Grounding("Who?", [note("told", text), note("tea", "Tom likes tea.")])
    assert [n.engram_id for n in grounding.cited(told) or ()] == ["told"]
    assert grounding.cited(invented) is None


@pytest.mark.parametrize("name", ["KARL", "OTTO", "MARTA", "Karl"])
def test_a_name_in_capitals_is_looked_up_like_any_other(name: str) -> None:
    grounding = Grounding("Who has the key?", [note("key", "Nora has the key.")])
    assert grounding.cited(f"{name} has it.") is None
    assert grounding.cited("NORA has it.") is not None
    assert grounding.cited("PEOPLE say so.") is not None, "no name"
