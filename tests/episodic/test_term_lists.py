"""Terms of texts that recalls looked at are held by namespace, within a bound, and not beyond an erasure."""

from __future__ import annotations

import sys
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
        assert lists.of(namespace, TEXT, lists.erasures) == tuple(lexical.terms(TEXT))
    assert cut == [TEXT, TEXT], "how long it takes tells nothing of what another namespace holds"


def test_the_least_recently_used_go_first(cut: list[str]) -> None:
    lists = TermLists(3 * 450)
    texts = [f"Lantern {n}." for n in range(3)]
    for text in texts:
        lists.of("a", text, lists.erasures)
    lists.of("a", texts[0], lists.erasures)
    lists.of("a", "One more.", lists.erasures)
    del cut[:]
    for text in (texts[0], texts[2], texts[1]):
        lists.of("a", text, lists.erasures)
    assert cut == [texts[1]]


def test_what_alone_is_more_than_the_bound_is_not_held(cut: list[str]) -> None:
    lists = TermLists(450)
    assert len(lists.of("a", TEXT * 10, lists.erasures)) == len(lists.of("a", TEXT * 10, lists.erasures)) > 10
    assert len(cut) == 2
    lists.of("a", "Small.", lists.erasures)
    lists.of("a", "Small.", lists.erasures)
    assert len(cut) == 3


def test_of_a_namespace_nothing_is_left_after_an_erasure(cut: list[str]) -> None:
    lists = TermLists(100_000)
    for namespace in ("a", "b"):
        lists.of(namespace, TEXT, lists.erasures)
    lists.forget("a")
    for namespace in ("a", "b"):
        lists.of(namespace, TEXT, lists.erasures)
    assert len(cut) == 3


def test_a_text_that_is_cut_while_something_is_erased_is_not_held(monkeypatch: pytest.MonkeyPatch) -> None:
    lists, cuts = TermLists(100_000), list[str]()

    def terms(text: str) -> list[str]:
        cuts.append(text)
        lists.forget("a")
        return lexical.terms(text)

    monkeypatch.setattr(term_lists, "lexical", type("Cutting", (), {"terms": staticmethod(terms)}))
    lists.of("a", TEXT, lists.erasures)
    lists.of("a", TEXT, lists.erasures)
    assert len(cuts) == 2


def test_a_text_that_was_read_before_an_erasure_is_not_held_after_it(cut: list[str]) -> None:
    lists = TermLists(100_000)
    read_at = lists.erasures
    lists.forget("a")
    lists.of("a", TEXT, read_at)
    lists.of("a", TEXT, lists.erasures)
    assert len(cut) == 2


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


def test_what_a_recall_in_several_namespaces_looks_at_is_held_for_none(tmp_path: Path, embedder: Embedder) -> None:
    world = World(tmp_path, embedder, build(["dense", "lexical", "own_words", "repeats"]))
    world.open()
    for n, space in enumerate(("acme/anna", "acme/ben")):
        world.create(space)
        world.observe(f"o{n}", f"The lantern of café {n} in the harbour was lit.", namespace=space)
    world.settle()
    assert len(world.recall("Where was the lantern lit?", "acme/anna", "acme/ben").items) == 2
    assert not world.host.live.store.terms._held
    world.recall("Where was the lantern lit?", "acme/anna")
    assert world.host.live.store.terms._held
    world.forgetting.delete("acme/anna", "d", "test")
    world.settle()
    assert not world.host.live.store.terms._held
    world.close()


def test_the_bound_counts_what_is_held() -> None:
    lists = TermLists(1_000_000)
    for n in range(300):
        lists.of("a", " ".join(f"w{n}x{m}" for m in range(300)), lists.erasures)
    strings = {term for terms in lists._held.values() for term in terms}
    held = sum(map(sys.getsizeof, strings)) + sum(map(sys.getsizeof, lists._held.values()))
    assert 500_000 < held <= 1_000_000
