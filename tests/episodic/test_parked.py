"""What was acknowledged is never destroyed by anything but an erasure, whatever the fold thinks of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest
from mneme.v1 import ledger_pb2 as pb
from mneme.v1.admin_pb2 import AliasGroup
from mneme.v1.common_pb2 import MetadataValue, Observation, TimeRange
from mneme.v1.episodic_pb2 import CorrectRequest, ForgetSelector, Ids, Person, RememberRequest

from services.common.crypto.auth import Caller, Right
from services.common.ids import MAX_ID, MAX_NAME, digest
from services.common.ledger import entries as ledger
from services.common.ledger import topics
from services.common.lineage import MAX_ENGRAMS, answer_id
from services.common.log.base import LogUnavailable
from services.common.models.embed import Embedder
from services.common.text.extract import NO_ALIASES, Extractor
from services.common.text.limits import MAX_TEXT_BYTES
from services.episodic.plugins import build
from services.episodic.plugins.base import Context, Event, Key, Observed, Operation, Patch, Plugin
from services.episodic.search.index import IndexUnavailable
from services.episodic.state.namespaces import NamespaceInfo
from services.episodic.write import fold
from services.episodic.write.commands import Commands
from services.perception.intake.accept import Intake
from services.perception.intake.decision import Accepted
from services.perception.intake.validate import MAX_METADATA_FIELDS, MAX_REFERENCE
from services.perception.ledger_facts import LedgerFacts
from tests.episodic.test_replay import dead_letters
from tests.episodic.world import NAMESPACE, START, World

Poisoning = Callable[[World], str]
ANYBODY = Caller("tester", ("",), frozenset(Right), "t", float("inf"))
GROUPS = [AliasGroup(name=f"Ann{chr(65 + n % 26)}{chr(97 + n // 26)} " + "\U0001d4d0" * 190) for n in range(64)]
NAMES = " ".join(group.name for group in GROUPS)


def long_text(size: int) -> str:
    """So many bytes, which name everybody, as far as there is room."""
    named = f"{NAMES[: size // 8]} met. "
    return (named + "x" * size).encode()[:size].decode(errors="ignore")


def metadata() -> dict[str, MetadataValue]:
    return {f"field{n}": MetadataValue(text="m" * 240) for n in range(MAX_METADATA_FIELDS)}


@pytest.fixture
def named(tmp_path: Path, embedder: Embedder) -> Iterator[World]:
    """A namespace of 64 long names, found as the service finds them."""
    extractor = Extractor()
    world = World(tmp_path, embedder)

    def entities(text: str, info: NamespaceInfo | None) -> tuple[tuple[str, ...], tuple[str, ...]]:
        found = extractor.find(text, aliases=(info.known if info else NO_ALIASES))
        return found.people, found.places

    world.entities = entities
    world.open().create(aliases=GROUPS)
    world.settle()
    yield world
    world.close()


def widest(id: str, text: str, derived_from: Sequence[str] = ["\U0001d4d0" * MAX_ID] * 64) -> Observation:
    """An observation of which everything is as long as the door takes it."""
    made = Observation(
        id=id.ljust(MAX_ID, "\U0001d4d0"),
        namespace=NAMESPACE,
        session="\U0001d4d0" * MAX_ID,
        text=text,
        actor="\U0001d4d0" * MAX_ID,
        external_id="\U0001d4d0" * MAX_REFERENCE,
        source="\U0001d4d0" * MAX_REFERENCE,
        metadata=metadata(),
        derived_from=derived_from,
    )
    made.observed_at.FromDatetime(START)
    return made


@pytest.mark.parametrize(("size", "engrams"), [(59_900, 0), (MAX_TEXT_BYTES, 0), (MAX_TEXT_BYTES, MAX_ENGRAMS)])
def test_invariant_30_what_every_door_takes_at_its_limits_can_be_read(named: World, size: int, engrams: int) -> None:
    known = LedgerFacts(named.log, named.keyring)
    intake = Intake(named.log, named.keyring, known, Extractor(), lambda: datetime.now(UTC))
    text, other = long_text(size), long_text(size - 1)
    derived_from = [digest(n) for n in range(engrams)]
    observation = widest("o1", text, derived_from) if engrams else widest("o1", text)
    [accepted] = intake.observe([observation], ANYBODY)
    assert isinstance(accepted, Accepted)
    info = named.host.registry.namespace(NAMESPACE)
    assert info is not None
    wide = "\U0001d4d0" * MAX_REFERENCE
    request = RememberRequest(
        namespace=NAMESPACE,
        id="r1",
        text=text,
        actor=wide[:MAX_NAME],
        source=wide,
        external_id=wide,
        metadata=metadata(),
    )
    if engrams:
        turn = named.base(observation.id)
        named.settle()
        request.derived_from[:] = [answer_id(digest("answer"), [turn, *derived_from[1:]])]
    note, _, _ = named.commands.remember(request, info, "test", "test")
    named.settle()
    turn = named.base(observation.id)
    assert named.reads.get(NAMESPACE, turn).record.text == text
    assert named.reads.get(NAMESPACE, note).record.text == text
    corrected = [named.correct(f"c-{id}", id, other) for id in (turn, note)]
    named.settle()
    for id in corrected:
        record = named.reads.get(NAMESPACE, id).record
        assert (record.text, len(record.metadata)) == (other, MAX_METADATA_FIELDS)
        assert record.people  # as many as there is room for
    assert dead_letters(named) == []
    assert named.host.parking.waiting(NAMESPACE, named.host.live.store.directory) == []
    for id in corrected:
        assert named.recall("Who met?", limit=10).items
        assert named.host.live.store.whole(NAMESPACE, id) is not None


def test_the_fold_keeps_every_name_that_the_door_kept(named: World) -> None:
    intake = Intake(
        named.log, named.keyring, LedgerFacts(named.log, named.keyring), Extractor(), lambda: datetime.now(UTC)
    )
    observation = widest("o1", long_text(MAX_TEXT_BYTES))
    intake.observe([observation], ANYBODY)
    named.settle()
    [entry] = [e for e in entries(named) if e.HasField("observation_accepted")]
    sealed = entry.observation_accepted.sealed
    raw = named.keyring.open(sealed, namespace=NAMESPACE, purpose=ledger.SEAL_OBSERVATION)
    kept = pb.PerceivedObservation.FromString(raw).people
    assert 0 < len(kept) < len(GROUPS)
    assert named.reads.get(NAMESPACE, named.base(observation.id)).record.people == tuple(kept)


def entries(world: World) -> list[pb.LedgerEntry]:
    found = [
        ledger.entry_of(r) for p in range(world.log.partitions(topics.LEDGER)) for r in world.log.read(topics.LEDGER, p)
    ]
    return [e for e in found if e is not None]


# --- what cannot be folded ---


def too_large(world: World) -> str:
    world.observe("o1", "Ruth hid the emerald. " + "x" * 97_000, "s7", source="letter")
    return "TEXT_SIZE"


def reused_observation(world: World) -> str:
    world.observe("o1", "The rain came early.", "s9", at=datetime(2020, 1, 1, tzinfo=UTC))
    world.observe("o1", "Ruth hid the emerald.", "s7", source="letter")
    return "ID_REUSED"


def reused_note(world: World) -> str:
    world.remember("o1", "The rain came early.")
    world.settle()
    world.commands = Commands(world.host)
    _remember_unchecked(world, "o1", "Ruth hid the emerald.")
    return "ID_REUSED"


def correction_of_nothing(world: World) -> str:
    key = world.keyring.new_key(NAMESPACE)
    raw = CorrectRequest(namespace=NAMESPACE, id="c1", engram_id="nowhere", text="Ruth hid the emerald.")
    body = pb.Corrected(
        id_mac=world.mac(ledger.MAC_CORRECT, "c1"),
        content_mac=b"c",
        engram_id="nowhere",
        sealed=world.keyring.seal(
            key.key_id, raw.SerializeToString(), namespace=NAMESPACE, purpose=ledger.SEAL_CORRECT
        ),
    )
    world.append(NAMESPACE, key.message, corrected=body)
    return "NOT_FOUND"


def _remember_unchecked(world: World, id: str, text: str) -> None:
    """As a writer appends it that does not know of the one before."""
    key = world.keyring.new_key(NAMESPACE)
    raw = RememberRequest(namespace=NAMESPACE, id=id, text=text, source="letter").SerializeToString()
    body = pb.Remembered(
        id_mac=world.mac(ledger.MAC_REMEMBER, id),
        content_mac=world.mac(ledger.MAC_CONTENT, text),
        sealed=world.keyring.seal(key.key_id, raw, namespace=NAMESPACE, purpose=ledger.SEAL_REMEMBER),
    )
    world.append(NAMESPACE, key.message, remembered=body)


def newest_key(world: World) -> str:
    """Of the newest text in the ledger."""
    bodies = [(e.observation_accepted, e.remembered, e.corrected) for e in entries(world)]
    return [said.sealed.key_id for each in bodies for said in each if said.sealed.key_id][-1]


POISONS = [too_large, reused_observation, reused_note, correction_of_nothing]


def waiting(world: World) -> list[pb.ParkedEntry]:
    return world.host.parking.waiting(NAMESPACE, world.host.live.store.directory)


@pytest.mark.parametrize("poison", POISONS)
def test_invariant_30_what_cannot_be_folded_keeps_its_key_and_is_listed(world: World, poison: Poisoning) -> None:
    reason = poison(world)
    key = newest_key(world)
    world.observe("o2", "Ben found it.", "s8")
    world.settle()
    for _ in range(2):
        assert world.keyring.has(key)
        assert [(n.reason, n.key_id) for n in waiting(world)] == [(reason, key)]
        assert [letter.reason for letter in dead_letters(world)] == [reason]
        assert world.reads.get(NAMESPACE, world.base("o2")).record.text == "Ben found it."
        world.restart()
        world.rebuild()
    world.forget(ForgetSelector(ids=Ids(ids=["o2"])))
    assert world.keyring.has(key)


PERSON = ForgetSelector(person=Person(name="Ruth"))
SOURCE = ForgetSelector(source="letter")
SINCE_2021 = TimeRange()
SINCE_2021.start.FromDatetime(datetime(2021, 1, 1, tzinfo=UTC))
AT = ForgetSelector(event_time=SINCE_2021)


@pytest.mark.parametrize(
    ("poison", "selector"),
    [(each, PERSON) for each in POISONS]
    + [(each, SOURCE) for each in POISONS[:3]]
    + [(each, AT) for each in POISONS[:2]]
    + [(each, ForgetSelector(session="s7")) for each in POISONS[:2]]
    + [(each, ForgetSelector(ids=Ids(ids=["o1"]))) for each in POISONS[:2]],
)
def test_invariant_13_what_could_not_be_folded_goes_with_an_erasure_that_means_it(
    world: World, poison: Poisoning, selector: ForgetSelector
) -> None:
    poison(world)
    key = newest_key(world)
    world.settle()
    stands = {slot.id for slot in world.host.live.store.directory.slots(NAMESPACE)}
    assert any("Ruth" in s.record.text for s in world.forgetting.resolve(NAMESPACE, selector).unfolded.values())
    receipt = world.forget(selector)
    assert not world.keyring.has(key)
    assert waiting(world) == []
    assert receipt.receipt.base_erased >= 1
    assert all(probe.readable == 0 for probe in world.forgetting.probe(NAMESPACE, receipt))
    if selector.WhichOneof("by") != "ids":  # what has the id rightly is meant by its id alone
        assert {slot.id for slot in world.host.live.store.directory.slots(NAMESPACE)} == stands
    world.rebuild()
    assert waiting(world) == []


def test_a_correction_that_could_not_be_folded_goes_with_what_it_corrects(world: World) -> None:
    world.observe("o1", "Ruth hid the emerald.")
    world.settle()
    first = world.correct("c1", world.base("o1"), "Ruth hid the ruby.")
    world.settle()
    key = world.keyring.new_key(NAMESPACE)
    raw = CorrectRequest(namespace=NAMESPACE, id="c2", engram_id=world.base("o1"), text="Ben hid it.")
    body = pb.Corrected(
        id_mac=world.mac(ledger.MAC_CORRECT, "c2"),
        content_mac=b"c",
        engram_id=world.base("o1"),
        sealed=world.keyring.seal(
            key.key_id, raw.SerializeToString(), namespace=NAMESPACE, purpose=ledger.SEAL_CORRECT
        ),
    )
    world.append(NAMESPACE, key.message, corrected=body)
    world.settle()
    assert [n.reason for n in waiting(world)] == ["NOT_FOUND"]
    world.forget(ForgetSelector(ids=Ids(ids=[first])))
    assert not world.keyring.has(key.key_id)
    assert waiting(world) == []


def test_a_rebuild_folds_again_what_mended_code_takes(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(fold, "ENGRAM_BYTES", 500)
        world.observe("o1", "The heron stood in the reeds. " * 40)
        world.settle()
        assert [n.reason for n in waiting(world)] == ["TEXT_SIZE"]
    world.rebuild()
    assert world.reads.get(NAMESPACE, world.base("o1")).record.text.startswith("The heron")
    assert waiting(world) == []


def test_invariant_30_an_erasure_beside_it_destroys_nothing_that_this_code_could_not_fold_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.observe("o1", "The heron stood in the reeds. " * 40)
    world.observe("o2", "Ben found it.")
    world.settle()
    monkeypatch.setattr(fold, "ENGRAM_BYTES", 1_000)
    receipt = world.forget(ForgetSelector(ids=Ids(ids=["o2"])))
    assert receipt.receipt.base_erased == 1
    assert world.reads.get(NAMESPACE, world.base("o1")).record.text.startswith("The heron")


def test_an_erasure_in_another_session_folds_nothing_that_is_parked(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.observe("o2", "Ben found it.", "s8")
    with monkeypatch.context() as patched:
        patched.setattr(fold, "ENGRAM_BYTES", 500)
        world.observe("o1", "The heron stood in the reeds. " * 40, "s7")
        world.settle()
    world.observe("o3", "Ben lost it.", "s8")
    world.settle()
    assert world.forget(ForgetSelector(ids=Ids(ids=["o2"]))).receipt.base_erased == 1
    assert [n.reason for n in waiting(world)] == ["TEXT_SIZE"]
    assert [slot.id for slot in world.host.live.store.directory.slots(NAMESPACE)] == [world.base("o3")]
    world.rebuild()
    assert waiting(world) == []
    assert len(world.host.live.store.directory.slots(NAMESPACE)) == 2


def test_invariant_13_a_correction_behind_the_erasure_of_what_it_corrects_does_not_stay_readable(world: World) -> None:
    world.observe("o1", "Ruth hid the emerald.")
    world.settle()
    with world.host.fold_lock:  # the erasure is commanded, not applied
        world.forgetting.command(NAMESPACE, ForgetSelector(ids=Ids(ids=["o1"])), "f1", "test")
        key = world.keyring.new_key(NAMESPACE)
        raw = CorrectRequest(namespace=NAMESPACE, id="c1", engram_id=world.base("o1"), text="Ruth hid the ruby.")
        sealed = world.keyring.seal(
            key.key_id, raw.SerializeToString(), namespace=NAMESPACE, purpose=ledger.SEAL_CORRECT
        )
        body = pb.Corrected(id_mac=b"m", content_mac=b"c", engram_id=world.base("o1"), sealed=sealed)
        world.append(NAMESPACE, key.message, corrected=body)
    world.settle()
    assert not world.keyring.has(key.key_id)
    assert waiting(world) == []


def test_invariant_13_a_note_behind_its_own_erasure_does_not_stay_readable(world: World) -> None:
    note = world.remember("r1", "Ruth hid the emerald.")
    world.settle()
    world.forget(ForgetSelector(ids=Ids(ids=[note])))
    _remember_unchecked(world, "r1", "Ruth hid the emerald.")
    key = newest_key(world)
    world.settle()
    assert not world.keyring.has(key)


# --- hooks ---


class Failing(Plugin):
    """Its hook fails once with an error, then gives each turn a key."""

    name = "failing"

    def __init__(self, error: Exception, key: str = "a key of its own") -> None:
        self.left = [error]
        self.key = key

    def __repr__(self) -> str:
        return "Failing()"

    def encode(self, event: Event, ctx: Context) -> Sequence[Operation]:
        if self.left:
            raise self.left.pop()
        if isinstance(event, Observed):
            return [Patch(event.record.id, "keys", (Key("turn", self.key),), event.record.seq)]
        return []


def open_with(folder: Path, embedder: Embedder, plugin: Failing) -> World:
    world = World(folder, embedder, [plugin, *build(["lexical", "pack"])]).open()
    world.create()
    world.observe("o1", "Ruth hid the emerald.")
    world.observe("o2", "Ben found it.")
    world.settle()
    return world


@pytest.mark.parametrize("outage", [IndexUnavailable("away"), LogUnavailable("away")])
def test_an_outage_inside_a_hook_is_waited_out_and_loses_nothing(
    tmp_path: Path, embedder: Embedder, outage: Exception
) -> None:
    plugin = Failing(outage)
    world = open_with(tmp_path, embedder, plugin)
    assert plugin.left == []
    assert dead_letters(world) == []
    for id in ("o1", "o2"):
        whole = world.host.live.store.whole(NAMESPACE, world.base(id))
        assert whole is not None
        assert [key.text for key in whole.record.keys] == ["a key of its own"]
    world.close()


def test_a_plug_in_s_defect_costs_its_own_contribution_to_one_entry(tmp_path: Path, embedder: Embedder) -> None:
    world = open_with(tmp_path, embedder, Failing(ZeroDivisionError("of Ruth's emerald")))
    [letter] = dead_letters(world)
    assert (letter.reason, letter.message) == ("INTERNAL", "failing.encode failed: ZeroDivisionError")
    for id, keys in (("o1", 0), ("o2", 1)):
        whole = world.host.live.store.whole(NAMESPACE, world.base(id))
        assert whole is not None
        assert len(whole.record.keys) == keys
    world.host.check()
    world.close()


def test_keys_that_no_record_takes_cost_the_plug_in_its_own_contribution(tmp_path: Path, embedder: Embedder) -> None:
    world = open_with(tmp_path, embedder, Failing(IndexUnavailable("away"), "x" * 1_600_000))
    assert [letter.reason for letter in dead_letters(world)] == ["INTERNAL", "INTERNAL"]
    assert world.reads.get(NAMESPACE, world.base("o2")).record.text == "Ben found it."
    world.host.check()
    world.close()
