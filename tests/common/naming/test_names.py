"""Names in texts of many scripts: what surely names a person, what may, and what does not."""

from __future__ import annotations

import time
import unicodedata
from itertools import pairwise
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.text.naming.folding import fold
from services.common.text.naming.judging import Mention
from services.common.text.naming.names import Names
from tests.common.naming.by_case import BY_CASE
from tests.common.naming.caseless_cases import ALL as CASELESS
from tests.common.naming.cases import ALL
from tests.common.naming.inflected import FRESH
from tests.common.naming.latin import LATIN_WORDS


def judged(name: str, text: str) -> str:
    found = list(Names([name]).find(text))
    if not found:
        return "no"
    return "perhaps" if all(mention.doubt for mention in found) else "yes"


@pytest.mark.parametrize(("name", "text", "what"), ALL)
def test_a_name_in_a_text(name: str, text: str, what: str) -> None:
    assert judged(name, text) == what


@pytest.mark.parametrize(("name", "text", "what"), CASELESS)
def test_a_name_in_a_script_without_capitals(name: str, text: str, what: str) -> None:
    assert judged(name, text) in {"no?": ("no", "perhaps"), "yes?": ("yes", "perhaps")}.get(what, (what,))


@pytest.mark.parametrize(("name", "text", "what"), [case[:3] for case in FRESH])
def test_an_inflected_turned_or_look_alike_name_in_a_text(name: str, text: str, what: str) -> None:
    assert judged(name, text) == what


@pytest.mark.parametrize(("name", "text", "what"), LATIN_WORDS)
def test_a_latin_name_that_is_also_a_word_or_a_place_or_is_written_together(name: str, text: str, what: str) -> None:
    assert judged(name, text) == what


@pytest.mark.parametrize(("name", "text", "what"), BY_CASE)
def test_a_latin_name_that_is_a_word_of_any_language_or_a_thing_or_has_the_s_of_a_genitive(
    name: str, text: str, what: str
) -> None:
    assert judged(name, text) == what


@pytest.mark.parametrize("form", ["NFC", "NFD", "NFKC"])
def test_a_name_is_found_however_unicode_composes_it(form: Literal["NFC", "NFD", "NFKC"]) -> None:
    differ = [
        (name, text, what)
        for name, text, what in [*ALL, *LATIN_WORDS, *BY_CASE, *(case[:3] for case in FRESH)]
        if judged(unicodedata.normalize(form, name), unicodedata.normalize(form, text)) != what
    ]
    assert differ == []


def test_a_mention_says_where_it_stands_and_why_it_is_doubtful() -> None:
    text = "Ｚoe\u0308 will ask Zoë."
    assert [(text[m.start : m.end], m.name, bool(m.doubt)) for m in Names(["Zoë", "Will"]).find(text)] == [
        ("Ｚoe\u0308", "Zoë", False),
        ("will", "Will", True),
        ("Zoë", "Zoë", False),
    ]


def test_what_the_product_declared_in_small_letters_is_meant_so() -> None:
    [mention] = Names(["mum"], declared=True).find("ask mum about it")
    assert mention == Mention(4, 7, "mum")
    assert not Names(["Will"], declared=True).certain("I will ask")


def test_what_the_product_declared_is_meant_in_small_letters_too() -> None:
    assert Names(["Priya"], declared=True).certain("We went with priya.")
    assert not Names(["Priya"]).certain("We went with priya.")


def test_what_the_product_declared_in_a_script_without_capitals_needs_no_sign_of_a_person() -> None:
    assert Names(["聡明"], declared=True).certain("聡明な判断だ。")
    assert not Names(["聡明"]).certain("聡明な判断だ。")


def test_a_long_name_does_not_hide_a_short_one() -> None:
    assert [m.name for m in Names(["Ann Lee", "Ann"]).find("Ann Leeson and Ann Lee")] == ["Ann", "Ann Lee"]


def test_a_name_that_is_all_of_a_text_is_no_word() -> None:
    assert Names(["Mark"]).certain("Mark")
    assert Names(["Priya"]).certain("priya")
    assert not Names(["Mark"]).certain("mark")
    assert not Names(["Mark"]).certain("a mark")


@given(st.text(max_size=60))
def test_places_lie_in_the_text(text: str) -> None:
    folded = fold(text)
    for at in range(len(folded.text)):
        start, end = folded.span(at, at + 1)
        assert 0 <= start < end <= len(text)


@given(st.text(alphabet="aA .-_'@ñéЙйقل李さ지นาा्\u0301\u200bß", max_size=40), st.text(min_size=1, max_size=4))
def test_mentions_are_in_order_and_none_in_another(text: str, name: str) -> None:
    found = list(Names([name, "a", "李", "นา"]).find(text))
    assert all(0 <= m.start < m.end <= len(text) for m in found)
    assert all(a.end <= b.start for a, b in pairwise(found))


@pytest.mark.parametrize(
    "unit",
    [
        "Will ",
        "李娜 ",
        "高明 ",
        "มาลี ",
        "a",
        "李",
        "李娜",
        "นา",
        "지민",
        "Mark-",
        "@a",
        "ا",
        "सी",
        "a\u0301",
        ". Will",
        "to Jordan ",
        "jordan, ",
        "HeBo",
        "he ",
        "Jordan.",
        "O'",
        "Markse ",
        "Marks e",
        "nUr ",
        "told a Mark ",
        "an Mark",
    ],
)
def test_time_grows_with_the_text_alone(unit: str) -> None:
    names = Names(
        [
            "Will",
            "Mark",
            "李娜",
            "高明",
            "มาลี",
            "นา",
            "지민",
            "خالد",
            "सीता",
            "a",
            "Jordan",
            "He",
            "He Bo",
            "O'O",
            "Nur",
        ]
    )

    def seconds(size: int) -> float:
        text = (unit * size)[:size]
        best = float("inf")
        for _ in range(3):
            start = time.thread_time()
            list(names.find(text))
            best = min(best, time.thread_time() - start)
        return best

    assert seconds(32_000) < 16 * seconds(4_000) + 0.02


GERMAN = [
    ("Wolf", "Wir haben im Wildpark einen Wolf gesehen, er heulte lange.", True),
    ("König", "Der König von Spanien war in der Stadt.", True),
    ("Stein", "Der Stein ist schwer, ich habe ihn nicht gehoben.", True),
    ("Rose", "Ich habe gestern eine rote Rose gekauft.", True),
    ("Sommer", "Im Sommer fahren wir an die See.", True),
    ("Ernst", "Er meint es im Ernst und nicht als Scherz.", True),
    ("Wolf", "Gestern hat mich Wolf angerufen und war sehr müde.", False),
    ("König", "Ich habe mit Herrn König über die Rechnung gesprochen.", False),
    ("Rose", "Rose kommt morgen mit dem Zug und bleibt eine Woche.", False),
    ("Wolf", "Wolf und Reh leben hier im Wald.", True),
    ("Heide", "Heide blüht im August.", True),
    ("Jasmin", "Jasmin duftet in der Nacht.", True),
    ("Gold", "Gold ist nicht mehr so teuer.", True),
    ("Rosa", "Rosa ist ihre Farbe, sie hat nur das.", True),
    ("Rosa", "Rosa ist meine Tante und wohnt bei uns.", False),
    ("Wolf", "Wolf hat gestern bei uns angerufen.", False),
    ("Heide", "Heide wohnt in Ulm und arbeitet bei der Bahn.", False),
    ("Ernst", "Ernst kommt morgen zu uns.", False),
    ("Jasmin", "Wolf hat mit Jasmin gesprochen, es ist nicht so schlimm.", False),
]


@pytest.mark.parametrize(("name", "text", "is_doubtful"), GERMAN)
def test_a_german_noun_with_a_determiner_or_at_the_head_of_what_no_person_does_may_be_the_noun(
    name: str, text: str, is_doubtful: bool
) -> None:
    assert judged(name, text) == ("perhaps" if is_doubtful else "yes")


@pytest.mark.parametrize(("text", "is_doubtful"), [("朝の光がきれいだった。", True), ("光さんが来た。", False)])
def test_a_name_of_one_character_may_be_the_word(text: str, is_doubtful: bool) -> None:
    assert judged("光", text) == ("perhaps" if is_doubtful else "yes")


ENGLISH = [
    ("Don", "Don't forget the milk.", "no"),
    ("Shan", "We shan’t be late, Shan’t we?", "no"),
    ("Don", "Don's car is red, and Don drives it.", "yes"),
    ("Jan", "The rent is due on Jan 5.", "perhaps"),
    ("Jan", "It has been closed since Jan.", "perhaps"),
    ("Jan", "Jan is my brother and I had a letter from Jan.", "yes"),
    ("Diego", "We flew to San Diego.", "perhaps"),
    ("Louis", "The train to St. Louis was late.", "perhaps"),
    ("Diego", "I met Diego in San Juan.", "yes"),
]


@pytest.mark.parametrize(("name", "text", "what"), ENGLISH)
def test_what_stands_beside_a_name_makes_it_another_thing(name: str, text: str, what: str) -> None:
    assert judged(name, text) == what
