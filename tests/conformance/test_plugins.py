"""What every plug-in must pass: tests 1 to 5, 7, 8 and 10 of the method sheets' list (and 6 and 9), over the one
visible list, each plug-in alone and all as shipped."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from itertools import permutations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.episodic.plugins import PLUGINS, build
from services.episodic.plugins.base import EpisodeClosed, Event, Key, Observed, Plan, Plugin, Record
from services.episodic.plugins.exact import ExactHost
from services.episodic.plugins.pipeline import compose
from tests.episodic.plugins import world

LISTS: dict[str, list[str]] = {cls.name: [cls.name] for cls in PLUGINS} | {"all as shipped": world.SHIPPED}


@pytest.fixture(params=LISTS, scope="module")
def plugins(request: pytest.FixtureRequest) -> tuple[Plugin, ...]:
    return build(LISTS[request.param])


def test_the_list_names_each_plugin_once_and_ships_only_listed_ones() -> None:
    names = [cls.name for cls in PLUGINS]
    assert len(names) == len(set(names))
    assert set(world.SHIPPED) <= set(names)


def test_1_a_replay_comes_to_the_same_state(plugins: tuple[Plugin, ...]) -> None:
    assert world.host(plugins).state_hash() == world.host(plugins).state_hash()


@pytest.mark.parametrize("cut", [1, 3, 5, 9])
def test_2_a_prefix_and_then_the_rest_is_the_whole(plugins: tuple[Plugin, ...], cut: int) -> None:
    """The rest is folded by new instances, as after a restart: none may remember."""
    every = world.events()
    host = world.host(plugins, every[:cut])
    host.plugins = tuple(replace(p) for p in plugins)  # type: ignore[type-var]
    assert world.fold(host, every[cut:]).state_hash() == world.host(plugins).state_hash()


@pytest.mark.parametrize("seed", range(5))
def test_3_duplicates_and_redelivery_change_nothing(plugins: tuple[Plugin, ...], seed: int) -> None:
    rng, every = random.Random(seed), world.events()
    again = [e for n, e in enumerate(every) for e in (e, *every[: n + 1][: rng.randrange(4)])]
    assert world.host(plugins, again).state_hash() == world.host(plugins).state_hash()


def test_3_a_hook_says_the_same_when_it_is_asked_again(plugins: tuple[Plugin, ...]) -> None:
    host = world.host(plugins)
    for event in world.events():
        ctx = host.context(world.ASKED)
        asked: Event = Observed(event) if isinstance(event, Record) else event
        for plugin in plugins:
            assert list(plugin.encode(asked, ctx)) == list(plugin.encode(asked, ctx))
            if isinstance(event, Record):
                assert list(plugin.link(event, ctx)) == list(plugin.link(event, ctx))


@pytest.mark.parametrize("seed", range(3))
def test_4_interleaving_of_namespaces_is_irrelevant(plugins: tuple[Plugin, ...], seed: int) -> None:
    rng = random.Random(seed)
    queues = [world.events("home"), world.events("away")]
    mixed: list[world.Event] = []
    while any(queues):
        mixed.append(rng.choice([q for q in queues if q]).pop(0))
    together = world.host(plugins, mixed)
    for namespace in ("home", "away"):
        alone = world.host(plugins, world.events(namespace))
        assert together.state_hash(namespace) == alone.state_hash(namespace)


@pytest.mark.parametrize("text", ["", "   ", "?", "the of and", "What did Mrs. Crane play?"])
def test_5_an_empty_store_returns_nothing(plugins: tuple[Plugin, ...], text: str) -> None:
    assert world.ask(ExactHost(plugins, world.embedder().embed), world.query(text)).kept == ()


@pytest.mark.parametrize("text", ["", " \n "])
def test_5_an_empty_query_returns_without_an_error(plugins: tuple[Plugin, ...], text: str) -> None:
    assert world.ask(world.host(plugins), world.query(text)).kept == ()


def test_6_every_hook_returns_without_a_network(plugins: tuple[Plugin, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    world.embedder()

    def refuse(*_: object) -> None:
        raise AssertionError("a hook reached for the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    found = world.ask(world.host(plugins), world.query("What happened the week after the ball?"))
    assert bool(found.kept) == retrieves(plugins)


def retrieves(plugins: Sequence[Plugin]) -> bool:
    return any(type(p).retrieve is not Plugin.retrieve and p.name != "between" for p in plugins)


@pytest.mark.parametrize("number", range(12))
def test_7_erasing_a_base_record_leaves_what_would_be_without_it(plugins: tuple[Plugin, ...], number: int) -> None:
    """Stronger than "retired or rebuilt": not one key, link or derived record differs from never having seen it."""
    host, gone = world.host(plugins), world.turns()[number]
    host.erase("home", [gone.id])
    assert host.state_hash() == world.host(plugins, list(without(gone))).state_hash()
    for record in host.spaces["home"].records.values():
        assert gone.id not in record.sources
        assert all(dst != gone.id for dst, _, _ in record.links)
        assert all(gone.text not in key.text for key in record.keys)


def without(gone: Record) -> Iterator[world.Event]:
    for event in world.events():
        if isinstance(event, EpisodeClosed):
            yield replace(event, members=tuple(m for m in event.members if m.id != gone.id))
        elif event.id != gone.id:
            yield event


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(budget=st.integers(0, 60), limit=st.integers(1, 12))
@pytest.mark.parametrize("names", [[*n, *([] if "pack" in n else ["pack"])] for n in LISTS.values()], ids=LISTS)
def test_8_compose_never_exceeds_its_budget(names: list[str], budget: int, limit: int) -> None:
    plugins = build(names)
    host = world.host(build(world.SHIPPED))
    ranked = world.ask(host, world.query("coat cat tea ball", 12)).ranked
    asked = world.query("coat cat tea ball", limit, budget)
    ctx = host.context(world.ASKED)
    composed = compose(plugins, Plan(asked, asked.text), ranked, ctx)
    assert sum(ctx.tok_count(i.record.text) for i in composed.items) <= budget
    assert len(composed.items) <= limit
    kept = [i.record.id for i in composed.items]
    assert len(kept) == len(set(kept))
    assert not set(kept) & set(composed.dropped)


# What finds nothing by itself stands beside the baseline, so that there is something to order.
FINDING = {
    name: [*(n for n in ("time_plan", "naive") if n not in names), *names] if not retrieves(build(names)) else names
    for name, names in LISTS.items()
} | {"turns, dense and lexical": ["turns", "dense", "lexical"], "time alone": ["time_plan", "between"]}
UNTIMED, TIMED = "Who sold the harmonium?", "Who sold the harmonium in March 1901?"


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
@pytest.mark.parametrize("text", [UNTIMED, TIMED])
@pytest.mark.parametrize("names", FINDING.values(), ids=FINDING)
def test_10_equal_scores_are_ordered_by_event_time_descending_then_id(
    names: list[str], text: str, order: tuple[int, ...]
) -> None:
    early, late = world.START, world.START + timedelta(hours=2)
    twins = [world.turn(n, f"s{n}", "Ada", "The harmonium was sold.", at) for n, at in enumerate([early, late, late])]
    host = world.host(build(names), [twins[i] for i in order])
    found = world.ask(host, world.query(text))
    assert (found.plan.time is not None) == (text == TIMED and "time_plan" in names)
    expected = [*sorted([twins[1].id, twins[2].id]), twins[0].id]
    told = [id for item in found.kept for id in (item.record.id, *item.repeats)]
    assert told == (expected if found.plan.time or names != FINDING["time alone"] else [])


@pytest.mark.parametrize(("words", "meaning"), list(permutations(range(4), 2)))
def test_10_a_hit_by_words_alone_and_one_by_meaning_alone_are_equal_in_the_time_asked_for(
    words: int, meaning: int
) -> None:
    """Each leads one of the searches that the time channel joins, and none holds the other."""
    text = "The harmonium was sold."
    times = [world.START + timedelta(hours=n) for n in (0, 1, 1, 2)]
    turns = [world.turn(n, f"s{n}", "Ada", text, at) for n, at in enumerate(times)]
    pair = [
        replace(turns[words], keys=(Key("text", text, use="lexical"),)),
        replace(turns[meaning], keys=(Key("text", text, use="dense"),)),
    ]
    # Nearer the middle of the range than both, so that their distance from it says nothing of them.
    rent = (Key("text", "rent", use="lexical"),)
    others = [
        replace(world.turn(n, "rent", "Ada", "rent", times[-1] + timedelta(days=1)), keys=rent) for n in range(4, 6)
    ]
    host = world.host(build(["time_plan", {"between": {"depth": 2}}]), [*pair, *others])
    found = world.ask(host, world.query(TIMED))
    assert found.plan.time is not None
    equal = sorted(pair, key=lambda t: (-t.event.start.timestamp(), t.id))
    assert [i.record.id for i in found.kept] == [t.id for t in equal]


@pytest.mark.parametrize("names", [["naive"], ["dense"], ["lexical"], ["time_plan", "between"]], ids=lambda n: n[-1])
@pytest.mark.parametrize("later", ["home", "away"])
def test_10_holds_over_several_namespaces(names: list[str], later: str) -> None:
    def told(namespace: str) -> Record:
        return world.turn(
            0, "s", "Ada", "The harmonium was sold.", world.START + timedelta(hours=later == namespace), namespace
        )

    host = world.host(build(names), [told("home"), told("away")])
    found = world.ask(host, world.query(TIMED, namespaces=("home", "away")))
    assert [i.record.namespace for i in found.kept] == sorted(["home", "away"], key=lambda n: n != later)


def test_10_members_that_only_their_episode_brings_are_equal() -> None:
    texts = ["We sold it.", "At what price?", "The harmonium was sold.", "Nobody bids for it.", "Good riddance."]
    members = [world.turn(n, "s", "Ada", t, world.START + timedelta(hours=n)) for n, t in enumerate(texts)]
    host = world.host(build(["episodes", "lexical"]), [*members, EpisodeClosed("e", "s", tuple(members), "ended", 4)])
    found = world.ask(host, world.query("harmonium"))
    assert [i.record.id for i in found.kept] == [members[n].id for n in (2, 4, 3, 1, 0)]


# --- 9: neutral parameters reproduce the baseline ---------------------------------------------------------------

QUESTIONS = ["What did Mrs. Crane play?", "Who tore a coat?", "radishes", "Did the tailor ask for shillings?"]


@pytest.mark.parametrize("text", QUESTIONS)
def test_9_lexical_without_episodes_is_the_baseline(text: str) -> None:
    baseline = world.ask(world.host(build(["naive"])), world.query(text))
    neutral = world.ask(world.host(build([{"lexical": {"episode_weight": 0.0}}])), world.query(text))
    assert [(i.record.id, i.score) for i in neutral.kept] == [(i.record.id, i.score) for i in baseline.kept]


@pytest.mark.parametrize("text", QUESTIONS)
@pytest.mark.parametrize("name", ["time_plan", "between", {"contiguity": {"share": 0.0}}, "pack", "episodes"], ids=str)
def test_9_what_has_nothing_to_say_changes_nothing(text: str, name: object) -> None:
    """No time in the question, no share for neighbours, no budget, no one who asks for episodes."""
    baseline = world.ask(world.host(build(["naive"])), world.query(text))
    beside = world.ask(world.host(build(["naive", name])), world.query(text))  # type: ignore[list-item]
    assert [(i.record.id, i.score) for i in beside.kept] == [(i.record.id, i.score) for i in baseline.kept]
