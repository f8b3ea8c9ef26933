"""A deleted namespace at the door: refused, its open episodes gone, its ids free once it is made anew."""

from __future__ import annotations

import pytest
from mneme.v1.common_pb2 import Observation
from mneme.v1.ledger_pb2 import LedgerEntry, NamespaceDeleted

from services.common.crypto.seal import Keyring, MasterKey
from services.common.ledger import entries as ledger
from services.common.serving.errors import MnemeError
from services.perception.ledger_facts import LedgerFacts
from services.perception.sessions.segmentation.fixed import FixedSize
from tests.perception.world import ANYBODY, World, observation

HOME = "acme/user"


def delete(world: World, namespace: str = HOME) -> None:
    """What DeleteNamespace does to the log: the command, and every key."""
    entry = LedgerEntry(namespace=namespace, principal="tester")
    entry.namespace_deleted.CopyFrom(NamespaceDeleted(receipt_id="d", erasure_epoch=1))
    world.log.append([ledger.message(entry)])
    world.log.append(world.keyring.destroy(namespace, world.keyring.keys_of(namespace)))


def refused(world: World, sent: Observation) -> str:
    with pytest.raises(MnemeError) as caught:
        world.observe(sent)
    return caught.value.reason


def test_a_deleted_namespace_is_unknown_and_made_anew_its_ids_are_free(world: World) -> None:
    world.observe(observation(0), observation(1))
    world.erase("o1")
    delete(world)
    assert refused(world, observation(2)) == "UNKNOWN_NAMESPACE"
    world.create(HOME)
    restarted = LedgerFacts(world.log, Keyring(world.log, MasterKey(bytes(range(32)))))
    restarted.catch_up()
    for known in (world.known, restarted):
        assert known.namespace(HOME) is not None
        assert known.erasures == 2, "what was deleted has bytes to be seen to, too"
        assert known.first(world.id_mac("o0")) is None
        assert known.erased(world.id_mac("o1")) is None
    again = world.observe(observation(0, "Something else."), observation(1, "Another thing."))
    assert [one.duplicate for one in again] == [False, False]


def test_a_namespace_deleted_between_looking_and_deciding_takes_nothing(world: World) -> None:
    examined = world.intake.examine(observation(0), ANYBODY)
    delete(world)
    with world.known.exclusive([HOME]):
        decision = world.intake.decide([examined])
    [refusal] = decision.refusals
    assert refusal is not None
    assert (refusal.reason, decision.messages) == ("UNKNOWN_NAMESPACE", [])


def test_open_episodes_of_a_deleted_namespace_are_gone_and_others_stay(world: World) -> None:
    world.create("acme/other")
    world.observe(*[observation(n) for n in range(3)])
    world.observe(*[observation(n, namespace="acme/other") for n in range(3)])
    segmenter = world.segmenter(FixedSize(units=10))
    world.drain(segmenter)
    assert len(world.checkpoints()) == 1 + (world.known.partition(HOME) == world.known.partition("acme/other"))
    delete(world)
    world.drain(segmenter)
    assert not [key for key in world.checkpoints() if key.startswith(f"{HOME}/".encode())]
    assert [key for key in world.checkpoints("acme/other") if key.startswith(b"acme/other/")]
    assert world.keyring.keys_of(HOME) == []


def test_a_segmenter_that_was_behind_opens_nothing_of_before_the_deletion(world: World) -> None:
    world.observe(*[observation(n) for n in range(3)])
    delete(world)
    world.create(HOME)
    world.observe(*[observation(n, "Told anew.") for n in range(2)])
    world.drain(world.segmenter(FixedSize(units=2)))
    assert [ids for ids, _ in world.episodes()] == [["o0", "o1"]]
    assert world.dead_letters() == []
