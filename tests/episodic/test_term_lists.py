"""Terms of texts that recalls looked at are held by namespace, within a bound, and not beyond an erasure."""

from __future__ import annotations

from pathlib import Path

import pytest
from mneme.v1.episodic_pb2 import ForgetSelector

from services.common.models.embed import Embedder
from services.common.text import lexical
from services.episodic.plugins import build
from services.episodic.state import term_lists
from services.episodic.state.term_lists import TermLists
from tests.episodic.world import World

TEXT = "The lanterns of the harbour were lit at dusk."


@pytest.fixture
def cut(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every text that is cut into terms from here on."""
    texts: list[str] = []

    def terms(text: str) -> list[str]:
        texts.append(text)
        return lexical.terms(text)

    monkeypatch.setattr(term_lists, "lexical", type("Cutting", (), {"terms": staticmethod(terms)}))
    return texts


def test_a_text_is_cut_once_in_each_namespace(cut: list[str]) -> None:
    lists = TermLists(100_000)
    for namespace in ("a", "a", "b", "b"):
        assert lists.of(namespace, TEXT) == tuple(lexical.terms(TEXT))
    assert cut == [TEXT, TEXT], "how long it takes tells nothing of what another namespace holds"


def test_the_least_recently_used_go_first(cut: list[str]) -> None:
    lists = TermLists(3 * 300)
    texts = [f"Lantern {n}." for n in range(3)]
    for text in texts:
        lists.of("a", text)
    lists.of("a", texts[0])
    lists.of("a", "One more.")
    del cut[:]
    for text in (texts[0], texts[2], texts[1]):
        lists.of("a", text)
    assert cut == [texts[1]]


def test_what_alone_is_more_than_the_bound_is_not_held(cut: list[str]) -> None:
    lists = TermLists(300)
    assert len(lists.of("a", TEXT * 10)) == len(lists.of("a", TEXT * 10)) > 10
    assert len(cut) == 2
    lists.of("a", "Small.")
    lists.of("a", "Small.")
    assert len(cut) == 3


def test_of_a_namespace_nothing_is_left_after_an_erasure(cut: list[str]) -> None:
    lists = TermLists(100_000)
    for namespace in ("a", "b"):
        lists.of(namespace, TEXT)
    lists.forget("a")
    for namespace in ("a", "b"):
        lists.of(namespace, TEXT)
    assert len(cut) == 3


def test_a_text_that_is_cut_while_something_is_erased_is_not_held(monkeypatch: pytest.MonkeyPatch) -> None:
    lists, cuts = TermLists(100_000), list[str]()

    def terms(text: str) -> list[str]:
        cuts.append(text)
        lists.forget("a")
        return lexical.terms(text)

    monkeypatch.setattr(term_lists, "lexical", type("Cutting", (), {"terms": staticmethod(terms)}))
    lists.of("a", TEXT)
    lists.of("a", TEXT)
    assert len(cuts) == 2


def test_recalls_cut_a_text_once_until_something_is_erased(tmp_path: Path, embedder: Embedder, cut: list[str]) -> None:
    world = World(tmp_path, embedder, build(["dense", "lexical", "own_words", "repeats"]))
    world.open()
    world.create()
    texts = [f"The lantern of café {n} in the harbour was lit." for n in range(3)]
    for n, text in enumerate(texts):
        world.observe(f"o{n}", text, f"s{n}")
    world.settle()

    def looked_at(query: str) -> set[str]:
        del cut[:]
        assert world.recall(query).items
        return {*cut}.intersection(texts)

    assert looked_at("Where was the lantern lit?") == {*texts}
    assert looked_at("When was the harbour lit?") == set()
    world.forget(ForgetSelector(session="s2"))
    assert looked_at("Who lit the lantern?") == {*texts[:2]}
    world.close()
