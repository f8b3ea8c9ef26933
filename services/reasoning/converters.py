"""Between the messages of Ask and those of Recall, and what the work takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from google.protobuf.duration_pb2 import Duration
from mneme.v1.episodic_pb2 import RecallRequest, RecallResponse, StageTime
from mneme.v1.reasoning_pb2 import AskDone, AskRequest, AskResponse, CitedSentence, Evidence, ExtractiveAnswer

from services.common import ids
from services.common.errors import MnemeError, invalid
from services.reasoning.extract import Sentence, Source

MAX_TEXT_BYTES = 60_000
MAX_EVIDENCE = 100
NO_MODEL = "none"

# What recall calls a field, and what Ask calls it.
_FIELDS = {"query": "question", "limit": "evidence_limit"}


def to_recall(request: AskRequest, default_evidence: int) -> RecallRequest:
    """The recall that a question needs. INVALID_FIELD, TEXT_SIZE."""
    size = len(request.question.encode())
    if not request.question.strip() or size > MAX_TEXT_BYTES:
        raise MnemeError(
            "TEXT_SIZE",
            f"A question has 1 to {MAX_TEXT_BYTES} bytes of text.",
            field="question",
            remedy="Send a question of that size.",
            metadata={"limit_bytes": str(MAX_TEXT_BYTES), "size_bytes": str(size)},
        )
    if request.evidence_limit > MAX_EVIDENCE:
        raise invalid("evidence_limit", f"At most {MAX_EVIDENCE} items can be asked for.", "Ask for fewer, or 0.")
    recall = RecallRequest(
        namespace=request.namespace,
        scopes=request.scopes,
        query=request.question,
        limit=request.evidence_limit or default_evidence,
    )
    for field in ("filter", "freshness", "asked_at"):
        if request.HasField(field):
            getattr(recall, field).CopyFrom(getattr(request, field))
    return recall


def as_asked(error: MnemeError) -> MnemeError:
    """A failure of recall, in the words of Ask."""
    field = _FIELDS.get(error.field, error.field)
    return MnemeError(error.reason, error.message, field=field, remedy=error.remedy, metadata=error.metadata)


def to_sources(response: RecallResponse) -> list[Source]:
    return [Source(i.engram.id, i.engram.text, i.engram.actor) for i in response.items]


def evidence_part(response: RecallResponse) -> AskResponse:
    return AskResponse(evidence=Evidence(items=response.items))


def extractive_part(response: RecallResponse, chosen: Sequence[Sentence]) -> AskResponse:
    answer = ExtractiveAnswer(
        found=response.found,
        sentences=[CitedSentence(text=s.text, engram_id=s.engram_id, score=s.score) for s in chosen],
        confidence=response.confidence,
        threshold=response.threshold,
    )
    return AskResponse(extractive=answer)


def done_part(request: AskRequest, response: RecallResponse, seconds: Mapping[str, float]) -> AskResponse:
    stages = [StageTime(stage=f"recall.{s.stage}", duration=s.duration) for s in response.stages]
    stages += [StageTime(stage=name, duration=_duration(s)) for name, s in seconds.items()]
    done = AskDone(
        answer_id=answer_id(request, response),
        stages=stages,
        model=NO_MODEL,
        erasure_epochs=response.erasure_epochs,
    )
    return AskResponse(done=done)


def answer_id(request: AskRequest, response: RecallResponse) -> str:
    """Hash of what the answer was made of: the question, who it was asked for, the engrams and their versions."""
    engrams = (f"{i.engram.namespace} {i.engram.id} {i.engram.version}" for i in response.items)
    return ids.digest("answer", request.namespace, request.question, *engrams)


def _duration(seconds: float) -> Duration:
    nanos = round(seconds * 1e9)
    return Duration(seconds=nanos // 1_000_000_000, nanos=nanos % 1_000_000_000)
