"""Terms and BM25 arithmetic."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.text import lexical


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("the of and", []),
        ("Carrie's hats", ["carri", "hat"]),
        ("Carrie’s hat", ["carri", "hat"]),
        ("They weren't running, he'd run", ["run", "run"]),
        ("May 3rd, 1888", ["may", "3", "1888"]),
        ("running runs", ["run", "run"]),
        ("She lost what he bought; children lose teeth", ["lose", "buy", "child", "lose", "tooth"]),
        ("Kuncinya Kenya Tanya", ["kunci", "kenya", "tanya"]),
        ("ﬁreplace", ["fireplac"]),  # compatibility forms fold
        ("Müller größer", ["muller", "grosser"]),
        ("'", []),
    ],
)
def test_terms_are_folded_stopped_and_stemmed(text: str, expected: list[str]) -> None:
    assert lexical.terms(text) == expected


@given(st.text())
def test_terms_of_any_text_are_the_same_again_and_never_empty(text: str) -> None:
    first = lexical.terms(text)
    assert lexical.terms(text) == first
    assert all(first)


def test_terms_are_the_same_from_many_threads() -> None:
    texts = [f"running walkers {i} were painting" for i in range(200)]
    lexical._stem.cache_clear()
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lexical.terms, texts)) == [["run", "walker", str(i), "paint"] for i in range(200)]


def test_idf_is_lucenes() -> None:
    assert lexical.idf(3, 1) == pytest.approx(math.log(1 + 2.5 / 1.5))
    assert lexical.idf(1, 1) > 0


def test_score_is_bm25_worked_by_hand() -> None:
    # Two documents of lengths 3 and 1 (average 2); "hat" is in both, "cat" in the first.
    # First: norm = .25 + .75 * 3/2 = 1.375; hat twice: 2*2.2/(2+1.2*1.375) = 4.4/3.65; cat: 2.2/(1+1.65) = 2.2/2.65.
    first = lexical.document_weights(["hat", "hat", "cat"], 2.0)
    assert first["hat"] == pytest.approx(4.4 / 3.65)
    assert first["cat"] == pytest.approx(2.2 / 2.65)
    query = lexical.query_weights(["hat", "cat", "dog"], {"hat": 0.5, "cat": 2.0})
    assert lexical.score(query, first) == pytest.approx(0.5 * 4.4 / 3.65 + 2.0 * 2.2 / 2.65)
    assert lexical.score(query, {}) == 0.0


def test_saturation_is_bounded_and_grows_with_count() -> None:
    values = [lexical.saturation(n, 10, 10) for n in (1, 2, 10, 1000)]
    assert values == sorted(values)
    assert values[0] == pytest.approx(1.0)
    assert values[-1] < lexical.K1 + 1
