"""What is acknowledged is kept, or can be erased: Remember, Correct and Forget while the writer is behind."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from mneme.v1 import ledger_pb2 as pb
from mneme.v1.episodic_pb2 import CorrectRequest, ForgetSelector, Ids, Person, RememberRequest

from services.common.crypto.seal import KeyDestroyed
from services.common.ledger import entries as ledger
from services.common.ledger import topics
from services.common.models.embed import Embedder
from services.common.serving.errors import MnemeError
from services.common.text.extract import Label
from services.common.text.times import find
from services.episodic.plugins.base import Interval
from services.episodic.state.namespaces import NamespaceInfo
from services.episodic.write.commands import Commands
from tests.episodic.world import NAMESPACE, World


def entries(world: World, body: str) -> Iterator[pb.LedgerEntry]:
    for partition in range(world.log.partitions(topics.LEDGER)):
        for record in world.log.read(topics.LEDGER, partition):
            entry = ledger.entry_of(record)
            if entry is not None and entry.WhichOneof("body") == body:
                yield entry


def corrections_that_open(world: World) -> list[str]:
    texts = []
    for entry in entries(world, "corrected"):
        world.keyring.has(entry.corrected.sealed.key_id)  # reads what was destroyed
        try:
            raw = world.keyring.open(entry.corrected.sealed, namespace=NAMESPACE, purpose=ledger.SEAL_CORRECT)
        except KeyDestroyed:
            continue
        texts.append(CorrectRequest.FromString(raw).text)
    return texts


def correct_unchecked(world: World, id: str, engram_id: str, text: str) -> None:
    """A correction as a writer appends it that does not know of the one before."""
    key = world.keyring.new_key(NAMESPACE)
    raw = CorrectRequest(namespace=NAMESPACE, id=id, engram_id=engram_id, text=text).SerializeToString()
    body = pb.Corrected(
        id_mac=world.mac(ledger.MAC_CORRECT, id),
        content_mac=world.mac(ledger.MAC_CONTENT, text),
        engram_id=engram_id,
        sealed=world.keyring.seal(key.key_id, raw, namespace=NAMESPACE, purpose=ledger.SEAL_CORRECT),
    )
    world.append(NAMESPACE, key.message, corrected=body)


def test_a_second_correction_is_refused_before_the_first_is_applied(world: World) -> None:
    world.observe("o1", "Ruth hid the emerald.")
    world.settle()
    with world.host.fold_lock:  # nothing is applied
        first = world.correct("c1", world.base("o1"), "Ruth hid the ruby.")
        with pytest.raises(MnemeError) as early:
            world.correct("c2", world.base("o1"), "Ruth hid the sapphire.")
        assert world.correct("c1", world.base("o1"), "Ruth hid the ruby.") == first  # a retry
    world.settle()
    with pytest.raises(MnemeError) as late:
        world.correct("c2", world.base("o1"), "Ruth hid the sapphire.")
    assert early.value.to_proto() == late.value.to_proto()
    assert (early.value.reason, early.value.field) == ("INVALID_FIELD", "engram_id")
    assert first in early.value.remedy
    assert len(list(entries(world, "corrected"))) == 1
    assert world.correct("c2", first, "Ruth hid the sapphire.") != first


def test_a_correction_that_cannot_be_applied_stays_until_what_it_corrects_is_erased(world: World) -> None:
    world.observe("o1", "Ruth hid the emerald.")
    world.settle()
    correct_unchecked(world, "c1", world.base("o1"), "Ruth hid the ruby.")
    correct_unchecked(world, "c2", world.base("o1"), "Ruth hid the sapphire.")
    assert corrections_that_open(world) == ["Ruth hid the ruby.", "Ruth hid the sapphire."]
    world.settle()
    assert corrections_that_open(world) == ["Ruth hid the ruby.", "Ruth hid the sapphire."]  # both were acknowledged
    world.forget(ForgetSelector(ids=Ids(ids=["o1"])))
    assert corrections_that_open(world) == []


@pytest.mark.parametrize(
    "selector", [ForgetSelector(person=Person(name="Ruth")), ForgetSelector(ids=Ids(ids=["o1"]))], ids=["person", "ids"]
)
def test_forget_again_before_it_is_applied_is_the_same_erasure(world: World, selector: ForgetSelector) -> None:
    world.observe("o1", "Ruth hid the emerald.")
    world.settle()
    with world.host.fold_lock:  # commanded, not applied
        first, targets = world.forgetting.command(NAMESPACE, selector, "f1", "test")
        again, _ = world.forgetting.command(NAMESPACE, selector, "f1", "test")
    assert [slot.id for slot in targets.base] == [world.base("o1")]
    assert again == first == world.mac(ledger.MAC_FORGET, "f1").hex()
    assert world.await_receipt(NAMESPACE, first, 30.0) is not None
    assert world.forgetting.command(NAMESPACE, selector, "f1", "test")[0] == first
    assert len(list(entries(world, "erased"))) == 1
    assert world.host.registry.epoch(NAMESPACE) == 1
    with pytest.raises(MnemeError) as other:
        world.forgetting.command(NAMESPACE, selector, "f2", "test")
    assert other.value.reason == "NOT_FOUND"


def test_a_forget_of_the_same_id_after_a_restart_gives_the_receipt(world: World) -> None:
    world.observe("o1", "Ruth hid the emerald.")
    world.settle()
    selector = ForgetSelector(ids=Ids(ids=["o1"]))
    receipt_id, _ = world.forgetting.command(NAMESPACE, selector, "f1", "test")
    world.settle()
    world.restart()
    assert world.forgetting.command(NAMESPACE, selector, "f1", "test")[0] == receipt_id
    assert len(list(entries(world, "erased"))) == 1


def forget(world: World, id: str, selector: ForgetSelector) -> str:
    return world.forgetting.command(NAMESPACE, selector, id, "test")[0]


def assert_reused(world: World, id: str, selector: ForgetSelector) -> None:
    with pytest.raises(MnemeError) as refused:
        forget(world, id, selector)
    assert (refused.value.reason, refused.value.field) == ("ID_REUSED", "id")
    assert "new id" in refused.value.remedy


RUTH, BEN = ForgetSelector(person=Person(name="Ruth")), ForgetSelector(person=Person(name="Ben"))


def tell_of_two(world: World) -> None:
    world.observe("o1", "Ruth hid the emerald.")
    world.observe("o2", "Ben found it.")
    world.settle()


def test_a_forget_of_a_used_id_and_another_selector_is_refused(world: World) -> None:
    tell_of_two(world)
    with world.host.fold_lock:  # commanded, not applied
        first = forget(world, "f1", RUTH)
        assert_reused(world, "f1", BEN)
        assert forget(world, "f1", RUTH) == first
    world.settle()
    assert_reused(world, "f1", BEN)
    world.restart()
    assert_reused(world, "f1", BEN)
    assert forget(world, "f1", RUTH) == first
    assert world.forgetting.resolve(NAMESPACE, BEN).base  # a dry run has no id, and Ben is still there
    assert forget(world, "f2", BEN) != first
    assert len(list(entries(world, "erased"))) == 2


def test_a_used_forget_id_is_known_after_a_kill_before_it_was_applied(world: World) -> None:
    tell_of_two(world)
    world.host.stop()  # nothing is applied any more
    world.observe("o3", "The rain came early.")
    first = forget(world, "f1", RUTH)
    world.kill()
    go_on = threading.Event()

    def wait(step: str) -> None:
        assert step != "folded" or go_on.wait(20)

    world.open(step=wait)  # it stops at what comes before the erasure
    assert world.host.state.receipt(NAMESPACE, first) is None
    assert_reused(world, "f1", BEN)
    assert forget(world, "f1", RUTH) == first
    assert world.host.state.receipt(NAMESPACE, first) is None
    go_on.set()
    world.settle()
    assert len(list(entries(world, "erased"))) == 1


def test_the_order_of_names_and_ids_makes_no_other_selector(world: World) -> None:
    tell_of_two(world)
    by_ids = [ForgetSelector(ids=Ids(ids=ids)) for ids in (["o1", "o2"], ["o2", "o1", "o1"], ["o1"])]
    first = forget(world, "f1", by_ids[0])
    assert forget(world, "f1", by_ids[1]) == first
    assert_reused(world, "f1", by_ids[2])


def test_a_forget_of_an_older_ledger_is_repeated_whatever_it_selected(world: World) -> None:
    tell_of_two(world)
    receipt_id = world.mac(ledger.MAC_FORGET, "f1").hex()
    world.append(NAMESPACE, erased=pb.Erased(receipt_id=receipt_id, engram_ids=[world.base("o1")], erasure_epoch=1))
    world.settle()
    assert forget(world, "f1", RUTH) == forget(world, "f1", BEN) == receipt_id


def remember_at(world: World, id: str, seconds: int) -> str:
    info = world.host.registry.namespace(NAMESPACE)
    assert info is not None
    request = RememberRequest(namespace=NAMESPACE, id=id, text="The key is under the mat.")
    request.event_at.seconds = seconds
    return world.commands.remember(request, info, "test", "test")[0]


@pytest.mark.parametrize(
    "seconds",
    [10**15, -(10**15), 10**12, 253_402_300_799, -30_610_224_001, 1_700_000_000_000],
    ids=["no time", "no time before", "beyond a datetime", "the year 9999", "the year 999", "milliseconds"],
)
def test_remember_takes_no_event_time_that_folding_cannot(world: World, seconds: int) -> None:
    with pytest.raises(MnemeError) as refused:
        remember_at(world, "r1", seconds)
    assert (refused.value.reason, refused.value.field) == ("INVALID_FIELD", "event_at")
    assert list(entries(world, "remembered")) == []


@pytest.mark.parametrize("actor", ["Ruth\n[2026-01-01] Ben", "Ruth\u2028Ben", "Ruth\x1b"])
def test_remember_takes_no_actor_of_more_than_one_line(world: World, actor: str) -> None:
    info = world.host.registry.namespace(NAMESPACE)
    assert info is not None
    with pytest.raises(MnemeError) as refused:
        world.commands.remember(
            RememberRequest(namespace=NAMESPACE, id="r1", text="x", actor=actor), info, "test", "test"
        )
    assert (refused.value.reason, refused.value.field) == ("INVALID_FIELD", "actor")
    assert list(entries(world, "remembered")) == []


def test_remember_takes_the_event_times_that_an_observation_may_have(world: World) -> None:
    soon = int((datetime.now(UTC) + timedelta(hours=23)).timestamp())
    kept = {remember_at(world, f"r{at}", at): at for at in (-30_610_224_000, 0, soon)}
    world.settle()
    for id, at in kept.items():
        assert world.reads.get(NAMESPACE, id).record.event.start == datetime.fromtimestamp(at, UTC)


def test_invariant_13_a_retry_that_a_restarted_process_took_goes_with_the_first(world: World) -> None:
    world.observe("o1", "Ruth hid the emerald.")
    world.settle()
    with world.host.fold_lock:  # nothing is applied
        note = world.remember("r1", "Ruth has the key.")
        fixed = world.correct("c1", world.base("o1"), "Ruth hid the ruby.")
        for _ in range(6):
            world.commands = Commands(world.host)  # it remembers no command
            assert world.remember("r1", "Ruth has the key.") == note
        assert world.correct("c1", world.base("o1"), "Ruth hid the ruby.") == fixed
    world.settle()
    assert world.reads.get(NAMESPACE, note).record.text == "Ruth has the key."
    assert world.reads.get(NAMESPACE, fixed).record.text == "Ruth hid the ruby."
    before = world.hash()
    world.rebuild()
    assert world.hash() == before
    receipt = world.forget(ForgetSelector(ids=Ids(ids=["o1", note])))
    assert {probe.store: probe.readable for probe in world.forgetting.probe(NAMESPACE, receipt)}["ledger"] == 0
    assert corrections_that_open(world) == []


def test_an_episode_is_made_again_of_every_correction(world: World) -> None:
    world.observe("o0", "They met on Friday.")
    world.observe("o1", "The soup was cold.")
    world.close_episode(["o0", "o1"])
    world.settle()
    store, soup = world.host.live.store, world.base("o1")
    for how, before in (("hot", "cold"), ("warm", "hot")):
        soup = world.correct(f"c-{how}", soup, f"The soup was {how}.")
        world.settle()
        [id] = [s.id for s in store.directory.slots(NAMESPACE) if s.kind == "episode" and s.active]
        first = world.mac(ledger.MAC_OBSERVATION, "o0")
        assert id == ledger.episode_id(NAMESPACE, world.mac(ledger.MAC_SESSION, "s1"), first)
        [episode] = store.fetch(NAMESPACE, [id]).values()
        assert f"The soup was {how}." in episode.record.text
        assert before not in episode.record.text


def test_a_correction_reads_the_boundary_around_it_and_not_what_came_since(world: World) -> None:
    world.warm_bytes = None  # two namespaces in turn, of which only one has room, are loaded again for each entry
    world.restart()
    world.observe("o0", "The soup was cold.")
    world.close_episode(["o0"])
    world.create("beta/house")
    for n in range(600):
        world.observe(f"later{n}", "It rained.", session=f"s{n // 100}", namespace="beta/house" if n % 2 else NAMESPACE)
    world.close_episode([f"later{n}" for n in range(0, 100, 2)], session="s0")
    world.settle()
    with world.ledger_reads() as reads:
        world.correct("c1", world.base("o0"), "The soup was hot.")
        world.settle()
    directory = world.host.live.store.directory
    assert [s.kind for s in directory.slots(NAMESPACE, "s1") if s.active and not s.is_base] == ["episode"]
    assert len(reads) <= 4


def test_a_correction_after_a_restart_finds_its_episode(world: World) -> None:
    world.observe("o0", "They met on Friday.")
    world.observe("o1", "The soup was cold.")
    world.close_episode(["o0", "o1"])
    world.observe("o2", "It rained.")
    world.settle()
    world.restart()
    world.correct("c1", world.base("o1"), "The soup was hot.")
    world.settle()
    store = world.host.live.store
    [id] = [s.id for s in store.directory.slots(NAMESPACE) if s.kind == "episode" and s.active]
    assert "The soup was hot." in store.fetch(NAMESPACE, [id])[id].record.text


def test_of_a_correction_that_two_writers_took_one_is_folded_and_one_key_is_left(world: World) -> None:
    world.observe("o1", "Ruth hid the emerald.")
    for text in ("Ruth hid the ruby.", "Ruth hid the ruby.", "Ruth hid the sapphire."):
        correct_unchecked(world, "c1", world.base("o1"), text)
    world.settle()
    [fixed] = [slot for slot in world.host.live.store.directory.slots(NAMESPACE) if slot.active and slot.is_base]
    assert fixed.id == ledger.corrected_id(NAMESPACE, "c1")
    keys = [entry.corrected.sealed.key_id for entry in entries(world, "corrected")]
    assert [world.keyring.has(key) for key in keys] == [True, False, True]
    assert fixed.seal_key == keys[0]
    [parked] = world.host.parking.of(NAMESPACE)
    assert (parked.reason, parked.key_id) == ("ID_REUSED", keys[2])


def test_a_correction_is_what_it_corrects_but_for_its_words_and_takes_its_place(world: World) -> None:
    world.observe("o0", "They met on Friday.")
    told = dict(actor="Ann", source="diary", people=["Ruth"], metadata={"team": "blue", "size": 3.0}, external_id="x7")
    world.observe("o1", "Ruth hid the emerald.", derived_from=[world.base("o0")], **told)  # type: ignore[arg-type]
    world.observe("o2", "It rained.")
    world.settle()
    store = world.host.live.store
    before = store.whole(NAMESPACE, world.base("o1"))
    assert before is not None
    id = world.correct("c1", before.id, "Nobody hid the ruby.")
    world.settle()
    after, old = store.whole(NAMESPACE, id), store.whole(NAMESPACE, before.id)
    assert after is not None
    assert old is not None
    of = replace(after.record, keys=(), links=())
    assert of == replace(
        before.record, id=id, text="Nobody hid the ruby.", people=(), times=(), keys=(), links=(), seq=after.version
    )
    assert (before.id, "corrects", 1.0) in after.record.links
    assert (after.place, after.session_mac, after.external_id) == (before.place, before.session_mac, "x7")
    assert [event.what for event in after.history] == ["corrected"]
    assert (old.record.state, old.record.superseded_by, old.record.keys) == ("superseded", id, ())
    assert (old.record.text, old.version, old.history[-1].what) == (before.record.text, after.version, "superseded")
    turns = [turn for _, turn in store.directory.turns(NAMESPACE, "s1")]
    assert turns == [world.base("o0"), id, world.base("o2")]


def test_what_is_stated_has_the_people_places_and_times_that_its_own_words_name(world: World) -> None:
    world.close()
    made = world.toolkit()

    def entities(text: str, info: NamespaceInfo | None, labels: object) -> tuple[Sequence[str], Sequence[str]]:
        return [name for name in ("Ruth", "Anne") if name in text], [name for name in ("Bath", "Rome") if name in text]

    def dates(text: str, now: datetime) -> list[tuple[str, Interval]]:
        return [(mention.text, Interval(mention.start, mention.end)) for mention in find(text, now)]

    world.toolkit = lambda: replace(made, entities=entities, dates=dates)  # type: ignore[method-assign]
    world.open()
    info = world.host.registry.namespace(NAMESPACE)
    assert info is not None
    request = RememberRequest(namespace=NAMESPACE, id="r1", text="Ruth was in Bath yesterday.")
    request.event_at.FromDatetime(datetime(2023, 5, 8, 12, tzinfo=UTC))
    note = world.commands.remember(request, info, "test", "test")[0]
    world.settle()
    better = world.correct("c1", note, "Anne was in Rome last Monday.")
    world.settle()
    for id, person, place, day in ((note, "Ruth", "Bath", 7), (better, "Anne", "Rome", 1)):
        record, at = world.reads.get(NAMESPACE, id).record, datetime(2023, 5, day, tzinfo=UTC)
        assert (record.people, record.places) == ((person,), (place,))
        assert record.times == (Interval(at, at + timedelta(days=1)),)


# --- what the model of names sees ---


class ModelOfNames:
    """Sees a name in the first four characters."""

    def __init__(self) -> None:
        self.read: list[str] = []
        self.given: list[Sequence[Label] | None] = []  # to whoever looks for names in a text
        self.may_read: Callable[[], bool] = lambda: True

    def labels(self, text: str) -> list[Label]:
        assert self.may_read()
        self.read.append(text)
        return [Label(0, 4, "PERSON")]

    def entities(
        self, text: str, info: NamespaceInfo | None, labels: Sequence[Label] | None
    ) -> tuple[Sequence[str], Sequence[str]]:
        self.given.append(labels)
        return [text[start:end] for start, end, _ in labels or ()], ()


@pytest.fixture
def model() -> ModelOfNames:
    return ModelOfNames()


@pytest.fixture
def named(tmp_path: Path, embedder: Embedder, model: ModelOfNames) -> Iterator[World]:
    world = World(tmp_path, embedder)
    made = world.toolkit()
    world.toolkit = lambda: replace(made, labels=model.labels, entities=model.entities)  # type: ignore[method-assign]
    world.open()
    world.create()
    world.settle()
    yield world
    world.close()


def test_what_takes_long_of_a_text_is_done_before_it_is_appended(named: World, model: ModelOfNames) -> None:
    """While nothing is held, so that nobody's entry waits behind it; once, if it is acknowledged; under its key."""
    model.may_read = lambda: not named.commands._lock.locked()
    fact = named.remember("r1", "Ruth hid the emerald.")
    assert named.remember("r1", "Ruth hid the emerald.") == fact
    named.settle()
    better = named.correct("c1", fact, "Anne hid the emerald.")
    named.settle()
    assert model.read == ["Ruth hid the emerald.", "Anne hid the emerald."]
    assert model.given == [[Label(0, 4, "PERSON")]] * 2
    assert named.host.live.store.fetch(NAMESPACE, [better])[better].record.people == ("Anne",)
    [entry] = entries(named, "remembered")
    assert named.keyring.open(entry.remembered.reading, namespace=NAMESPACE, purpose=ledger.SEAL_READING)
    named.forget(ForgetSelector(ids=Ids(ids=[fact])))
    with pytest.raises(KeyDestroyed):
        named.keyring.open(entry.remembered.reading, namespace=NAMESPACE, purpose=ledger.SEAL_READING)


def test_what_an_earlier_version_appended_is_read_when_it_is_folded(named: World, model: ModelOfNames) -> None:
    named.observe("o1", "Ruth hid the emerald.")
    correct_unchecked(named, "c1", named.base("o1"), "Ruth hid the ruby.")
    named.settle()
    assert (model.given, model.read) == ([None], [])


def test_who_has_too_much_waiting_has_nothing_read(named: World, model: ModelOfNames) -> None:
    with named.host.fold_lock:
        for n in range(3):
            named.remember(f"r{n}", f"{n} " + "It rained. " * 5_000)
        with pytest.raises(MnemeError) as caught:
            named.remember("r3", "3 " + "It rained. " * 5_000)
    assert (caught.value.reason, len(model.read)) == ("OVERLOADED", 3)


def test_what_is_read_while_its_namespace_is_deleted_is_not_acknowledged(named: World, model: ModelOfNames) -> None:
    def deleted() -> bool:
        if not named.host.registry.is_gone(NAMESPACE):
            named.forgetting.delete(NAMESPACE, "d", "test")
            named.settle()
        return True

    model.may_read = deleted
    with pytest.raises(MnemeError) as caught:
        named.remember("r1", "Ruth hid the emerald.")
    assert caught.value.reason == "UNKNOWN_NAMESPACE"
    assert not list(entries(named, "remembered"))


def test_what_is_read_while_its_namespace_is_made_anew_is_to_be_sent_again(named: World, model: ModelOfNames) -> None:
    def anew() -> bool:
        if not model.read:
            named.forgetting.delete(NAMESPACE, "d", "test")
            named.settle()
            named.create()
            named.settle()
        return True

    model.may_read = anew
    with pytest.raises(MnemeError) as caught:
        named.remember("r1", "Ruth hid the emerald.")
    assert (caught.value.reason, caught.value.field) == ("NOT_FRESH", "namespace")
    assert named.remember("r1", "Ruth hid the emerald.")
