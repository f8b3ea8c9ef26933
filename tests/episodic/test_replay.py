"""Whatever was said, corrected and erased, in whatever order: a rebuild comes to the same state."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mneme.v1 import ledger_pb2 as pb
from mneme.v1.admin_pb2 import AliasGroup, MetadataField, MetadataType
from mneme.v1.episodic_pb2 import ForgetSelector, Ids, Person

from services.common.ledger import entries as ledger
from services.common.ledger import topics
from services.common.models.embed import Embedder
from services.common.serving.errors import MnemeError
from services.common.text import lexical
from services.common.text.extract import NO_ALIASES
from services.episodic.plugins import build
from services.episodic.state.namespaces import NamespaceInfo
from services.episodic.write import generation
from tests.episodic.world import NAMESPACE, World

SESSIONS = ("s1", "s2")
WORDS = ("amber", "barge", "cedar", "drum", "ember", "fern")
PEOPLE = ("Ann", "Mark", "Rosamund")  # the second is a word too, and so doubtful
GROUPS = (
    [AliasGroup(name="Ann Lee", aliases=["Ann"])],
    [AliasGroup(name="Mark Pooter", aliases=["Mark", "Ann"])],
    [AliasGroup(name="Rosamund", aliases=["Ann"]), AliasGroup(name="Mark")],
    None,
)

command = st.one_of(
    st.tuples(st.just("say"), st.integers(0, 7), st.sampled_from(SESSIONS)),
    st.tuples(st.just("say again"), st.integers(0, 7), st.sampled_from(SESSIONS)),
    st.tuples(st.just("close"), st.integers(0, 5), st.integers(1, 3)),
    st.tuples(st.just("correct"), st.integers(0, 7), st.integers(0, 3)),
    st.tuples(st.just("remember"), st.integers(0, 2), st.just(0)),
    st.tuples(st.just("forget"), st.integers(0, 7), st.just(0)),
    st.tuples(st.just("forget person"), st.integers(0, 2), st.just(0)),
    st.tuples(st.just("change"), st.integers(0, 5), st.integers(0, 3)),
)


def _remove(folder: Path) -> None:
    """Milvus Lite builds indexes behind, and may still be at it just after it was closed."""
    for _ in range(50):
        with contextlib.suppress(OSError):
            shutil.rmtree(folder)
            return
        time.sleep(0.1)
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, embedder: Embedder) -> Iterator[World]:
    """One world for all examples; each plays in a namespace of its own."""
    folder = tmp_path_factory.mktemp("replay")
    world = World(folder, embedder)
    world.entities = named
    world.open()
    yield world
    world.close()
    _remove(folder)


def play(world: World, namespace: str, commands: list[tuple[str, int, object]]) -> None:
    said: list[tuple[str, str]] = []
    for what, n, other in commands:
        if what in ("say", "say again") and (what == "say again" or not any(i == f"o{n}" for i, _ in said)):
            world.observe(f"o{n}", f"Turn {n}: {WORDS[n % 6]} and {WORDS[(n + 2) % 6]}.", str(other), namespace)
            said.append((f"o{n}", str(other)))
        elif what == "close" and said:
            session = said[-1][1]
            mine = [i for i, s in dict.fromkeys(said) if s == session]
            world.close_episode(mine[n % len(mine) :][: int(str(other))], session, namespace)
        elif what == "remember":
            try_to(partial(world.remember, f"r{n}", f"{PEOPLE[n]} it down: {WORDS[n]} for {PEOPLE[-n]}.", namespace))
        elif what == "correct":
            world.settle()
            target, text = world.base(f"o{n}", namespace), f"Rather {WORDS[int(str(other))]}, said Ann."
            try_to(partial(world.correct, f"c{other}", target, text, namespace))
        elif what == "forget":
            world.settle()
            try_to(partial(world.forget, ForgetSelector(ids=Ids(ids=[f"o{n}"])), namespace))
        elif what == "forget person":
            world.settle()
            try_to(partial(world.forget, ForgetSelector(person=Person(name=PEOPLE[n])), namespace))
        elif what == "change":
            declared = [MetadataField(name=f"f{n}", type=MetadataType.METADATA_TYPE_TEXT)]
            world.change(f"n{n}", GROUPS[int(str(other))], declared, namespace)
    world.settle()


def try_to(command: Callable[[], object]) -> None:
    """Some commands are refused, as they should be: what matters is that the state is the same after a rebuild."""
    try:
        command()
    except MnemeError as error:
        if error.reason not in ("NOT_FOUND", "INVALID_FIELD", "ERASED", "ID_REUSED"):
            raise


def named(text: str, info: NamespaceInfo | None) -> tuple[Sequence[str], Sequence[str]]:
    """As the extractor, of which these tests need the aliases alone."""
    return tuple(dict.fromkeys(name for *_, name in (info.known if info else NO_ALIASES).within(text))), ()


@settings(max_examples=12, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow])
@given(commands=st.lists(command, min_size=4, max_size=16))
def test_invariant_08_a_rebuild_comes_to_the_live_state(shared: World, commands: list[tuple[str, int, object]]) -> None:
    namespace = f"replay/{len(shared.host.registry.names())}"
    shared.create(namespace)
    shared.settle()
    play(shared, namespace, commands)
    live = shared.hash(namespace)
    shared.rebuild()
    assert shared.hash(namespace) == live


def history(world: World) -> list[tuple[str, str, str, int]]:
    slots = sorted(world.host.live.store.directory.slots(NAMESPACE), key=lambda s: s.id)
    return [
        (slot.id, event.what, event.engram.text, event.engram.state)
        for slot in slots
        for event in world.reads.history(NAMESPACE, slot.id)
    ]


def test_invariant_01_compaction_loses_no_memory(world: World) -> None:
    for n in range(4):
        world.observe(f"o{n}", f"Page {n} of the logbook.")
    world.close_episode(["o0", "o1"])
    world.settle()
    world.correct("c1", world.base("o1"), "Page 1 of the ledger.")
    world.settle()
    before, told = world.hash(), history(world)
    world.log.compact(topics.FEED)
    world.log.compact(topics.KEYS)
    world.restart()
    assert (world.hash(), history(world)) == (before, told)
    world.rebuild()
    assert (world.hash(), history(world)) == (before, told)


@pytest.mark.parametrize("at_once", [1, 2, 512])
def test_invariant_01_the_index_is_made_from_a_compacted_feed(
    world: World, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(generation, "_DRAIN", at_once)
    for n in range(4):
        world.observe(f"o{n}", f"Page {n} of the logbook.")
    world.close_episode(["o0", "o1"])
    world.settle()
    before = world.hash()
    world.log.compact(topics.FEED)
    world.close()
    _remove(world.folder / "index")
    world.open()
    world.settle()
    assert world.hash() == before


def test_invariant_10_an_upgrade_changes_what_it_should_once(world: World, tmp_path: Path) -> None:
    for n in range(3):
        world.observe(f"o{n}", f"Knot {n} on the rope.")
    world.settle()
    before = world.hash()
    turn = world.host.live.store.whole(NAMESPACE, world.base("o2"))
    assert turn is not None
    assert "Knot 1" in turn.record.keys[0].text
    world.close()
    world.plugins = build([{"turns": {"words": 0}}, "episodes", "dense", "lexical"])
    world.open()
    assert world.host.generations.outdated
    world.rebuild()
    assert not world.host.generations.outdated
    again = world.host.live.store.whole(NAMESPACE, world.base("o2"))
    assert again is not None
    assert again.id == turn.id
    assert "Knot 1" not in again.record.keys[0].text
    assert again.applied.isdisjoint(turn.applied)
    assert world.hash() != before


def test_an_index_of_terms_that_were_cut_otherwise_is_outdated(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.close()
    monkeypatch.setattr(lexical, "IDENTITY", "another")
    world.open()
    assert world.host.generations.outdated


def test_invariant_12_other_namespaces_change_nothing(world: World) -> None:
    """The same words in one namespace, alone and between another's: the same engrams, scores and all."""
    world.create("acme/alone")
    world.create("other/busy")
    for n in range(5):
        world.observe(f"o{n}", f"Bell {n} rang over {WORDS[n]} hill.", namespace="acme/alone")
    world.settle()
    before, found = world.hash("acme/alone"), world.recall("the bell over cedar hill", "acme/alone")
    for n in range(20):
        world.observe(f"o{n}", f"Bell {n} rang over cedar hill and cedar vale.", namespace="other/busy")
    world.settle()
    again = world.recall("the bell over cedar hill", "acme/alone")
    assert world.hash("acme/alone") == before
    lexical = [[t for t in i.trace if t[0] == "lexical"] for i in found.items]
    assert [[t for t in i.trace if t[0] == "lexical"] for i in again.items] == lexical
    assert [i.record.id for i in again.items] == [i.record.id for i in found.items]


def test_invariant_03_order_is_per_namespace(world: World) -> None:
    """Entries of a namespace lie in one partition whatever their session; neighbours follow the ledger."""
    places = [world.observe(f"o{n}", f"Step {n}.", f"s{n % 5}") for n in range(10)]
    assert len({p.partition for p in places}) == 1
    world.settle()
    turns = world.host.live.store.directory.turns(NAMESPACE, "s3")
    assert [id for _, id in turns] == [world.base("o3"), world.base("o8")]


def test_the_same_entry_twice_changes_nothing(world: World) -> None:
    world.observe("o0", "A heron stood in the reeds.")
    world.observe("o1", "It did not move.")
    world.close_episode(["o0", "o1"])
    world.settle()
    before = world.hash()
    entries = [r for p in range(1) for r in world.log.read(topics.LEDGER, p)]
    world.log.append([ledger.message(pb.LedgerEntry.FromString(r.value or b"")) for r in entries])
    world.settle()
    assert world.hash() == before
    assert dead_letters(world) == []


def test_of_two_writers_that_accepted_the_same_at_once_one_key_is_left(world: World) -> None:
    """No erasure would name the other one."""
    world.observe("o0", "A heron stood in the reeds.")
    world.observe("o1", "It did not move.")
    world.observe("o0", "A heron stood in the reeds.")
    world.settle()
    first, other, second = (b.sealed.key_id for b in accepted(world))
    assert [world.keyring.has(key_id) for key_id in (first, other, second)] == [True, True, False]
    assert world.reads.get(NAMESPACE, world.base("o0")).record.text == "A heron stood in the reeds."
    before = world.hash()
    world.rebuild()
    assert world.hash() == before


def test_an_observation_appended_behind_its_own_erasure_becomes_unreadable(world: World) -> None:
    """By a writer that had not seen the erasure: nobody else would ever destroy that key."""
    world.observe("o0", "A heron stood in the reeds.")
    world.settle()
    world.forget(ForgetSelector(ids=Ids(ids=["o0"])))
    world.observe("o0", "A heron stood in the reeds.")
    world.settle()
    assert [world.keyring.has(body.sealed.key_id) for body in accepted(world)] == [False, False]


def accepted(world: World) -> list[pb.ObservationAccepted]:
    entries = (pb.LedgerEntry.FromString(r.value or b"") for r in world.log.read(topics.LEDGER, 0))
    return [entry.observation_accepted for entry in entries if entry.HasField("observation_accepted")]


def test_the_same_id_with_other_content_is_a_dead_letter(world: World) -> None:
    world.observe("o0", "A heron stood in the reeds.")
    world.observe("o0", "Two herons stood in the reeds.")
    world.observe("o1", "It did not move.")
    world.settle()
    assert [letter.reason for letter in dead_letters(world)] == ["ID_REUSED"]
    assert world.reads.get(NAMESPACE, world.base("o1")).record.text == "It did not move."


def test_poison_is_a_dead_letter_and_the_partition_goes_on(world: World) -> None:
    world.log.append([topic_message(NAMESPACE, b"\xff not an entry")])
    body = pb.ObservationAccepted(id_mac=b"m", content_mac=b"c", session_mac=b"s")
    key = world.keyring.new_key(NAMESPACE)
    wrong = world.keyring.seal(key.key_id, b"x", namespace=NAMESPACE, purpose="something else")
    body.sealed.CopyFrom(wrong)
    world.append(NAMESPACE, key.message, observation_accepted=body)
    world.append("never/created", observation_accepted=body)
    stranger = pb.LedgerEntry(namespace=NAMESPACE, episode_closed=pb.EpisodeClosed())
    world.log.append([topic_message("another/one", stranger.SerializeToString())])
    world.observe("o1", "It did not move.")
    world.observe("o2", "Nor did it look up.")
    world.settle()
    letters = dead_letters(world)
    assert sorted(letter.reason for letter in letters) == ["INVALID_FIELD"] * 3 + ["UNKNOWN_NAMESPACE"]
    assert [letter for letter in letters if "keyed by another namespace" in letter.message]
    assert world.keyring.has(key.key_id)  # the right master key may yet open it
    assert not any(b"not an entry" in letter.SerializeToString() for letter in letters)
    world.rebuild()
    assert len(dead_letters(world)) == 4  # said once
    world.restart()
    receipt = world.forget(ForgetSelector(ids=Ids(ids=["o2"])))
    assert all(probe.readable == 0 for probe in world.forgetting.probe(NAMESPACE, receipt))
    assert world.reads.get(NAMESPACE, world.base("o1")).record.text == "It did not move."


def test_a_text_whose_key_is_gone_when_it_is_read_is_no_engram_and_no_dead_letter(world: World) -> None:
    world.host.stop()
    world.observe("o1", "It did not move.")
    [*_, last] = (r for p in range(1) for r in world.log.read(topics.LEDGER, p))
    sealed = pb.LedgerEntry.FromString(last.value or b"").observation_accepted.sealed
    world.keyring.destroy(NAMESPACE, [sealed.key_id])
    world.observe("o2", "Nor did it look up.")
    world.kill()
    world.open()
    world.settle()
    assert dead_letters(world) == []
    assert [slot.id for slot in world.host.live.store.directory.slots(NAMESPACE)] == [world.base("o2")]


def test_what_this_code_does_not_understand_keeps_its_key_for_code_that_does(world: World) -> None:
    body = pb.ObservationAccepted(id_mac=b"m", content_mac=b"c", session_mac=b"s")
    key = world.keyring.new_key(NAMESPACE)
    garbled = world.keyring.seal(key.key_id, b"\xff\xff", namespace=NAMESPACE, purpose=ledger.SEAL_OBSERVATION)
    body.sealed.CopyFrom(garbled)
    world.append(NAMESPACE, key.message, observation_accepted=body)
    world.settle()
    assert [letter.reason for letter in dead_letters(world)] == ["INVALID_FIELD"]
    assert world.keyring.has(key.key_id)


def topic_message(namespace: str, value: bytes):  # type: ignore[no-untyped-def]
    from services.common.log.base import Message

    return Message(topics.LEDGER, namespace.encode(), value)


def dead_letters(world: World) -> list[pb.DeadLetter]:
    return [
        pb.DeadLetter.FromString(r.value or b"")
        for p in range(world.log.partitions(topics.DEAD_LETTER))
        for r in world.log.read(topics.DEAD_LETTER, p)
    ]
