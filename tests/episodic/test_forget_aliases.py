"""A forgotten person's names in the namespace's alias groups: they go with the texts, and nothing brings them back."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from mneme.v1 import ledger_pb2 as pb
from mneme.v1.admin_pb2 import AliasGroup
from mneme.v1.episodic_pb2 import ForgetSelector, Ids, Person

from services.common.crypto.seal import KeyDestroyed
from services.common.ledger import entries as ledger
from services.common.ledger import topics
from services.common.log.base import Message
from services.common.models.embed import Embedder
from services.common.serving.errors import MnemeError
from services.episodic.erasure.forget import Targets
from services.episodic.erasure.person import Naming
from tests.episodic.world import NAMESPACE, World, named

DAISY = AliasGroup(name="Daisy Mutlar", aliases=["Daisy", "Mrs. Murray Posh"])
CARRIE = AliasGroup(name="Carrie", aliases=["Mrs. Pooter"])
GROUPS = [AliasGroup(name="Murray Posh", aliases=["Mr. Posh"]), DAISY, CARRIE]
LEFT = [AliasGroup(name="Daisy Mutlar", aliases=["Daisy"]), CARRIE]
POSH = ForgetSelector(person=Person(name="Murray Posh"))
CLEAN = dict.fromkeys(("keys", "feed", "index", "ledger", "recall", "dead letters"), 0)


@pytest.fixture
def world(tmp_path: Path, embedder: Embedder) -> Iterator[World]:
    world = World(tmp_path, embedder)
    world.entities = named
    world.open()
    world.create(aliases=GROUPS)
    world.settle()
    world.observe("o0", "Mr. Posh called.", people=["Murray Posh"])
    world.observe("o1", "It rained.")
    world.remember("r0", "Mrs. Pooter bought a hat for Daisy.")
    world.remember("r1", "Mr. Posh has three silver spoons.")
    world.settle()
    yield world
    world.close()


def groups(world: World) -> list[AliasGroup]:
    info = world.host.registry.namespace(NAMESPACE)
    assert info is not None
    return list(info.aliases)


def entries(world: World) -> list[pb.LedgerEntry]:
    partitions = range(world.log.partitions(topics.LEDGER))
    values = [r.value or b"" for p in partitions for r in world.log.read(topics.LEDGER, p)]
    return [pb.LedgerEntry.FromString(value) for value in values]


def readable_in_ledger(world: World) -> list[bytes]:
    """Every alias group that whoever holds the master key can open."""
    out = []
    for entry in entries(world):
        for sealed in (entry.namespace_created.aliases, entry.erased.aliases):
            try:
                out.append(world.keyring.open(sealed, namespace=NAMESPACE, purpose=ledger.SEAL_NAMESPACE))
            except KeyDestroyed:
                continue
    return out


def probed(world: World, receipt: pb.StoredReceipt) -> dict[str, int]:
    return {p.store: p.readable for p in world.forgetting.probe(NAMESPACE, receipt)}


def test_invariant_13_and_14_a_forgotten_persons_names_are_readable_nowhere(world: World) -> None:
    assert any(b"Posh" in opened for opened in readable_in_ledger(world))
    receipt = world.forget(POSH)
    assert receipt.receipt.alias_groups == 2
    assert receipt.receipt.base_erased == 2
    for _ in range(2):
        assert groups(world) == LEFT
        left = readable_in_ledger(world)
        assert len(left) == 1
        assert b"Daisy" in left[0]
        assert b"Posh" not in left[0]
        assert probed(world, receipt) == CLEAN
        world.restart()


def test_what_stays_is_read_as_before(world: World) -> None:
    world.forget(POSH)
    before = world.hash()
    stored = world.host.live.store.fetch(NAMESPACE, [ledger.remembered_id(NAMESPACE, "r0")])
    [hat] = stored.values()
    assert set(hat.record.people) == {"Carrie", "Daisy Mutlar"}
    world.rebuild()
    assert world.hash() == before
    world.restart().rebuild()
    assert world.hash() == before


def test_what_is_told_meanwhile_is_read_without_the_names(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    resolve, other = world.forgetting.resolve, "acme/bob"
    world.create(other, aliases=GROUPS)
    world.observe("o0", "Mr. Posh called.", namespace=other)
    world.settle()

    def told_meanwhile(namespace: str, selector: ForgetSelector, *looked: object) -> Targets:
        targets = resolve(namespace, selector)
        world.remember("r2", "Mr. Posh again.", other)
        time.sleep(0.5)  # the writer had time to fold it
        return targets

    monkeypatch.setattr(world.forgetting, "resolve", told_meanwhile)
    world.forget(POSH, other)
    world.settle()
    [told] = world.host.live.store.fetch(other, [ledger.remembered_id(other, "r2")]).values()
    assert told.record.people == ()
    before = world.hash(other)
    world.rebuild()
    assert world.hash(other) == before


def test_names_are_looked_for_and_found_where_their_key_is_left(world: World) -> None:
    info = world.host.registry.namespace(NAMESPACE)
    assert info is not None
    [key] = [r for r in keys_of(world) if r.key == info.aliases_key.encode()]
    receipt = world.forget(POSH)
    assert info.aliases_key in receipt.key_ids
    assert probed(world, receipt) == CLEAN
    # As if the key had never been destroyed.
    world.log.append([Message(topics.KEYS, key.key, key.value, partition_key=NAMESPACE.encode())])
    assert probed(world, receipt) == {**CLEAN, "keys": 1, "ledger": 1}


def keys_of(world: World) -> list:  # type: ignore[type-arg]
    return [r for p in range(world.log.partitions(topics.KEYS)) for r in world.log.read(topics.KEYS, p)]


@pytest.mark.parametrize(
    "selector", [ForgetSelector(session="s1"), ForgetSelector(source="mail"), ForgetSelector(ids=Ids(ids=["o0"]))]
)
def test_whatever_else_is_forgotten_leaves_aliases_alone(world: World, selector: ForgetSelector) -> None:
    world.observe("o2", "Mr. Posh wrote.", source="mail")
    world.settle()
    before = world.host.registry.namespace(NAMESPACE)
    receipt = world.forget(selector)
    assert receipt.receipt.alias_groups == 0
    assert world.host.registry.namespace(NAMESPACE) == before
    world.restart()
    assert groups(world) == GROUPS


def test_a_person_that_only_an_alias_group_names_can_be_forgotten(tmp_path: Path, embedder: Embedder) -> None:
    world = World(tmp_path, embedder).open()
    world.create(aliases=[AliasGroup(name="Murray Posh", aliases=["Mr. Posh"])])
    world.observe("o1", "It rained.")
    world.settle()
    before = world.hash()
    listed = world.forgetting.resolve(NAMESPACE, POSH)
    assert (len(listed.base), listed.alias_groups) == (0, 1)
    receipt = world.forget(POSH)
    assert (receipt.receipt.base_erased, receipt.receipt.alias_groups, receipt.receipt.keys_destroyed) == (0, 1, 1)
    assert groups(world) == []
    assert readable_in_ledger(world) == []
    assert probed(world, receipt) == CLEAN
    assert world.hash() == before
    with pytest.raises(MnemeError) as caught:
        world.forget(POSH)
    assert caught.value.reason == "NOT_FOUND"
    world.restart()
    assert groups(world) == []
    world.close()


def test_one_person_after_another(world: World) -> None:
    world.forget(POSH)
    world.forget(ForgetSelector(person=Person(name="Mrs. Pooter")))
    assert groups(world) == LEFT[:1]
    assert [b"Carrie" in opened for opened in readable_in_ledger(world)] == [False]
    world.restart()
    assert groups(world) == LEFT[:1]


def test_names_are_gone_however_early_it_dies(world: World) -> None:
    world.host.stop()
    world.forgetting.command(NAMESPACE, POSH, "f1", "test")
    world.kill()
    world.open()
    assert groups(world) == LEFT
    world.settle()
    assert [b"Posh" in opened for opened in readable_in_ledger(world)] == [False]


def test_a_command_that_was_sent_twice_leaves_one_set_of_names(world: World) -> None:
    """Its append was in doubt, so it was resolved and appended again, over the groups as they were."""
    world.host.stop()
    before = world.host.registry.namespace(NAMESPACE)
    assert before is not None
    world.forgetting.command(NAMESPACE, POSH, "f1", "test")
    again = world.keyring.new_key(NAMESPACE)
    sealed = ledger.seal_aliases(world.keyring, again.key_id, NAMESPACE, GROUPS)
    erased = pb.Erased(receipt_id="r2", key_ids=[before.aliases_key], aliases=sealed, alias_groups=1, erasure_epoch=2)
    world.append(NAMESPACE, again.message, erased=erased)
    world.kill()
    world.open()
    world.settle()
    assert groups(world) == LEFT
    assert [b"Posh" in opened for opened in readable_in_ledger(world)] == [False]


TWO = [AliasGroup(name="Ann Lee", aliases=["Ann"]), AliasGroup(name="Ann Smith", aliases=["Smithy"])]


def test_another_declared_person_who_shares_a_name_stays_with_all_that_is_told_of_her(
    tmp_path: Path, embedder: Embedder
) -> None:
    world = World(tmp_path, embedder).open()
    world.entities = named
    world.create(aliases=TWO)
    world.observe("smithy", "Smithy rang about the car.", people=["Ann Smith"])
    world.observe("smith", "I met Ann Smith at noon.", people=["Ann Smith"])
    world.observe("lee", "I met Ann Lee.", people=["Ann Lee"])
    world.observe("both", "Ann met Ann Smith.", people=["Ann Lee", "Ann Smith"])
    world.settle()
    selector = ForgetSelector(person=Person(name="Ann Lee"))
    targets = world.forgetting.resolve(NAMESPACE, selector)
    assert {slot.id for slot in targets.base} == {world.base("lee"), world.base("both")}
    assert {(each.slot.id, each.doubt.reason) for each in targets.doubtful} == {
        (world.base("smith"), "it is the name of another alias group")
    }
    world.forget(selector)
    assert sorted(world.texts(world.recall("Smithy Ann met rang"))) == [
        "I met Ann Smith at noon.",
        "Smithy rang about the car.",
    ]
    info = world.host.registry.namespace(NAMESPACE)
    assert info is not None
    assert [(group.name, list(group.aliases)) for group in info.aliases] == [("Ann Smith", ["Smithy"])]
    world.close()


@pytest.mark.parametrize(
    ("given", "groups", "text", "expected"),
    [
        ("Tom Baker", {"Tom Baker": ["Baker"], "Lucy Baker": ["Lulu"]}, "Lulu won the race.", "no"),
        ("Tom Baker", {"Tom Baker": ["Baker"], "Lucy Baker": ["Lulu"]}, "Lucy Baker won.", "perhaps"),
        ("Tom Baker", {"Tom Baker": ["Baker"], "Lucy Baker": ["Lulu"]}, "Baker won.", "yes"),
        ("Maria", {"Maria Rossi": [], "Maria Verdi": ["Mariuccia"]}, "Maria Verdi chiama.", "perhaps"),
        ("Maria", {"Maria Rossi": [], "Maria Verdi": ["Mariuccia"]}, "Chiama Maria.", "yes"),
        ("Maria", {"Maria Rossi": ["Mariuccia"]}, "Maria Rossi chiama.", "yes"),
    ],
)
def test_a_name_within_another_s_is_not_surely_the_person_s(
    given: str, groups: dict[str, list[str]], text: str, expected: str
) -> None:
    naming = Naming([given], [AliasGroup(name=name, aliases=aliases) for name, aliases in groups.items()])
    assert ("yes" if naming.within(text) else "perhaps" if naming.doubts(text) else "no") == expected
