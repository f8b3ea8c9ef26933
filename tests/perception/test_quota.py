"""The quota of a namespace at the door of observations: refused beyond it, whoever sends them; nothing else changes."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from mneme.v1.admin_pb2 import CreateNamespaceRequest, MetadataField, MetadataType, Quota, UpdateNamespaceRequest
from mneme.v1.common_pb2 import Observation
from mneme.v1.perception_pb2 import ObserveResponse

from services.common.crypto.seal import Keyring, MasterKey
from services.common.ledger.entries import text_bytes
from services.common.log.base import Appended, Message
from services.common.serving.errors import MnemeError
from services.common.text.extract import Extractor
from services.perception import converters
from services.perception.intake.decision import Accepted
from services.perception.ledger_facts import LedgerFacts
from tests.perception.test_inbox import as_json, drain, payload
from tests.perception.world import ANYBODY, World, observation

HOME = "acme/user"


@pytest.fixture
def home(world: World) -> World:
    limit(world, "n0", max_texts=2)
    return world


def limit(world: World, id: str, **limits: int) -> None:
    asked = UpdateNamespaceRequest(namespace=HOME, id=id, quota=Quota(**limits))
    world.intake.change_namespace(asked, ANYBODY)


def sent(world: World, *observations: Observation) -> list[str]:
    """What became of each, up to the first refusal."""
    return list(map(_what, world.intake.observe(observations, ANYBODY)))


def _what(outcome: Accepted | MnemeError) -> str:
    if isinstance(outcome, MnemeError):
        return f"{outcome.reason} {outcome.field}"
    return "duplicate" if outcome.duplicate else "accepted"


FULL = "QUOTA_EXCEEDED quota.max_texts"
FULL_OF_BYTES = "QUOTA_EXCEEDED quota.max_bytes"


def many(*numbers: int) -> Sequence[Observation]:
    return [observation(n) for n in numbers]


def test_what_goes_beyond_it_is_refused_and_what_is_there_is_known_again(home: World) -> None:
    assert sent(home, *many(0, 0, 1, 2)) == ["accepted", "duplicate", "accepted", FULL]
    assert sent(home, *many(0, 1, 0)) == ["duplicate"] * 3
    reused = sent(home, observation(0, "Something else."))
    assert reused == ["ID_REUSED id"], "what is wrong with a known id is said first"
    assert sent(home, observation(0, namespace="acme/other")) == ["UNKNOWN_NAMESPACE namespace"]


def test_others_are_served_beside_it(home: World) -> None:
    home.create("acme/other")
    sent(home, *many(0, 1))
    assert sent(home, observation(0, namespace="acme/other")) == ["accepted"]


def test_what_was_forgotten_makes_room(home: World) -> None:
    sent(home, *many(0, 1))
    home.erase("o0")
    assert sent(home, *many(0)) == ["ERASED id"]
    assert sent(home, *many(2, 3)) == ["accepted", FULL]


def test_it_is_changed_and_taken_away(home: World) -> None:
    sent(home, *many(0, 1))
    limit(home, "n1", max_texts=3)
    assert sent(home, *many(2, 3)) == ["accepted", FULL]
    limit(home, "n2", max_texts=1)
    assert sent(home, *many(0, 1, 2, 3)) == ["duplicate"] * 3 + [FULL]
    limit(home, "n1", max_texts=3)
    assert sent(home, *many(3)) == [FULL], "a change is taken once"
    limit(home, "n3", max_texts=0)
    assert sent(home, *many(3)) == ["accepted"]


def test_bytes_are_those_of_the_ledger(home: World) -> None:
    sent(home, *many(0))
    size = sum(map(text_bytes, home.entries(HOME)))
    limit(home, "n1", max_texts=0, max_bytes=2 * size)
    assert sent(home, *many(1, 2)) == ["accepted", FULL_OF_BYTES], "o1 has as many bytes as o0"
    limit(home, "n2", max_bytes=3 * size - 1)
    assert sent(home, *many(2)) == [FULL_OF_BYTES]
    limit(home, "n3", max_bytes=3 * size)
    assert sent(home, *many(2)) == ["accepted"]


def test_a_change_of_the_quota_changes_nothing_else(home: World) -> None:
    room = MetadataField(name="room", type=MetadataType.METADATA_TYPE_TEXT)
    home.intake.change_namespace(UpdateNamespaceRequest(namespace=HOME, id="n1", metadata_fields=[room]), ANYBODY)
    limit(home, "n2", max_bytes=10_000)
    again = LedgerFacts(home.log, Keyring(home.log, MasterKey(bytes(range(32)))))
    again.catch_up()
    for known in (home.known, again):
        found = known.namespace(HOME)
        assert found is not None
        assert (list(found.settings.metadata_fields), found.settings.quota) == (
            [room],
            Quota(max_texts=2, max_bytes=10_000),
        )


def test_nothing_asked_for_is_refused_and_an_id_holds_for_its_limits(home: World) -> None:
    for quota in (None, Quota()):
        with pytest.raises(MnemeError, match="Nothing is to be changed"):
            home.intake.change_namespace(UpdateNamespaceRequest(namespace=HOME, id="n1", quota=quota), ANYBODY)
    limit(home, "n1", max_texts=5)
    with pytest.raises(MnemeError) as caught:
        limit(home, "n1", max_texts=6)
    assert caught.value.reason == "ID_REUSED"


def test_who_creates_it_again_need_not_know_its_quota(home: World) -> None:
    name = "acme/new"
    for quota in (Quota(max_texts=1, max_bytes=0), None, Quota(max_texts=1), Quota(max_bytes=0)):
        request = CreateNamespaceRequest(namespace=name, quota=quota)
        home.intake.create_namespace(converters.to_settings(request), ANYBODY)
    with pytest.raises(MnemeError) as caught:
        home.create(name, quota=Quota(max_texts=3))
    assert caught.value.reason == "NAMESPACE_EXISTS"
    assert sent(home, *(observation(n, namespace=name) for n in (0, 1))) == ["accepted", FULL]


def test_no_names_are_looked_for_in_what_is_refused(home: World, monkeypatch: pytest.MonkeyPatch) -> None:
    sent(home, *many(0, 1, 2))
    sent(home, *many(2))
    monkeypatch.setattr(home.intake, "_perceive", None)
    assert sent(home, *many(2)) == [FULL]
    assert sent(home, *many(1)) == ["duplicate"]


def test_two_processes_count_what_the_other_took(home: World, extractor: Extractor) -> None:
    other = World(home.folder, extractor)
    assert sent(home, *many(0)) == ["accepted"]
    assert sent(other, *many(1)) == ["accepted"]
    assert sent(home, *many(1, 2)) == ["duplicate", FULL]
    other.close()


def test_what_is_being_appended_elsewhere_is_all_that_a_namespace_may_come_to_hold_beyond_it(
    home: World, extractor: Extractor, monkeypatch: pytest.MonkeyPatch
) -> None:
    other, append = World(home.folder, extractor), home.log.append

    def meanwhile(messages: Sequence[Message]) -> list[Appended]:
        monkeypatch.undo()
        assert sent(other, *many(3, 4, 5)) == ["accepted", "accepted", FULL]
        return append(messages)

    monkeypatch.setattr(home.log, "append", meanwhile)
    assert sent(home, *many(0, 1, 2)) == ["accepted", "accepted", FULL]
    assert sent(home, *many(0, 3, 2)) == ["duplicate", "duplicate", FULL], "what is acknowledged stays"
    assert sent(other, *many(1, 4, 2)) == ["duplicate", "duplicate", FULL]
    other.close()


def test_an_inbox_makes_dead_letters_of_it_which_are_taken_once_there_is_room(home: World) -> None:
    for n in (0, 1, 2, 1):
        home.send(as_json(observation(n)))
    drain(home.inbox())
    [letter] = home.dead_letters()
    assert (letter.reason, letter.field) == ("QUOTA_EXCEEDED", "quota.max_texts")
    assert "--max-texts" in letter.remedy
    assert HOME not in str(letter)
    assert payload(home, letter) == as_json(observation(2))
    [shown], _ = home.refused.page(HOME, 10, "", with_payload=True)
    [refused] = home.refused.replay(HOME, [shown.id], "tester")
    assert (refused.taken, refused.reason, refused.field) == (False, "QUOTA_EXCEEDED", "quota.max_texts")
    limit(home, "n1", max_texts=3)
    [taken] = home.refused.replay(HOME, [shown.id], "tester")
    assert taken.taken
    assert sent(home, *many(2)) == ["duplicate"]


def test_a_refusal_of_a_stream_names_the_limit_and_what_was_taken(home: World) -> None:
    [refusal] = [o for o in home.intake.observe(many(0, 1, 2), ANYBODY) if isinstance(o, MnemeError)]
    told = converters.refused(refusal, ObserveResponse(accepted=2))
    assert (told.field, told.metadata["accepted"], told.metadata["used"]) == ("quota.max_texts", "2", "2")
