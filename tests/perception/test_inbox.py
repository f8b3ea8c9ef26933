"""From the inbox into the ledger: what is taken, what becomes a dead letter, and that nothing is lost or doubled."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from google.protobuf import json_format
from mneme.v1.admin_pb2 import AliasGroup
from mneme.v1.common_pb2 import Observation
from mneme.v1.ledger_pb2 import DeadLetter

from services.common import telemetry
from services.common.crypto.seal import KeyDestroyed, destroying
from services.common.ids import digest
from services.common.ledger import topics
from services.common.ledger.entries import SEAL_DEAD_LETTER, base_id
from services.common.lineage import answer_id
from services.common.log.base import Cleanup, LogUnavailable, Message, TopicSpec
from services.common.serving.errors import MnemeError
from services.perception.dead_letters import NAMESPACE
from services.perception.intake import held
from services.perception.intake.decision import Examined
from services.perception.intake.inbox import InboxConsumer
from services.perception.sessions.segmentation.fixed import FixedSize
from tests.perception.crashing import DoubtfulLog
from tests.perception.world import ACME_INBOX, ANYBODY, PARTITIONS, World, observation


def as_json(made: Observation) -> bytes:
    return json_format.MessageToJson(made).encode()


def accepted(world: World) -> list[bytes]:
    return [e.observation_accepted.id_mac for e in world.entries() if e.HasField("observation_accepted")]


def drain(inbox: InboxConsumer) -> None:
    for _ in range(20):
        inbox.step()


def payload(world: World, letter: DeadLetter) -> bytes:
    namespace = world.keyring.namespace_of(letter.payload.key_id)
    return world.keyring.open(letter.payload, namespace=namespace, purpose=SEAL_DEAD_LETTER)


@pytest.mark.parametrize(
    ("value", "headers"),
    [
        (as_json(observation(0)), {}),
        (as_json(observation(0)), {"content-type": b"application/json; charset=utf-8"}),
        (observation(0).SerializeToString(), {"content-type": b"application/x-protobuf"}),
    ],
    ids=["JSON", "JSON by header", "binary"],
)
def test_an_observation_is_taken_in_either_encoding(world: World, value: bytes, headers: dict[str, bytes]) -> None:
    world.send(value, headers=headers)
    drain(world.inbox())
    assert accepted(world) == [world.id_mac("o0")]
    [entry] = [e for e in world.entries() if e.HasField("observation_accepted")]
    assert entry.principal == "inbox"
    assert world.dead_letters() == []


POISON: list[tuple[str, bytes | None, dict[str, bytes], str]] = [
    ("garbage", b"\xff\xfe garbage", {}, "INVALID_FIELD"),
    ("no object", b"[1]", {}, "INVALID_FIELD"),
    ("an unknown field", b'{"id": "o1", "colour": "red"}', {}, "INVALID_FIELD"),
    ("deeply nested", b"[" * 100_000, {}, "INVALID_FIELD"),
    ("null", None, {}, "INVALID_FIELD"),
    ("garbage in binary", b"\xff\xff", {"content-type": b"application/x-protobuf"}, "INVALID_FIELD"),
    ("another content type", b"<a/>", {"content-type": b"text/xml"}, "INVALID_FIELD"),
    ("invalid", as_json(observation(1, session="")), {}, "INVALID_FIELD"),
    ("too long", as_json(observation(1, "x" * 60_001)), {}, "TEXT_SIZE"),
    ("no such namespace", as_json(observation(1, namespace="nowhere")), {}, "UNKNOWN_NAMESPACE"),
    ("a reused id", as_json(observation(0, "Another text.")), {}, "ID_REUSED"),
]


@pytest.mark.parametrize(("value", "headers", "reason"), [pytest.param(*p[1:], id=p[0]) for p in POISON])
def test_poison_becomes_a_dead_letter_and_the_partition_goes_on(
    world: World, value: bytes | None, headers: dict[str, bytes], reason: str
) -> None:
    world.send(as_json(observation(0)))
    where = world.send(value, headers=headers)
    world.send(as_json(observation(2)))
    drain(world.inbox())

    assert accepted(world) == [world.id_mac("o0"), world.id_mac("o2")]
    [letter] = world.dead_letters()
    assert (letter.reason, letter.topic) == (reason, topics.INBOX)
    assert (letter.position.partition, letter.position.offset) == (where.partition, where.offset)
    assert payload(world, letter) == (value or b"")


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"observedAt": 1_783_203_300}, "observed_at: This is a number"),
        ({"observedAt": "2026-07-04T22:15:00"}, "observed_at: The offset is missing."),
        ({"observedAt": "in the year dot"}, "observed_at: This is not an RFC 3339 time."),
        ({"colour": "red"}, "colour: Observation has no such field."),
        ({"metadata": {"Ann's room": "web"}}, "metadata: It is not an object."),
        ({"derivedFrom": ["a", None]}, "derived_from[1]: It is not a text."),
    ],
)
def test_a_dead_letter_names_the_field_and_quotes_nothing(world: World, changed: dict[str, Any], says: str) -> None:
    world.send(json.dumps(json_format.MessageToDict(observation(0)) | changed).encode())
    drain(world.inbox())
    [letter] = world.dead_letters()
    assert letter.reason == "INVALID_FIELD"
    assert letter.message.startswith(says)
    assert not any(word in letter.message for word in ("dot", "red", "Ann"))


def test_a_defect_that_one_record_brings_out_costs_that_record_alone(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = world.intake.examine

    def defective(made: Observation, *more: Any) -> Examined:
        if made.id == "o1":
            raise KeyError(made.text)
        return real(made, *more)

    monkeypatch.setattr(world.intake, "examine", defective)
    for n in range(3):
        world.send(as_json(observation(n)))
    drain(world.inbox())
    assert accepted(world) == [world.id_mac("o0"), world.id_mac("o2")]
    [letter] = world.dead_letters()
    assert letter.reason == "INTERNAL"
    assert payload(world, letter) == as_json(observation(1))


def test_a_log_that_is_away_while_a_record_is_examined_is_no_fault_of_the_record(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, away = world.intake.examine, [LogUnavailable("the broker is away")]

    def examine(*arguments: Any) -> Examined:
        if away:
            raise away.pop()
        return real(*arguments)

    monkeypatch.setattr(world.intake, "examine", examine)
    world.send(as_json(observation(0)))
    inbox = world.inbox()
    with pytest.raises(LogUnavailable):
        drain(inbox)
    drain(inbox)
    assert accepted(world) == [world.id_mac("o0")]
    assert world.dead_letters() == []


def test_a_name_that_only_a_loose_match_takes_for_an_alias_stops_nothing(world: World) -> None:
    world.create("acme/home", aliases=[AliasGroup(name="Ilker Demir", aliases=["Ilker"])])
    world.send(as_json(observation(0, "I met İlker.", namespace="acme/home")))
    drain(world.inbox())
    assert accepted(world) == [world.id_mac("o0", "acme/home")]
    assert world.dead_letters() == []


@pytest.mark.parametrize(("size", "is_kept"), [(2 * 1024 * 1024 - 100, False), (1024 * 1024, True)])
def test_a_record_as_large_as_its_topic_takes_does_not_block_its_partition(
    world: World, size: int, is_kept: bool
) -> None:
    value = b"x" * size
    where = world.send(value)
    world.send(as_json(observation(0)))
    drain(world.inbox())
    assert accepted(world) == [world.id_mac("o0")]
    [letter] = world.dead_letters()
    assert letter.reason == "INVALID_FIELD"
    assert (letter.position.partition, letter.position.offset) == (where.partition, where.offset)
    assert payload(world, letter) == (value if is_kept else b"")
    assert (f"{size} bytes is left out" in letter.message) == (not is_kept)


def test_a_record_that_the_ledger_does_not_take_costs_that_record_alone(world: World) -> None:
    world.log.ensure_topics([TopicSpec(topics.LEDGER, PARTITIONS, Cleanup.KEEP, max_message_bytes=2_000)])
    for n, text in enumerate(("Short.", "x" * 3_000, "Short too.")):
        world.send(as_json(observation(n, text)))
    drain(world.inbox())
    assert accepted(world) == [world.id_mac("o0"), world.id_mac("o2")]
    assert [letter.reason for letter in world.dead_letters()] == ["TEXT_SIZE"]


def test_invariant_14_a_dead_letter_goes_with_the_observation_or_the_namespace_that_it_names(world: World) -> None:
    world.create("umbrella")
    for n, name in enumerate(("acme/user", "umbrella", "nowhere")):
        for text in ("One.", "Another.", "A third."):
            world.send(as_json(observation(n, text, namespace=name)))
    world.send(b"no JSON")
    drain(world.inbox())
    letters: dict[str, list[DeadLetter]] = {}
    for letter in world.dead_letters():
        letters.setdefault(world.keyring.namespace_of(letter.payload.key_id), []).append(letter)
    counts = {"acme/user": 2, "umbrella": 2, "nowhere": 3, NAMESPACE: 1}
    assert {name: len(each) for name, each in letters.items()} == counts
    for n, name in enumerate(("acme/user", "umbrella", "nowhere")):
        for letter in letters[name]:
            assert letter.id_mac == world.id_mac(f"o{n}", name)
            assert letter.namespace_pseudonym == world.keyring.pseudonym(name)
        assert len({letter.payload.key_id for letter in letters[name]}) == counts[name], "a key for each"
    assert not any(letter.id_mac or letter.namespace_pseudonym for letter in letters[NAMESPACE])
    world.log.append(destroying("umbrella", world.keyring.keys_of("umbrella")))  # as a deletion does
    world.keyring.refresh()
    for letter in letters["umbrella"]:
        with pytest.raises(KeyDestroyed):
            payload(world, letter)
    assert [payload(world, letter) for letter in letters["acme/user"]]


def test_the_key_of_a_dead_letter_goes_when_the_letter_is_gone(world: World) -> None:
    for text in ("One.", "Another."):
        world.send(as_json(observation(0, text)))
    inbox = world.inbox(trim_period_s=0.0)
    drain(inbox)
    [letter] = world.dead_letters()
    for days, there in ((6, True), (2, False)):
        world.now += timedelta(days=days)
        drain(inbox)
        assert world.keyring.has(letter.payload.key_id) is there
    assert accepted(world) == [world.id_mac("o0")]
    [told] = [e.observation_accepted.sealed.key_id for e in world.entries() if e.HasField("observation_accepted")]
    assert world.keyring.has(told), "a text's own key has no such end"


def test_a_dead_letter_is_sealed(world: World) -> None:
    world.send(b"zorblewax is no JSON")
    inbox = world.inbox(trim_period_s=0.0)
    drain(inbox)  # the inbox itself is trimmed
    world.log.scrub()
    assert b"zorblewax" not in world.bytes_on_disk()


def test_invariant_14_no_word_of_a_refused_record_is_in_clear(world: World) -> None:
    named = observation(0)
    named.metadata["Ann Lee has zorblewax"].text = "x" * 4_001
    trace = {"traceparent": b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "tracestate": b"ann=zorblewax"}
    world.send(as_json(named), headers=trace)
    world.send(as_json(observation(1)), headers=trace)
    drain(world.inbox(trim_period_s=0.0))  # the inbox itself is trimmed
    world.log.scrub()
    [letter] = world.dead_letters()
    assert letter.message.startswith("metadata: It is longer than 4000 bytes.")
    assert accepted(world) == [world.id_mac("o1")]
    assert b"zorblewax" not in world.bytes_on_disk()


def test_invariant_2_a_topic_writes_only_under_its_prefix(world: World) -> None:
    world.create("umbrella")
    world.send(as_json(observation(0, namespace="umbrella")), topic=ACME_INBOX)
    world.send(as_json(observation(1, namespace="acme/user")), topic=ACME_INBOX)
    drain(world.inbox())
    assert accepted(world) == [world.id_mac("o1")]
    assert [letter.reason for letter in world.dead_letters()] == ["PERMISSION_DENIED"]


def test_invariant_3_the_ledger_is_keyed_by_namespace_whatever_the_producer_did(world: World) -> None:
    for n in range(8):
        world.log.append([Message(topics.INBOX, b"", as_json(observation(n)), partition=n % PARTITIONS)])
    drain(world.inbox())
    where = [
        (record.key, partition)
        for partition in range(PARTITIONS)
        for record in world.log.read(topics.LEDGER, partition)
    ]
    assert {key for key, _ in where} == {b"acme/user"}
    assert len({partition for _, partition in where}) == 1
    assert len(where) == 9


def test_a_record_that_comes_again_is_taken_once(world: World, make_world: Callable[[], World]) -> None:
    world.send(as_json(observation(0)))
    world.send(as_json(observation(0)))  # the producer retried
    drain(world.inbox())
    world.close()
    drain(make_world().inbox())  # a restart
    assert accepted(make_world()) == [world.id_mac("o0")]


def test_invariant_4_what_fails_before_the_commit_comes_again_once(world: World) -> None:
    for n in range(6):
        world.send(as_json(observation(n)))
    inbox = world.inbox()
    real = world.keyring.seal
    calls = 0

    def fail_in_the_middle(*args: object, **options: object) -> object:
        nonlocal calls
        calls += 1
        if calls == 4:
            raise RuntimeError("crash")
        return real(*args, **options)  # type: ignore[arg-type]

    world.keyring.seal = fail_in_the_middle  # type: ignore[method-assign,assignment]
    with pytest.raises(RuntimeError, match="crash"):
        drain(inbox)
    assert accepted(world) == []
    drain(inbox)
    assert sorted(accepted(world)) == sorted(world.id_mac(f"o{n}") for n in range(6))


def test_invariant_4_a_batch_in_doubt_that_took_effect_is_segmented(world: World) -> None:
    for n in range(4):
        world.send(as_json(observation(n)))
    inbox = world.inbox()
    real, inbox._log = world.log, DoubtfulLog(world.log, world.keyring.refresh)  # type: ignore[assignment]
    with pytest.raises(LogUnavailable):
        drain(inbox)
    inbox._log = real
    drain(inbox)
    assert len(accepted(world)) == 4
    world.drain(world.segmenter(FixedSize(units=4)))
    assert [sorted(ids) for ids, _ in world.episodes()] == [["o0", "o1", "o2", "o3"]]


def test_invariant_13_an_erased_observation_that_comes_again_is_a_dead_letter_without_its_text(world: World) -> None:
    world.observe(observation(0, "Gowing smelt the zorblewax."))
    world.erase("o0")
    world.send(as_json(observation(0, "Gowing smelt the zorblewax.")))
    drain(world.inbox())
    [letter] = world.dead_letters()
    assert letter.reason == "ERASED"
    assert payload(world, letter) == b""
    assert len(accepted(world)) == 1


@pytest.mark.parametrize("by", ["an engram", "an answer"])
def test_invariant_19_what_is_derived_from_the_erased_is_a_dead_letter_without_its_text(world: World, by: str) -> None:
    """Through the inbox and through a call, and what is derived from others is taken."""
    erased, kept = (base_id("acme/user", id) for id in ("o0", "o1"))
    if by == "an answer":
        erased, kept = answer_id(digest("one"), [kept, erased]), answer_id(digest("another"), [kept])
    world.observe(observation(0, "Gowing smelt the zorblewax."), observation(1))
    world.erase("o0")
    quoted = observation(2, "You said: Gowing smelt the zorblewax.", derived_from=[kept, erased])
    world.send(as_json(quoted))
    world.send(as_json(observation(3, "So it is.", derived_from=[kept])))
    drain(world.inbox())
    [letter] = world.dead_letters()
    assert (letter.reason, letter.field) == ("ERASED", "derived_from[1]")
    assert payload(world, letter) == b""
    assert world.id_mac("o2") not in accepted(world)
    assert world.id_mac("o3") in accepted(world)
    [refused] = world.intake.observe([quoted], ANYBODY)
    assert isinstance(refused, MnemeError)
    assert (refused.reason, refused.field) == ("ERASED", "derived_from[1]")


def through_a_topic_of_others(world: World) -> None:
    world.send(as_json(observation(0, "Gowing smelt the zorblewax.", namespace="umbrella")), topic=ACME_INBOX)


def with_an_actor_too_long(world: World) -> None:
    again = observation(0, "Gowing smelt the zorblewax.", namespace="umbrella", actor="x" * 201)
    world.send(as_json(again))


@pytest.mark.parametrize(
    ("send_again", "reason"),
    [(through_a_topic_of_others, "PERMISSION_DENIED"), (with_an_actor_too_long, "INVALID_FIELD")],
)
def test_invariant_13_an_erased_observation_that_is_refused_anyway_leaves_no_text(
    world: World, make_world: Callable[[], World], send_again: Callable[[World], None], reason: str
) -> None:
    other_process = make_world()  # it follows the ledger; when it was started, nothing was erased
    world.create("umbrella")
    world.observe(observation(0, "Gowing smelt the zorblewax.", namespace="umbrella"))
    world.erase("o0", namespace="umbrella")
    send_again(world)
    drain(other_process.inbox())
    [letter] = world.dead_letters()
    assert letter.reason == reason
    assert payload(world, letter) == b""


def left_lying(world: World) -> InboxConsumer:
    """Takes o0, "... zorblewax", whose record then lies in the inbox still: there is no timer to remove it."""
    inbox = world.inbox(trim_period_s=3_600.0)
    drain(inbox)  # what is removed at a start is
    world.send(as_json(observation(0, "Gowing smelt the zorblewax.")))
    drain(inbox)
    assert accepted(world) == [world.id_mac("o0")]
    assert b"zorblewax" in world.bytes_on_disk()
    return inbox


def test_the_accepted_part_of_the_inbox_goes_on_a_timer(world: World) -> None:
    inbox = left_lying(world)
    inbox.close()
    drain(world.inbox(trim_period_s=0.0))
    world.log.scrub()
    assert b"zorblewax" not in world.bytes_on_disk()


def test_the_accepted_part_of_the_inbox_goes_with_an_erasure(world: World) -> None:
    inbox = left_lying(world)
    world.erase("o0")
    inbox._looked_at = 0.0  # a second later
    drain(inbox)
    assert b"zorblewax" not in world.bytes_on_disk()


def test_bytes_that_cannot_be_overwritten_now_hold_nothing_up(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def busy() -> None:
        raise LogUnavailable("a backup reads the file")

    inbox = left_lying(world)
    world.erase("o0")
    inbox._looked_at = 0.0
    with monkeypatch.context() as patched:
        patched.setattr(world.log, "scrub", busy)
        world.send(as_json(observation(1, "Carrie came home.")))
        drain(inbox)
        assert world.id_mac("o1") in accepted(world)
    inbox._scrub_after = 0.0  # a trim period later
    drain(inbox)
    assert b"zorblewax" not in world.bytes_on_disk()


def test_an_erasure_while_perception_was_down_takes_the_bytes_of_the_inbox(
    world: World, make_world: Callable[[], World]
) -> None:
    before = left_lying(world)
    before.close()
    world.erase("o0")
    drain(make_world().inbox(trim_period_s=3_600.0))
    assert b"zorblewax" not in world.bytes_on_disk()


def test_a_consumer_that_waits_for_its_partitions_takes_their_bytes_once_it_has_them(
    world: World, make_world: Callable[[], World]
) -> None:
    before = left_lying(world)
    world.erase("o0")
    after = make_world().inbox(trim_period_s=3_600.0)
    after.step()
    assert after._consumer is not None
    assert not after._consumer.assignment()
    before.close()
    drain(after)
    assert b"zorblewax" not in world.bytes_on_disk()


def test_what_is_not_accepted_yet_is_never_trimmed(world: World) -> None:
    inbox = world.inbox(trim_period_s=0.0, batch=2)
    for n in range(9):
        world.send(as_json(observation(n)))
        inbox.step()
    drain(inbox)
    assert len(set(accepted(world))) == 9


def test_the_ledger_entry_continues_the_producers_trace(world: World) -> None:
    telemetry.configure("test")
    trace_id = "0af7651916cd43dd8448eb211c80319c"
    world.send(as_json(observation(0)), headers={"traceparent": f"00-{trace_id}-b7ad6b7169203331-01".encode()})
    drain(world.inbox())
    headers = [r.headers for p in range(PARTITIONS) for r in world.log.read(topics.LEDGER, p)]
    assert trace_id in headers[-1]["traceparent"].decode()


def test_two_processes_share_the_inbox_and_take_each_record_once(world: World, make_world: Callable[[], World]) -> None:
    other = make_world()
    first, second = world.inbox(batch=3), other.inbox(batch=3)
    for n in range(40):
        world.log.append([Message(topics.INBOX, b"", as_json(observation(n)), partition=n % PARTITIONS)])
    for _ in range(40):
        first.step()
        second.step()
    assert sorted(accepted(world)) == sorted(world.id_mac(f"o{n}") for n in range(40))


# --- a namespace that is created a moment later ------------------------------------------------------------------


def waiting_inbox(world: World, wait_s: float = 60.0, **options: float) -> InboxConsumer:
    return world.inbox(unknown_namespace_wait_s=wait_s, **options)


def look_again(inbox: InboxConsumer) -> None:
    """As if it had not looked for a while."""
    inbox._held._looked_at = 0.0
    drain(inbox)


def all_in_one_partition(world: World, *made: Observation) -> None:
    world.log.append([Message(topics.INBOX, b"", as_json(each), partition=0) for each in made])


def test_a_record_waits_for_its_namespace_and_holds_nobody_else_up(world: World) -> None:
    inbox = waiting_inbox(world)
    late = [observation(n, namespace="acme/late") for n in (0, 2)]
    all_in_one_partition(world, late[0], observation(1), late[1])
    drain(inbox)
    assert accepted(world) == [world.id_mac("o1")]
    assert world.dead_letters() == []
    world.create("acme/late")
    all_in_one_partition(world, observation(3, namespace="acme/late"))  # not before those that wait
    look_again(inbox)
    entries = [e.observation_accepted.id_mac for e in world.entries("acme/late") if e.HasField("observation_accepted")]
    assert entries == [world.id_mac(f"o{n}", "acme/late") for n in (0, 2, 3)]
    assert world.dead_letters() == []
    assert inbox._consumer is not None
    assert inbox._consumer.lag() == 0


def test_what_waited_long_enough_is_a_dead_letter_once(world: World, make_world: Callable[[], World]) -> None:
    inbox = waiting_inbox(world, 0.01)
    all_in_one_partition(world, observation(0, namespace="nowhere"), observation(1))
    drain(inbox)
    time.sleep(0.02)
    look_again(inbox)
    assert [letter.reason for letter in world.dead_letters()] == ["UNKNOWN_NAMESPACE"]
    inbox.close()
    drain(waiting_inbox(make_world(), 0.01))
    assert len(world.dead_letters()) == 1
    assert accepted(world) == [world.id_mac("o1")]


def test_invariant_4_what_waits_when_the_process_dies_is_read_again_and_what_was_taken_is_known(
    world: World, make_world: Callable[[], World]
) -> None:
    inbox = waiting_inbox(world, trim_period_s=0.0)
    all_in_one_partition(world, observation(0, namespace="acme/late"), observation(1), observation(2))
    drain(inbox)
    inbox.close()  # as the kernel does for who dies: what is held is in memory alone
    world.create("acme/late")
    after = make_world()
    drain(waiting_inbox(after))
    assert sorted(accepted(world)) == sorted([world.id_mac("o0", "acme/late"), world.id_mac("o1"), world.id_mac("o2")])
    assert world.dead_letters() == []


def test_no_more_wait_than_may(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held, "MAX_HELD", 2)
    all_in_one_partition(world, *(observation(n, namespace=f"acme/n{n}") for n in range(3)))
    drain(waiting_inbox(world))
    assert [letter.position.offset for letter in world.dead_letters()] == [2]


def test_a_record_that_the_ledger_does_not_take_leaves_those_that_wait_waiting(world: World) -> None:
    world.log.ensure_topics([TopicSpec(topics.LEDGER, PARTITIONS, Cleanup.KEEP, max_message_bytes=2_000)])
    inbox = waiting_inbox(world)
    all_in_one_partition(world, observation(0, namespace="acme/late"), observation(1, "x" * 3_000), observation(2))
    drain(inbox)
    world.create("acme/late")
    look_again(inbox)
    assert set(accepted(world)) == {world.id_mac("o0", "acme/late"), world.id_mac("o2")}
    assert {letter.reason for letter in world.dead_letters()} == {"TEXT_SIZE"}


@pytest.mark.parametrize(
    ("value", "field"),
    [
        (as_json(observation(0)).replace(b'"observedAt"', b'"observedOn"'), "observedOn"),
        (as_json(observation(0)).replace(b'"1888-04-10T12:00:00Z"', b'"1888-04-10T12:00:00"'), "observed_at"),
        (as_json(observation(0)).replace(b'"1888-04-10T12:00:00Z"', b"1769853600"), "observed_at"),
        (as_json(observation(0)).replace(b'"1888-04-10T12:00:00Z"', b'"1888-04-31T12:00:00Z"'), "observed_at"),
        (as_json(observation(0, "x" * 60_001)), "text"),
    ],
    ids=["unknown field", "no offset", "epoch number", "no such day", "too long"],
)
def test_a_dead_letter_names_the_field_and_the_remedy(world: World, value: bytes, field: str) -> None:
    world.send(value)
    drain(world.inbox())
    [letter] = world.dead_letters()
    assert letter.field == field
    assert letter.remedy.startswith("Send ")
    assert letter.message.startswith(f"{field}: ")
