"""Answers count: what says that it is derived from an engram is erased with it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from mneme.v1 import ledger_pb2 as pb
from mneme.v1.common_pb2 import Observation
from mneme.v1.episodic_pb2 import ForgetSelector, Ids
from mneme.v1.reasoning_pb2 import AskRequest

from services.common.ids import digest
from services.common.ledger import entries as ledger
from services.common.serving.errors import MnemeError
from services.common.text.extract import Extractor
from services.episodic import converters
from services.episodic.state.records import Stored
from services.perception.intake.accept import Intake
from services.perception.intake.decision import Accepted
from services.perception.ledger_facts import LedgerFacts
from services.reasoning.converters import answer_id
from tests.episodic.world import NAMESPACE, World
from tests.perception.world import ANYBODY

SECRET = "Ruth hid the emerald under the piano."


def ids(*ids: str) -> ForgetSelector:
    return ForgetSelector(ids=Ids(ids=ids))


def asked(world: World, question: str) -> str:
    """The id of an answer from what is recalled now."""
    response = converters.to_recall_response(world.recall(question))
    assert response.items
    return answer_id(AskRequest(namespace=NAMESPACE, question=question), response)


def standing(world: World) -> set[str]:
    return {slot.observation_id for slot in opened(world)}


def opened(world: World) -> list[Stored]:
    store = world.host.live.store
    found = store.fetch(NAMESPACE, [s.id for s in store.directory.slots(NAMESPACE) if s.is_base])
    return list(found.values())


def told(world: World) -> None:
    world.observe("e", SECRET)
    world.observe("other", "They had soup with leeks.")
    world.close_episode(["e", "other"])
    world.settle()


def test_invariant_19_an_answer_goes_with_what_it_was_made_of(world: World) -> None:
    """Ask quotes e; the product posts the answer, asks again, posts that too, and notes it; Forget(e)."""
    world.observe("e", SECRET)
    world.settle()
    world.observe("a1", f"You said: {SECRET}", session="s2", derived_from=[asked(world, "Where is the emerald?")])
    world.settle()
    world.observe("a2", "It lies beneath the piano.", session="s3", derived_from=[world.base("a1")])
    world.settle()
    note = world.remember("n1", "The gem is with the instrument.", derived_from=[world.base("a2")])
    world.observe("other", "They had soup with leeks.", session="s2")
    world.settle()

    targets = world.forgetting.resolve(NAMESPACE, ids("e"))
    listed = converters.to_dry_run(targets, {}).targets
    reasons = {target.engram_id: target.reason for target in listed}
    assert reasons == {
        world.base("e"): "",
        world.base("a1"): f"It says that it is derived from {world.base('e')}.",
        world.base("a2"): f"It says that it is derived from {world.base('a1')}.",
        note: f"It says that it is derived from {world.base('a2')}.",
    }
    receipt = world.forget(ids("e"))
    assert (receipt.receipt.base_erased, receipt.receipt.declared_erased) == (4, 3)
    assert set(receipt.base_ids) == set(reasons)
    assert not any(probe.readable for probe in world.forgetting.probe(NAMESPACE, receipt))
    assert standing(world) == {"other"}
    before = world.hash()
    world.rebuild()
    assert world.hash() == before
    world.restart()
    assert standing(world) == {"other"}


def test_what_is_derived_from_a_correction_or_an_episode_goes_too(world: World) -> None:
    told(world)
    corrected = world.correct("c1", world.base("e"), "Ruth hid the ruby under the piano.")
    world.settle()
    [episode] = [s.id for s in world.host.live.store.directory.slots(NAMESPACE) if s.kind == "episode" and s.active]
    world.observe("a1", "The ruby is under the piano.", session="s2", derived_from=[corrected])
    world.observe("a2", "A hiding, then soup.", session="s3", derived_from=[episode])
    world.settle()
    # An episode may have held more when it was read: its id stays when an erasure rewrites it.
    assert {stored.observation_id for stored in opened(world) if stored.lineage_unknown} == {"a2"}
    assert world.forget(ids("e")).receipt.declared_erased == 2
    assert standing(world) == {"other"}
    world.observe("a3", "A hiding, then soup.", session="s4", derived_from=[episode])
    world.settle()
    [late] = [stored for stored in opened(world) if stored.observation_id == "a3"]
    assert late.lineage_unknown


def test_a_selector_that_means_both_counts_neither_as_declared(world: World) -> None:
    told(world)
    world.observe("a1", "So it is.", derived_from=[world.base("e"), world.base("a1")])  # and, oddly, from itself
    world.settle()
    assert world.forget(ForgetSelector(session="s1")).receipt.declared_erased == 0


def test_it_stays_when_something_else_is_forgotten_and_goes_alone_when_it_is_named(world: World) -> None:
    told(world)
    world.observe("a1", "So it is.", session="s2", derived_from=[world.base("e")])
    world.settle()
    assert world.forget(ids("other")).receipt.declared_erased == 0
    assert standing(world) == {"e", "a1"}
    assert world.forget(ids("a1")).receipt.base_erased == 1
    assert standing(world) == {"e"}


def test_another_namespace_s_answer_stays(world: World) -> None:
    told(world)
    world.create("beta/house")
    world.observe("a1", "So it is.", namespace="beta/house", derived_from=[world.base("e")])
    world.settle()
    world.forget(ids("e"))
    [stored] = world.host.live.store.fetch("beta/house", [world.base("a1", "beta/house")]).values()
    assert stored.lineage_unknown


@pytest.mark.parametrize("restart", [False, True])
def test_what_was_accepted_behind_the_erasure_by_who_did_not_know_is_not_kept(world: World, restart: bool) -> None:
    told(world)
    source = world.base("e")
    world.forget(ids("e"))
    if restart:
        world.restart()
    world.observe("a1", f"You said: {SECRET}", session="s2", derived_from=[source])
    world.settle()
    assert standing(world) == {"other"}
    [entry] = [
        entry
        for partition in range(world.log.partitions("mneme.ledger.v1"))
        for record in world.log.read("mneme.ledger.v1", partition)
        if (entry := ledger.entry_of(record)) is not None
        and entry.observation_accepted.id_mac == world.mac(ledger.MAC_OBSERVATION, "a1")
    ]
    assert not world.keyring.has(entry.observation_accepted.sealed.key_id)


def test_what_cannot_be_folded_goes_with_what_it_is_derived_from(world: World) -> None:
    told(world)
    world.observe("a1", "So it is.", session="s2", derived_from=[world.base("e")])
    world.observe("a1", f"You said: {SECRET}", session="s2", derived_from=[world.base("e")])  # the id is taken
    world.settle()
    assert len(world.host.parking.of(NAMESPACE)) == 1
    assert world.forget(ids("e")).receipt.declared_erased == 2
    assert world.host.parking.of(NAMESPACE) == []


@pytest.mark.parametrize("named", ["answer", digest("nothing"), digest("an answer") + ".~"])
def test_what_is_not_known_is_kept_and_said_to_be_of_unknown_lineage(world: World, named: str) -> None:
    told(world)
    world.observe("a1", "So it is.", session="s2", derived_from=[world.base("e"), named])
    world.settle()
    engram = world.reads.get(NAMESPACE, world.base("a1"))
    assert engram.lineage_unknown
    assert not world.reads.get(NAMESPACE, world.base("e")).lineage_unknown
    world.restart()
    assert world.reads.get(NAMESPACE, world.base("a1")).lineage_unknown
    world.forget(ids("e"))
    assert standing(world) == {"other"}


def test_a_note_and_a_correction_say_what_is_known_of_their_lineage(world: World) -> None:
    told(world)
    note = world.remember("n1", "So it is.", derived_from=[world.base("e")])
    world.observe("a1", "So it is.", session="s2", derived_from=[digest("nothing")])
    world.settle()
    better = [world.correct(f"c{id}", id, "So it was.") for id in (note, world.base("a1"))]
    world.settle()
    engrams = [world.reads.get(NAMESPACE, id) for id in (note, *better)]
    assert [engram.lineage_unknown for engram in engrams] == [False, False, True]
    sources = (world.base("e"),)
    assert [engram.record.derived_from for engram in engrams] == [sources, sources, (digest("nothing"),)]
    assert world.forget(ids("e")).receipt.declared_erased == 2
    left = {slot.id for slot in world.host.live.store.directory.slots(NAMESPACE) if slot.is_base}
    assert left == {world.base("other"), world.base("a1"), better[1]}


def test_remember_refuses_what_is_not_there_and_what_was_erased(world: World) -> None:
    told(world)
    source = world.base("e")
    for named, reason in (([source, digest("nothing")], "NOT_FOUND"), ([source, "answer"], "NOT_FOUND")):
        with pytest.raises(MnemeError) as refused:
            world.remember("n1", "So it is.", derived_from=named)
        assert (refused.value.reason, refused.value.field) == (reason, "derived_from[1]")
    kept = world.remember("n1", "So it is.", derived_from=[source])
    world.settle()
    assert world.remember("n1", "So it is.", derived_from=[source]) == kept
    world.forget(ids("e"))
    with pytest.raises(MnemeError) as refused:
        world.remember("n2", "So it is.", derived_from=[world.base("other"), source])
    assert (refused.value.reason, refused.value.field) == ("ERASED", "derived_from[1]")


def test_perception_takes_it_up_to_the_erasure_and_no_more(world: World) -> None:
    """Both services on one log: from the door to the erasure and back to the door."""
    told(world)
    intake = Intake(
        world.log, world.keyring, LedgerFacts(world.log, world.keyring), Extractor(), lambda: datetime.now(UTC)
    )

    def observe(id: str) -> object:
        sent = Observation(id=id, namespace=NAMESPACE, session="s2", text="Under the piano.", derived_from=[answer])
        sent.observed_at.FromDatetime(world.clock)
        [outcome] = intake.observe([sent], ANYBODY)
        return outcome

    answer = asked(world, "Where is the emerald?")
    assert isinstance(observe("a1"), Accepted)
    world.settle()
    assert world.forget(ids("e")).receipt.declared_erased == 1
    for id, field in (("a1", "id"), ("a2", "derived_from[0]")):
        refused = observe(id)
        assert isinstance(refused, MnemeError)
        assert (refused.reason, refused.field) == ("ERASED", field)


def test_an_older_ledger_s_erasure_says_nothing_of_declarations(world: World) -> None:
    told(world)
    erased = pb.Erased(receipt_id="r", erasure_epoch=1, engram_ids=[world.base("e")])
    world.append(NAMESPACE, erased=erased)
    world.settle()
    receipt = world.await_receipt(NAMESPACE, "r", 30.0)
    assert receipt is not None
    assert receipt.receipt.declared_erased == 0
