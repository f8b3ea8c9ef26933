"""Sentences are found and chosen, word for word."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.reasoning.extract import Source, extract, sentences


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("One.", ["One."]),
        ("One. Two! Three?", ["One.", "Two!", "Three?"]),
        ("Mr. Brown called. Mrs. Brown did not.", ["Mr. Brown called.", "Mrs. Brown did not."]),
        ("It cost £2.50 in No. 10. Dear.", ["It cost £2.50 in No. 10.", "Dear."]),
        ("By P. B. Shelley. So it said.", ["By P. B. Shelley.", "So it said."]),
        ("So did I. We left.", ["So did I.", "We left."]),
        ('"Who is it?" She laughed.', ['"Who is it?"', "She laughed."]),
        ("He went on... and on. Then stopped", ["He went on... and on.", "Then stopped"]),
        ("A line\nanother line", ["A line", "another line"]),
        ("e.g. Tea and i.e. Coffee. Fine.", ["e.g. Tea and i.e. Coffee.", "Fine."]),
    ],
)
def test_sentences_survive_titles_initials_numbers_and_quotes(text: str, expected: list[str]) -> None:
    assert sentences(text) == expected


@given(st.text(alphabet=st.sampled_from("aB .!?\n\"'1£…M r")))
def test_sentences_hold_every_word_in_order_and_nothing_else(text: str) -> None:
    found = sentences(text)
    assert "".join("".join(found).split()) == "".join(text.split())
    at = 0
    for sentence in found:
        at = text.index(sentence, at) + len(sentence)


DINNER = Source("e1", "We had a quiet week. Anna lost her umbrella at the theatre. It rained.", "Ben")
GARDEN = Source("e2", "The garden is full of weeds. The umbrella stand broke.", "Ben")


def test_the_sentence_that_says_it_comes_first_with_its_source() -> None:
    best = extract("Where did Anna lose her umbrella?", [DINNER, GARDEN], 3)[0]
    assert (best.text, best.engram_id) == ("Anna lost her umbrella at the theatre.", "e1")


def test_what_is_quoted_stands_in_its_source() -> None:
    for sentence in extract("umbrella weeds rain", [DINNER, GARDEN], 10):
        source = {"e1": DINNER, "e2": GARDEN}[sentence.engram_id]
        assert sentence.text in source.text
        assert 0.0 <= sentence.score <= 1.0


def test_rank_decides_between_equal_sentences() -> None:
    twin = Source("e3", "An umbrella was found.", "")
    other = Source("e4", "The umbrella was found.", "")
    assert extract("umbrella found", [twin, other], 1)[0].engram_id == "e3"
    assert extract("umbrella found", [other, twin], 1)[0].engram_id == "e4"


def test_a_sentence_is_quoted_once() -> None:
    again = Source("e5", DINNER.text, "Ben")
    texts = [s.text for s in extract("umbrella theatre rain week", [DINNER, again], 10)]
    assert len(texts) == len(set(texts))


def test_nothing_recalled_gives_no_sentence() -> None:
    assert extract("Anything?", [], 3) == []
    assert extract("Anything?", [Source("e6", " \n… ")], 3) == []
    assert extract("Anna?", [DINNER], 0) == []


def test_nearness_in_meaning_counts_where_an_embedder_is_given() -> None:
    def embed(texts: object) -> npt.NDArray[np.float32]:
        # The question, then the four sentences in order: only "It rained." is near it.
        return np.array([[1, 0], [0, 1], [0, 1], [1, 0], [0, 1], [0, 1]], np.float32)

    question = "Was the weather bad?"
    assert extract(question, [DINNER, GARDEN], 1)[0].text != "It rained."
    assert extract(question, [DINNER, GARDEN], 1, embed)[0].text == "It rained."
