"""Accepting observations, ending sessions, creating namespaces."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from mneme.v1.admin_pb2 import (
    AliasGroup,
    AliasGroups,
    MetadataField,
    MetadataType,
    Namespace,
    UpdateNamespaceRequest,
)
from mneme.v1.common_pb2 import MetadataValue, Observation, ObservationKind

from services.common import telemetry
from services.common.crypto.auth import Caller, Right
from services.common.crypto.seal import TextKey
from services.common.ledger import topics
from services.common.ledger.room import HOST_BYTES
from services.common.log.base import Appended, Cleanup, Message, TopicSpec, partition_of
from services.common.log.sqlite import SqliteLog
from services.common.serving.errors import MnemeError
from services.common.text.extract import Extractor
from services.perception.intake import accept
from services.perception.intake.decision import Accepted
from services.perception.intake.validate import MAX_ALIASES_BYTES
from services.perception.sessions.segmentation.fixed import FixedSize
from tests.perception.crashing import DoubtfulLog
from tests.perception.world import ANYBODY, PARTITIONS, World, observation


def refusal(world: World, *observations: Observation, caller: Caller = ANYBODY) -> MnemeError:
    [*_, last] = world.intake.observe(observations, caller)
    assert isinstance(last, MnemeError)
    return last


def test_what_is_accepted_is_in_the_ledger_sealed_with_what_it_speaks_of(world: World) -> None:
    text = "Yesterday Mr. Perkupp came to Brickfield Terrace."
    [accepted] = world.observe(observation(0, text, actor="Pooter"))

    perceived = world.perceived(accepted)
    assert perceived.observation.text == text
    assert list(perceived.people) == ["Perkupp"]
    assert list(perceived.places) == ["Brickfield Terrace"]
    [mention] = perceived.times
    assert mention.text == "Yesterday"
    assert mention.range.start.ToDatetime(tzinfo=UTC) == datetime(1888, 4, 9, tzinfo=UTC)
    entry = world.entry(accepted)
    assert entry.principal == "tester"
    assert entry.observation_accepted.id_mac == world.id_mac("o0")


def test_invariant_14_no_plaintext_in_any_topic(world: World) -> None:
    world.observe(observation("secret-id", "Gowing smelt the zorblewax.", session="secret-session", actor="Cummings"))
    everything = world.bytes_on_disk()
    for plain in (b"zorblewax", b"Gowing", b"secret-id", b"secret-session", b"Cummings"):
        assert plain not in everything


def test_invariant_9_the_position_is_that_of_the_entry_and_is_durable(
    world: World, make_world: Callable[[], World]
) -> None:
    [accepted] = world.observe(observation(0))
    assert world.entry(accepted).observation_accepted.id_mac == world.id_mac("o0")
    other_process = make_world()
    assert other_process.entry(accepted) == world.entry(accepted)


def test_invariant_3_all_sessions_of_a_namespace_share_a_partition(world: World) -> None:
    accepted = world.observe(*[observation(n, session=f"s{n}") for n in range(12)])
    assert {a.place.partition for a in accepted} == {partition_of(b"acme/user", PARTITIONS)}


def test_the_same_again_is_a_duplicate_at_its_first_position(world: World, make_world: Callable[[], World]) -> None:
    [first] = world.observe(observation(0))
    [again] = world.observe(observation(0))
    [after_restart] = make_world().observe(observation(0))
    assert (first.duplicate, again.duplicate, after_restart.duplicate) == (False, True, True)
    assert first.place == again.place == after_restart.place
    assert len(world.entries()) == 2  # the namespace, the observation


def test_the_same_again_in_one_page_is_a_duplicate(world: World) -> None:
    outcomes = world.observe(observation(0), observation(1), observation(0))
    assert [o.duplicate for o in outcomes] == [False, False, True]
    assert outcomes[2].place == outcomes[0].place


@pytest.mark.parametrize(
    "changed",
    [
        {"text": "Another text."},
        {"actor": "Gowing"},
        {"external_id": "x"},
        {"source": "letter"},
        {"derived_from": ["answer"]},
        {"session": "another"},
        {"utc_offset_minutes": 120},
    ],
)
def test_an_id_with_another_content_is_refused(world: World, changed: dict[str, object]) -> None:
    world.observe(observation(0, utc_offset_minutes=60))
    error = refusal(world, observation(0, **{"utc_offset_minutes": 60} | changed))  # type: ignore[arg-type]
    assert (error.reason, error.field, error.metadata) == ("ID_REUSED", "id", {"id": "o0"})


def described(metadata: Mapping[str, MetadataValue]) -> Observation:
    """The first observation with metadata."""
    observed = observation(0)
    for name, value in metadata.items():
        observed.metadata[name].CopyFrom(value)
    return observed


@pytest.mark.parametrize(
    "changed",
    [
        {"size": MetadataValue(number=2), "team": MetadataValue(text="blue")},
        {"size": MetadataValue(number=1), "team": MetadataValue(text="red")},
        {"size": MetadataValue(text="1.0"), "team": MetadataValue(text="blue")},
        {"size": MetadataValue(number=1)},
        {},
    ],
)
def test_metadata_is_part_of_the_content(world: World, changed: dict[str, MetadataValue]) -> None:
    metadata = {"size": MetadataValue(number=1), "team": MetadataValue(text="blue")}
    world.observe(described(metadata))
    [again] = world.observe(described(dict(reversed(metadata.items()))))
    assert again.duplicate
    assert refusal(world, described(changed)).reason == "ID_REUSED"


def test_a_retry_is_known_by_a_ledger_that_an_older_release_wrote(world: World) -> None:
    [accepted] = world.observe(described({"size": MetadataValue(number=1)}))
    assert world.entry(accepted).observation_accepted.content_mac.hex() == "897e16f33e6aefdcff480e8bfddf0ccd"


def test_what_was_taken_before_there_were_offsets_may_be_sent_again_with_its_own(world: World) -> None:
    [first] = world.observe(observation(0))
    [again] = world.observe(observation(0, utc_offset_minutes=120))
    assert (again.duplicate, again.place) == (True, first.place)


def test_a_day_that_a_text_names_is_one_on_the_clock_it_came_with(world: World) -> None:
    said = observation(0, "It rained yesterday.", utc_offset_minutes=-420)
    said.observed_at.FromJsonString("2026-07-05T05:15:00Z")  # 22:15 of the day before, there
    [accepted] = world.observe(said)
    perceived = world.perceived(accepted)
    assert perceived.observation.utc_offset_minutes == -420
    [mention] = perceived.times
    assert mention.range.start.ToJsonString() == "2026-07-03T07:00:00Z"
    assert mention.range.end.ToJsonString() == "2026-07-04T07:00:00Z"


def test_an_id_with_another_content_in_one_page_is_refused(world: World) -> None:
    [first, second] = world.intake.observe([observation(0), observation(0, "Another text.")], ANYBODY)
    assert isinstance(first, Accepted)
    assert isinstance(second, MnemeError)
    assert second.reason == "ID_REUSED"


def test_the_same_id_in_another_namespace_is_another_observation(world: World) -> None:
    world.create("acme/other")
    outcomes = world.observe(observation(0), observation(0, "Another text.", namespace="acme/other"))
    assert [o.duplicate for o in outcomes] == [False, False]


def test_invariant_13_an_erased_id_is_refused_by_every_writer(world: World, make_world: Callable[[], World]) -> None:
    world.observe(observation(0))
    other_process = make_world()  # started before the erasure
    world.erase("o0")
    for writer in (world, other_process, make_world()):
        assert refusal(writer, observation(0)).reason == "ERASED"
        assert refusal(writer, observation(0, "With another text.")).reason == "ERASED"


def test_a_page_ends_at_the_first_refusal_and_what_came_before_is_durable(world: World) -> None:
    page = [observation(0), observation(1), observation(2, " "), observation(3)]
    outcomes = world.intake.observe(page, ANYBODY)
    assert [isinstance(o, Accepted) for o in outcomes] == [True, True, False]
    assert len(world.entries()) == 3

    # Sending all again, put right, is safe.
    page[2].text = "Now with a text."
    assert [o.duplicate for o in world.observe(*page)] == [True, True, False, False]


def test_a_page_is_one_append_of_keys_and_entries(world: World) -> None:
    accepted = world.observe(*[observation(n) for n in range(64)])
    offsets = [a.place.offset for a in accepted]
    assert offsets == list(range(offsets[0], offsets[0] + 64))


def test_invariant_2_a_caller_without_a_right_over_the_namespace_is_refused(world: World) -> None:
    stranger = Caller("other", ("umbrella",), frozenset({Right.WRITE}), "t", float("inf"))
    error = refusal(world, observation(0), caller=stranger)
    assert (error.reason, error.field) == ("PERMISSION_DENIED", "namespace")
    assert len(world.entries()) == 1


def test_invariant_2_no_session_ends_and_no_namespace_is_made_or_changed_out_of_reach(world: World) -> None:
    stranger = Caller("other", ("umbrella",), frozenset({Right.WRITE, Right.ADMIN}), "t", float("inf"))
    world.observe(observation(0))
    before = world.entries()
    change = UpdateNamespaceRequest(namespace="acme/user", id="c1", aliases=AliasGroups())
    attempts: list[Callable[[], object]] = [
        lambda: world.intake.end_session("acme/user", "s", stranger),
        lambda: world.intake.create_namespace(Namespace(name="acme/new"), stranger),
        lambda: world.intake.change_namespace(change, stranger),
    ]
    for attempt in attempts:
        with pytest.raises(MnemeError) as caught:
            attempt()
        assert (caught.value.reason, caught.value.field) == ("PERMISSION_DENIED", "namespace")
    assert world.entries() == before


def test_an_observation_may_be_a_day_ahead_and_no_more(world: World) -> None:
    ahead = observation(0)
    ahead.observed_at.FromDatetime(world.now + timedelta(days=1))
    world.observe(ahead)
    ahead.id = "o1"
    ahead.observed_at.seconds += 1
    error = refusal(world, ahead)
    assert (error.reason, error.field) == ("INVALID_FIELD", "observed_at")


def test_what_is_of_no_kind_is_a_turn(world: World) -> None:
    [accepted] = world.observe(observation(0))
    assert world.perceived(accepted).observation.kind == ObservationKind.OBSERVATION_KIND_TURN
    [again] = world.observe(observation(0, kind=ObservationKind.OBSERVATION_KIND_TURN))
    assert again.duplicate


def test_an_unknown_namespace_is_refused_until_another_process_creates_it(
    world: World, make_world: Callable[[], World]
) -> None:
    error = refusal(world, observation(0, namespace="acme/new"))
    assert (error.reason, error.metadata) == ("UNKNOWN_NAMESPACE", {"namespace": "acme/new"})
    make_world().create("acme/new")
    world.observe(observation(0, namespace="acme/new"))


def test_declared_metadata_must_have_its_type_and_the_rest_is_kept(world: World) -> None:
    world.create("acme/typed", metadata_fields=[MetadataField(name="size", type=MetadataType.METADATA_TYPE_NUMBER)])
    wrong = observation(0, namespace="acme/typed")
    wrong.metadata["size"].text = "big"
    error = refusal(world, wrong)
    assert (error.reason, error.field, error.metadata) == (
        "UNDECLARED_METADATA",
        "metadata.size",
        {"declared": "number"},
    )

    right = observation(0, namespace="acme/typed")
    right.metadata["size"].number = 3
    right.metadata["colour"].text = "undeclared, and kept"
    [accepted] = world.observe(right)
    assert world.perceived(accepted).observation.metadata["colour"] == MetadataValue(text="undeclared, and kept")


def test_aliases_of_the_namespace_are_used(world: World, make_world: Callable[[], World]) -> None:
    world.create("acme/home", aliases=[AliasGroup(name="Carrie Pooter", aliases=["my wife"])])
    restarted = make_world()
    for n, writer in enumerate((world, restarted)):
        [accepted] = writer.observe(observation(n, "I told my wife.", namespace="acme/home"))
        assert list(writer.perceived(accepted).people) == ["Carrie Pooter"]
    assert b"Carrie" not in world.bytes_on_disk()


def test_threads_that_send_the_same_get_it_accepted_once(world: World) -> None:
    accepted: list[Accepted] = []

    def send() -> None:
        accepted.extend(world.observe(*[observation(n) for n in range(10)]))

    threads = [threading.Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(not a.duplicate for a in accepted) == 10
    assert len({a.place for a in accepted}) == 10


def test_a_full_disk_acknowledges_nothing_and_the_same_again_works(
    world: World, tmp_path: Path, extractor: Extractor, make_world: Callable[[], World]
) -> None:
    full = World(tmp_path, extractor, log=SqliteLog(tmp_path / "log.db", max_page_count=96))
    sent = [observation(n, f"{n} " + "x" * 50_000) for n in range(8)]
    with pytest.raises(MnemeError) as caught:
        _observe_one_by_one(full, sent)
    full.close()
    assert caught.value.reason == "LOG_UNAVAILABLE"
    assert "nothing of this was acknowledged" in caught.value.message
    taken = len(world.entries()) - 1
    assert 0 < taken < len(sent)

    with_room = make_world()
    assert [a.duplicate for a in with_room.observe(*sent)] == [True] * taken + [False] * (len(sent) - taken)


def test_invariant_4_a_commit_in_doubt_that_took_effect_is_segmented(world: World) -> None:
    real, world.intake._log = world.log, DoubtfulLog(world.log, world.keyring.refresh)  # type: ignore[assignment]
    with pytest.raises(MnemeError) as caught:
        world.observe(observation(0))
    assert caught.value.reason == "LOG_UNAVAILABLE"
    world.intake._log = real
    assert [a.duplicate for a in world.observe(*[observation(n) for n in range(4)])] == [True, False, False, False]
    world.drain(world.segmenter(FixedSize(units=4)))
    assert world.episodes() == [(["o0", "o1", "o2", "o3"], "count")]


def test_an_entry_continues_the_trace_that_it_was_sent_in(world: World) -> None:
    telemetry.configure("test")
    trace_id = "0af7651916cd43dd8448eb211c80319c"
    parent = {"traceparent": f"00-{trace_id}-b7ad6b7169203331-01"}
    with telemetry.span("test", parent=parent):
        [accepted] = world.observe(observation(0))
    [record] = world.log.read(topics.LEDGER, accepted.place.partition, accepted.place.offset, accepted.place.offset + 1)
    assert trace_id in record.headers["traceparent"].decode()


# --- sessions ---------------------------------------------------------------------------------------------------


def test_ending_a_session_writes_one_entry_however_often(world: World, make_world: Callable[[], World]) -> None:
    world.observe(observation(0))
    first = world.intake.end_session("acme/user", "s", ANYBODY)
    assert world.intake.end_session("acme/user", "s", ANYBODY) == first
    assert make_world().intake.end_session("acme/user", "s", ANYBODY) == first
    assert [e.WhichOneof("body") for e in world.entries()].count("session_ended") == 1


def test_a_session_that_goes_on_can_be_ended_again(world: World) -> None:
    world.observe(observation(0))
    first = world.intake.end_session("acme/user", "s", ANYBODY)
    world.observe(observation(1))
    assert world.intake.end_session("acme/user", "s", ANYBODY).offset > first.offset


@pytest.mark.parametrize(
    ("namespace", "session", "reason", "field"),
    [
        ("no namespace", "s", "INVALID_FIELD", "namespace"),
        ("acme/none", "s", "UNKNOWN_NAMESPACE", "namespace"),
        ("acme/user", "", "INVALID_FIELD", "session"),
    ],
)
def test_an_end_that_names_nothing_is_refused(
    world: World, namespace: str, session: str, reason: str, field: str
) -> None:
    with pytest.raises(MnemeError) as caught:
        world.intake.end_session(namespace, session, ANYBODY)
    assert (caught.value.reason, caught.value.field) == (reason, field)


def test_a_session_nobody_has_heard_of_cannot_end(world: World) -> None:
    with pytest.raises(MnemeError) as caught:
        world.intake.end_session("acme/user", "unheard", ANYBODY)
    assert (caught.value.reason, caught.value.field) == ("NOT_FOUND", "session")


# --- namespaces -------------------------------------------------------------------------------------------------

SETTINGS = Namespace(
    name="acme/new",
    metadata_fields=[
        MetadataField(name="a", type=MetadataType.METADATA_TYPE_TEXT),
        MetadataField(name="b", type=MetadataType.METADATA_TYPE_NUMBER),
    ],
    aliases=[AliasGroup(name="Carrie", aliases=["my wife", "Caroline"])],
)


def test_creating_a_namespace_again_with_the_same_settings_is_a_no_op(
    world: World, make_world: Callable[[], World]
) -> None:
    reordered = Namespace()
    reordered.CopyFrom(SETTINGS)
    reordered.metadata_fields.reverse()
    reordered.aliases[0].aliases.reverse()
    first = world.intake.create_namespace(SETTINGS, ANYBODY)
    assert world.intake.create_namespace(reordered, ANYBODY) == first
    assert make_world().intake.create_namespace(SETTINGS, ANYBODY) == first


def test_the_longest_aliases_that_are_taken_fit_the_log(world: World) -> None:
    groups = [
        AliasGroup(name=f"{g:0200}", aliases=[f"{g}-{a:0100}".ljust(200, "x") for a in range(20)]) for g in range(800)
    ]
    with pytest.raises(MnemeError) as caught:
        world.intake.create_namespace(Namespace(name="acme/new", aliases=groups), ANYBODY)
    assert (caught.value.reason, caught.value.field) == ("INVALID_FIELD", "aliases")
    assert caught.value.remedy
    most = groups[: MAX_ALIASES_BYTES // (21 * 200)]
    world.intake.create_namespace(Namespace(name="acme/new", aliases=most), ANYBODY)


def test_creating_it_with_other_settings_is_refused(world: World) -> None:
    world.intake.create_namespace(SETTINGS, ANYBODY)
    with pytest.raises(MnemeError, match="NAMESPACE_EXISTS|other settings") as caught:
        world.intake.create_namespace(Namespace(name="acme/new"), ANYBODY)
    assert caught.value.reason == "NAMESPACE_EXISTS"


def test_of_two_processes_that_create_it_at_once_one_wins(world: World, make_world: Callable[[], World]) -> None:
    other = make_world()
    first = world.intake.create_namespace(SETTINGS, ANYBODY)
    # The other one did not look again before it appended.
    other.known.catch_up = lambda partitions=None: None  # type: ignore[method-assign]
    real_append = other.log.append

    def append_and_see(messages: Sequence[Message], timeout_s: float = 10.0) -> list[Appended]:
        out = real_append(messages, timeout_s)
        if messages[-1].topic == topics.LEDGER:
            del other.known.catch_up
        return out

    other.log.append = append_and_see  # type: ignore[method-assign]
    with pytest.raises(MnemeError) as caught:
        other.intake.create_namespace(Namespace(name="acme/new"), ANYBODY)
    assert caught.value.reason == "NAMESPACE_EXISTS"
    assert world.intake.create_namespace(SETTINGS, ANYBODY) == first


def _observe_one_by_one(world: World, observations: list[Observation]) -> None:
    for one in observations:
        world.observe(one)


def test_settings_that_name_a_forgotten_person_are_other_settings(world: World) -> None:
    posh = AliasGroup(name="Murray Posh", aliases=["Mr. Posh"])
    carrie = AliasGroup(name="Carrie Pooter", aliases=["my wife"])
    world.create("acme/home", aliases=[posh, carrie])
    world.erase_names([carrie], "acme/home")
    before = len(world.entries())
    with pytest.raises(MnemeError) as caught:
        world.create("acme/home", aliases=[posh, carrie])
    assert (caught.value.reason, caught.value.field) == ("NAMESPACE_EXISTS", "namespace")
    assert "forgotten" in caught.value.remedy
    world.create("acme/home", aliases=[carrie])
    assert len(world.entries()) == before
    [accepted] = world.observe(observation(0, "I told my wife of Mr. Posh.", namespace="acme/home"))
    assert set(world.perceived(accepted).people) == {"Carrie Pooter", "Posh"}


# --- sizes ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("room", "kept"), [(24, ["Ann Aske", "Ben Bell"]), (23, ["Ann Aske"])])
def test_as_many_names_are_kept_as_an_engram_has_room_for(
    world: World, monkeypatch: pytest.MonkeyPatch, room: int, kept: list[str]
) -> None:
    """Eight bytes a name and four around it; what it derives from is not kept in the engram."""
    names = ("Ann Aske", "Ben Bell", "Cid Cole")
    world.create("acme/home", aliases=[AliasGroup(name=name) for name in names])
    sent = observation(0, " ".join(names), namespace="acme/home", derived_from=["answer"])
    sent.kind = ObservationKind.OBSERVATION_KIND_TURN
    monkeypatch.setattr(accept, "ENGRAM_BYTES", HOST_BYTES + sent.ByteSize() - len("answer") + room)
    [accepted] = world.observe(sent)
    assert list(world.perceived(accepted).people) == kept


def test_fields_that_this_release_does_not_know_are_not_kept(world: World) -> None:
    unknown = _with_unknown_field(observation(0), b"zorblewax" * 100_000)
    [accepted] = world.observe(unknown)
    assert world.perceived(accepted).observation.text == observation(0).text
    assert len(world.entry(accepted).SerializeToString()) < 1_000


def _with_unknown_field(made: Observation, value: bytes) -> Observation:
    """As a later release may send it: field 100 of the message."""
    later = descriptor_pb2.FileDescriptorProto(name="later.proto", syntax="proto3")
    field = later.message_type.add(name="Later").field.add(name="field", number=100)
    field.type, field.label = field.TYPE_BYTES, field.LABEL_OPTIONAL
    pool = descriptor_pool.DescriptorPool()
    pool.Add(later)
    more = message_factory.GetMessageClass(pool.FindMessageTypeByName("Later"))(field=value)
    return Observation.FromString(made.SerializeToString() + more.SerializeToString())


def test_what_is_more_than_a_record_of_the_log_takes_is_refused_for_good(world: World) -> None:
    world.log.ensure_topics([TopicSpec(topics.LEDGER, PARTITIONS, Cleanup.KEEP, max_message_bytes=2_000)])
    with pytest.raises(MnemeError) as caught:
        world.observe(observation(0, "x" * 3_000))
    assert caught.value.reason == "TEXT_SIZE"
    assert "again" not in caught.value.remedy
    world.observe(observation(1))


def test_the_key_of_what_the_log_did_not_take_is_forgotten(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a namespace from before there were name keys; in the others such a key is of a tree, and nobody takes it."""
    made: list[TextKey] = []

    def noted(namespace: str) -> TextKey:
        key = world.keyring.new_key(namespace)
        made.append(TextKey(key.key_id, (key.message,)))
        return made[-1]

    monkeypatch.setattr(world.keyring, "text_key", noted)
    world.log.ensure_topics([TopicSpec(topics.LEDGER, PARTITIONS, Cleanup.KEEP, max_message_bytes=2_000)])
    assert isinstance(world.intake.observe([observation(0)], ANYBODY)[0], Accepted)
    with pytest.raises(MnemeError):
        world.observe(observation(1, "x" * 3_000))
    assert [world.keyring.has(key.key_id) for key in made] == [True, False]


def test_a_page_ends_at_a_reused_id_and_nothing_behind_it_is_in_the_ledger(world: World) -> None:
    world.observe(observation(1))
    page = [observation(0), observation(1, "Another text."), observation(2)]
    [taken, refused] = world.intake.observe(page, ANYBODY)
    assert isinstance(taken, Accepted)
    assert isinstance(refused, MnemeError)
    assert refused.reason == "ID_REUSED"
    world.known.catch_up()
    assert world.known.first("acme/user", world.id_mac("o0")) is not None
    assert world.known.first("acme/user", world.id_mac("o2")) is None
