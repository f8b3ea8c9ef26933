"""What recall makes of what its pipeline found, and of an index that does not answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import pytest

from services.common.log.base import partition_of
from services.common.models.embed import Embedder
from services.common.serving.errors import MnemeError
from services.common.text import lexical
from services.episodic.plugins.base import Candidate, Context, Interval, Plan, Plugin, Ranked, Record
from services.episodic.recall.recall import Recalled, newest_applied, not_fresh
from services.episodic.search.index import IndexUnavailable
from tests.episodic.world import NAMESPACE, PLUGINS, START, World

ITEM = Ranked(Record("e", NAMESPACE, "turn", "x", Interval(START, START)), 1.0, ())


@pytest.mark.parametrize(
    ("items", "confidence", "found"),
    [((ITEM,), 0.5, True), ((ITEM,), 0.49, False), ((), 0.9, False), ((), 0.0, False)],
)
def test_found_is_something_that_is_good_enough(items: tuple[Ranked, ...], confidence: float, found: bool) -> None:
    assert Recalled(items, {}, confidence, 0.5, None, {}, {}, {}, (), {}, {}).found is found


@dataclass(frozen=True)
class Failing(Plugin):
    """The index does not answer, as often as there is a failure left."""

    name: ClassVar[str] = "failing"
    left: list[str] = field(default_factory=list)

    def retrieve(self, plan: Plan, ctx: Context) -> Mapping[str, Sequence[Candidate]]:
        if self.left:
            raise IndexUnavailable(self.left.pop())
        return {}


def test_a_generation_that_is_dropped_under_a_recall_is_no_outage_and_a_second_failure_is(
    tmp_path: Path, embedder: Embedder
) -> None:
    failing = Failing()
    world = World(tmp_path, embedder, [*PLUGINS, failing]).open()
    world.create()
    world.observe("o", "Ruth hid the emerald.", actor="Ann")
    world.settle()
    failing.left.append("once")
    recalled = world.recall("Who hid the emerald?")
    assert world.texts(recalled) == ["Ruth hid the emerald."]
    assert recalled.stored.keys() == {world.base("o")}
    assert failing.left == []
    failing.left.extend(["once", "twice"])
    with pytest.raises(MnemeError) as caught:
        world.recall("Who hid the emerald?")
    assert caught.value.reason == "SERVICE_UNAVAILABLE"
    assert failing.left == []
    world.close()


def test_what_is_not_fresh_says_so_and_not_how_far_all_tenants_are() -> None:
    error = not_fresh()
    assert (error.reason, error.field, error.metadata) == ("NOT_FRESH", "freshness", {})
    assert not_fresh("at_least").field == "at_least"


def test_a_long_text_is_cut_into_terms_once_for_all_plugins(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    said = ["“Anna” keeps the green café key at the mill. " * 100, "Bruno keeps the red café key at the pond. " * 100]
    for n, text in enumerate(said):
        world.observe(f"o{n}", text, actor="Ann")
    world.settle()
    cut, cutting = list[str](), lexical.terms

    def watched(text: str) -> list[str]:
        cut.append(text)
        return cutting(text)

    monkeypatch.setattr(lexical, "terms", watched)
    assert len(world.recall("Where does Anna keep the key?").items) == 2
    long = [text for text in cut if len(text) > 1_000]
    assert sorted(long) == sorted(set(long))
    alone = [text for text in long if not text.startswith("Ann: ")]  # not as a neighbour, with its speaker
    assert sorted(alone) == sorted(said)


def test_of_some_namespaces_the_newest_entry_of_each_partition_is_told_and_of_others_nothing(
    tmp_path: Path, embedder: Embedder
) -> None:
    world = World(tmp_path, embedder, partitions=2).open()
    by_partition: dict[int, list[str]] = {0: [], 1: []}
    for n in range(16):
        by_partition[partition_of(f"acme/n{n}".encode(), 2)].append(f"acme/n{n}")
    (early, late, silent), elsewhere = by_partition[0][:3], by_partition[1][0]

    def newest(*namespaces: str) -> dict[int, int]:
        return newest_applied({name: world._host_of(name) for name in namespaces})

    world.create(early)
    world.settle()
    assert newest(early) == {0: 0}
    for namespace in (late, elsewhere, silent):
        world.create(namespace)
    told = {name: world.observe("o", "It rained.", namespace=name).offset for name in (early, late, elsewhere)}
    world.observe("o", "It rained.", namespace=silent)
    world.settle()
    assert newest(early, late) == newest(late, early) == {0: told[late]}
    assert newest(early) == {0: told[early]}
    assert list(newest(elsewhere, late).items()) == [(0, told[late]), (1, told[elsewhere])]
    assert newest("acme/none") == newest() == {}
    world.close()
