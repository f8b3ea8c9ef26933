"""Episodes in the ledger: what closes them, and that a replay from anywhere gives the same ones."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest
from mneme.v1.ledger_pb2 import EpisodeClosed, LedgerEntry, PerceptionCheckpoint

from services.common import telemetry
from services.common.ledger import entries as ledger
from services.common.ledger import topics
from services.common.log.base import Message, Record
from services.common.models.embed import Embedder
from services.common.text.extract import Extractor
from services.perception.sessions.segment import Limits
from services.perception.sessions.segmentation.base import Cut, Segmentation, Unit, Vectors
from services.perception.sessions.segmentation.fixed import FixedSize
from services.perception.sessions.segmentation.surprise import Surprise
from tests.perception.crashing import Crash, CrashingLog
from tests.perception.world import ANYBODY, LIMITS, PARTITIONS, World, observation

TOPICS = ["paint and stairs and scraper", "theatre tickets and champagne", "the bank and Mr Perkupp", "a ball in town"]


def story(count: int = 60) -> Iterable[str]:
    """Texts that change topic every eleven."""
    for n in range(count):
        yield f"{TOPICS[n // 11 % len(TOPICS)]} number {n % 5}"


def seal_of(checkpoint: bytes) -> str:
    return PerceptionCheckpoint.FromString(checkpoint).segmenter.key_id


# --- what closes an episode -------------------------------------------------------------------------------------


def test_the_plug_in_decides_and_the_rest_stays_open(world: World) -> None:
    world.observe(*[observation(n) for n in range(10)])
    world.drain(world.segmenter(FixedSize(units=4)))
    assert world.episodes() == [(["o0", "o1", "o2", "o3"], "count"), (["o4", "o5", "o6", "o7"], "count")]


def test_the_end_of_a_session_closes(world: World) -> None:
    world.observe(*[observation(n) for n in range(3)])
    world.intake.end_session("acme/user", "s", ANYBODY)
    world.observe(observation(3))
    world.drain(world.segmenter(FixedSize(units=10)))
    assert world.episodes() == [(["o0", "o1", "o2"], "session_end")]


def test_sessions_are_cut_apart(world: World) -> None:
    world.observe(*[observation(n, session=f"s{n % 2}") for n in range(8)])
    world.drain(world.segmenter(FixedSize(units=2)))
    assert [ids for ids, _ in world.episodes()] == [["o0", "o2"], ["o1", "o3"], ["o4", "o6"], ["o5", "o7"]]


def test_count_closes_whatever_the_plug_in_says(world: World) -> None:
    world.observe(*[observation(n) for n in range(12)])
    world.drain(world.segmenter(FixedSize(units=100), limits=Limits(5, LIMITS.max_span, LIMITS.idle)))
    assert [(len(ids), reason) for ids, reason in world.episodes()] == [(5, "count"), (5, "count")]


def test_span_closes_before_the_observation_that_exceeds_it(world: World) -> None:
    world.observe(observation(0), observation(9), observation(11), observation(12))  # minutes
    world.drain(world.segmenter(FixedSize(units=100), limits=Limits(40, timedelta(minutes=10), LIMITS.idle)))
    assert world.episodes() == [(["o0", "o9"], "span")]


def test_invariant_7_a_silent_session_is_closed_and_its_checkpoint_goes(world: World) -> None:
    world.observe(observation(0, session="silent"))
    segmenter = world.segmenter(FixedSize(units=10))
    world.drain(segmenter)
    world.now += timedelta(minutes=29)
    world.observe(observation(1, session="lively"))
    segmenter._looked_at = 0.0
    world.drain(segmenter)
    assert world.episodes() == []

    world.now += timedelta(minutes=2)
    segmenter._looked_at = 0.0
    world.drain(segmenter)
    assert world.episodes() == [(["o0"], "idle")]
    assert len(world.checkpoints()) == 1  # the lively one's


def test_a_backlog_is_not_idle(world: World) -> None:
    """After a long stop, what an episode waits for may lie ahead in the ledger: it is read first."""
    world.observe(*[observation(n) for n in range(3)])
    segmenter = world.segmenter(FixedSize(units=6), batch=1)
    world.drain(segmenter)
    world.observe(*[observation(n) for n in range(3, 6)])
    world.now += timedelta(hours=5)
    segmenter._looked_at = 0.0
    world.drain(segmenter)
    assert world.episodes() == [(["o0", "o1", "o2", "o3", "o4", "o5"], "count")]


def test_while_there_is_a_backlog_its_own_time_closes_what_is_idle(world: World) -> None:
    world.observe(observation(0, session="silent"))
    segmenter = world.segmenter(FixedSize(units=10), batch=1)
    world.drain(segmenter)
    world.now += timedelta(minutes=31)
    world.observe(observation(1, session="lively"), observation(2, session="lively"))
    segmenter._looked_at = 0.0
    segmenter.step()
    assert (world.episodes(), world.lag()) == ([(["o0"], "idle")], 2)  # o2, and the boundary itself


def test_the_span_of_an_episode_begins_with_its_own_first_observation(world: World) -> None:
    world.observe(*[observation(n) for n in (0, 1, 12, 15)])  # minutes
    segmenter = world.segmenter(FixedSize(units=2), limits=Limits(40, timedelta(minutes=10), LIMITS.idle))
    world.drain(segmenter)
    assert world.episodes() == [(["o0", "o1"], "count"), (["o12", "o15"], "count")]
    world.observe(observation(16))
    world.drain(segmenter)
    world.erase("o16")
    world.observe(observation(30), observation(35))
    world.drain(segmenter)
    assert world.episodes()[2:] == [(["o30", "o35"], "count")]


class AllButTheNewest(FixedSize):
    """Cuts before the unit that makes it so many, which stays open."""

    def push(self, state: bytes, unit: Unit, vectors: Vectors) -> tuple[bytes, list[Cut]]:
        whole, cuts = FixedSize.push(self, state, unit, vectors)
        return (
            (FixedSize(self.units).push(b"", unit, vectors)[0], [Cut(self.units - 1, "count")]) if cuts else (whole, [])
        )


def test_the_span_of_what_a_cut_leaves_begins_with_the_newest(world: World) -> None:
    world.observe(*[observation(n) for n in (0, 8, 9, 17, 18, 29)])
    limits = Limits(40, timedelta(minutes=10), LIMITS.idle)
    world.drain(world.segmenter(AllButTheNewest(units=3), limits=limits))
    assert world.episodes() == [(["o0", "o8"], "count"), (["o9", "o17"], "count"), (["o18"], "span")]


COOKING = [
    "I chopped the onions for the soup.",
    "The carrots went into the pot next.",
    "She stirred the broth with a wooden spoon.",
    "We added salt, pepper and a little thyme.",
    "The potatoes were nearly soft by then.",
    "He tasted the soup and wanted more garlic.",
    "The bread came out of the oven at noon.",
    "We laid the table and ladled the soup into bowls.",
    "The soup was thick and hot.",
    "She asked for the recipe of the broth.",
]
RAILWAY = [
    "The locomotive left the station with a long whistle.",
    "The guard checked the tickets in every carriage.",
    "Our train was late because of a signal near the junction.",
    "The engine driver shovelled coal into the firebox.",
    "Passengers crowded the platform at the next station.",
    "The express overtook us on the parallel track.",
    "A porter carried the trunks to the luggage van.",
    "The railway bridge shook under the train.",
    "The line ends at a terminus by the docks.",
    "The last carriage was uncoupled from the train.",
]


def test_surprise_with_the_packaged_embedder_cuts_where_the_subject_changes(world: World) -> None:
    embedder = Embedder.packaged(threads=1)
    world.observe(*[observation(n, text) for n, text in enumerate(COOKING + RAILWAY)])
    world.intake.end_session("acme/user", "s", ANYBODY)
    world.drain(world.segmenter(Surprise(gamma=2.0), embed=lambda texts: list(embedder.embed(texts))))
    assert [(len(ids), reason) for ids, reason in world.episodes()] == [(10, "surprise"), (10, "session_end")]


# --- the ledger is the truth ------------------------------------------------------------------------------------


def test_our_own_boundaries_come_back_and_close_nothing_twice(world: World) -> None:
    segmenter = world.segmenter(FixedSize(units=2))
    for n in range(7):
        world.observe(observation(n))
        world.drain(segmenter)
    ids = [i for episode, _ in world.episodes() for i in episode]
    assert ids == [f"o{n}" for n in range(6)]


def test_a_boundary_that_somebody_else_wrote_counts(world: World) -> None:
    segmenter = world.segmenter(FixedSize(units=4))
    world.observe(*[observation(n) for n in range(3)])
    world.drain(segmenter)
    entry = LedgerEntry(namespace="acme/user", principal="another")
    session_mac = world.keyring.mac("acme/user", ledger.MAC_SESSION, "s")
    cut = EpisodeClosed(session_mac=session_mac, id_macs=[world.id_mac("o0"), world.id_mac("o1")], reason="count")
    entry.episode_closed.CopyFrom(cut)
    world.log.append([ledger.message(entry)])
    world.observe(*[observation(n) for n in range(3, 6)])
    world.drain(segmenter)
    assert [ids for ids, _ in world.episodes()] == [["o0", "o1"], ["o2", "o3", "o4", "o5"]]


def test_two_writers_that_accepted_one_id_at_once_leave_one_observation(
    world: World, make_world: Callable[[], World]
) -> None:
    other = make_world()
    other.known.catch_up = lambda partitions=None: None  # type: ignore[method-assign]
    [first] = world.observe(observation(0))
    [second] = other.observe(observation(0, "With another text."))  # did not look again before it appended
    assert not second.duplicate
    world.observe(observation(1))
    world.drain(world.segmenter(FixedSize(units=2)))

    assert world.episodes() == [(["o0", "o1"], "count")]
    assert world.perceived(first).observation.id == "o0"
    world.keyring.refresh()
    assert world.perceived(second).observation.text == "With another text."  # acknowledged: only an erasure ends it


def test_of_two_writers_that_accepted_the_same_at_once_one_is_in_an_episode(
    world: World, make_world: Callable[[], World]
) -> None:
    """Whoever folds the ledger destroys the key of the other."""
    other = make_world()
    other.known.catch_up = lambda partitions=None: None  # type: ignore[method-assign]
    world.observe(observation(0))
    [second] = other.observe(observation(0))
    assert not second.duplicate
    world.drain(world.segmenter(FixedSize(units=1)))
    assert world.episodes() == [(["o0"], "count")]


def test_a_tampered_entry_is_a_dead_letter_and_the_partition_goes_on(world: World) -> None:
    [accepted] = world.observe(observation(0))
    entry = world.entry(accepted)
    world.observe(observation(1))
    forged = LedgerEntry()
    forged.CopyFrom(entry)
    forged.observation_accepted.id_mac = world.id_mac("o7")
    forged.observation_accepted.sealed.ciphertext = entry.observation_accepted.sealed.ciphertext[:-1] + b"?"
    world.log.append([ledger.message(forged)])
    world.observe(observation(2))
    world.drain(world.segmenter(FixedSize(units=3)))
    assert world.episodes() == [(["o0", "o1", "o2"], "count")]
    assert [letter.reason for letter in world.dead_letters()] == ["INTERNAL"]


def test_a_dead_letter_can_be_opened_though_the_transaction_of_the_first_one_failed(
    world: World, make_world: Callable[[], World]
) -> None:
    world.observe(observation(0))
    [entry] = [e for e in world.entries() if e.HasField("observation_accepted")]
    entry.observation_accepted.id_mac, entry.observation_accepted.sealed.ciphertext = world.id_mac("o7"), b"?" * 99
    world.log.append([ledger.message(entry)])
    real, segmenter = world.log, world.segmenter()
    segmenter._log = CrashingLog(real, points=3)  # type: ignore[assignment]  # everything appended, nothing committed
    with pytest.raises(Crash):
        world.drain(segmenter)
    segmenter._log = real
    world.drain(segmenter)
    [letter] = world.dead_letters()
    assert make_world().keyring.open(letter.payload, namespace="", purpose=ledger.SEAL_DEAD_LETTER)


def test_a_boundary_continues_the_trace_of_the_observation_that_made_it(world: World) -> None:
    telemetry.configure("test")
    with telemetry.span("test", parent={"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}):
        world.observe(observation(0))
    world.drain(world.segmenter(FixedSize(units=1)))
    last = [r for p in range(PARTITIONS) for r in world.log.read(topics.LEDGER, p)][-1]
    assert LedgerEntry.FromString(last.value or b"").HasField("episode_closed")
    assert b"0af7651916cd43dd8448eb211c80319c" in last.headers["traceparent"]


# --- replay -----------------------------------------------------------------------------------------------------

PLUGINS: list[Segmentation] = [FixedSize(units=4), Surprise(gamma=0.0, min_units=2)]


def tell(world: World) -> None:
    """Two interleaved sessions of one namespace and one of another, with ends in between."""
    world.create("acme/other")
    for n, text in enumerate(story()):
        where = "acme/other" if n % 7 == 3 else "acme/user"
        world.observe(observation(n, text, namespace=where, session=f"s{n % 2}"))
        if n in (20, 41):
            world.intake.end_session("acme/user", "s0", ANYBODY)


Episodes = dict[tuple[str, bytes], list[tuple[list[bytes], str]]]  # by namespace and session


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory, extractor: Extractor) -> Path:
    """The folder of a log in which the story is told and nothing is cut yet."""
    folder = tmp_path_factory.mktemp("told")
    writer = World(folder, extractor)
    writer.create("acme/user")
    tell(writer)
    writer.close()
    return folder


@pytest.fixture
def retell(told: Path, tmp_path: Path) -> Callable[[], Path]:
    """A fresh copy of that folder."""
    copies = iter(range(1_000))
    return lambda: Path(shutil.copytree(told, tmp_path / f"copy-{next(copies)}"))


@pytest.mark.parametrize("plugin", PLUGINS, ids=repr)
def test_the_batches_that_entries_come_in_do_not_matter(
    plugin: Segmentation, retell: Callable[[], Path], extractor: Extractor
) -> None:
    by_batch = [finish(retell(), extractor, plugin, batch) for batch in (1, 5, 64)]
    assert sum(len(episodes) for episodes in by_batch[0].values()) > 4
    assert by_batch[0] == by_batch[1] == by_batch[2]


@pytest.mark.parametrize("plugin", PLUGINS, ids=repr)
def test_invariant_6_killed_anywhere_a_replay_gives_the_same_episodes(
    plugin: Segmentation, retell: Callable[[], Path], extractor: Extractor
) -> None:
    expected = finish(retell(), extractor, plugin, batch=7)
    for n in range(1, 22):
        folder = retell()
        for points in (n, n + 3, n % 5 + 1):  # dies, is started again, dies again, ...
            die(folder, extractor, plugin, points)
        assert finish(folder, extractor, plugin, batch=7) == expected, f"killed at {n}"


def die(folder: Path, extractor: Extractor, plugin: Segmentation, points: int) -> None:
    """Run until the log is asked for the n-th thing; what was not committed is lost."""
    victim = World(folder, extractor)
    victim.log = CrashingLog(victim.log, points)  # type: ignore[assignment]
    with suppress(Crash):
        victim.drain(victim.segmenter(plugin, batch=7))
    victim.close()


def finish(folder: Path, extractor: Extractor, plugin: Segmentation, batch: int) -> Episodes:
    survivor = World(folder, extractor)
    survivor.drain(survivor.segmenter(plugin, batch=batch))
    out = by_session(survivor)
    survivor.close()
    return out


def by_session(world: World) -> Episodes:
    out: Episodes = {}
    for entry in world.entries():
        if entry.HasField("episode_closed"):
            body = entry.episode_closed
            out.setdefault((entry.namespace, body.session_mac), []).append((list(body.id_macs), body.reason))
    return out


def test_a_consumer_that_was_away_unnoticed_does_not_go_on_with_stale_episodes(
    world: World, make_world: Callable[[], World]
) -> None:
    """A is stopped between two polls (SIGSTOP); B takes its partitions, cuts, and leaves; A wakes up."""
    a = world.segmenter(FixedSize(units=4))
    world.observe(*[observation(n) for n in range(3)])
    world.drain(a)
    held = dict(a._partitions)
    other = make_world()
    a.close()
    b = other.segmenter(FixedSize(units=4))
    world.observe(observation(3))
    other.drain(b)
    b.close()
    a._partitions = held  # what A still has in memory: o0, o1 and o2 open
    world.observe(*[observation(n) for n in range(4, 8)])
    world.drain(a)
    assert [ids for ids, _ in world.episodes()] == [["o0", "o1", "o2", "o3"], ["o4", "o5", "o6", "o7"]]


def test_what_is_open_in_a_partition_that_went_to_another_is_the_other_s_to_close(
    world: World, make_world: Callable[[], World]
) -> None:
    names = [f"acme/n{n}" for n in range(8)]
    for name in names:
        world.create(name)
        world.observe(observation(0, namespace=name))
    other = make_world()
    segmenters = [world.segmenter(FixedSize(units=10))]
    world.drain(segmenters[0])
    segmenters.append(other.segmenter(FixedSize(units=10)))

    def step() -> None:
        for segmenter in segmenters:
            segmenter._looked_at = 0.0
            segmenter.step()

    def owned() -> list[int]:
        return [len(s._consumer.assignment()) for s in segmenters if s._consumer is not None]

    while owned() != [PARTITIONS // 2] * 2:
        step()
    step()
    assert [world.episodes(name) for name in names] == [[]] * 8
    for each in (world, other):
        each.now += LIMITS.idle
    for _ in range(3):
        step()
    assert [world.episodes(name) for name in names] == [[(["o0"], "idle")]] * 8


def test_another_plug_in_after_a_restart_takes_over_what_is_open(world: World, make_world: Callable[[], World]) -> None:
    world.observe(*[observation(n) for n in range(3)])
    world.drain(world.segmenter(FixedSize(units=10)))
    world.close()
    later = make_world()
    later.observe(*[observation(n) for n in range(3, 6)])
    later.intake.end_session("acme/user", "s", ANYBODY)
    later.drain(later.segmenter(Surprise()))
    assert later.episodes() == [(["o0", "o1", "o2", "o3", "o4", "o5"], "session_end")]


def test_a_checkpoint_that_an_earlier_version_keyed_by_the_namespace_is_taken_over(
    world: World, make_world: Callable[[], World]
) -> None:
    world.observe(*[observation(n) for n in range(3)])
    world.drain(world.segmenter(FixedSize(units=10)))
    [(key, value)] = world.checkpoints().items()
    named = {b"acme/user/" + key: value, key: None}
    world.log.append([Message(topics.PERCEPTION, k, v, partition_key=b"acme/user") for k, v in named.items()])
    world.close()
    later = make_world()
    later.observe(observation(3))
    later.drain(later.segmenter(FixedSize(units=10)))
    assert later.checkpoints().keys() == {key}
    later.intake.end_session("acme/user", "s", ANYBODY)
    later.drain(later._segmenters[0])
    assert later.episodes() == [(["o0", "o1", "o2", "o3"], "session_end")]
    assert later.checkpoints() == {}


def test_a_checkpoint_whose_key_is_gone_says_what_is_open_all_the_same(
    world: World, make_world: Callable[[], World]
) -> None:
    world.observe(*[observation(n) for n in range(3)])
    world.drain(world.segmenter(FixedSize(units=10)))
    [before] = world.checkpoints().values()
    world.keyring.destroy("acme/user", [seal_of(before)])
    world.close()
    later = make_world()
    later.observe(*[observation(n) for n in range(3, 5)])
    later.drain(later.segmenter(FixedSize(units=10)))
    [after] = later.checkpoints().values()
    assert later.keyring.has(seal_of(after))
    later.intake.end_session("acme/user", "s", ANYBODY)
    later.drain(later._segmenters[0])
    assert later.episodes() == [(["o0", "o1", "o2", "o3", "o4"], "session_end")]


def test_a_key_that_is_seen_after_its_text_is_waited_for(
    world: World, make_world: Callable[[], World], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on Kafka, where the two lie in partitions of their own."""
    make_world().observe(observation(0))
    read, until = world.log.read, time.monotonic() + 0.3

    def late(topic: str, *more: int) -> Iterator[Record]:
        return iter(()) if topic == topics.KEYS and time.monotonic() < until else read(topic, *more)

    monkeypatch.setattr(world.log, "read", late)
    world.drain(world.segmenter(FixedSize(units=1)))
    assert time.monotonic() > until
    assert world.episodes() == [(["o0"], "count")]


# --- erasure ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("plugin", PLUGINS, ids=repr)
def test_invariant_13_erased_stays_erased_and_out_of_open_episodes(plugin: Segmentation, world: World) -> None:
    world.observe(*[observation(n) for n in range(3)])
    segmenter = world.segmenter(plugin)
    world.drain(segmenter)
    world.erase("o1")
    world.drain(segmenter)
    world.intake.end_session("acme/user", "s", ANYBODY)
    world.drain(segmenter)
    assert world.episodes() == [(["o0", "o2"], "session_end")]


def test_invariant_13_an_erasure_further_on_in_the_ledger_is_known_before_anything_is_closed(world: World) -> None:
    world.observe(*[observation(n) for n in range(4)])
    world.erase("o1")
    world.drain(world.segmenter(FixedSize(units=3), batch=1))
    assert world.episodes() == [(["o0", "o2", "o3"], "count")]


def test_invariant_13_nothing_is_closed_over_what_was_erased_while_it_was_open(world: World) -> None:
    """o1 is open already, and its erasure lies behind the entry that closes the episode."""
    segmenter = world.segmenter(FixedSize(units=4), batch=1)
    world.observe(*[observation(n) for n in range(3)])
    world.drain(segmenter)
    world.observe(observation(3))
    world.erase("o1")
    world.drain(segmenter)
    assert world.episodes() == [(["o0", "o2", "o3"], "count")]


def test_invariant_13_nothing_idle_is_closed_over_what_was_erased_in_a_partition_not_read_yet(world: World) -> None:
    """Of two partitions a batch is of one, and what has become idle in either is closed behind it."""
    namespaces = ("acme/user", "acme/other")
    world.create("acme/other")
    assert len({world.known.partition(namespace) for namespace in namespaces}) == 2
    segmenter = world.segmenter(FixedSize(units=10), batch=1)
    segmenter._looked_at = float("inf")
    for n, session in enumerate(("silent", "lively")):
        world.now += timedelta(minutes=31)
        world.observe(*[observation(n, session=session, namespace=namespace) for namespace in namespaces])
    world.drain(segmenter)
    for namespace in namespaces:
        world.erase("o0", namespace=namespace)
    segmenter._looked_at = 0.0
    segmenter.step()
    assert world.lag() > 0
    world.drain(segmenter)
    assert [world.episodes(namespace) for namespace in namespaces] == [[], []]


def test_invariant_13_a_restart_before_its_watermark_closes_nothing_over_the_erased(
    world: World, make_world: Callable[[], World]
) -> None:
    """Perception dies before it commits; meanwhile o1 is erased; the restarted one reads all of it again."""
    world.observe(*[observation(n) for n in range(4)])
    folder_log = world.log
    world.log = CrashingLog(folder_log, points=5)  # type: ignore[assignment]
    with pytest.raises(Crash):
        world.drain(world.segmenter(FixedSize(units=4)))
    world.log = folder_log
    world.erase("o1")
    later = make_world()
    later.intake.end_session("acme/user", "s", ANYBODY)
    later.drain(later.segmenter(FixedSize(units=4)))
    assert later.episodes() == [(["o0", "o2", "o3"], "session_end")]


def test_an_erasure_seals_the_checkpoint_anew_and_destroys_the_old_key(world: World) -> None:
    world.observe(*[observation(n, text) for n, text in zip(range(6), story(), strict=False)])
    segmenter = world.segmenter(Surprise())
    world.drain(segmenter)
    [before] = world.checkpoints().values()
    world.erase("o2")
    world.drain(segmenter)
    [after] = world.checkpoints().values()

    assert not world.keyring.has(seal_of(before))
    assert world.keyring.has(seal_of(after))
    saved = PerceptionCheckpoint.FromString(after)
    assert list(saved.open_id_macs) == [world.id_mac(f"o{n}") for n in (0, 1, 3, 4, 5)]
    state = world.keyring.open(saved.segmenter, namespace="acme/user", purpose=ledger.SEAL_SEGMENTER)
    assert world.id_mac("o2").hex().encode() not in state


def test_an_erasure_elsewhere_leaves_checkpoints_alone(world: World) -> None:
    world.create("acme/other")
    world.observe(observation(0), observation(1, namespace="acme/other"))
    segmenter = world.segmenter(FixedSize(units=10))
    world.drain(segmenter)
    before = world.checkpoints()
    world.erase("o1", namespace="acme/other")
    world.drain(segmenter)
    assert world.checkpoints() == before


def test_an_erasure_leaves_checkpoints_of_other_sessions_alone(world: World) -> None:
    world.observe(observation(0, session="s0"), observation(1, session="s1"), observation(2, session="s1"))
    segmenter = world.segmenter(FixedSize(units=10))
    world.drain(segmenter)
    before = world.checkpoints()
    world.erase("o1")
    world.drain(segmenter)
    after = world.checkpoints()
    assert len([key for key in before if after[key] == before[key]]) == 1 == len(before) - 1


def test_an_erasure_reaches_what_another_plug_in_left_open(world: World, make_world: Callable[[], World]) -> None:
    world.observe(*[observation(n) for n in range(3)])
    world.drain(world.segmenter(FixedSize(units=10)))
    [before] = world.checkpoints().values()
    world.close()
    later = make_world()
    later.erase("o1")
    later.drain(later.segmenter(Surprise()))
    [after] = later.checkpoints().values()
    assert list(PerceptionCheckpoint.FromString(after).open_id_macs) == [later.id_mac("o0"), later.id_mac("o2")]
    assert not later.keyring.has(seal_of(before))


def test_an_observation_appended_behind_its_own_erasure_is_in_no_episode(
    world: World, make_world: Callable[[], World]
) -> None:
    """A writer that had not seen the erasure yet. Whoever folds the ledger destroys the key."""
    world.observe(observation(0))
    other = make_world()
    other.known.catch_up = lambda partitions=None: None  # type: ignore[method-assign]
    world.erase("o9")
    other.observe(observation(9, "Gowing smelt the zorblewax."))
    world.drain(world.segmenter(FixedSize(units=1)))
    assert world.episodes() == [(["o0"], "count")]


def test_a_finished_session_leaves_neither_checkpoint_nor_key(world: World) -> None:
    world.observe(observation(0))
    segmenter = world.segmenter(FixedSize(units=10))
    world.drain(segmenter)
    [checkpoint] = world.checkpoints().values()
    world.intake.end_session("acme/user", "s", ANYBODY)
    world.drain(segmenter)
    assert world.checkpoints() == {}
    assert not world.keyring.has(seal_of(checkpoint))


def test_a_failed_transaction_destroys_no_key(world: World) -> None:
    world.observe(*[observation(n) for n in range(2)])
    segmenter = world.segmenter(FixedSize(units=10))
    world.drain(segmenter)
    [checkpoint] = world.checkpoints().values()
    world.erase("o0")
    real = world.log
    segmenter._log = CrashingLog(real, points=2)  # type: ignore[assignment]  # inside the transaction
    segmenter._consumer, consumer = None, segmenter._consumer
    assert consumer is not None
    consumer.close()
    with pytest.raises(Crash):
        world.drain(segmenter)
    assert world.checkpoints() == {k: checkpoint for k in world.checkpoints()}
    assert world.keyring.has(seal_of(checkpoint))
