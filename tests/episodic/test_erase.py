"""Erasure: what goes, what is made again, and that it stays so."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import ClassVar

import pytest
from mneme.v1 import ledger_pb2 as pb
from mneme.v1.admin_pb2 import AliasGroup
from mneme.v1.common_pb2 import TimeRange
from mneme.v1.episodic_pb2 import ErasureProbe, ForgetSelector, Ids, Person

from services.common.crypto.seal import KeyDestroyed
from services.common.ledger import entries as ledger
from services.common.ledger import topics
from services.common.log.base import Message
from services.common.models.embed import Embedder
from services.common.serving.errors import MnemeError
from services.episodic.erasure.person import Naming
from services.episodic.plugins.base import Candidate, Context, Plan, Plugin
from services.episodic.state import service_state as operator_state
from services.episodic.state.service_state import OperatorState
from services.episodic.state.state_topic import StateTopic
from services.episodic.write import erasing
from tests.episodic.world import NAMESPACE, PLUGINS, World

OTHER = "other/user"
SECRET = "Ruth hid the emerald under the piano."
OTHERS = ["The rain came early.", "They had soup with leeks.", "Nobody spoke of the journey."]


def tell(world: World, secret: bool = True) -> None:
    """One session of four turns, the second of which is the secret, closed as one episode."""
    world.observe("o0", OTHERS[0], actor="Ann")
    if secret:
        world.observe("x", SECRET, actor="Ann", people=["Ruth"])
    else:
        world.clock += timedelta(minutes=1)
    world.observe("o1", OTHERS[1], actor="Ben")
    world.observe("o2", OTHERS[2], actor="Ann")
    world.close_episode(["o0", "x", "o1", "o2"] if secret else ["o0", "o1", "o2"])
    world.settle()


def ids(*ids: str) -> ForgetSelector:
    return ForgetSelector(ids=Ids(ids=ids))


def readable(probes: Iterable[ErasureProbe]) -> dict[str, int]:
    return {p.store: p.readable for p in probes}


def test_the_probe_finds_it_before_and_nothing_after(world: World) -> None:
    tell(world)
    targets = world.forgetting.resolve(NAMESPACE, ids("x"))
    [x] = targets.base
    macs = {world.mac(ledger.MAC_OBSERVATION, "x")}
    looked = (NAMESPACE, x.partition, {x.id}, macs, [x.seal_key, x.detail_key])
    found = world.forgetting.look_for(*looked)
    before = readable(found)
    assert before.pop("feed") >= 1  # it is written again whenever a later batch changes it
    assert before == {"keys": 2, "index": 1, "ledger": 1, "recall": 1, "dead letters": 0}
    looked_at = {p.store: p.looked_at for p in found}
    assert looked_at.pop("feed") == len(list(world.log.read(topics.FEED, x.partition))) >= 5
    assert looked_at == {"keys": 2, "index": 1, "ledger": 6, "recall": 1, "dead letters": 0}
    before["feed"] = 0
    receipt = world.forget(ids("x"))
    assert readable(world.forgetting.look_for(*looked)) == dict.fromkeys(before, 0)
    assert readable(world.forgetting.probe(NAMESPACE, receipt)) == dict.fromkeys(before, 0)


def opens(world: World, letter: pb.DeadLetter) -> bool:
    world.keyring.refresh()
    try:
        world.keyring.open(letter.payload, namespace=NAMESPACE, purpose=ledger.SEAL_DEAD_LETTER)
    except KeyDestroyed:
        return False
    return True


@pytest.mark.parametrize(
    "selector", [ids("x"), ForgetSelector(session="s1"), ForgetSelector(person=Person(name="Ruth"))], ids=str
)
def test_invariant_14_a_dead_letter_goes_with_the_observation_that_it_names(
    world: World, selector: ForgetSelector
) -> None:
    tell(world)
    world.create(OTHER)
    early, other = world.refuse("x", SECRET), world.refuse("y", "Soup.")
    elsewhere = world.refuse("x", "Tea.", OTHER)
    macs = {world.mac(ledger.MAC_OBSERVATION, "x")}
    assert readable(world.forgetting.look_for(NAMESPACE, 0, set(), macs, []))["dead letters"] == 1
    late = world.refuse("x", f"{SECRET} Again.")
    receipt = world.forget(selector)
    assert [opens(world, each) for each in (early, late, other)] == [False, False, True]
    assert world.keyring.has(elsewhere.payload.key_id)
    assert {early.payload.key_id, late.payload.key_id} <= {*receipt.key_ids}
    probes = world.forgetting.probe(NAMESPACE, receipt)
    assert readable(probes)["dead letters"] == 0
    assert {p.store: p.looked_at for p in probes}["dead letters"] == 4
    [said] = [store for store in receipt.receipt.stores if store.store == "dead letters"]
    assert (said.done, said.HasField("by")) == (False, True), "others may hold the text until then"
    world.restart()
    assert not opens(world, late)


def test_state_is_as_if_it_had_never_been(world: World, tmp_path: Path, embedder: Embedder) -> None:
    tell(world)
    receipt = world.forget(ids("x")).receipt
    assert receipt.at.seconds == pytest.approx(time.time(), abs=60)
    assert (receipt.base_erased, receipt.derived_retired, receipt.derived_rebuilt) == (1, 0, 1)
    never = sibling(world, tmp_path / "never", embedder)
    tell(never, secret=False)
    assert world.hash() == never.hash()
    never.close()


def sibling(world: World, folder: Path, embedder: Embedder) -> World:
    """Another world under the same master key, so that hashes can be compared."""
    folder.mkdir()
    (folder / "master.key").write_bytes((world.folder / "master.key").read_bytes())
    (folder / "master.key").chmod(0o600)
    other = World(folder, embedder).open()
    other.create()
    other.settle()
    return other


def test_a_neighbours_key_no_longer_holds_the_text(world: World) -> None:
    tell(world)
    after = world.base("o1")
    whole = world.host.live.store.whole(NAMESPACE, after)
    assert whole is not None
    assert "emerald" in whole.record.keys[0].text
    old_key = whole.detail_key
    world.forget(ids("x"))
    whole = world.host.live.store.whole(NAMESPACE, after)
    assert whole is not None
    assert "emerald" not in whole.record.keys[0].text
    assert not world.keyring.has(old_key)
    assert world.keyring.has(whole.seal_key)


def test_a_neighbours_key_loses_the_text_though_the_erased_has_no_row_any_more(world: World) -> None:
    for id, text in (("x", SECRET), ("o1", OTHERS[1])):
        world.observe(id, text)
    world.settle()
    world.host.live.store.forget(NAMESPACE, [world.base("x")])
    mac = world.mac(ledger.MAC_OBSERVATION, "x")
    erased = pb.Erased(receipt_id="r", id_macs=[mac], engram_ids=[world.base("x")], erasure_epoch=1)
    world.append(NAMESPACE, erased=erased)
    world.settle()
    whole = world.host.live.store.whole(NAMESPACE, world.base("o1"))
    assert whole is not None
    assert "emerald" not in whole.record.keys[0].text


@pytest.mark.parametrize("again", [False, True], ids=["once", "after a kill"])
def test_folding_again_reads_the_sessions_it_folds_and_nobody_elses(
    world: World, monkeypatch: pytest.MonkeyPatch, again: bool
) -> None:
    """Three sessions, each a piece of its own, far from each other in a ledger that is another's for the rest."""
    monkeypatch.setattr(erasing, "_AT_ONCE", 1)
    world.create("beta/house")
    for session in ("s1", "s2", "s3"):
        for n in range(3):
            world.observe(f"{session}{n}", f"Lamp {n} was lit.", session=session)
        world.close_episode([f"{session}{n}" for n in range(3)], session=session)
        for n in range(300):
            world.observe(f"other {session}{n}", "It rained.", namespace="beta/house")
    world.settle()
    if again:  # the rows are gone and the command comes anew: what is left of the text is looked for
        world.host.live.store.forget(NAMESPACE, [world.base("s11")])
    with world.ledger_reads() as reads:
        if again:
            erased = pb.Erased(receipt_id="r", erasure_epoch=1)
            for id in ("s11", "s21", "s31"):
                erased.id_macs.append(world.mac(ledger.MAC_OBSERVATION, id))
                erased.engram_ids.append(world.base(id))
            world.append(NAMESPACE, erased=erased)
            world.settle()
        else:
            assert world.forget(ids("s11", "s21", "s31")).receipt.derived_rebuilt == 3
    assert len(reads) <= (30 if again else 15)
    left = {slot.id for slot in world.host.live.store.directory.slots(NAMESPACE) if slot.is_base}
    assert left == {world.base(f"{session}{n}") for session in ("s1", "s2", "s3") for n in (0, 2)}


def test_what_held_nothing_of_the_erased_keeps_its_keys_and_the_rest_has_new_ones(world: World) -> None:
    turns = [f"o{n}" for n in range(8)]
    for n, id in enumerate(turns):
        world.observe(id, f"Lamp {n} " + "was lit at dusk by whoever came first " * 12)
    for start in (0, 4):
        world.close_episode(turns[start : start + 4])
    world.settle()
    directory = world.host.live.store.directory
    before = {slot.id: (slot.seal_key, slot.detail_key) for slot in directory.slots(NAMESPACE)}
    receipt = world.forget(ids("o0")).receipt
    assert (receipt.base_erased, receipt.derived_retired, receipt.derived_rebuilt) == (1, 0, 1)
    after = {slot.id: (slot.seal_key, slot.detail_key) for slot in directory.slots(NAMESPACE)}
    kept = {id for id in after if after[id] == before[id]}
    first, second = sorted((s for s in directory.slots(NAMESPACE) if not s.is_base), key=lambda s: s.start_us)
    assert {world.base("o7"), second.id} <= kept
    assert {first.id, world.base("o1")}.isdisjoint(kept)
    assert not any(world.keyring.has(key) for key in before[first.id])


def test_an_episode_of_nothing_else_is_retired(world: World) -> None:
    world.observe("x", SECRET)
    world.close_episode(["x"])
    world.settle()
    [episode] = [s for s in world.host.live.store.directory.slots(NAMESPACE) if s.kind == "episode"]
    targets = world.forgetting.resolve(NAMESPACE, ids("x"))
    assert ([s.id for s in targets.base], [s.id for s in targets.derived]) == ([world.base("x")], [episode.id])
    receipt = world.forget(ids("x"))
    assert receipt.receipt.derived_retired == 1
    assert list(receipt.derived_ids) == [episode.id]
    assert world.host.live.store.directory.slots(NAMESPACE) == []


def test_invariant_13_erased_stays_erased(world: World) -> None:
    tell(world)
    [entry] = [r for r in ledger_of(world) if is_observation(r.value, world.mac(ledger.MAC_OBSERVATION, "x"))]
    world.forget(ids("x"))
    before = world.hash()
    # Perception starts again before its watermark: the very same entry, an episode over it, the same id anew.
    world.log.append([ledger.message(pb.LedgerEntry.FromString(entry.value or b""))])
    world.observe("x", SECRET)
    world.close_episode(["x"])
    world.settle()
    assert world.hash() == before
    world.restart()
    world.settle()
    assert world.hash() == before
    world.rebuild()
    assert world.hash() == before
    assert SECRET not in world.texts(world.recall("Who hid the emerald under the piano?"))


def test_invariant_13_erased_before_it_was_ever_indexed(world: World) -> None:
    world.observe("o0", OTHERS[0])
    world.settle()
    before = world.hash()
    world.host.stop()
    # The command and what it erases lie in the ledger together when the host comes up.
    world.observe("x", SECRET)
    erased = pb.Erased(receipt_id="r", id_macs=[world.mac(ledger.MAC_OBSERVATION, "x")], engram_ids=[world.base("x")])
    world.append(NAMESPACE, erased=erased)
    world.kill()
    world.open()
    world.settle()
    assert world.hash() == before


def test_invariant_16_the_epoch_is_raised_once_nothing_can_be_recalled(world: World) -> None:
    tell(world)
    assert world.recall("emerald").epochs == {NAMESPACE: 0}
    receipt = world.forget(ids("x")).receipt
    recalled = world.recall("emerald")
    assert recalled.epochs == {NAMESPACE: 1} == {NAMESPACE: receipt.erasure_epoch}
    assert SECRET not in world.texts(recalled)
    world.restart()
    assert world.recall("emerald").epochs == {NAMESPACE: 1}


def test_invariant_16_a_recall_returns_the_epochs_from_before_it_looked(tmp_path: Path, embedder: Embedder) -> None:
    """Whatever it read of a text that is erased meanwhile must not be usable under the new epoch."""

    @dataclass(frozen=True)
    class Erasing(Plugin):
        name: ClassVar[str] = "erasing"

        def retrieve(self, plan: Plan, ctx: Context) -> Mapping[str, Sequence[Candidate]]:
            if "x" not in erased:
                erased.append("x")
                world.forget(ids("x"))
            return {}

    erased: list[str] = []
    world = World(tmp_path, embedder, [*PLUGINS, Erasing()]).open()
    world.create()
    tell(world)
    assert world.recall("emerald").epochs == {NAMESPACE: 0}
    assert erased == ["x"]
    assert world.recall("emerald").epochs == {NAMESPACE: 1}
    world.close()


def test_invariant_14_and_20_no_plaintext_on_disk(world: World) -> None:
    tell(world)
    world.host.live.flush()
    assert_nowhere(world.folder, b"emerald", b"leeks", b"piano")
    world.forget(ids("x"))
    assert_nowhere(world.folder, b"emerald", b"leeks", b"piano")


@pytest.mark.parametrize("searched_by", ["directory", "milvus"])
def test_invariant_14_no_vector_lies_in_clear_that_milvus_need_not_search(
    tmp_path: Path, embedder: Embedder, searched_by: str
) -> None:
    world = World(tmp_path, embedder)
    world.searches_vectors = searched_by == "milvus"
    world.open()
    world.create()
    tell(world)
    world.host.live.flush()
    stored = world.host.live.store.whole(NAMESPACE, world.base("x"))
    assert stored is not None
    texts = [key.text for key in stored.record.keys] or [stored.record.text]
    starts = [vector[:8].tobytes() for vector in embedder.embed(texts)]
    on_disk = everything(world.folder / "index")
    assert {start in on_disk for start in starts} == {searched_by == "milvus"}
    done = {store.store: store.done for store in world.forget(ids("x")).receipt.stores}
    assert done["index"] == (searched_by == "directory"), "the receipt says what is so"
    world.close()


def test_the_receipt_says_of_the_inbox_what_is_so(world: World) -> None:
    tell(world)
    stores = {store.store: store for store in world.forget(ids("o0")).receipt.stores}
    assert stores["inbox"].done, "nothing came that way"
    world.log.append([Message(topics.INBOX, b"k", b"{}")])
    receipt = world.forget(ids("x")).receipt
    [inbox] = [store for store in receipt.stores if store.store == "inbox"]
    assert not inbox.done
    assert inbox.by.seconds - receipt.at.seconds > 3600
    assert "perception" in inbox.detail


def test_an_index_of_other_fields_is_filled_anew_from_the_feed(world: World) -> None:
    tell(world)
    before = world.hash()
    world.host.stop()
    world.searches_vectors = True
    world.open()
    world.settle()
    assert world.hash() == before
    assert SECRET in world.texts(world.recall("Who hid the emerald under the piano?"))


def test_invariant_14_destroyed_keys_are_gone_from_the_file(world: World) -> None:
    tell(world)
    slot = world.host.live.store.directory.get(NAMESPACE, world.base("x"))
    assert slot is not None
    wrapped = {r.key.decode(): pb.DataKey.FromString(r.value or b"").wrapped for r in keys_of(world) if r.value}
    key = wrapped[slot.seal_key.partition(".")[0]]
    assert key in everything(world.folder)
    world.forget(ids("x"))
    assert key not in everything(world.folder)


def everything(folder: Path) -> bytes:
    return b"".join(p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file())


def assert_nowhere(folder: Path, *words: bytes) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert not [w for w in words if w in content], path


def ledger_of(world: World) -> list:  # type: ignore[type-arg]
    partitions = range(world.log.partitions(topics.LEDGER))
    return [r for p in partitions for r in world.log.read(topics.LEDGER, p)]


def keys_of(world: World) -> list:  # type: ignore[type-arg]
    return [r for p in range(world.log.partitions(topics.KEYS)) for r in world.log.read(topics.KEYS, p)]


def is_observation(value: bytes | None, mac: bytes) -> bool:
    return pb.LedgerEntry.FromString(value or b"").observation_accepted.id_mac == mac


# --- size ---


def test_an_erasure_of_many_is_done_and_one_of_too_many_refused(
    tmp_path: Path, embedder: Embedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    specs = [replace(spec, max_message_bytes=8 * 1024) for spec in topics.specs(1, [topics.INBOX])]
    monkeypatch.setattr(topics, "specs", lambda *_: specs)
    monkeypatch.setattr(operator_state, "_IDS_A_RECORD", 100)
    world = World(tmp_path, embedder).open()
    world.create()
    for n in range(110):
        world.observe(f"o{n}", f"Lamp {n}.", source="most" if n < 98 else "rest")
    world.settle()
    end = len(ledger_of(world))
    with pytest.raises(MnemeError) as caught:
        world.forgetting.command(NAMESPACE, ForgetSelector(session="s1"), "f1", "test")
    assert (caught.value.reason, caught.value.field) == ("INVALID_FIELD", "selector")
    assert "110 engrams" in caught.value.message
    assert "parts" in caught.value.remedy
    assert len(ledger_of(world)) == end
    receipt = world.forget(ForgetSelector(source="most"))
    assert receipt.receipt.base_erased == len(receipt.base_ids) == 98
    assert receipt.ByteSize() > 8 * 1024
    assert set(readable(world.forgetting.probe(NAMESPACE, receipt)).values()) == {0}
    world.restart()
    assert list(world.host.state.receipts()) == [receipt]
    world.forget(ForgetSelector(source="rest"))
    assert world.host.live.store.directory.slots(NAMESPACE) == []
    world.close()


def test_a_receipt_of_any_size_is_read_as_it_was_written(world: World) -> None:
    receipt = pb.StoredReceipt(
        base_ids=[f"{n:032x}" for n in range(50_000)],
        derived_ids=[f"{n:032x}" for n in range(9)],
        key_ids=[f"{n:024x}" for n in range(90_000)],
    )
    receipt.receipt.id, receipt.receipt.namespace = "r1", NAMESPACE
    assert receipt.ByteSize() > 2 * 1024 * 1024
    for _ in range(2):  # finished, it is written again
        world.log.append(world.host.state.set_receipt(receipt))
    assert OperatorState(StateTopic(world.log), world.keyring, 0).receipt(NAMESPACE, "r1") == receipt
    assert list(world.host.state.receipts()) == [receipt]
    assert world.host.state.receipt(NAMESPACE, "r") is None


# --- selectors --------------------------------------------------------------------------------------------------


def test_forget_by_person_widens_to_aliases_and_names_seen(tmp_path: Path, embedder: Embedder) -> None:
    world = World(tmp_path, embedder).open()
    world.create(aliases=[AliasGroup(name="Ruth Fenwick", aliases=["Ruthie", "Aunt R."])])
    world.observe("o0", "Ruthie came to tea.")
    world.observe("o1", "The kettle sang.")
    world.observe("o2", "Old Mrs. Ruth Fenwick sang too.", people=["Mrs. Ruth Fenwick"])
    world.observe("o3", "I shall be late.", actor="Ruth Fenwick")
    world.observe("o4", "Ruthless critics stayed away.")
    world.settle()
    targets = world.forgetting.resolve(NAMESPACE, ForgetSelector(person=Person(name="ruth fenwick")))
    assert {s.id for s in targets.base} == {world.base(i) for i in ("o0", "o2", "o3")}
    assert {"Ruthie", "Aunt R.", "Ruth Fenwick"} <= set(targets.names)
    world.close()


POSHES = [
    AliasGroup(name="Murray Posh", aliases=["Mr. Posh"]),
    AliasGroup(name="Daisy Mutlar", aliases=["Mrs. Posh", "Mrs. Murray Posh"]),
]


@pytest.mark.parametrize(
    ("name", "named"),
    [
        ("Murray Posh", {"o0", "o1", "o4"}),
        ("Mr Posh", {"o0", "o1", "o4"}),
        ("Daisy Mutlar", {"o2", "o3", "o4"}),  # not "Murray Posh", which is another's name
        ("Dr. Ruth Fenwick", {"o5"}),
    ],
)
def test_a_title_tells_two_people_of_one_name_apart(
    tmp_path: Path, embedder: Embedder, name: str, named: set[str]
) -> None:
    world = World(tmp_path, embedder).open()
    world.create(aliases=POSHES)
    world.observe("o0", "Mr. Posh came late.")
    world.observe("o1", "I like Murray Posh, said Mr Posh.")
    world.observe("o2", "Mrs. Posh wore blue.")
    world.observe("o3", "mrs posh wore green.")
    world.observe("o4", "Mrs. Murray Posh wore red.")
    world.observe("o5", "Ruth Fenwick wore black.")
    world.observe("o6", "Dr. Fenwick is away.")
    world.settle()
    targets = world.forgetting.resolve(NAMESPACE, ForgetSelector(person=Person(name=name)))
    assert {s.id for s in targets.base} == {world.base(i) for i in named}
    world.close()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("Ruth O'Hara", "I asked Ruth O\u2019Hara."),
        ("Ruth O\u2019Hara", "I asked RUTH O'HARA's aunt."),
        ("Ruth O\u02bcHara", "I asked Ruth O`Hara."),
        ("Anne-Marie", "I asked Anne\u2010Marie."),
        ("Anne\u2011Marie", "I asked Anne\u2014Marie."),
        ("Zo\u00eb Gr\u00fcn", "I asked Zoe\u0308 Gru\u0308n."),  # composed or not
        ("Zoe\u0308", "I asked Zo\u00eb."),
        ("Ruth Fenwick", "I asked Ruth\u00a0Fenwick."),  # a space that does not break
        ("Ruth Fenwick", "I asked Ruth Fen\u00adwick."),
        ("Ruth Fenfield", "I asked \uff32\uff55\uff54\uff48 Fen\ufb01eld."),
        ("Strau\u00df", "I asked STRAUSS."),
        ("Ilker", "I asked \u0130lker."),
    ],
)
def test_a_name_is_found_however_its_characters_are_written(name: str, text: str) -> None:
    assert Naming([name]).within(text)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("Anne-Marie", "I asked Anne, Marie and Annemarie."),
        ("Ruth", "I asked Ruthless critics and the truth."),
        ("Ann", "I asked Anna and Jo\u200bann."),
    ],
)
def test_another_word_is_no_name(name: str, text: str) -> None:
    assert not Naming([name]).within(text)


def test_a_group_is_known_however_its_characters_are_written() -> None:
    groups = [AliasGroup(name="Zo\u00eb O\u2019Hara", aliases=["the landlady"])]
    assert Naming(["ZOE\u0308 O'HARA"], groups).within("I paid the landlady.")


def test_forget_by_person_searches_all_that_a_text_came_with(world: World) -> None:
    world.observe("o0", "The call was long.", metadata={"customer": "Ruth Fenwick", "minutes": 12})
    world.observe("o1", "It rang twice.", source="mail of Ruth Fenwick")
    world.observe("o2", "Nobody answered.", session="Call: ruth fenwick, Monday")
    world.observe("o3", "The kettle sang.", session="s3", source="mail", metadata={"customer": "Ruth Fennel"})
    world.settle()
    receipt = world.forget(ForgetSelector(person=Person(name="Ruth Fenwick")))
    assert set(receipt.base_ids) == {world.base(i) for i in ("o0", "o1", "o2")}


@pytest.mark.parametrize("name", ["", " ", "?", "..."])
def test_a_person_without_a_name_is_refused(world: World, name: str) -> None:
    world.observe("o0", "Who came ... ?")
    world.settle()
    with pytest.raises(MnemeError) as refused:
        world.forgetting.resolve(NAMESPACE, ForgetSelector(person=Person(name=name)))
    assert (refused.value.reason, refused.value.field) == ("INVALID_FIELD", "selector.person.name")


def test_forget_by_session_source_time_and_ids(world: World) -> None:
    world.observe("o0", "Tea at four.", "s1", source="mail")
    world.observe("o1", "Tea at five.", "s2", source="chat")
    world.observe("o2", "Tea at six.", "s2", source="mail")
    world.settle()
    base = {i: world.base(i) for i in ("o0", "o1", "o2")}

    def resolved(selector: ForgetSelector) -> set[str]:
        return {s.id for s in world.forgetting.resolve(NAMESPACE, selector).base}

    assert resolved(ForgetSelector(session="s2")) == {base["o1"], base["o2"]}
    assert resolved(ForgetSelector(source="mail")) == {base["o0"], base["o2"]}
    assert resolved(ids("o1", base["o2"], "unknown")) == {base["o1"], base["o2"]}
    by_time = ForgetSelector()
    by_time.event_time.start.FromDatetime(world.clock)
    assert resolved(by_time) == {base["o2"]}
    by_time.event_time.end.CopyFrom(by_time.event_time.start)
    by_time.event_time.ClearField("start")
    assert resolved(by_time) == {base["o0"], base["o1"]}, "the end is not part of it"
    for nothing, field in (
        (ForgetSelector(), "selector"),
        (ForgetSelector(event_time=TimeRange()), "selector.event_time"),
        (ForgetSelector(session=""), "selector.session"),
        (ForgetSelector(source=""), "selector.source"),
    ):
        with pytest.raises(MnemeError) as caught:
            world.forgetting.resolve(NAMESPACE, nothing)
        assert (caught.value.reason, caught.value.field) == ("INVALID_FIELD", field)


def test_a_correction_goes_with_what_it_corrects(world: World) -> None:
    world.observe("o0", "The safe's number is 7319.")
    world.settle()
    corrected = world.correct("c1", world.base("o0"), "The safe's number is 7320.")
    world.settle()
    assert set(world.forget(ids("o0")).base_ids) == {world.base("o0"), corrected}
    assert world.host.live.store.directory.slots(NAMESPACE) == []
    with pytest.raises(MnemeError) as caught:
        world.correct("c1", world.base("o0"), "The safe's number is 7320.")
    assert caught.value.reason == "ERASED"


def test_a_remembered_id_that_was_erased_is_refused(world: World) -> None:
    note = world.remember("r1", "The key is under the mat.")
    world.settle()
    world.forget(ids(note))
    with pytest.raises(MnemeError) as caught:
        world.remember("r1", "The key is under the mat.")
    assert caught.value.reason == "ERASED"


def test_what_else_was_remembered_stays_when_one_note_is_forgotten(world: World) -> None:
    kept = world.remember("n1", "The lantern hangs in the porch.")
    gone = world.remember("n2", SECRET)
    world.settle()
    corrected = world.correct("c1", kept, "The lantern hangs in the hall.")
    world.settle()
    receipt = world.forget(ids(gone))
    world.settle()
    assert list(receipt.base_ids) == [gone]
    assert world.texts(world.recall("Where does the lantern hang?")) == ["The lantern hangs in the hall."]
    directory = world.host.live.store.directory
    assert {s.id: s.superseded_by for s in directory.slots(NAMESPACE)} == {kept: corrected, corrected: ""}
    after = world.hash()
    world.rebuild()
    assert world.hash() == after


def test_the_command_holds_no_selector(world: World) -> None:
    tell(world)
    world.forget(ForgetSelector(person=Person(name="Ruth")))
    entry = pb.LedgerEntry.FromString(ledger_of(world)[-1].value or b"")
    [erased] = [
        e.erased for r in ledger_of(world) if (e := pb.LedgerEntry.FromString(r.value or b"")).HasField("erased")
    ]
    assert entry.namespace == NAMESPACE
    assert b"Ruth" not in erased.SerializeToString()
