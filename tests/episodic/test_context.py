"""What hooks see and may do: against the naive host, and at the edges."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import ClassVar

import pytest
from mneme.v1.episodic_pb2 import ForgetSelector, Ids

from services.common.models.embed import Embedder
from services.episodic.plugins import build
from services.episodic.plugins.base import (
    Candidate,
    Context,
    Event,
    Filter,
    Interval,
    Key,
    Link,
    Observed,
    Operation,
    Patch,
    Plan,
    Plugin,
    Put,
    Record,
    Retire,
    Touch,
)
from services.episodic.plugins.exact import ExactHost
from services.episodic.write.context import ReadContext
from services.episodic.write.operations import Refused
from tests.episodic.test_replay import dead_letters
from tests.episodic.world import NAMESPACE, START, World

TEXTS = [
    "The harbour froze in January and the ferries stopped.",
    "Ferries to the island run twice a day in summer.",
    "Grandmother's recipe asks for cardamom and patience.",
    "The island has one shop, which sells cardamom.",
    "Nobody remembers who built the lighthouse.",
    "The lighthouse keeper froze his ears one January.",
    "In summer the shop closes at noon.",
    "Patience, said the keeper, and closed the door.",
]
QUERIES = [
    "cardamom shop on the island",
    "when did the ferries stop?",
    "lighthouse keeper",
    "summer",
    "zebra",
    "the who",
]
PLUGINS = build(["turns", "episodes", "dense", "lexical", "between", "contiguity"])


def exactly(world: World, embedder: Embedder) -> ExactHost:
    """The naive host, told the same base records in the same order."""
    exact = ExactHost(PLUGINS, embedder.embed)
    slots = [s for s in world.host.live.store.directory.slots(NAMESPACE) if s.is_base]
    for slot in sorted(slots, key=lambda s: s.seq):
        stored = world.host.live.store.get(NAMESPACE, slot.id)
        assert stored is not None
        exact.observe(replace(stored.record, keys=(), links=()))
    return exact


@pytest.fixture(params=["directory", "milvus"])
def told(request: pytest.FixtureRequest, tmp_path: Path, embedder: Embedder) -> tuple[World, ExactHost]:
    """The same told to a world, whichever searches its vectors, and to the naive host."""
    world = World(tmp_path, embedder, PLUGINS)
    world.searches_vectors = request.param == "milvus"
    world.open()
    world.create()
    for n, text in enumerate(TEXTS):
        world.observe(f"o{n}", text, f"s{n // 4}", actor="Ann" if n % 3 else "Ben")
    world.settle()
    return world, exactly(world, embedder)


def reading(world: World) -> ReadContext:
    return ReadContext({NAMESPACE: world.scope()}, world.host.parts.toolkit, START)


def rounded(hits: Sequence[Candidate]) -> list[tuple[str, float]]:
    return [(h.id, round(h.score, 4)) for h in hits]


@pytest.mark.parametrize("wanted", [Filter(), Filter(actor="Ann"), Filter(session="s1"), Filter(kinds=("note",))])
def test_searches_agree_with_the_naive_host(told: tuple[World, ExactHost], embedder: Embedder, wanted: Filter) -> None:
    world, exact = told
    ours, naive = reading(world), exact.context(START)
    for query in QUERIES:
        vector = embedder.embed([query])[0]
        assert rounded(ours.bm25(query, 5, NAMESPACE, wanted)) == rounded(naive.bm25(query, 5, NAMESPACE, wanted))
        assert rounded(ours.knn(vector, 5, NAMESPACE, wanted)) == rounded(naive.knn(vector, 5, NAMESPACE, wanted))
        assert ours.idf(query, NAMESPACE) == pytest.approx(naive.idf(query, NAMESPACE))
    span = Interval(START + timedelta(minutes=2), START + timedelta(minutes=6))
    assert rounded(ours.between(span, 5, NAMESPACE, wanted)) == rounded(naive.between(span, 5, NAMESPACE, wanted))
    assert ours.span(NAMESPACE) == naive.span(NAMESPACE)
    world.close()


def test_vectors_are_searched_after_a_restart_too(told: tuple[World, ExactHost], embedder: Embedder) -> None:
    world, _ = told
    vector = embedder.embed([QUERIES[0]])[0]
    before = rounded(reading(world).knn(vector, 5, NAMESPACE, Filter()))
    world.restart()
    assert rounded(reading(world).knn(vector, 5, NAMESPACE, Filter())) == before
    assert len(before) == 5
    world.close()


def test_tokens_are_counted_as_the_naive_host_counts_them(told: tuple[World, ExactHost]) -> None:
    ours, naive = reading(told[0]), told[1].context(START)
    counts = [(ours.tok_count(text), naive.tok_count(text)) for text in [*TEXTS, "", "a b c d", "紅茶を飲む"]]
    assert all(mine == theirs for mine, theirs in counts)
    assert counts[0][0] == 14


def test_neighbours_and_scans_agree_with_the_naive_host(told: tuple[World, ExactHost]) -> None:
    world, exact = told
    ours, naive = reading(world), exact.context(START)
    for record in naive.scan(NAMESPACE, session="s1"):
        for mine, theirs in zip(ours.neighbours(record, 2, 1), naive.neighbours(record, 2, 1), strict=True):
            assert [r.id for r in mine] == [r.id for r in theirs]
    assert [r.id for r in ours.scan(NAMESPACE)] == [r.id for r in naive.scan(NAMESPACE)]
    world.close()


def test_equal_scores_are_ordered_by_event_time_descending_then_id(world: World) -> None:
    for n in range(4):
        world.observe(f"o{n}", "The same bell, again.", f"s{n}", at=START - timedelta(days=n // 2))
    world.settle()
    hits = reading(world).bm25("bell", 4, NAMESPACE, Filter())
    newest = sorted(world.base(i) for i in ("o0", "o1")), sorted(world.base(i) for i in ("o2", "o3"))
    # The context key holds the date, so only pairs are equal.
    assert [h.id for h in hits if h.id in newest[0]] == newest[0]
    assert [h.id for h in hits if h.id in newest[1]] == newest[1]


def test_a_text_of_60_000_bytes_goes_in_and_comes_out(world: World) -> None:
    text = ("große Straße " * 5_000).encode()[:60_000].decode("utf-8", "ignore")
    world.observe("o0", text)
    world.observe("o1", "Short.")
    world.settle()
    world.restart()
    assert world.reads.get(NAMESPACE, world.base("o0")).record.text == text


# --- what plug-ins may not do -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Meddler(Plugin):
    """Does one forbidden thing, named by its parameter, to every turn that says so."""

    name: ClassVar[str] = "meddler"

    def encode(self, event: Event, ctx: Context) -> Sequence[Operation]:
        if not isinstance(event, Observed) or not event.record.text.startswith("do "):
            return ()
        return MEDDLING[event.record.text.removeprefix("do ")](event.record, ctx)


def raise_(record: Record, ctx: Context) -> Sequence[Operation]:
    raise RuntimeError(f"a defect that quotes {record.text}")


MEDDLING: dict[str, Callable[[Record, Context], Sequence[Operation]]] = {
    "raise": raise_,
    "read on": lambda r, c: [Patch(r.id, "keys", (Key("x", str(c.bm25("x", 1, r.namespace, Filter()))),), r.seq)],
    "read another namespace": lambda r, c: [Patch(r.id, "keys", (Key("x", str(c.scan("other"))),), r.seq)],
    "patch text": lambda r, c: [Patch(r.id, "text", "rewritten", r.seq)],
    "put a base": lambda r, c: [Put(replace(r, id="forged", sources=()))],
    "put from nothing": lambda r, c: [Put(replace(r, id="derived", sources=("nobody",)))],
    "link to nothing": lambda r, c: [Link(r.id, "next", "nobody")],
    "forget": lambda r, c: [Retire(r.id, "forgotten", "because")],
}


@dataclass(frozen=True)
class Notes(Plugin):
    """Makes of what it sees outside of sessions a key; reads on where it was told to."""

    name: ClassVar[str] = "notes"

    def encode(self, event: Event, ctx: Context) -> Sequence[Operation]:
        if not isinstance(event, Observed) or event.record.session:
            return ()
        record = event.record
        if record.derived_from:
            ctx.get(record.namespace, record.derived_from[0])
        seen = ctx.scan(record.namespace, session="")
        assert ctx.get(record.namespace, record.id) == record
        return [Patch(record.id, "keys", tuple(Key("seen", each.text) for each in seen), record.seq)]


def test_a_note_stands_alone_for_a_plug_in_that_reads_a_session(tmp_path: Path, embedder: Embedder) -> None:
    world = World(tmp_path, embedder, [*build(["dense", "lexical"]), Notes()]).open()
    world.create()
    world.settle()
    first = world.remember("n0", "The first note.")
    second = world.remember("n1", "The second note.")
    world.settle()
    world.remember("n2", "What reads the first.", derived_from=[first])
    world.settle()
    for id, text in ((first, "The first note."), (second, "The second note.")):
        stored = world.host.live.store.whole(NAMESPACE, id)
        assert stored is not None
        assert [key.text for key in stored.record.keys] == [text]
    [letter] = dead_letters(world)
    assert letter.message.endswith("reads what was stated apart (get)")
    world.close()


@dataclass(frozen=True)
class Writes(Plugin):
    """Does to the note that a note was derived from what its parameter says."""

    name: ClassVar[str] = "writes"
    what: str = ""

    def encode(self, event: Event, ctx: Context) -> Sequence[Operation]:
        if not isinstance(event, Observed) or not event.record.derived_from:
            return ()
        record, (other, *_) = event.record, event.record.derived_from
        done: dict[str, Operation] = {
            "patch": Patch(other, "keys", (Key("note", record.text),), record.seq),
            "link": Link(other, "led_to", record.id),
            "touch": Touch(other, record.id, 1.0),
            "retire": Retire(other, "archived", ""),
            "put from another": Put(replace(record, id="summary", kind="summary", sources=(other,))),
            "put from both": Put(replace(record, id="summary", kind="summary", sources=(other, record.id))),
            "own": Put(replace(record, id=f"of {record.id}", kind="summary", sources=(record.id,))),
        }
        return [done[self.what]]


@pytest.mark.parametrize("what", ["patch", "link", "touch", "retire", "put from another", "put from both", "own"])
def test_a_plug_in_that_reads_a_session_writes_to_no_other_note(tmp_path: Path, embedder: Embedder, what: str) -> None:
    world = World(tmp_path, embedder, [*build(["dense", "lexical"]), Writes(what=what)]).open()
    world.create()
    world.settle()
    first = world.remember("n0", "The first note.")
    world.settle()
    second = world.remember("n1", "An emerald lies in it.", derived_from=[first])
    world.settle()
    letters = [letter.message for letter in dead_letters(world)]
    assert [message.endswith("which was stated apart") for message in letters] == ([] if what == "own" else [True])
    world.forget(ForgetSelector(ids=Ids(ids=[second])))
    before = world.hash()
    world.rebuild()
    assert world.hash() == before
    world.close()


@pytest.fixture
def meddled(tmp_path: Path, embedder: Embedder) -> World:
    world = World(tmp_path, embedder, [*build(["turns", "dense", "lexical"]), Meddler()]).open()
    world.create()
    world.settle()
    return world


@pytest.mark.parametrize("what", sorted(MEDDLING))
def test_a_plug_in_that_does_what_it_may_not_is_a_dead_letter(meddled: World, what: str) -> None:
    meddled.observe("o0", f"do {what}")
    meddled.observe("o1", "nothing to see")
    meddled.settle()
    [letter] = dead_letters(meddled)
    assert letter.message.startswith("meddler.encode")
    assert "quotes" not in letter.message
    stored = meddled.host.live.store.whole(NAMESPACE, meddled.base("o0"))
    assert stored is not None
    assert stored.record.text == f"do {what}"
    assert stored.record.keys[0].granularity == "context"  # what other plug-ins did stands
    assert len(meddled.host.live.store.directory.slots(NAMESPACE)) == 2
    meddled.close()


# --- a plug-in that reads the whole namespace -------------------------------------------------------------------


@dataclass(frozen=True)
class Nearest(Plugin):
    """Links each turn to the nearest one before it, in any session: exact search on the write path."""

    name: ClassVar[str] = "nearest"
    reads: ClassVar = "namespace"

    def link(self, record: Record, ctx: Context) -> Sequence[Operation]:
        hits = ctx.knn(ctx.embed([record.text])[0], 1, record.namespace, Filter())
        return [op for h in hits for op in (Link(record.id, "near", h.id, h.score), Touch(h.id, record.id))]


def test_a_namespace_wide_plug_in_is_folded_one_by_one_and_again_on_erasure(tmp_path: Path, embedder: Embedder) -> None:
    from mneme.v1.episodic_pb2 import ForgetSelector, Ids

    world = World(tmp_path, embedder, [Nearest()]).open()
    world.create()
    for n, text in enumerate(TEXTS):
        world.observe(f"o{n}", text, f"s{n % 3}")
    world.settle()
    for n, text in enumerate(TEXTS[1:], 1):
        vectors = embedder.embed(TEXTS[:n])
        nearest = max(range(n), key=lambda i: float(vectors[i] @ embedder.embed([text])[0]))
        stored = world.reads.get(NAMESPACE, world.base(f"o{n}"))
        assert [(dst, rel) for dst, rel, _ in stored.record.links] == [(world.base(f"o{nearest}"), "near")]
    before = world.hash()
    world.rebuild()
    assert world.hash() == before
    world.forget(ForgetSelector(ids=Ids(ids=["o3"])))
    live = world.hash()
    assert live != before
    for slot in world.host.live.store.directory.slots(NAMESPACE):
        stored = world.reads.get(NAMESPACE, slot.id)
        assert world.base("o3") not in [dst for dst, _, _ in stored.record.links]
    world.rebuild()
    assert world.hash() == live
    world.close()


def test_a_plug_in_reads_nothing_outside_the_scopes(tmp_path: Path, embedder: Embedder) -> None:
    @dataclass(frozen=True)
    class Leak(Plugin):
        name: ClassVar[str] = "leak"

        def retrieve(self, plan: Plan, ctx: Context) -> Mapping[str, Sequence[Candidate]]:
            hits = ctx.bm25("vault", 5, "acme/secret", Filter())
            return {"leak": hits}

    world = World(tmp_path, embedder, [*build(["turns", "lexical", "dense"]), Leak()]).open()
    world.create()
    world.create("acme/secret")
    world.observe("o0", "The vault opens at nine.", namespace="acme/secret")
    world.observe("o0", "Breakfast is at eight.")
    world.settle()
    with pytest.raises(Refused):
        world.recall("vault")
    assert world.texts(world.recall("vault", NAMESPACE, "acme/secret"))[0] == "The vault opens at nine."
    world.close()
