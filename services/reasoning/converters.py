"""Between the messages of Ask and those of Recall, and what the work takes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import accumulate

from google.protobuf.duration_pb2 import Duration
from mneme.v1 import reasoning_pb2 as pb
from mneme.v1.episodic_pb2 import RecallRequest, RecallResponse, StageTime
from mneme.v1.reasoning_pb2 import AskDone, AskRequest, AskResponse, CitedSentence, Evidence, ExtractiveAnswer

from services.common import ids, lineage
from services.common.serving import clocks
from services.common.serving.errors import MnemeError, invalid
from services.common.text.limits import MAX_TEXT_BYTES
from services.common.text.normal import is_blank
from services.reasoning.blocks import Scope, Span, unlisted
from services.reasoning.engine.port import EngineStats, Finished, Sampling
from services.reasoning.extract import Sentence, Source
from services.reasoning.models.guard import ROLES
from services.reasoning.prompt import Note
from services.reasoning.writer import Piece

MAX_EVIDENCE = 100
MAX_PROMPT_BYTES = 1_000_000
MAX_MESSAGES = 1_000
MAX_QUOTED = 300_000
"""Characters that one answer is quoted from: five of the longest texts, which are read in half a second."""
NO_MODEL = "none"

# What recall calls a field, and what Ask calls it.
_FIELDS = {"query": "question", "limit": "evidence_limit"}


def check_namespaces(named: Iterable[tuple[str, str]]) -> None:
    """INVALID_FIELD unless each of these (field, namespace) could be a namespace's name."""
    for field, namespace in named:
        if namespace and not ids.is_namespace(namespace):
            raise invalid(
                field,
                "This is not a namespace.",
                f"Use 1 to {ids.MAX_NAMESPACE} of a-z A-Z 0-9 . _ - with / between parts, as in tenant/user.",
            )


def to_recall(request: AskRequest, default_evidence: int) -> RecallRequest:
    """The recall that a question needs. INVALID_FIELD, TEXT_SIZE."""
    size = len(request.question.encode())
    if is_blank(request.question) or size > MAX_TEXT_BYTES:
        raise MnemeError(
            "TEXT_SIZE",
            f"A question has 1 to {MAX_TEXT_BYTES} bytes of text.",
            field="question",
            remedy="Send a question of that size.",
            metadata={"limit_bytes": str(MAX_TEXT_BYTES), "size_bytes": str(size)},
        )
    if request.evidence_limit > MAX_EVIDENCE:
        raise invalid("evidence_limit", f"At most {MAX_EVIDENCE} items can be asked for.", "Ask for fewer, or 0.")
    if request.extractive_only and request.HasField("wording"):
        raise invalid("extractive_only", "It is set, and so are options of the wording.", "Send one of the two.")
    recall = RecallRequest(
        namespace=request.namespace,
        scopes=request.scopes,
        query=request.question,
        limit=request.evidence_limit or default_evidence,
    )
    for field in ("filter", "freshness", "asked_at"):
        if request.HasField(field):
            getattr(recall, field).CopyFrom(getattr(request, field))
    if request.HasField("asked_utc_offset_minutes"):
        recall.asked_utc_offset_minutes = request.asked_utc_offset_minutes
    return recall


def as_asked(error: MnemeError) -> MnemeError:
    """A failure of recall, in the words of Ask."""
    field = _FIELDS.get(error.field, error.field)
    return MnemeError(error.reason, error.message, field=field, remedy=error.remedy, metadata=error.metadata)


def to_sources(response: RecallResponse) -> list[Source]:
    """What is quoted from, best first: as many whole texts as MAX_QUOTED characters hold."""
    lengths = accumulate(len(i.engram.text) for i in response.items)
    return [
        Source(i.engram.id, i.engram.text, i.engram.actor)
        for i, length in zip(response.items, lengths, strict=True)
        if length <= MAX_QUOTED
    ]


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


_UNASKED = (pb.WORDING_OUTCOME_NOT_ASKED, pb.WORDING_OUTCOME_OFF)


def done_part(
    request: AskRequest,
    response: RecallResponse,
    seconds: Mapping[str, float],
    model: str = NO_MODEL,
    wording: pb.WordingEnd | None = None,
) -> AskResponse:
    stages = [StageTime(stage=f"recall.{s.stage}", duration=s.duration) for s in response.stages]
    stages += [StageTime(stage=name, duration=_duration(s)) for name, s in seconds.items()]
    done = AskDone(
        answer_id=answer_id(
            request, response, model if wording is not None and wording.outcome not in _UNASKED else ""
        ),
        stages=stages,
        model=model,
        erasure_epochs=response.erasure_epochs,
        wording=wording,
    )
    return AskResponse(done=done)


def answer_id(request: AskRequest, response: RecallResponse, model: str = "") -> str:
    """Hash of what the answer was made of: the question, who it was asked for, the engrams and their versions; with a
    wording, also the model and how it was to choose. Followed by the base engrams, for what is derived from it.
    """
    engrams = [f"{i.engram.namespace} {i.engram.id} {i.engram.version}" for i in response.items]
    worded: list[str | bytes] = [model, request.wording.SerializeToString(deterministic=True)] if model else []
    made_of = ids.digest("answer", request.namespace, request.question, *engrams, *worded)
    read = (i.engram for i in response.items)
    return lineage.answer_id(made_of, [id for e in read for id in (e.sources or [e.id])])


# --- the model's wording ---


def to_notes(response: RecallResponse) -> list[Note]:
    """What was recalled, as a prompt takes it. Lineage is of base engrams: what an erasure names."""
    return [
        Note(
            namespace=e.namespace,
            engram_id=e.id,
            text=e.text,
            actor=e.actor,
            when=f"{clocks.moment(e.event_start, e.utc_offset_minutes):%Y-%m-%d}",
            lineage=frozenset((e.namespace, id) for id in (e.id, *e.sources)),
        )
        for e in (item.engram for item in response.items)
    ]


def asked_on(request: AskRequest) -> str:
    """The day on the clock of whoever asks, as of ``Note.when``; today in UTC where the request does not say."""
    offset = request.asked_utc_offset_minutes
    if request.HasField("asked_at"):
        return f"{clocks.moment(request.asked_at, offset):%Y-%m-%d}"
    return f"{datetime.now(clocks.zone(offset)):%Y-%m-%d}"


def to_sampling(sampling: pb.Sampling) -> Sampling:
    return Sampling(sampling.temperature, sampling.top_k, sampling.top_p or 1.0, sampling.seed)


def to_citations(supported: Iterable[tuple[Note, float]]) -> list[pb.Citation]:
    return [
        pb.Citation(namespace=note.namespace, engram_id=note.engram_id, support=round(share, 4))
        for note, share in supported
    ]


def to_usage(ended: Finished, engine: str) -> pb.Usage:
    used = ended.usage
    return pb.Usage(
        prompt_tokens=used.prompt_tokens,
        generated_tokens=used.generated_tokens,
        cached_tokens=used.cached_tokens,
        blocks_looked_up=used.blocks_looked_up,
        blocks_in_pool=used.blocks_in_pool,
        blocks_loaded=used.blocks_loaded,
        blocks_computed=used.blocks_computed,
        queued=_duration(used.queued_s),
        first_token=_duration(used.first_token_s),
        finish_reason=f"FINISH_REASON_{ended.reason.upper()}",
        engine=engine,
    )


# --- Generate ---


def check_generate(request: pb.GenerateRequest) -> None:
    """INVALID_FIELD, TEXT_SIZE: what can be said without a model."""
    if bool(request.messages) == bool(request.text):
        raise invalid("messages", "Exactly one of messages and text is the prompt.", "Send one of them.")
    size = sum(len(m.content.encode()) for m in request.messages) + len(request.text.encode())
    if size > MAX_PROMPT_BYTES:
        raise MnemeError(
            "TEXT_SIZE",
            f"A prompt has at most {MAX_PROMPT_BYTES} bytes of text.",
            field="messages" if request.messages else "text",
            remedy="Shorten it.",
            metadata={"limit_bytes": str(MAX_PROMPT_BYTES), "size_bytes": str(size)},
        )
    if len(request.messages) > MAX_MESSAGES:
        raise invalid("messages", f"There are more than {MAX_MESSAGES}.", "Leave out the oldest.")
    for n, message in enumerate(request.messages):
        if message.role not in ROLES:
            raise invalid(
                f"messages[{n}].role",
                "This is no role of a chat.",
                f"Send one of: {', '.join(ROLES)}, as spelled here.",
            )
    for n, engram in enumerate(request.engrams.engrams):
        if not 0 < len(engram.engram_id) <= ids.MAX_ID:
            raise invalid(
                f"engrams[{n}].engram_id",
                f"It is empty, or longer than {ids.MAX_ID} characters.",
                "Name the engram, or leave engrams unset.",
            )
        if engram.namespace not in request.erasure_epochs:
            raise invalid(
                "erasure_epochs",
                f"The epoch of the namespace of engrams[{n}] is not there.",
                "Send erasure_epochs as recall returned it.",
            )


def namespaces_of(request: pb.GenerateRequest) -> Iterator[tuple[str, str]]:
    """Every namespace that it names, with the field."""
    yield "namespace", request.namespace
    for n, engram in enumerate(request.engrams.engrams):
        yield f"engrams[{n}].namespace", engram.namespace
    for namespace in request.erasure_epochs:
        yield "erasure_epochs", namespace


def as_generated(error: MnemeError, request: pb.GenerateRequest) -> MnemeError:
    """A failure of the engine, in the words of Generate: its prompt is what the caller sent as messages or text."""
    words = {"prompt": "messages" if request.messages else "text", "scope.epochs": "erasure_epochs"}
    field = words.get(error.field, error.field)
    return MnemeError(error.reason, error.message, field=field, remedy=error.remedy, metadata=error.metadata)


def to_spans(request: pb.GenerateRequest) -> tuple[Span, ...]:
    """The caller does not say where its engrams begin, so they count from the first token on."""
    if not request.HasField("engrams"):
        return (Span(0, frozenset({unlisted(request.namespace)})),)
    listed = frozenset((e.namespace, e.engram_id) for e in request.engrams.engrams)
    return (Span(0, listed),) if listed else ()


def to_scope(namespace: str, epochs: Mapping[str, int]) -> Scope:
    return Scope.of(namespace, dict(epochs))


def generated_piece(piece: Piece) -> pb.GenerateResponse:
    return pb.GenerateResponse(
        piece=pb.GeneratedPiece(sample=piece.sample, text=piece.text, token_id=piece.token),
    )


def generated_end(ended: Finished, engine: str) -> pb.GenerateResponse:
    end = pb.GeneratedEnd(sample=ended.sample, detail=ended.detail, usage=to_usage(ended, engine))
    return pb.GenerateResponse(end=end)


def generate_done(request: pb.GenerateRequest, model: str) -> pb.GenerateResponse:
    made_of = ids.digest("generated", model, request.SerializeToString(deterministic=True))
    engrams = [each.engram_id for each in request.engrams.engrams]
    answer_id = lineage.answer_id(made_of, engrams, complete=request.HasField("engrams"))
    return pb.GenerateResponse(done=pb.GenerateDone(answer_id=answer_id, model=model))


# --- stats ---

_SIZES = ("pages", "pages_free", "pages_cached", "pages_used", "running", "waiting")
_COUNTS = (
    "requests",
    "refused",
    "prompt_tokens",
    "generated_tokens",
    "cached_tokens",
    "blocks_in_pool",
    "blocks_loaded",
    "blocks_computed",
    "blocks_published",
    "blocks_not_published",
    "store_failures",
    "copies_on_write",
    "dropped_keys",
)


def to_engine_stats(engine: str, stats: EngineStats) -> pb.EngineStats:
    counts = {name: int(getattr(stats, name)) for name in _COUNTS}
    return pb.EngineStats(
        engine=engine,
        model=stats.model,
        attention=stats.attention,
        cpu_kernels=stats.cpu_kernels,
        counts={**counts, **{f"finished_{reason}": n for reason, n in stats.finished.items()}},
        **{name: int(getattr(stats, name)) for name in _SIZES},
    )


def _duration(seconds: float) -> Duration:
    nanos = round(seconds * 1e9)
    return Duration(seconds=nanos // 1_000_000_000, nanos=nanos % 1_000_000_000)
