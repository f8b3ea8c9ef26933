"""Each plug-in's own promise."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from services.common.fusion import CONSTANT
from services.episodic.plugins import PluginError, build
from services.episodic.plugins.base import Candidate, EpisodeClosed, Filter, Interval, Key, Plan, Record
from services.episodic.plugins.fuse import Channel, reciprocal_rank
from tests.episodic.plugins import world


def key(host: object, record: Record) -> Key:
    return host.spaces["home"].records[record.id].keys[0]  # type: ignore[attr-defined, no-any-return]


# --- the list ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("named", "says"),
    [
        (["turn"], r"plugins\.turn: no such plug-in.*turns"),
        (["dense", {"dense": {}}], r"plugins\.dense: named twice"),
        ([{"dense": {"wieght": 1.0}}], r"plugins\.dense\.wieght: no such parameter\. Known: weight"),
        ([{"dense": {"weight": "1"}}], r"plugins\.dense\.weight: must be float"),
        ([{"turns": {"words": True}}], r"plugins\.turns\.words: must be int"),
    ],
)
def test_what_does_not_exist_stops_the_start_and_is_named(named: list[object], says: str) -> None:
    with pytest.raises(PluginError, match=says):
        build(named)  # type: ignore[arg-type]


def test_parameters_reach_the_plugin() -> None:
    lexical, dense = build([{"lexical": {"episode_weight": 0}}, "dense"])
    assert repr(lexical) == "Lexical(episode_weight=0, episodes=20)"
    assert dense.weight == 0.8


# --- turns ------------------------------------------------------------------------------------------------------


def test_a_key_is_own_text_then_the_turn_before_then_the_day() -> None:
    host, turns = world.host(build(["turns"])), world.turns()
    assert key(host, turns[0]).text == "Ada: The kettle is broken again.\n4 March 1901, Monday"
    assert key(host, turns[1]).text == (
        "Bert: I could mend it on Saturday.\nAda: The kettle is broken again.\n4 March 1901, Monday"
    )
    assert "Bert" not in key(host, turns[4]).text  # the first of the next session


def test_of_the_turn_before_only_the_last_words_there_is_room_for_are_taken() -> None:
    own = len(world.turns()[1].text.split())
    host = world.host(build([{"turns": {"words": own + 2}}]))
    assert "\nAda: broken again.\n" in key(host, world.turns()[1]).text


def test_a_long_turn_speaks_for_itself() -> None:
    own = len(world.turns()[1].text.split())
    host = world.host(build([{"turns": {"words": own}}]))
    assert "Ada" not in key(host, world.turns()[1]).text


def test_a_turn_is_found_by_what_was_asked_before_it() -> None:
    found = world.ask(
        world.host(build(["turns", "naive"])), world.query("Who plays in the kitchen on the harmonium at tea?")
    )
    assert set(world.texts(found)[:2]) == {
        "She plays the harmonium, does she not?",
        "Good. Then we shall have tea with Mrs. Crane.",
    }


# --- episodes and lexical ---------------------------------------------------------------------------------------


def test_an_episode_holds_its_members_and_is_recalled_only_when_its_kind_is_asked_for() -> None:
    host = world.host(build(world.SHIPPED))
    episodes = [r for r in host.spaces["home"].records.values() if r.kind == "episode"]
    assert len(episodes) == len(world.TALK)
    assert {s for e in episodes for s in e.sources} == {t.id for t in world.turns()}
    assert {i.record.kind for i in world.ask(host, world.query("coat ball tea", 12)).kept} == {"turn"}
    asked = world.query("the harmonium", wanted=Filter(kinds=("episode",)))
    assert [i.record.session for i in world.ask(host, asked).kept] == ["kitchen"]


def test_an_episode_longer_than_an_engram_may_be_is_cut() -> None:
    host = world.host(build(["episodes"]), [])
    members = tuple(world.turn(n, "long", "Ada", "ä" * 20_000, world.START) for n in range(3))
    world.fold(host, [*members, EpisodeClosed("e", "long", members, "span", 2)])
    assert 59_990 < len(host.spaces["home"].records["e"].text.encode()) <= 60_000


def test_an_episode_lifts_its_members_even_those_that_share_no_word_with_the_question() -> None:
    host = world.host(build(["episodes", "lexical"]))
    question = "Which ball with the mayor and dancing?"
    found = world.texts(world.ask(host, world.query(question, 12)))
    silent = "I tore my coat on the gate."
    assert silent in found
    assert silent not in world.texts(world.ask(world.host(build(["naive"])), world.query(question, 12)))


def test_a_lift_does_not_pass_a_filter() -> None:
    host = world.host(build(["episodes", "lexical"]))
    found = world.ask(host, world.query("Which ball with the mayor?", 12, wanted=Filter(actor="Ada")))
    assert found.kept
    assert {i.record.actor for i in found.kept} == {"Ada"}


# --- fusion -----------------------------------------------------------------------------------------------------


def test_fusion_is_weighted_reciprocal_rank_worked_by_hand() -> None:
    a, b = Candidate("a", "n", 9.0), Candidate("b", "n", 0.5)
    first, second = reciprocal_rank([Channel("x", 1.0, [a, b]), Channel("y", 0.5, [b])])
    most = 1.5 / (CONSTANT + 1)
    assert (first.id, first.score) == ("b", round((1 / (CONSTANT + 2) + 0.5 / (CONSTANT + 1)) / most, 6))
    assert (second.id, second.score) == ("a", round(1 / (CONSTANT + 1) / most, 6))
    assert first.trace == (("x", 2, 0.5), ("y", 1, 0.5))


def test_equal_scores_of_a_channel_share_the_better_rank() -> None:
    """Or what came later would win just so."""
    hits = [Candidate("a", "n", 2.0), Candidate("b", "n", 1.0), Candidate("c", "n", 1.0), Candidate("d", "n", 0.5)]
    fused = reciprocal_rank([Channel("x", 1.0, hits)])
    assert [(f.id, f.trace[0][1]) for f in fused] == [("a", 1), ("b", 2), ("c", 2), ("d", 4)]
    assert fused[1].score == fused[2].score


def test_no_channel_gates_another() -> None:
    """A hit of the lexical channel alone enters, and one of the dense channel alone."""
    host = world.host(build(["dense", "lexical"]))
    found = world.ask(host, world.query("harmonium", limit=12))
    stages = [{stage for stage, _, _ in i.trace} for i in found.kept]
    assert any("lexical" in s for s in stages)
    assert any("lexical" not in s and "dense" in s for s in stages)
    narrow = world.ask(host, replace(world.query("harmonium"), limit=1))
    assert world.texts(narrow) == ["She plays the harmonium, does she not?"]


def test_every_item_says_where_each_stage_put_it() -> None:
    found = world.ask(world.host(build(world.SHIPPED)), world.query("Who tore a coat?"))
    assert [stage for stage, _, _ in found.kept[0].trace][-2:] == ["fused", "own_words"]
    assert [rank for i in found.kept for stage, rank, _ in i.trace if stage == "own_words"] == [1, 2, 3, 4, 5]


def test_other_namespaces_are_searched_only_where_they_are_asked_for() -> None:
    host = world.host(build(world.SHIPPED), [*world.events("home"), *world.events("away")])
    assert {i.record.namespace for i in world.ask(host, world.query("coat", 12)).kept} == {"home"}
    both = world.query("coat", 12, namespaces=("home", "away"))
    assert {i.record.namespace for i in world.ask(host, both).kept} == {"home", "away"}


# --- contiguity and pack ----------------------------------------------------------------------------------------


def test_a_turn_links_back_to_the_one_before_it() -> None:
    host, turns = world.host(build(["contiguity"])), world.turns()
    records = host.spaces["home"].records
    assert records[turns[1].id].links == ((turns[0].id, "previous", 1.0),)
    assert records[turns[0].id].links == records[turns[4].id].links == ()


def test_contiguity_brings_the_next_turn_first_and_then_the_previous() -> None:
    host = world.host(build(["naive", {"contiguity": {"share": 0.5}}]))
    asked = world.query("Saturday harmonium mayor tailor", limit=4)
    assert world.texts(world.ask(host, asked))[2:] != world.texts(world.ask(world.host(build(["naive"])), asked))[2:]
    one = world.ask(host, world.query("Saturday", limit=4))
    assert world.texts(one) == ["I could mend it on Saturday."]  # places grow from what was found
    two = world.ask(host, world.query("dancing shillings", limit=4))
    best = two.kept[0].record
    brought = [i for i in two.kept if i.trace[0][0] == "contiguity"]
    assert brought
    assert all(i.why.startswith("stands ") for i in brought)
    assert brought[0].record.session == best.session


def test_pack_passes_over_what_is_too_long_and_names_it() -> None:
    host = world.host(build(["naive", "pack"]))
    found = world.ask(host, world.query("coat", 12, budget=8))
    assert sum(len(t.split()) for t in world.texts(found)) <= 8
    assert world.texts(found)
    assert found.dropped
    assert not set(found.dropped) & {i.record.id for i in found.kept}


# --- time -------------------------------------------------------------------------------------------------------


def test_the_time_channel_ranks_by_content_inside_the_range() -> None:
    host = world.host(build(["between"]))
    asked = world.query("coat")
    ctx = host.context(world.ASKED)
    plan = Plan(asked, "coat", time=Interval(world.START, world.START + timedelta(days=61)))
    hits = build(["between"])[0].retrieve(plan, ctx)["time"]
    assert host.spaces["home"].records[hits[0].id].text == "I tore my coat on the gate."
    inside = {h.id for h in hits}
    assert inside == {t.id for t in world.turns() if t.session != "after"}
