"""What a text says it was made from, as ids tell it."""

from __future__ import annotations

import pytest

from services.common.ids import MAX_ID, digest
from services.common.lineage import MAX_ENGRAMS, Lineage, answer_id, check_derived_from, lineage_of
from services.common.serving.errors import MnemeError

MADE_OF = digest("a question")
ENGRAMS = [digest(n) for n in range(200)]


@pytest.mark.parametrize("count", [0, 1, 2, 5, MAX_ENGRAMS])
def test_an_answer_s_id_tells_the_engrams_that_it_was_made_of(count: int) -> None:
    id = answer_id(MADE_OF, ENGRAMS[:count])
    assert id.startswith(MADE_OF)
    assert lineage_of([id]) == Lineage(tuple(ENGRAMS[:count]), complete=True)
    check_derived_from([id])


def test_an_answer_of_more_engrams_or_of_unknown_ones_says_that_these_are_not_all() -> None:
    many = answer_id(MADE_OF, ENGRAMS)
    assert lineage_of([many]) == Lineage(tuple(ENGRAMS[:MAX_ENGRAMS]), complete=False)
    check_derived_from([many])
    assert lineage_of([answer_id(MADE_OF, [], complete=False)]) == Lineage((), complete=False)
    assert lineage_of([answer_id(MADE_OF, [ENGRAMS[0], "not ours"])]) == Lineage((ENGRAMS[0],), complete=False)


def test_answers_and_engrams_count_once_in_order() -> None:
    named = [ENGRAMS[3], answer_id(MADE_OF, ENGRAMS[1:5]), answer_id(MADE_OF, ENGRAMS[:2])]
    assert lineage_of(named) == Lineage(tuple(ENGRAMS[n] for n in (3, 1, 2, 4, 0)), complete=True)
    assert lineage_of([]) == Lineage((), complete=True)


@pytest.mark.parametrize(
    "named",
    ["answer", MADE_OF.upper(), f"{MADE_OF}.abc", f"{MADE_OF}.====", f"{MADE_OF}.{'A' * 21}", f".{MADE_OF}", "é", ""],
)
def test_what_is_no_such_id_leaves_the_lineage_unknown(named: str) -> None:
    assert lineage_of([ENGRAMS[0], named]) == Lineage((ENGRAMS[0],), complete=False)


@pytest.mark.parametrize(
    ("derived_from", "field"),
    [
        ([ENGRAMS[0], ""], "derived_from[1]"),
        (["x" * (MAX_ID + 1)], "derived_from[0]"),
        ([f"{MADE_OF}.{'A' * 1_400}"], "derived_from[0]"),
        (ENGRAMS[:65], "derived_from"),
        ([answer_id(MADE_OF, ENGRAMS[:40]), answer_id(MADE_OF, ENGRAMS[40:80])], "derived_from"),
    ],
)
def test_a_refusal_names_the_field(derived_from: list[str], field: str) -> None:
    with pytest.raises(MnemeError) as refused:
        check_derived_from(derived_from)
    assert (refused.value.reason, refused.value.field) == ("INVALID_FIELD", field)
    assert refused.value.remedy
