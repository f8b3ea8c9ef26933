"""The real host (SQLite, Milvus Lite, sealed texts) answers as the exact one does: that one is the specification."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from services.episodic.plugins import build
from services.episodic.plugins.base import EpisodeClosed, Filter, Interval, Query
from services.episodic.plugins.exact import ExactContext, ExactHost
from services.episodic.write.context import ReadContext
from tests.episodic.plugins import world as small
from tests.episodic.world import World

QUESTIONS = [
    "Who plays the harmonium?",
    "What does the tailor want for the coat?",
    "Whose cat digs there?",
    "What did the tailor want the week after the ball?",
    "What broke on March 4?",
    "radishes",
    "Nothing of the sort was ever said.",
    "",
]


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The small talk, folded by the real host with the shipped plug-ins."""
    folder: Path = tmp_path_factory.mktemp("real")
    running = World(folder, small.embedder(), build(small.SHIPPED)).open()
    running.create("home")
    names = {t.id: f"o{n}" for n, t in enumerate(small.turns())}
    for event in small.events():
        if isinstance(event, EpisodeClosed):
            running.close_episode([names[m.id] for m in event.members], event.session, "home")
        else:
            running.observe(names[event.id], event.text, event.session, "home", actor=event.actor, at=event.event.start)
    running.settle()
    yield running
    running.close()


@pytest.fixture(scope="module")
def exact() -> ExactHost:
    return small.host(build(small.SHIPPED))


@pytest.mark.parametrize("text", QUESTIONS)
@pytest.mark.parametrize(
    "wanted",
    [Filter(), Filter(actor="Ada"), Filter(session="ball"), Filter(kinds=("episode",))],
    ids=["any", "actor", "session", "kind"],
)
def test_a_recall_is_the_same_with_the_same_scores(real: World, exact: ExactHost, text: str, wanted: Filter) -> None:
    asked: Query = small.query(text, 12, wanted=wanted)
    mine, theirs = real.recaller.recall(asked), small.ask(exact, asked)
    assert [(i.record.text, i.record.kind) for i in mine.items] == [(i.record.text, i.record.kind) for i in theirs.kept]
    assert [i.score for i in mine.items] == pytest.approx([i.score for i in theirs.kept], abs=2e-6)
    assert mine.time == theirs.plan.time
    for a, b in zip(mine.items, theirs.kept, strict=True):
        assert [(stage, rank) for stage, rank, _ in a.trace] == [(stage, rank) for stage, rank, _ in b.trace]
        assert [s for _, _, s in a.trace] == pytest.approx([s for _, _, s in b.trace], abs=1e-4)


def test_the_namespace_has_the_same_words_and_the_same_span(real: World, exact: ExactHost) -> None:
    mine, theirs = _contexts(real, exact)
    words = "harmonium coat Ada the unheard-of"
    assert dict(mine.idf(words, "home")) == pytest.approx(dict(theirs.idf(words, "home")))
    assert mine.span("home") == theirs.span("home")
    assert mine.span("nowhere") is theirs.span("nowhere") is None


def test_a_range_meets_the_same_records(real: World, exact: ExactHost) -> None:
    mine, theirs = _contexts(real, exact)
    spring = Interval(small.START, small.START.replace(month=5, day=4))
    found, expected = (
        [(_text(ctx, c.id), c.score) for c in ctx.between(spring, 5, "home", Filter())] for ctx in (mine, theirs)
    )
    assert found == expected
    assert len(found) == 5


def test_an_episode_is_found_with_its_members(real: World, exact: ExactHost) -> None:
    mine, theirs = _contexts(real, exact)
    found, expected = (
        [[_text(ctx, s) for s in c.sources] for c in ctx.bm25("ball mayor", 3, "home", Filter(kinds=("episode",)))]
        for ctx in (mine, theirs)
    )
    assert found == expected
    assert found[0][0].startswith("What a ball")


def _contexts(real: World, exact: ExactHost) -> tuple[ExactContext, ExactContext]:
    host = real.host
    ctx = ReadContext({name: real.scope(name) for name in ("home", "nowhere")}, host.parts.toolkit, small.ASKED)
    return ctx, exact.context(small.ASKED)  # type: ignore[return-value]


def _text(ctx: ExactContext, id: str) -> str:
    record = ctx.get("home", id)
    assert record is not None
    return record.text
