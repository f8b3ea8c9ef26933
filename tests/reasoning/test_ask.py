"""Ask over real gRPC: through the gateway to reasoning, and from there through the gateway to episodic."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import resources
from typing import Any

import grpc
import pytest
import yaml
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from mneme.v1.common_pb2 import Freshness
from mneme.v1.episodic_pb2 import Engram, RecallFilter, RecallItem, RecallRequest, RecallResponse, StageTime
from mneme.v1.errors_pb2 import Error, ErrorReason
from mneme.v1.reasoning_pb2 import AskRequest, AskResponse, WordingOptions
from mneme.v1.reasoning_service_pb2_grpc import ReasoningServiceStub
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

from services.common.config import ConfigError, load
from services.common.crypto.auth import Right, grant_signer, token_signer
from services.common.crypto.seal import MasterKey
from services.common.serving.errors import TRAILER, MnemeError
from services.common.serving.methods import METHODS
from services.common.serving.serving import Application, Call, Handler
from services.gateway.backend import Backend, LocalBackend
from services.gateway.config import GatewayConfig
from services.gateway.server import GatewayServer
from services.gateway.tokens import Credentials
from services.reasoning.config import Door, ReasoningConfig, door
from services.reasoning.recaller import GrpcRecaller
from services.reasoning.servicer import Reasoning, application

MASTER = MasterKey(bytes(range(32)))
TOKENS, GRANTS = token_signer(MASTER), grant_signer(MASTER)
RECALL, ASK = "mneme.v1.EpisodicService/Recall", "mneme.v1.ReasoningService/Ask"
SERVED = {name: METHODS[name] for name in (RECALL, ASK)}


def item(id: str, version: int, text: str, score: float) -> RecallItem:
    return RecallItem(engram=Engram(id=id, namespace="home", version=version, text=text), score=score)


ITEMS = [
    item("e1", 3, "It rained. Anna lost her umbrella at the fair.", 0.9),
    item("e2", 4, "The fair was on Monday.", 0.5),
]


@dataclass
class Memory:
    """What episodic will say, and what it was asked."""

    response: RecallResponse = field(default_factory=RecallResponse)
    fails: MnemeError | None = None
    sleeps_s: float = 0.0
    asked: list[tuple[RecallRequest, Call, int]] = field(default_factory=list)
    cancelled: int = 0

    async def recall(self, request: RecallRequest, call: Call) -> RecallResponse:
        call.require_namespace(request.namespace)
        self.asked.append((request, call, trace.get_current_span().get_span_context().trace_id))
        if self.fails:
            raise self.fails
        try:
            await asyncio.sleep(self.sleeps_s)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return self.response


@dataclass
class Running:
    memory: Memory
    stub: Any

    def ask(self, request: AskRequest, timeout: float = 10, **metadata: str) -> list[AskResponse]:
        token, _ = TOKENS.issue("ann", ("home",), frozenset(Right), 600)
        sent = (("authorization", f"Bearer {token}"), *metadata.items())
        return list(self.stub.Ask(request, timeout=timeout, metadata=sent))


def defaults(section: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(resources.files(f"services.{section}").joinpath("defaults.yaml").read_text())
    return found


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    memory = Memory()

    async def start() -> tuple[GatewayServer, GrpcRecaller]:
        applications = {
            "episodic": Application("episodic", GRANTS, {RECALL: Handler(RecallRequest, memory.recall)}, SERVED)
        }
        backend: Backend = LocalBackend(applications)
        config = GatewayConfig.model_validate({**defaults("gateway"), "port": 0, "metrics_port": 0})
        both = {"episodic": backend, "reasoning": backend}
        server = GatewayServer(config, Credentials(TOKENS, GRANTS, set()), both, SERVED)
        await server.start()
        recaller = GrpcRecaller(Door(f"127.0.0.1:{server.port}", None, ""))
        reasoning = Reasoning(ReasoningConfig.model_validate(defaults("reasoning")), recaller)
        applications["reasoning"] = application(reasoning, GRANTS)
        return server, recaller

    server, recaller = asyncio.run_coroutine_threadsafe(start(), loop).result(30)
    with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        yield Running(memory, ReasoningServiceStub(channel))
    asyncio.run_coroutine_threadsafe(recaller.close(), loop).result(30)
    asyncio.run_coroutine_threadsafe(server.stop(), loop).result(30)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)
    loop.close()


@pytest.fixture(autouse=True)
def fresh(running: Running) -> None:
    running.memory.response = RecallResponse(
        items=ITEMS,
        found=True,
        confidence=0.8,
        threshold=0.4,
        stages=[StageTime(stage="fuse", duration=Duration(nanos=5))],
        erasure_epochs={"home": 7},
    )
    running.memory.fails, running.memory.sleeps_s = None, 0.0
    running.memory.asked.clear()


QUESTION = AskRequest(namespace="home", question="Where did Anna lose her umbrella?")


def failure(refused: pytest.ExceptionInfo[grpc.RpcError]) -> tuple[grpc.StatusCode, str, str]:
    sent = next(Error.FromString(v) for k, v in refused.value.trailing_metadata() if k == TRAILER)
    return refused.value.code(), ErrorReason.Name(sent.reason).removeprefix("ERROR_REASON_"), sent.field


def test_the_parts_come_in_order_and_the_quote_stands_in_its_source(running: Running) -> None:
    parts = running.ask(QUESTION)
    assert [p.WhichOneof("part") for p in parts] == ["evidence", "extractive", "done"]
    assert list(parts[0].evidence.items) == ITEMS
    extractive = parts[1].extractive
    assert extractive.found
    assert (extractive.confidence, extractive.threshold) == (0.8, 0.4)
    assert extractive.sentences[0].text == "Anna lost her umbrella at the fair."
    assert extractive.sentences[0].engram_id == "e1"
    done = parts[2].done
    assert done.model == "none"
    assert dict(done.erasure_epochs) == {"home": 7}
    assert [s.stage for s in done.stages] == ["recall.fuse", "recall", "extract"]


def test_not_found_quotes_nothing_and_still_shows_the_nearest(running: Running) -> None:
    running.memory.response.found = False
    parts = running.ask(QUESTION)
    assert len(parts[0].evidence.items) == 2
    assert not parts[1].extractive.found
    assert not parts[1].extractive.sentences


def test_recall_is_asked_by_the_callers_right_within_the_callers_time(running: Running) -> None:
    running.ask(QUESTION, timeout=5)
    request, call, _ = running.memory.asked[0]
    assert call.caller.principal == "ann"
    assert call.caller.prefixes == ("home",)
    assert 0 < call.time_left_s() <= 5
    assert (request.query, request.limit) == (QUESTION.question, 5)


def test_one_trace_follows_the_question_to_recall(running: Running) -> None:
    if not isinstance(trace.get_tracer_provider(), TracerProvider):
        trace.set_tracer_provider(TracerProvider())
    running.ask(QUESTION, traceparent=f"00-{'ab' * 16}-{'cd' * 8}-01")
    assert running.memory.asked[0][2] == int("ab" * 16, 16)


def test_everything_the_question_names_reaches_recall(running: Running) -> None:
    asked = AskRequest(
        namespace="home",
        scopes=["home/shared"],
        question="Who?",
        evidence_limit=9,
        filter=RecallFilter(actor="Anna"),
        freshness=Freshness(strong=True),
        asked_at=Timestamp(seconds=99),
        asked_utc_offset_minutes=-420,
    )
    running.ask(asked)
    request = running.memory.asked[0][0]
    assert request == RecallRequest(
        namespace="home",
        scopes=["home/shared"],
        query="Who?",
        limit=9,
        filter=RecallFilter(actor="Anna"),
        freshness=Freshness(strong=True),
        asked_at=Timestamp(seconds=99),
        asked_utc_offset_minutes=-420,
    )


def test_the_answer_id_names_what_the_answer_was_made_of(running: Running) -> None:
    first, again = (running.ask(QUESTION)[2].done.answer_id for _ in range(2))
    assert first == again
    running.memory.response.items[0].engram.version = 4
    assert running.ask(QUESTION)[2].done.answer_id != first


@pytest.mark.parametrize(
    ("request_", "field_", "reason"),
    [
        (AskRequest(namespace="home", question=" "), "question", "TEXT_SIZE"),
        (AskRequest(namespace="home", question="\u200b"), "question", "TEXT_SIZE"),
        (AskRequest(namespace="home", question="ä" * 30_001), "question", "TEXT_SIZE"),
        (AskRequest(namespace="home", question="Who?", evidence_limit=101), "evidence_limit", "INVALID_FIELD"),
        (AskRequest(question="Who?"), "namespace", "INVALID_FIELD"),
        (
            AskRequest(namespace="home", question="Who?", wording=WordingOptions(), extractive_only=True),
            "extractive_only",
            "INVALID_FIELD",
        ),
    ],
)
def test_a_bad_question_is_refused_before_recall_and_names_its_field(
    running: Running, request_: AskRequest, field_: str, reason: str
) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        running.ask(request_)
    assert failure(refused) == (grpc.StatusCode.INVALID_ARGUMENT, reason, field_)
    assert not running.memory.asked


@pytest.mark.parametrize("changes", [{"namespace": "away"}, {"scopes": ["home", "away"]}])
def test_a_namespace_without_a_right_is_refused(running: Running, changes: dict[str, Any]) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        running.ask(AskRequest(**{"namespace": "home", "question": "Who?", **changes}))
    assert failure(refused)[:2] == (grpc.StatusCode.PERMISSION_DENIED, "PERMISSION_DENIED")
    assert not running.memory.asked


def test_a_failure_of_recall_comes_back_in_the_words_of_ask(running: Running) -> None:
    running.memory.fails = MnemeError("INVALID_FIELD", "Too long.", field="query", remedy="Shorten it.")
    with pytest.raises(grpc.RpcError) as refused:
        running.ask(QUESTION)
    assert failure(refused) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD", "question")


def test_the_deadline_reaches_recall(running: Running) -> None:
    running.memory.sleeps_s, before = 30, running.memory.cancelled
    with pytest.raises(grpc.RpcError) as refused:
        running.ask(QUESTION, timeout=0.5)
    assert refused.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    deadline = threading.Event()
    for _ in range(100):
        if running.memory.cancelled > before:
            return
        deadline.wait(0.05)
    pytest.fail("recall went on after the deadline")


def test_the_gateway_of_the_same_configuration_is_found() -> None:
    settings = load(None, {"MNEME__GATEWAY__HOST": "0.0.0.0", "MNEME__GATEWAY__PORT": "7999"})
    assert door(settings) == Door("127.0.0.1:7999", None, "")
    assert door(load(None, {"MNEME__REASONING__GATEWAY": "mneme.example:443"})).address == "mneme.example:443"
    with pytest.raises(ConfigError, match=r"reasoning\.gateway_ca_file: /nowhere\.pem"):
        door(load(None, {"MNEME__REASONING__GATEWAY_CA_FILE": "/nowhere.pem"}))
