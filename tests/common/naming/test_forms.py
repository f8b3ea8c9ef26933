"""The search for many forms finds what trying every one at every place finds."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.text.naming.folding import folded
from services.common.text.naming.forms import Closed, Forms, close, words_of
from services.common.text.naming.names import Names

GAP = r"(?>\.?[\s・·]+|-)"
GAP_AFTER_STOP = r"(?>\.[\s・·]+|-)"  # a stop before spaces is the gap's own
LETTERS = "abа李ูé\U0010ffff'_"
texts = st.text(LETTERS + "..-- ・\n", max_size=24)
names = st.lists(st.text(LETTERS + ". -", min_size=1, max_size=6).map(lambda n: close(" ".join(words_of(folded(n))))))


def pattern_of(form: str) -> re.Pattern[str]:
    first, *others = form.split(" ")
    pattern = re.escape(first)
    for before, part in pairwise([first, *others]):
        pattern += (GAP_AFTER_STOP if before.endswith(".") else GAP) + re.escape(part)
    return re.compile(pattern)


def by_trying(forms: set[str], text: str) -> list[tuple[int, int, str]]:
    """Where each of the forms stands: a stop and spaces, or one hyphen, between its words."""
    patterns = {form: pattern_of(form) for form in forms}
    found = [
        (start, match.end(), form)
        for start in range(len(text))
        for form, pattern in patterns.items()
        if (match := pattern.match(text, start))
    ]
    return sorted(found, key=lambda one: (one[0], -one[1]))


def by_searching(forms: set[str], text: str) -> list[tuple[int, int, str]]:
    search, closed, found, at = Forms(forms), Closed(text), [], 0
    while (start := search.next_place(closed.text, at)) is not None:
        form = search.longest(closed.text, start)
        while form:
            found.append((closed.places[start], closed.places[start + len(form) - 1] + 1, form))
            form = search.shorter(form)
        at = start + 1
    return found


@given(names, texts, st.data())
def test_as_trying_every_form_at_every_place(given_names: list[str], text: str, data: st.DataObject) -> None:
    forms = {form for form in given_names if form.strip("\U0010ffff")}
    text = folded(text + data.draw(st.sampled_from([*sorted(forms), ""])) + data.draw(texts))
    assert by_searching(forms, text) == by_trying(forms, text)


@given(st.sets(st.text("ab", min_size=1, max_size=5)), st.text("ab", max_size=20))
def test_forms_that_begin_with_one_another(forms: set[str], text: str) -> None:
    assert by_searching(forms, text) == by_trying(forms, text)


def test_no_forms_stand_nowhere() -> None:
    assert by_searching(set(), "Ann") == []


@pytest.mark.parametrize("name", ["ი", "aი", "Ann ი", "bος", "்", "a்", "క్", "-", "- Ann", "Ann -", "...", "Ann ..."])
def test_a_name_of_odd_letters_breaks_nothing(name: str) -> None:
    found = [mention.start for mention in Names([name]).find("a b, Ann: bა bου")]
    assert found == ([5] if "Ann" in name and "ი" not in name else [])
