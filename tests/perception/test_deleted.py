"""A deleted namespace at the door: refused, its open episodes gone, its ids free once it is made anew."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import pytest
from mneme.v1.common_pb2 import Observation
from mneme.v1.ledger_pb2 import LedgerEntry, NamespaceDeleted, PerceptionCheckpoint

from services.common.crypto.seal import Keyring, MasterKey, TextKey, destroying
from services.common.ledger import entries as ledger
from services.common.ledger import topics
from services.common.log.base import Appended, LogUnavailable, Message, partition_of
from services.common.serving.errors import MnemeError
from services.perception.intake import accept
from services.perception.ledger_facts import LedgerFacts
from services.perception.sessions.segmentation.fixed import FixedSize
from tests.perception.world import ANYBODY, PARTITIONS, World, observation

HOME = "acme/user"


def command(world: World, namespace: str = HOME) -> None:
    """What DeleteNamespace does to the log at once."""
    entry = LedgerEntry(namespace=namespace, principal="tester")
    [name_key] = world.keyring.keys_of(namespace, naming=True)
    entry.namespace_deleted.CopyFrom(NamespaceDeleted(receipt_id="d", erasure_epoch=1, name_key_id=name_key))
    world.log.append([ledger.message(entry)])


def delete(world: World, namespace: str = HOME) -> None:
    """What it does to the log in all: every key goes, the one that tells the name last."""
    command(world, namespace)
    for naming in (False, True):
        world.log.append(destroying(namespace, world.keyring.keys_of(namespace, naming=naming)))


def restarted(world: World) -> World:
    """Another process, which reads what is there now."""
    return World(world.folder, world.intake._extractor)


def of_namespaces(checkpoints: dict[bytes, bytes]) -> set[str]:
    return {PerceptionCheckpoint.FromString(value).namespace for value in checkpoints.values()}


def refused(world: World, sent: Observation) -> str:
    with pytest.raises(MnemeError) as caught:
        world.observe(sent)
    return caught.value.reason


def test_what_is_accepted_as_the_namespace_goes_is_refused_and_no_error_of_ours(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of the deletion happens between the look at the ledger and the seal."""
    text_key = world.keyring.text_key

    def late(namespace: str) -> TextKey:
        key = text_key(namespace)
        delete(world)
        world.keyring.refresh()  # as another thread does
        return key

    monkeypatch.setattr(world.keyring, "text_key", late)
    before = len(world.entries())
    taken = world.intake.observe([observation(0), observation(1)], ANYBODY)
    assert [each.reason for each in taken if isinstance(each, MnemeError)] == ["UNKNOWN_NAMESPACE"]
    assert len(taken) == 1
    assert len(world.entries()) == before + 1, "the deletion"


def test_a_process_that_took_keys_before_seals_under_those_of_the_namespace_made_anew(world: World) -> None:
    other = restarted(world)
    other.observe(observation(0))
    delete(world)
    world.create(HOME)
    [accepted] = other.observe(observation(1))
    world.known.catch_up()
    assert world.perceived(accepted).observation.id == "o1"
    other.close()


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
        assert known.first(HOME, world.id_mac("o0")) is None
        assert known.erased(HOME, world.id_mac("o1")) is None
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
    assert HOME not in of_namespaces(world.checkpoints())
    assert of_namespaces(world.checkpoints("acme/other")) == {"acme/other"}
    assert world.keyring.keys_of(HOME) == []
    partition = partition_of(HOME.encode(), PARTITIONS)
    assert not [r for r in world.log.read(topics.PERCEPTION, partition) if HOME.encode() in r.key], "removals stay"


def test_a_segmenter_that_was_behind_opens_nothing_of_before_the_deletion(world: World) -> None:
    world.observe(*[observation(n) for n in range(3)])
    delete(world)
    world.create(HOME)
    world.observe(*[observation(n, "Told anew.") for n in range(2)])
    world.drain(world.segmenter(FixedSize(units=2)))
    assert [ids for ids, _ in world.episodes()] == [["o0", "o1"]]
    assert world.dead_letters() == []


def test_a_segmenter_that_was_down_takes_away_the_checkpoints_of_a_namespace_that_has_no_name_any_more(
    world: World,
) -> None:
    world.observe(*[observation(n) for n in range(3)])
    segmenter = world.segmenter(FixedSize(units=10))
    world.drain(segmenter)
    segmenter.close()
    assert world.checkpoints()
    delete(world)
    world.log.compact(topics.KEYS)
    later = restarted(world)
    assert later.entries(HOME) == [], "it never reads the name"
    later.drain(later.segmenter(FixedSize(units=10)))
    assert not [key for key in later.checkpoints() if HOME.encode() in key]
    later.close()


def test_what_comes_late_of_a_namespace_without_name_opens_no_session(world: World) -> None:
    world.observe(*[observation(n) for n in range(3)])
    examined = world.intake.examine(observation(3), ANYBODY)
    late = world.intake.decide([examined])  # by a process that does not know of the deletion yet
    delete(world)
    world.log.append(late.messages)
    world.log.compact(topics.KEYS)
    later = restarted(world)
    later.drain(later.segmenter(FixedSize(units=1)))
    assert [e for e in later.entries() if e.HasField("episode_closed")] == []
    assert later.checkpoints() == {}
    later.close()


def test_a_name_is_taken_until_its_deletion_is_done(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the new one's keys would be destroyed with the old one's."""
    monkeypatch.setattr(accept, "KEY_WAIT_S", 0.1)
    world.observe(observation(0))
    command(world)
    for maker in (world, restarted(world)):
        with pytest.raises(MnemeError) as refused:
            maker.create(HOME)
        assert refused.value.reason == "NAMESPACE_EXISTS"
        assert "being deleted" in refused.value.message
    assert len(world.keyring.keys_of(HOME, naming=True)) == 1
    world.log.append(destroying(HOME, world.keyring.keys_of(HOME)))
    for maker in (world, restarted(world)):
        maker.create(HOME)
    assert len(world.keyring.keys_of(HOME, naming=True)) == 1


def test_a_deletion_that_ends_meanwhile_is_waited_for(world: World) -> None:
    command(world)
    ends = threading.Timer(0.2, lambda: world.log.append(destroying(HOME, world.keyring.keys_of(HOME))))
    ends.start()
    world.create(HOME)
    ends.join()
    assert world.known.namespace(HOME) is not None
    assert world.keyring.keys_of(HOME, naming=True)


def test_a_creation_that_is_cut_short_is_tried_again_with_the_same_name_key(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = world.log.append

    def away(messages: Sequence[Message], timeout_s: float = 10.0) -> list[Appended]:
        if any(m.topic == topics.LEDGER for m in messages):
            raise LogUnavailable("away")
        return real(messages, timeout_s)

    with monkeypatch.context() as patched:
        patched.setattr(world.log, "append", away)
        with pytest.raises(MnemeError) as refused:
            world.create("acme/new")
        assert refused.value.reason == "LOG_UNAVAILABLE"
    [name_key] = world.keyring.keys_of("acme/new", naming=True)
    again = restarted(world)
    again.create("acme/new")
    assert again.keyring.keys_of("acme/new", naming=True) == [name_key]
    assert [e.pseudonym for e in again.entries("acme/new")] == [world.keyring.pseudonym("acme/new")]
    again.close()


def test_a_deleted_namespace_goes_by_its_pseudonym_once_its_name_is_gone(world: World) -> None:
    world.observe(observation(0), observation(1))
    world.erase("o1")
    delete(world)
    world.log.compact(topics.KEYS)
    later = restarted(world)
    assert later.entries(HOME) == []
    assert later.known.is_gone(HOME)
    assert refused(later, observation(2)) == "UNKNOWN_NAMESPACE"
    later.create(HOME)
    assert later.known.erased(HOME, later.id_mac("o1")) is None
    again = later.observe(observation(0, "Something else."), observation(1, "Another thing."))
    assert [one.duplicate for one in again] == [False, False]
    third = restarted(world)
    assert third.known.namespace(HOME) is not None
    first = third.known.first(HOME, world.id_mac("o0"))
    assert first is not None
    assert first.place == again[0].place
    later.close()
    third.close()
