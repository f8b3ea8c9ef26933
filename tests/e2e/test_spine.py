"""The one path, through real parts: observe, recall, ask, correct, forget, rebuild."""

import time

import grpc
import pytest
from mneme.v1 import admin_pb2, common_pb2, episodic_pb2, perception_pb2, reasoning_pb2

from services.cli import render
from services.cli.client import Client, connect
from services.cli.local import Local
from services.common.serving.errors import MnemeError, from_rpc_error
from tests.e2e import talk


def refused(call: grpc.RpcError) -> MnemeError:
    return from_rpc_error(call)


@pytest.fixture
def client(local: Local) -> Client:
    return local.client


def test_what_was_acknowledged_is_recalled_at_that_position(client: Client) -> None:
    talk.create(client, "e2e/observe")
    acknowledged = client.observe(talk.observations("e2e/observe"))
    assert (acknowledged.accepted, acknowledged.duplicates) == (6, 0)
    at_least = common_pb2.Freshness(at_least=common_pb2.Positions(positions=acknowledged.positions))
    response = talk.recall(client, "e2e/observe", "Where is the umbrella?", freshness=at_least)
    assert response.found
    assert response.items[0].engram.observation_id == "t2"
    assert response.items[0].trace
    again = client.observe(talk.observations("e2e/observe"))
    assert (again.accepted, again.duplicates) == (0, 6)
    assert talk.await_idle(client, "e2e/observe", 6).engrams_by_kind["turn"] == 6


def test_an_answer_streams_evidence_then_sentences_word_for_word(client: Client) -> None:
    talk.create(client, "e2e/ask")
    client.observe(talk.observations("e2e/ask"))
    request = reasoning_pb2.AskRequest(
        namespace="e2e/ask",
        question="When does Aunt Petronella arrive?",
        freshness=common_pb2.Freshness(strong=True),
        extractive_only=True,
    )
    answer = render.collect(client.reasoning.Ask(request, metadata=client.metadata, timeout=20))
    assert answer.extractive.found
    said = {text for _, text in talk.LINES}
    assert any(answer.extractive.sentences[0].text in text for text in said)
    assert "Lisbon" in answer.extractive.sentences[0].text
    assert answer.done.answer_id
    assert {"recall", "recall.retrieve", "extract"} <= {stage.stage for stage in answer.done.stages}


def test_invariant_19_a_posted_answer_goes_with_what_it_quotes(client: Client) -> None:
    namespace = "e2e/answers"
    talk.create(client, namespace)
    client.observe(talk.observations(namespace))
    request = reasoning_pb2.AskRequest(
        namespace=namespace,
        question="When does Aunt Petronella arrive?",
        freshness=common_pb2.Freshness(strong=True),
        extractive_only=True,
    )
    answer = render.collect(client.reasoning.Ask(request, metadata=client.metadata, timeout=20))
    source = answer.extractive.sentences[0].engram_id
    posted = talk.observations(namespace, session="answers", tag="a")[0]
    posted.text = f"You told me: {answer.extractive.sentences[0].text}"
    posted.derived_from.append(answer.done.answer_id)
    assert client.observe([posted]).accepted == 1
    selector = episodic_pb2.ForgetSelector(ids=episodic_pb2.Ids(ids=[source]))
    forget = episodic_pb2.ForgetRequest(namespace=namespace, selector=selector, dry_run=True)
    listed = client.episodic.Forget(forget, metadata=client.metadata, timeout=20)
    assert [t.text for t in listed.targets if t.reason] == [posted.text]
    forget.dry_run, forget.id = False, "f1"
    receipt = client.episodic.Forget(forget, metadata=client.metadata, timeout=60).receipt
    assert (receipt.base_erased, receipt.declared_erased) == (2, 1)
    found = talk.recall(client, namespace, "Aunt Petronella arrives from Lisbon")
    assert not any("Lisbon" in item.engram.text for item in found.items)
    again = talk.observations(namespace, session="answers", tag="b")[0]
    again.derived_from.append(answer.done.answer_id)
    with pytest.raises(grpc.RpcError) as caught:
        client.observe([again])
    error = refused(caught.value)
    assert (error.reason, error.field) == ("ERASED", "observation.derived_from[0]")


def test_a_question_about_nothing_said_is_not_found(client: Client) -> None:
    talk.create(client, "e2e/nothing")
    client.observe(talk.observations("e2e/nothing"))
    response = talk.recall(client, "e2e/nothing", "Which university did Professor Zimmermann leave in Chicago?")
    assert not response.found
    assert response.confidence < response.threshold


def test_a_correction_replaces_and_history_keeps_both(client: Client) -> None:
    talk.create(client, "e2e/correct")
    client.observe(talk.observations("e2e/correct"))
    wrong = talk.recall(client, "e2e/correct", "dentist appointment").items[0].engram
    corrected = client.episodic.Correct(
        episodic_pb2.CorrectRequest(
            namespace="e2e/correct", engram_id=wrong.id, text="The dentist moved to Friday at ten.", id="c1"
        ),
        metadata=client.metadata,
        timeout=20,
    )
    found = talk.recall(client, "e2e/correct", "dentist appointment")
    ids = [item.engram.id for item in found.items]
    assert corrected.engram_id in ids
    assert wrong.id not in ids
    history = client.episodic.History(
        episodic_pb2.HistoryRequest(namespace="e2e/correct", engram_id=wrong.id), metadata=client.metadata, timeout=20
    )
    assert history.events[0].engram.text == wrong.text
    assert history.events[-1].engram.state == episodic_pb2.ENGRAM_STATE_SUPERSEDED


def test_forget_erases_and_a_rebuild_keeps_it_so(client: Client) -> None:
    talk.create(client, "e2e/forget")
    client.observe(talk.observations("e2e/forget"))
    client.perception.EndSession(
        perception_pb2.EndSessionRequest(namespace="e2e/forget", session="talk"), metadata=client.metadata, timeout=20
    )
    talk.await_idle(client, "e2e/forget", 6)
    selector = episodic_pb2.ForgetSelector(person=episodic_pb2.Person(name="Aunt Petronella", aliases=["Petronella"]))
    request = episodic_pb2.ForgetRequest(namespace="e2e/forget", selector=selector, dry_run=True)
    listed = client.episodic.Forget(request, metadata=client.metadata, timeout=20)
    assert any("Petronella" in target.text for target in listed.targets)
    request.dry_run, request.id = False, "f1"
    receipt = client.episodic.Forget(request, metadata=client.metadata, timeout=60).receipt
    assert receipt.base_erased >= 1
    assert receipt.keys_destroyed >= 1
    again = client.episodic.Forget(request, metadata=client.metadata, timeout=60).receipt
    assert (again.id, again.position) == (receipt.id, receipt.position)
    reused = talk.observations("e2e/forget")[3]
    with pytest.raises(grpc.RpcError) as caught:
        client.observe([reused])
    assert refused(caught.value).reason == "ERASED"
    before = talk.stats(client, "e2e/forget")
    operation = client.admin.Rebuild(admin_pb2.RebuildRequest(), metadata=client.metadata, timeout=20).operation
    while operation.state == admin_pb2.OPERATION_STATE_RUNNING:
        time.sleep(0.2)
        request_id = admin_pb2.GetOperationRequest(id=operation.id)
        operation = client.admin.GetOperation(request_id, metadata=client.metadata, timeout=20).operation
    assert operation.state == admin_pb2.OPERATION_STATE_DONE, operation.result
    after = talk.stats(client, "e2e/forget")
    assert after.state_hash == before.state_hash
    assert after.generation > before.generation
    found = talk.recall(client, "e2e/forget", "Petronella Lisbon Sunday")
    assert not any("Petronella" in str(item.engram) for item in found.items)
    verified = client.episodic.VerifyForgotten(
        episodic_pb2.VerifyForgottenRequest(namespace="e2e/forget", receipt_id=receipt.id),
        metadata=client.metadata,
        timeout=60,
    )
    assert verified.clean, verified


def test_invariant_2_a_namespace_never_sees_another(client: Client, local: Local) -> None:
    talk.create(client, "e2e/mine")
    talk.create(client, "e2e/yours")
    client.observe(talk.observations("e2e/yours"))
    assert not talk.recall(client, "e2e/mine", "umbrella").items
    assert talk.recall(client, "e2e/mine", "umbrella", scopes=["e2e/yours"]).items
    token = client.admin.IssueToken(
        admin_pb2.IssueTokenRequest(
            principal="mine", namespace_prefixes=["e2e/mine"], rights=["RIGHT_READ", "RIGHT_WRITE"], ttl_s=600
        ),
        metadata=client.metadata,
        timeout=20,
    ).token
    mine = connect(local.address, token)
    with pytest.raises(grpc.RpcError) as scope:
        talk.recall(mine, "e2e/mine", "umbrella", scopes=["e2e/yours"])
    assert refused(scope.value).reason == "PERMISSION_DENIED"
    with pytest.raises(grpc.RpcError) as write:
        mine.observe(talk.observations("e2e/yours", tag="x"))
    assert refused(write.value).reason == "PERMISSION_DENIED"
    mine.close()


def _observation(**changes: object) -> common_pb2.Observation:
    observation = talk.observations("e2e/bad")[0]
    for field, value in changes.items():
        setattr(observation, field, value)
    return observation


@pytest.mark.parametrize(
    ("bad", "reason", "field"),
    [
        (_observation(namespace="e2e/never-created"), "UNKNOWN_NAMESPACE", "namespace"),
        (_observation(namespace=""), "INVALID_FIELD", "namespace"),
        (_observation(text=""), "TEXT_SIZE", "text"),
        (_observation(text="x" * 60_001), "TEXT_SIZE", "text"),
        (_observation(id=""), "INVALID_FIELD", "id"),
        (_observation(session=""), "INVALID_FIELD", "session"),
        (_observation(text="other words under the same id"), "ID_REUSED", "id"),
    ],
    ids=["unknown namespace", "no namespace", "empty", "oversized", "no id", "no session", "reused id"],
)
def test_a_bad_observation_is_refused_by_name_and_loses_nothing(
    client: Client, bad: common_pb2.Observation, reason: str, field: str
) -> None:
    talk.create(client, "e2e/bad")
    client.observe([talk.observations("e2e/bad")[0]])
    with pytest.raises(grpc.RpcError) as caught:
        client.observe([talk.observations("e2e/bad")[1], bad])
    error = refused(caught.value)
    assert (error.reason, error.field.rpartition(".")[2]) == (reason, field)
    assert error.remedy
    assert talk.await_idle(client, "e2e/bad", 2).engrams_by_kind["turn"] == 2


def test_a_range_that_ends_before_it_starts_is_refused(client: Client) -> None:
    talk.create(client, "e2e/range")
    backwards = common_pb2.TimeRange()
    backwards.start.FromJsonString("2026-02-01T00:00:00Z")
    backwards.end.FromJsonString("2026-01-01T00:00:00Z")
    with pytest.raises(grpc.RpcError) as caught:
        talk.recall(client, "e2e/range", "x", filter=episodic_pb2.RecallFilter(event_time=backwards))
    assert refused(caught.value).reason == "TIME_RANGE"


def test_recall_of_an_unknown_namespace_is_refused(client: Client) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        talk.recall(client, "e2e/never-created", "x")
    assert refused(caught.value).reason == "UNKNOWN_NAMESPACE"


def test_declared_metadata_filters(client: Client) -> None:
    fields = [admin_pb2.MetadataField(name="room", type=admin_pb2.METADATA_TYPE_TEXT)]
    talk.create(client, "e2e/filter", metadata_fields=fields)
    observations = talk.observations("e2e/filter")
    for number, observation in enumerate(observations):
        observation.metadata["room"].text = "kitchen" if number % 2 else "hall"
        observation.external_id = f"product-{number}"
    client.observe(observations)
    kitchen = episodic_pb2.MetadataFilter(field="room", equals=common_pb2.MetadataValue(text="kitchen"))
    found = talk.recall(
        client, "e2e/filter", "umbrella", limit=10, filter=episodic_pb2.RecallFilter(metadata=[kitchen])
    )
    assert {item.engram.external_id for item in found.items} <= {"product-1", "product-3", "product-5"}
    assert found.items
    unknown = episodic_pb2.MetadataFilter(field="floor", equals=common_pb2.MetadataValue(text="1"))
    with pytest.raises(grpc.RpcError) as caught:
        talk.recall(client, "e2e/filter", "umbrella", filter=episodic_pb2.RecallFilter(metadata=[unknown]))
    assert refused(caught.value).reason == "UNDECLARED_METADATA"
