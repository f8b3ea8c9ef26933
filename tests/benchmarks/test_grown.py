"""What a grown memory finds is what one exact host finds that holds all of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.grown import Filler, Grown
from services.episodic.plugins import build
from services.episodic.plugins.base import Filter, Key
from services.episodic.plugins.exact import ExactHost
from tests.episodic.plugins import world

BESIDE = [
    "The kettle of the neighbours sings.",
    "Nobody dances in Lent.",
    "A coat keeps one warm.",
    "It rained all day.",
]
TURNS = Filter(kinds=("turn",))


def hosts() -> tuple[Grown, ExactHost]:
    whole = world.host(build(world.SHIPPED))
    grown = Grown(world.host(build(world.SHIPPED)), "home", Filler(BESIDE, world.embedder().embed))
    for record in grown.filler.records.values():
        whole.observe(replace(record, namespace="home", keys=(Key("text", record.text),)))
    for record in [whole.spaces["home"].records[id] for id in grown.filler.records]:
        whole._index(whole.spaces["home"], replace(record, keys=(Key("text", record.text),)))
    return grown, whole


@pytest.mark.parametrize("text", ["Who mended the kettle?", "the coat", "Where did they dance?", "trombone"])
def test_both_find_the_same(text: str) -> None:
    grown, whole = (host.context(world.ASKED) for host in hosts())
    vector = world.embedder().embed([text])[0]
    assert grown.idf(text, "home") == pytest.approx(dict(whole.idf(text, "home")))
    for k in (3, 50):
        for one, other in (
            (grown.bm25(text, k, "home", TURNS), whole.bm25(text, k, "home", TURNS)),
            (grown.knn(vector, k, "home", TURNS), whole.knn(vector, k, "home", TURNS)),
        ):
            assert [c.score for c in one] == pytest.approx([c.score for c in other], abs=1e-5)
            assert {c.id for c in one} == {c.id for c in other} or len(one) == 3


def test_the_filler_is_as_it_was_once_the_memory_is_closed() -> None:
    filler = Filler(BESIDE, world.embedder().embed)
    before = filler.lexicon.documents, filler.lexicon.idf(filler.number("kettl"))
    Grown(world.host(build(world.SHIPPED)), "home", filler).close()
    assert (filler.lexicon.documents, filler.lexicon.idf(filler.number("kettl"))) == before
    assert before[0] == len(BESIDE)
