"""The quick way to ask which terms a text says gives what cutting the whole text gives."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.text import lexical
from services.episodic.plugins import build
from services.episodic.plugins.spoken import Spoken, Words, bare, opening
from tests.episodic.plugins import world

TEXTS = (
    *(turn.text for turn in world.turns()),
    "He's dying of laughter; the skies were early, and the uglier babies cried happily.",
    "It cost 99,000 crowns on the 2nd, or so IT says: C++ isn't C#, and d'Artagnan's hat was lying there.",
    "He bought a knife, left it, and the children have lost two knives; kuncinya.",
    "C-- is older--they say--than C---, and C--, c--ish or B--2 was not in this.",
    "Le café déjà vu de Zoë coûte 5 €. Résumé: Straße, naïve.",
    "विद्युत की कीमत बहुत अधिक है, and the price of electricity is high.",
    "会議は木曜日に移されました。",
    "",
)
QUESTIONS = (
    "Who tore the coat before dancing?",
    "Does he die under the sky, ugly and happy?",
    "Who buys knives that a child leaves? Where is kunci?",
    "Is 99000 the 2nd price in C++ or C#, d'Artagnan?",
    "Où est le cafe de Zoe?",
    "What is the price of electricity?",
    "会議は木曜日ですか",
    "Is C-- older than C or B?",
    "the of and",
)


@pytest.mark.parametrize("question", QUESTIONS)
def test_it_finds_the_same_terms(question: str) -> None:
    ctx = world.host(build(["turns"])).context(world.ASKED)
    terms = lexical.terms(question)
    spoken = Spoken(terms, ctx)
    for text in (*TEXTS, *TEXTS):
        assert spoken.in_(text) == set(terms) & set(lexical.terms(text)), text


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("The ferry is late!", " the  ferry is LATE", True),
        ("PX-88", "px 88", True),
        ("The ferry is late", "The ferry is later", False),
        ("की", "का", False),
        ("?", "!", False),
    ],
)
def test_texts_are_the_same_by_their_words(one: str, other: str, same: bool) -> None:
    assert (bare(one) == bare(other)) == same


# What may read otherwise with what follows it: figures in groups, marks, syllables in parts, ligatures.
_PIECES = st.sampled_from(
    [
        "1 000 000 ",
        "12,345",
        "PX-88 ",
        "e\u0301",
        "\u1112\u1161\u11ab",
        "\ufb01sh ",
        "Straße ",
        "!",
        "... ",
        "a",
        "\n",
        "’s ",
    ]
)
_TEXTS = st.builds(lambda pieces, times: "".join(pieces) * times, st.lists(_PIECES, max_size=40), st.integers(1, 60))


@given(_TEXTS)
def test_the_opening_of_a_text_is_that_of_its_bare_words(text: str) -> None:
    assert opening(text) == bare(text)[:64]


@given(_TEXTS, _TEXTS)
def test_words_say_what_bare_says_of_any_two_texts(one: str, other: str) -> None:
    for text in (other, one, one.upper(), one + "!" * 3_000, "?" * 3_000 + one, one * 2):
        assert Words(one)(text) == (bare(one) == bare(text))


def test_of_a_long_text_the_opening_is_quickly_read() -> None:
    text = "The lantern of the harbour was lit. " * 20_000
    begun = time.thread_time()
    for _ in range(100):
        opening(text)
    assert time.thread_time() - begun < 0.5, "a tenth of a second each, where all is read"
