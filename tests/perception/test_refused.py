"""Dead letters of the inboxes: shown to whom they concern, taken again once that is possible, or made unreadable."""

from __future__ import annotations

import asyncio

import pytest
from google.protobuf import json_format
from google.protobuf.message import Message
from mneme.v1 import admin_pb2 as pb
from mneme.v1.common_pb2 import Observation
from mneme.v1.ledger_pb2 import DeadLetter

from services.common.crypto.seal import destroying
from services.common.ledger import topics
from services.common.ledger.audit import Wanted, acts
from services.common.log.base import Message as LogMessage
from services.common.serving.errors import MnemeError
from services.episodic.state.dead_letters import Letters
from services.perception import refused
from tests.perception.test_inbox import accepted, as_json, drain
from tests.perception.test_servicer import application, context
from tests.perception.world import ACME_INBOX, World, observation

A = "mneme.v1.AdminService/"
BINARY = {"content-type": b"application/x-protobuf"}


def call(world: World, method: str, request: Message, prefix: str = "") -> bytes:
    answer: bytes = asyncio.run(application(world).unary(A + method, request.SerializeToString(), context(prefix)))
    return answer


def listed(world: World, namespace: str = "", prefix: str = "", **more: object) -> list[pb.RefusedRecord]:
    request = pb.ListDeadLettersRequest(namespace=namespace, **more)  # type: ignore[arg-type]
    return list(pb.ListDeadLettersResponse.FromString(call(world, "ListDeadLetters", request, prefix)).records)


def replayed(world: World, *ids: str, namespace: str = "") -> list[pb.ReplayedRecord]:
    request = pb.ReplayDeadLettersRequest(namespace=namespace, ids=ids)
    return list(pb.ReplayDeadLettersResponse.FromString(call(world, "ReplayDeadLetters", request)).records)


def purged(world: World, *ids: str) -> int:
    request = pb.PurgeDeadLettersRequest(ids=ids)
    return pb.PurgeDeadLettersResponse.FromString(call(world, "PurgeDeadLetters", request)).purged


@pytest.fixture
def letters(world: World) -> World:
    """One of each: of a namespace that there is, of one that there is not, of none, in either encoding."""
    world.send(as_json(observation(1, session="")))
    world.send(observation(2, namespace="acme/late").SerializeToString(), headers=BINARY)
    world.send(b"\xff garbage")
    drain(world.inbox())
    return world


def test_they_are_listed_with_their_reason_and_the_payload_only_when_asked(letters: World) -> None:
    [first, second, third] = listed(letters)
    assert [each.reason for each in (first, second, third)] == ["INVALID_FIELD", "UNKNOWN_NAMESPACE", "INVALID_FIELD"]
    assert [each.namespace for each in (first, second, third)] == ["acme/user", "acme/late", ""]
    assert (first.field, first.topic, first.HasField("position")) == ("session", topics.INBOX, True)
    assert not any(each.payload for each in (first, second, third))
    assert [each.payload for each in listed(letters, with_payload=True)][2] == b"\xff garbage"


def test_who_administers_a_namespace_sees_its_own_alone(letters: World) -> None:
    [own] = listed(letters, "acme/user", "acme")
    assert (own.namespace, own.HasField("position")) == ("acme/user", False)
    for namespace, prefix in (("", "acme"), ("acme/user", "other")):
        with pytest.raises(MnemeError) as error:
            listed(letters, namespace, prefix)
        assert error.value.reason == "PERMISSION_DENIED"
    [_, second, _] = listed(letters)
    with pytest.raises(MnemeError) as error:
        replayed(letters, own.id, second.id, namespace="acme/user")
    assert (error.value.reason, error.value.field) == ("NOT_FOUND", "ids[1]")
    assert len(listed(letters)) == 3


def test_what_can_be_taken_now_is_taken_and_is_no_dead_letter_any_more(letters: World) -> None:
    [first, second, third] = listed(letters)
    letters.create("acme/late")
    answers = replayed(letters, second.id, first.id, third.id)
    assert [(each.id, each.taken) for each in answers] == [(second.id, True), (first.id, False), (third.id, False)]
    assert (answers[1].reason, answers[1].field) == ("INVALID_FIELD", "session")
    assert accepted(letters) == [letters.id_mac("o2", "acme/late")]
    [entry] = [each for each in letters.entries("acme/late") if each.HasField("observation_accepted")]
    assert entry.principal == "inbox"
    assert [each.id for each in listed(letters)] == [first.id, third.id]


def test_one_that_was_taken_and_whose_letter_stayed_is_taken_once(letters: World) -> None:
    letters.create("acme/late")
    letters.send(observation(2, namespace="acme/late").SerializeToString(), headers=BINARY)
    drain(letters.inbox())
    [_, second, _] = listed(letters)
    assert [each.taken for each in replayed(letters, second.id)] == [True]
    assert len(accepted(letters)) == 1


def test_an_inbox_writes_no_further_than_it_may_when_it_is_replayed(world: World) -> None:
    world.create("other/user")
    world.send(as_json(observation(1, namespace="other/user")), topic=ACME_INBOX)
    drain(world.inbox())
    [letter] = listed(world)
    assert (letter.reason, letter.namespace) == ("PERMISSION_DENIED", "")
    assert listed(world, "other/user", "other", with_payload=True) == []
    [answer] = replayed(world, letter.id)
    assert (answer.taken, answer.reason) == (False, "PERMISSION_DENIED")


def test_what_was_erased_since_is_not_taken_again_and_its_letter_is_gone(letters: World) -> None:
    [_, late, _] = listed(letters)
    letters.create("acme/late")
    letters.observe(observation(2, namespace="acme/late"))
    letters.erase("o2", namespace="acme/late")
    letters.known.catch_up()
    [answer] = replayed(letters, late.id)
    assert (answer.taken, answer.reason) == (False, "ERASED")
    assert late.id not in [each.id for each in listed(letters)]


def test_an_erasure_reaches_a_letter_of_a_namespace_that_was_created_later(letters: World) -> None:
    [_, late, _] = listed(letters)
    keys = Letters(letters.log, letters.keyring, 604_800).keys("acme/late", [letters.id_mac("o2", "acme/late")])
    assert keys == {late.id}
    letters.log.append(destroying("acme/late", keys))
    assert late.id not in [each.id for each in listed(letters)]


def test_what_is_purged_cannot_be_read_by_anybody(letters: World) -> None:
    ids = [each.id for each in listed(letters)]
    assert purged(letters, *ids[:2], ids[0], "unknown") == 2
    assert [each.id for each in listed(letters)] == ids[2:]
    with pytest.raises(MnemeError) as error:
        replayed(letters, ids[0])
    assert error.value.reason == "NOT_FOUND"
    letters.keyring.refresh()
    assert not letters.keyring.has(ids[0])


def test_who_replayed_and_who_purged_is_recorded(letters: World) -> None:
    ids = [each.id for each in listed(letters)]
    replayed(letters, ids[0])
    assert purged(letters, *ids) == 3
    assert purged(letters, *ids) == 0  # which is no act
    done = [(each.action, each.principal, each.count) for each in acts(letters.log, Wanted(), 10, "").entries]
    assert done == [
        (pb.AUDIT_ACTION_DEAD_LETTERS_PURGED, "tester", 3),
        (pb.AUDIT_ACTION_DEAD_LETTERS_REPLAYED, "tester", 1),
    ]


def test_pages_go_on_and_hold_no_more_than_they_may(letters: World, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = [each.id for each in listed(letters)]
    page = pb.ListDeadLettersResponse.FromString(
        call(letters, "ListDeadLetters", pb.ListDeadLettersRequest(page_size=2))
    )
    assert ([each.id for each in page.records], page.next_page_token) == (ids[:2], ids[1])
    assert [each.id for each in listed(letters, page_token=page.next_page_token)] == ids[2:]
    monkeypatch.setattr(refused, "_PAGE_BYTES", 1)
    assert [each.id for each in listed(letters, with_payload=True)] == ids[:1]
    with pytest.raises(MnemeError) as error:
        listed(letters, page_token="gone")
    assert error.value.field == "page_token"


@pytest.mark.parametrize("ids", [[], ["x"] * 101])
def test_a_call_names_some_ids_and_not_too_many(world: World, ids: list[str]) -> None:
    for method in (replayed, purged):
        with pytest.raises(MnemeError) as error:
            method(world, *ids)
        assert (error.value.reason, error.value.field) == ("INVALID_FIELD", "ids")


def test_what_the_ledger_itself_could_not_give_is_no_record_of_an_inbox(letters: World) -> None:
    before = len(listed(letters))
    key = letters.keyring.new_key("acme/user")
    sealed = letters.keyring.seal(key.key_id, b"x", namespace="acme/user", purpose="dead-letter")
    letter = DeadLetter(topic=topics.LEDGER, payload=sealed)
    letters.log.append([key.message, LogMessage(topics.DEAD_LETTER, b"k", letter.SerializeToString())])
    assert len(listed(letters)) == before


def test_json_and_binary_come_back_as_they_were_sent(letters: World) -> None:
    payloads = [each.payload for each in listed(letters, with_payload=True)]
    assert json_format.Parse(payloads[0], Observation()).text == observation(1).text
    assert Observation.FromString(payloads[1]).namespace == "acme/late"
