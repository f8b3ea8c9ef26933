"""The directory against a plain list of what should stand, through puts, replacements and removals; and what a filter
means."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from services.common.models.embed import DIMENSION
from services.common.serving import clocks
from services.common.text.lexical import idf
from services.episodic.plugins.base import Filter, Interval, Record, Vector
from services.episodic.state.directory import Directory
from services.episodic.state.records import Stored, to_us
from services.episodic.state.slots import Document, Slot, around, bounds, matches, slot_of

DAY = datetime(2023, 5, 8, tzinfo=UTC)
HOUR_US = 3_600_000_000
WORD = 1_000  # a term of every text
SLOT = Slot(
    id="e0",
    namespace="acme",
    kind="turn",
    state="active",
    session="s",
    actor="Ann",
    source="chat",
    metadata={"team": "blue", "size": 3.0},
    start_us=to_us(DAY),
    end_us=to_us(DAY) + HOUR_US,
    shown_us=(to_us(DAY), to_us(DAY) + HOUR_US),
    times_us=(),
    sources=(),
    seq=0,
    place=0,
    version=0,
    id_mac=b"",
    content_mac=b"",
    session_mac=b"",
    superseded_by="",
    seal_key="",
    detail_key="",
    partition=0,
    feed_offset=0,
    rows=1,
)


def axis(n: int) -> Vector:
    row: Vector = np.zeros(DIMENSION, np.float32)
    row[n] = 1.0
    return row


def some_slot(random_: random.Random, n: int, version: int) -> Slot:
    start = to_us(DAY) + random_.randrange(50) * HOUR_US
    is_base = n % 3 > 0
    return replace(
        SLOT,
        id=f"e{n}",
        kind="turn" if is_base else "episode",
        state=random_.choice(["active", "active", "superseded"]),
        session=f"s{random_.randrange(3)}",
        start_us=start,
        end_us=start + HOUR_US,
        shown_us=(start + HOUR_US, start + 2 * HOUR_US),
        times_us=((start - 500 * HOUR_US, start - 499 * HOUR_US),) if n % 2 else (),
        sources=() if is_base else (f"e{n + 1}", f"e{random_.randrange(30)}", f"e{n + 1}"),
        place=random_.randrange(10),
        version=version,
        id_mac=f"mac{n}".encode() if is_base else b"",
    )


def written(seed: int) -> tuple[Directory, dict[str, Slot]]:
    """After many changes: the directory, and what should stand in it."""
    random_, directory, stands = random.Random(seed), Directory(), dict[str, Slot]()
    for version in range(200):
        slot = some_slot(random_, random_.randrange(30), version)
        before = directory.changed("acme")
        if random_.random() < 0.25:
            directory.remove("acme", slot.id)
            assert (directory.changed("acme") != before) == (stands.pop(slot.id, None) is not None)
        else:
            directory.put(slot, [Document({WORD: 1, int(slot.id[1:]): 2}, 1.0)], [(1.0, axis(int(slot.id[1:])))])
            stands[slot.id] = slot
            assert directory.changed("acme") != before
    directory.put(replace(SLOT, namespace="other"), [Document({WORD: 1}, 1.0)], [(1.0, axis(0))])
    return directory, stands


@pytest.fixture(scope="module", params=range(3))
def state(request: pytest.FixtureRequest) -> tuple[Directory, dict[str, Slot]]:
    return written(request.param)


State = tuple[Directory, dict[str, Slot]]


def best(slots: list[Slot]) -> list[str]:
    return [s.id for s in sorted(slots, key=lambda s: (-s.start_us, s.id))]


def test_everything_that_stands_is_found_and_nothing_else(state: State) -> None:
    directory, stands = state
    assert {s.id: s for s in directory.slots("acme")} == stands
    assert [s.id for s in directory.slots("other")] == ["e0"]
    for n in range(30):
        id = f"e{n}"
        assert directory.get("acme", id) == stands.get(id)
        assert directory.by_mac("acme", f"mac{n}".encode()) == (id if id in stands and n % 3 else None)
        assert directory.derived_from("acme", id) == sorted(s.id for s in stands.values() if id in s.sources)
    assert directory.by_mac("acme", b"") is None
    began = {s.id: s.start_us for s in stands.values()}
    assert directory.began("acme", [f"e{n}" for n in range(40)]) == began


def test_sessions_hold_their_own_and_turns_only_what_is_active_and_told(state: State) -> None:
    directory, stands = state
    for session in ("s0", "s1", "s2", "none"):
        own = [s for s in stands.values() if s.session == session]
        assert sorted(s.id for s in directory.slots("acme", session)) == sorted(s.id for s in own)
        turns = sorted((s.place, s.id) for s in own if s.is_base and s.active)
        assert directory.turns("acme", session) == turns
        for at, (place, id) in enumerate(turns):
            before, after = [i for _, i in turns[:at]], [i for _, i in turns[at + 1 :]]
            assert directory.around("acme", session, place, id, 1, 2) == (before[-1:], after[:2])
            assert directory.around("acme", session, place, id, 50, 50) == (before, after)


def test_searches_find_what_is_active_best_first(state: State) -> None:
    directory, stands = state
    active = [s for s in stands.values() if s.active]
    turns = [s for s in active if s.is_base]
    found = directory.search("acme", {WORD: 1.0}, 100, Filter())
    assert {s.id for s, _ in found} == {s.id for s in active}
    assert found == sorted(found, key=lambda h: (-h[1], -h[0].start_us, h[0].id))
    assert directory.search("acme", {WORD: 1.0}, 3, Filter()) == found[:3]
    only = directory.search("acme", {WORD: 1.0}, 100, Filter(kinds=("turn",)))
    assert [s.id for s, _ in only] == best(turns)  # all of one score
    assert [s.id for s, _ in directory.search("acme", {WORD: 1.0}, 2, Filter(kinds=("turn",)))] == best(turns)[:2]
    assert directory.search("acme", {WORD: 1.0}, 100, Filter(kinds=("concept",))) == []
    assert directory.idf("acme", WORD) == idf(len(turns), len(turns))
    for slot in turns[:3]:
        nearest = directory.nearest("acme", axis(int(slot.id[1:])), 4, Filter())
        assert nearest[0][0] == slot
        assert nearest[0][1] == pytest.approx(1.0)
        assert [s.id for s, _ in nearest[1:]] == best([s for s in active if s != slot])[:3]


def test_times_are_found_on_the_clock_of_who_spoke(state: State) -> None:
    directory, stands = state
    turns = [s for s in stands.values() if s.active and s.is_base]
    assert directory.span("acme") == (min(s.shown_us[0] for s in turns), max(s.shown_us[1] for s in turns))
    low, high = to_us(DAY) + 10 * HOUR_US, to_us(DAY) + 30 * HOUR_US

    def away(slot: Slot) -> int | None:
        middle = (low + high) // 2
        times = [t for t in (slot.shown_us, *slot.times_us) if t[0] < high and t[1] > low]
        return min((abs((a + b) // 2 - middle) for a, b in times), default=None)

    expected = sorted((d, -s.start_us, s.id) for s in turns if (d := away(s)) is not None)
    for k in (2, 5, 100):
        found = directory.between("acme", low, high, k, Filter())
        assert [(d, s.id) for s, d in found] == [(d, id) for d, _, id in expected][:k]
    spoken = directory.between("acme", low - 520 * HOUR_US, low - 480 * HOUR_US, 100, Filter())
    assert {s.id for s, _ in spoken} <= {s.id for s in turns if s.times_us}
    assert spoken


def test_equally_good_ones_come_latest_first_beyond_the_bound_too() -> None:
    directory = Directory()
    for n in range(6):
        at = to_us(DAY) + n * HOUR_US
        slot = replace(SLOT, id=f"e{n}", start_us=at, times_us=((5, 7),))
        directory.put(slot, [Document({WORD: 1}, 1.0)], [(0.5, axis(0)), (1.0, axis(0))])
    latest = ["e5", "e4", "e3"]
    assert [s.id for s, _ in directory.search("acme", {WORD: 1.0}, 3, Filter())] == latest
    assert [(s.id, score) for s, score in directory.nearest("acme", axis(0), 3, Filter())] == [(i, 1.0) for i in latest]
    assert [(s.id, away) for s, away in directory.between("acme", 4, 8, 3, Filter())] == [(i, 0) for i in latest]
    assert [s.id for s, _ in directory.nearest("acme", axis(0), 1, Filter())] == ["e5"]
    assert directory.nearest("acme", axis(0), 0, Filter()) == []


def test_a_filter_holds_in_every_search() -> None:
    directory = Directory()
    for n, actor in enumerate(["Ann", "Bob", "Ann"]):
        slot = replace(SLOT, id=f"e{n}", actor=actor, start_us=SLOT.start_us + n)
        directory.put(slot, [Document({WORD: 1}, 1.0)], [(1.0, axis(n))])
    bobs = Filter(actor="Bob")
    assert [s.id for s, _ in directory.search("acme", {WORD: 1.0}, 9, bobs)] == ["e1"]
    assert [s.id for s, _ in directory.nearest("acme", axis(0), 9, bobs)] == ["e1"]
    assert [s.id for s, _ in directory.between("acme", SLOT.start_us, SLOT.end_us, 9, bobs)] == ["e1"]


def test_a_namespace_that_holds_nothing_answers_with_nothing() -> None:
    directory = Directory()
    directory.remove("acme", "e0")
    assert directory.get("acme", "e0") is None
    assert directory.by_mac("acme", b"x") is None
    assert directory.span("acme") is None
    assert directory.slots("acme") == []
    assert directory.turns("acme", "s") == []
    assert directory.derived_from("acme", "e0") == []
    assert directory.search("acme", {1: 1.0}, 5, Filter()) == directory.nearest("acme", axis(0), 5, Filter()) == []
    assert directory.between("acme", 0, 9, 5, Filter()) == []
    assert directory.began("acme", ["e0"]) == {}
    assert directory.around("acme", "s", 0, "e0", 5, 5) == ([], [])
    assert directory.idf("acme", WORD) == idf(0, 0)


def test_vectors_are_kept_only_where_they_are_searched() -> None:
    assert Directory().holds_vectors
    directory = Directory(holds_vectors=False)
    directory.put(SLOT, [], [(1.0, axis(0))])
    with pytest.raises(AssertionError):
        directory.nearest("acme", axis(0), 1, Filter())
    directory.holds_vectors = True
    assert directory.nearest("acme", axis(0), 1, Filter()) == []


def test_neighbours_of_a_place_in_a_session_leave_itself_out() -> None:
    turns = [(1, "a"), (2, "b"), (2, "c"), (5, "d")]
    assert around(turns, 2, "b", 5, 5) == (["a"], ["c", "d"])
    assert around(turns, 2, "c", 1, 1) == (["b"], ["d"])
    assert around(turns, 3, "x", 2, 2) == (["b", "c"], ["d"])  # of one that is not there, its place
    assert around(turns, 9, "x", 2, 2) == (["c", "d"], [])
    assert around(turns, 1, "a", 0, 0) == ([], [])


@pytest.mark.parametrize(
    ("wanted", "meets"),
    [
        (Filter(), True),
        (Filter(kinds=("episode", "turn")), True),
        (Filter(kinds=("episode",)), False),
        (Filter(actor="Ann", session="s", source="chat"), True),
        (Filter(actor="Bob"), False),
        (Filter(session="t"), False),
        (Filter(source="mail"), False),
        (Filter(event=(DAY + timedelta(minutes=59), None)), True),
        (Filter(event=(DAY + timedelta(hours=1), None)), False),
        (Filter(event=(None, DAY + timedelta(seconds=1))), True),
        (Filter(event=(None, DAY)), False),
        (Filter(days=Interval(DAY, DAY + timedelta(days=1))), True),
        (Filter(days=Interval(DAY + timedelta(days=1), DAY + timedelta(days=2))), False),
        (Filter(metadata_equals={"team": "blue"}), True),
        (Filter(metadata_equals={"team": "red"}), False),
        (Filter(metadata_equals={"team": "blue", "floor": 2.0}), False),
        (Filter(metadata_range={"size": (3.0, 4.0)}), True),
        (Filter(metadata_range={"size": (None, None)}), True),
        (Filter(metadata_range={"size": (3.1, None)}), False),
        (Filter(metadata_range={"size": (None, 3.0)}), False),
        (Filter(metadata_range={"team": (None, None)}), False),
        (Filter(metadata_range={"floor": (None, None)}), False),
    ],
    ids=repr,
)
def test_what_meets_a_filter(wanted: Filter, meets: bool) -> None:
    assert matches(SLOT, wanted) is meets
    assert not matches(replace(SLOT, state="superseded"), wanted)


def test_a_day_is_that_of_the_clock_of_who_spoke() -> None:
    west = clocks.zone(-7 * 60)
    at = datetime(2023, 5, 8, 22, 15, tzinfo=west)
    us, shown = to_us(at), to_us(clocks.as_shown(at))
    slot = replace(SLOT, start_us=us, end_us=us + 1, shown_us=(shown, shown + 1))
    assert slot.utc_offset_minutes == -420
    day = timedelta(days=1)
    assert matches(slot, Filter(days=Interval(DAY, DAY + day)))
    assert not matches(slot, Filter(days=Interval(DAY + day, DAY + 2 * day)))


def test_a_slot_shows_times_on_the_clock_of_who_spoke() -> None:
    east = clocks.zone(330)
    event = Interval(datetime(2023, 5, 8, 1, tzinfo=east), datetime(2023, 5, 8, 2, tzinfo=east))
    said = Interval(DAY - timedelta(days=3), DAY - timedelta(days=2))
    slot = slot_of(Stored(Record("e0", "acme", "turn", "", event, times=(said,)), 1, 2, 3), 9, 4)
    assert (slot.start_us, slot.end_us) == (to_us(event.start), to_us(event.end))
    assert slot.shown_us == (to_us(DAY) + HOUR_US, to_us(DAY) + 2 * HOUR_US)
    ahead_us = 330 * 60_000_000
    assert slot.times_us == ((to_us(said.start) + ahead_us, to_us(said.end) + ahead_us),)
    assert slot.utc_offset_minutes == 330
    assert (slot.partition, slot.version, slot.place, slot.feed_offset, slot.rows) == (1, 2, 3, 9, 4)


def test_bounds_hold_the_filter_s_event_and_its_days_on_every_clock() -> None:
    widest = timedelta(minutes=clocks.MAX_OFFSET_MINUTES)
    day = timedelta(days=1)
    days = Interval(DAY, DAY + day)
    assert bounds(Filter()) == (None, None)
    assert bounds(Filter(event=(DAY, None))) == (to_us(DAY), None)
    assert bounds(Filter(event=(None, DAY))) == (None, to_us(DAY))
    assert bounds(Filter(days=days)) == (to_us(DAY - widest), to_us(DAY + day + widest))
    narrow = Filter(days=days, event=(DAY, DAY + day))
    assert bounds(narrow) == (to_us(DAY), to_us(DAY + day))
    wide = Filter(days=days, event=(DAY - 9 * day, DAY + 9 * day))
    assert bounds(wide) == (to_us(DAY - widest), to_us(DAY + day + widest))
