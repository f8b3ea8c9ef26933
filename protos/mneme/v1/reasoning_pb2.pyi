import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from mneme.v1 import common_pb2 as _common_pb2
from mneme.v1 import episodic_pb2 as _episodic_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class WordingOutcome(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    WORDING_OUTCOME_UNSPECIFIED: _ClassVar[WordingOutcome]
    WORDING_OUTCOME_WORDED: _ClassVar[WordingOutcome]
    WORDING_OUTCOME_NOT_FOUND: _ClassVar[WordingOutcome]
    WORDING_OUTCOME_NO_MODEL: _ClassVar[WordingOutcome]
    WORDING_OUTCOME_OVERLOADED: _ClassVar[WordingOutcome]
    WORDING_OUTCOME_FAILED: _ClassVar[WordingOutcome]
    WORDING_OUTCOME_NOT_ASKED: _ClassVar[WordingOutcome]
    WORDING_OUTCOME_OFF: _ClassVar[WordingOutcome]
    WORDING_OUTCOME_NO_ROOM: _ClassVar[WordingOutcome]
    WORDING_OUTCOME_WITHHELD: _ClassVar[WordingOutcome]

class FinishReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FINISH_REASON_UNSPECIFIED: _ClassVar[FinishReason]
    FINISH_REASON_STOP: _ClassVar[FinishReason]
    FINISH_REASON_LENGTH: _ClassVar[FinishReason]
    FINISH_REASON_CANCELLED: _ClassVar[FinishReason]
    FINISH_REASON_DEADLINE: _ClassVar[FinishReason]
    FINISH_REASON_FAILED: _ClassVar[FinishReason]
WORDING_OUTCOME_UNSPECIFIED: WordingOutcome
WORDING_OUTCOME_WORDED: WordingOutcome
WORDING_OUTCOME_NOT_FOUND: WordingOutcome
WORDING_OUTCOME_NO_MODEL: WordingOutcome
WORDING_OUTCOME_OVERLOADED: WordingOutcome
WORDING_OUTCOME_FAILED: WordingOutcome
WORDING_OUTCOME_NOT_ASKED: WordingOutcome
WORDING_OUTCOME_OFF: WordingOutcome
WORDING_OUTCOME_NO_ROOM: WordingOutcome
WORDING_OUTCOME_WITHHELD: WordingOutcome
FINISH_REASON_UNSPECIFIED: FinishReason
FINISH_REASON_STOP: FinishReason
FINISH_REASON_LENGTH: FinishReason
FINISH_REASON_CANCELLED: FinishReason
FINISH_REASON_DEADLINE: FinishReason
FINISH_REASON_FAILED: FinishReason

class AskRequest(_message.Message):
    __slots__ = ("namespace", "scopes", "question", "evidence_limit", "filter", "freshness", "asked_at", "wording", "extractive_only", "asked_utc_offset_minutes")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    SCOPES_FIELD_NUMBER: _ClassVar[int]
    QUESTION_FIELD_NUMBER: _ClassVar[int]
    EVIDENCE_LIMIT_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    FRESHNESS_FIELD_NUMBER: _ClassVar[int]
    ASKED_AT_FIELD_NUMBER: _ClassVar[int]
    WORDING_FIELD_NUMBER: _ClassVar[int]
    EXTRACTIVE_ONLY_FIELD_NUMBER: _ClassVar[int]
    ASKED_UTC_OFFSET_MINUTES_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    scopes: _containers.RepeatedScalarFieldContainer[str]
    question: str
    evidence_limit: int
    filter: _episodic_pb2.RecallFilter
    freshness: _common_pb2.Freshness
    asked_at: _timestamp_pb2.Timestamp
    wording: WordingOptions
    extractive_only: bool
    asked_utc_offset_minutes: int
    def __init__(self, namespace: _Optional[str] = ..., scopes: _Optional[_Iterable[str]] = ..., question: _Optional[str] = ..., evidence_limit: _Optional[int] = ..., filter: _Optional[_Union[_episodic_pb2.RecallFilter, _Mapping]] = ..., freshness: _Optional[_Union[_common_pb2.Freshness, _Mapping]] = ..., asked_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., wording: _Optional[_Union[WordingOptions, _Mapping]] = ..., extractive_only: _Optional[bool] = ..., asked_utc_offset_minutes: _Optional[int] = ...) -> None: ...

class WordingOptions(_message.Message):
    __slots__ = ("max_tokens", "sampling")
    MAX_TOKENS_FIELD_NUMBER: _ClassVar[int]
    SAMPLING_FIELD_NUMBER: _ClassVar[int]
    max_tokens: int
    sampling: Sampling
    def __init__(self, max_tokens: _Optional[int] = ..., sampling: _Optional[_Union[Sampling, _Mapping]] = ...) -> None: ...

class AskResponse(_message.Message):
    __slots__ = ("evidence", "extractive", "done", "wording")
    EVIDENCE_FIELD_NUMBER: _ClassVar[int]
    EXTRACTIVE_FIELD_NUMBER: _ClassVar[int]
    DONE_FIELD_NUMBER: _ClassVar[int]
    WORDING_FIELD_NUMBER: _ClassVar[int]
    evidence: Evidence
    extractive: ExtractiveAnswer
    done: AskDone
    wording: WordingPiece
    def __init__(self, evidence: _Optional[_Union[Evidence, _Mapping]] = ..., extractive: _Optional[_Union[ExtractiveAnswer, _Mapping]] = ..., done: _Optional[_Union[AskDone, _Mapping]] = ..., wording: _Optional[_Union[WordingPiece, _Mapping]] = ...) -> None: ...

class WordingPiece(_message.Message):
    __slots__ = ("text", "citations")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    CITATIONS_FIELD_NUMBER: _ClassVar[int]
    text: str
    citations: _containers.RepeatedCompositeFieldContainer[Citation]
    def __init__(self, text: _Optional[str] = ..., citations: _Optional[_Iterable[_Union[Citation, _Mapping]]] = ...) -> None: ...

class Evidence(_message.Message):
    __slots__ = ("items",)
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[_episodic_pb2.RecallItem]
    def __init__(self, items: _Optional[_Iterable[_Union[_episodic_pb2.RecallItem, _Mapping]]] = ...) -> None: ...

class ExtractiveAnswer(_message.Message):
    __slots__ = ("found", "sentences", "confidence", "threshold")
    FOUND_FIELD_NUMBER: _ClassVar[int]
    SENTENCES_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    found: bool
    sentences: _containers.RepeatedCompositeFieldContainer[CitedSentence]
    confidence: float
    threshold: float
    def __init__(self, found: _Optional[bool] = ..., sentences: _Optional[_Iterable[_Union[CitedSentence, _Mapping]]] = ..., confidence: _Optional[float] = ..., threshold: _Optional[float] = ...) -> None: ...

class CitedSentence(_message.Message):
    __slots__ = ("text", "engram_id", "score")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    ENGRAM_ID_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    text: str
    engram_id: str
    score: float
    def __init__(self, text: _Optional[str] = ..., engram_id: _Optional[str] = ..., score: _Optional[float] = ...) -> None: ...

class AskDone(_message.Message):
    __slots__ = ("answer_id", "stages", "model", "erasure_epochs", "wording")
    class ErasureEpochsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    ANSWER_ID_FIELD_NUMBER: _ClassVar[int]
    STAGES_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    ERASURE_EPOCHS_FIELD_NUMBER: _ClassVar[int]
    WORDING_FIELD_NUMBER: _ClassVar[int]
    answer_id: str
    stages: _containers.RepeatedCompositeFieldContainer[_episodic_pb2.StageTime]
    model: str
    erasure_epochs: _containers.ScalarMap[str, int]
    wording: WordingEnd
    def __init__(self, answer_id: _Optional[str] = ..., stages: _Optional[_Iterable[_Union[_episodic_pb2.StageTime, _Mapping]]] = ..., model: _Optional[str] = ..., erasure_epochs: _Optional[_Mapping[str, int]] = ..., wording: _Optional[_Union[WordingEnd, _Mapping]] = ...) -> None: ...

class WordingEnd(_message.Message):
    __slots__ = ("outcome", "detail", "citations", "usage", "withheld")
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    CITATIONS_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    WITHHELD_FIELD_NUMBER: _ClassVar[int]
    outcome: WordingOutcome
    detail: str
    citations: _containers.RepeatedCompositeFieldContainer[Citation]
    usage: Usage
    withheld: int
    def __init__(self, outcome: _Optional[_Union[WordingOutcome, str]] = ..., detail: _Optional[str] = ..., citations: _Optional[_Iterable[_Union[Citation, _Mapping]]] = ..., usage: _Optional[_Union[Usage, _Mapping]] = ..., withheld: _Optional[int] = ...) -> None: ...

class Citation(_message.Message):
    __slots__ = ("namespace", "engram_id", "support")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    ENGRAM_ID_FIELD_NUMBER: _ClassVar[int]
    SUPPORT_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    engram_id: str
    support: float
    def __init__(self, namespace: _Optional[str] = ..., engram_id: _Optional[str] = ..., support: _Optional[float] = ...) -> None: ...

class Sampling(_message.Message):
    __slots__ = ("temperature", "top_k", "top_p", "seed")
    TEMPERATURE_FIELD_NUMBER: _ClassVar[int]
    TOP_K_FIELD_NUMBER: _ClassVar[int]
    TOP_P_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    temperature: float
    top_k: int
    top_p: float
    seed: int
    def __init__(self, temperature: _Optional[float] = ..., top_k: _Optional[int] = ..., top_p: _Optional[float] = ..., seed: _Optional[int] = ...) -> None: ...

class Usage(_message.Message):
    __slots__ = ("prompt_tokens", "generated_tokens", "cached_tokens", "blocks_looked_up", "blocks_in_pool", "blocks_loaded", "blocks_computed", "queued", "first_token", "finish_reason", "engine")
    PROMPT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    GENERATED_TOKENS_FIELD_NUMBER: _ClassVar[int]
    CACHED_TOKENS_FIELD_NUMBER: _ClassVar[int]
    BLOCKS_LOOKED_UP_FIELD_NUMBER: _ClassVar[int]
    BLOCKS_IN_POOL_FIELD_NUMBER: _ClassVar[int]
    BLOCKS_LOADED_FIELD_NUMBER: _ClassVar[int]
    BLOCKS_COMPUTED_FIELD_NUMBER: _ClassVar[int]
    QUEUED_FIELD_NUMBER: _ClassVar[int]
    FIRST_TOKEN_FIELD_NUMBER: _ClassVar[int]
    FINISH_REASON_FIELD_NUMBER: _ClassVar[int]
    ENGINE_FIELD_NUMBER: _ClassVar[int]
    prompt_tokens: int
    generated_tokens: int
    cached_tokens: int
    blocks_looked_up: int
    blocks_in_pool: int
    blocks_loaded: int
    blocks_computed: int
    queued: _duration_pb2.Duration
    first_token: _duration_pb2.Duration
    finish_reason: FinishReason
    engine: str
    def __init__(self, prompt_tokens: _Optional[int] = ..., generated_tokens: _Optional[int] = ..., cached_tokens: _Optional[int] = ..., blocks_looked_up: _Optional[int] = ..., blocks_in_pool: _Optional[int] = ..., blocks_loaded: _Optional[int] = ..., blocks_computed: _Optional[int] = ..., queued: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., first_token: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., finish_reason: _Optional[_Union[FinishReason, str]] = ..., engine: _Optional[str] = ...) -> None: ...

class ChatMessage(_message.Message):
    __slots__ = ("role", "content")
    ROLE_FIELD_NUMBER: _ClassVar[int]
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    role: str
    content: str
    def __init__(self, role: _Optional[str] = ..., content: _Optional[str] = ...) -> None: ...

class PromptEngram(_message.Message):
    __slots__ = ("namespace", "engram_id")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    ENGRAM_ID_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    engram_id: str
    def __init__(self, namespace: _Optional[str] = ..., engram_id: _Optional[str] = ...) -> None: ...

class PromptEngrams(_message.Message):
    __slots__ = ("engrams",)
    ENGRAMS_FIELD_NUMBER: _ClassVar[int]
    engrams: _containers.RepeatedCompositeFieldContainer[PromptEngram]
    def __init__(self, engrams: _Optional[_Iterable[_Union[PromptEngram, _Mapping]]] = ...) -> None: ...

class GenerateRequest(_message.Message):
    __slots__ = ("namespace", "messages", "text", "max_tokens", "sampling", "samples", "engrams", "erasure_epochs")
    class ErasureEpochsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    MAX_TOKENS_FIELD_NUMBER: _ClassVar[int]
    SAMPLING_FIELD_NUMBER: _ClassVar[int]
    SAMPLES_FIELD_NUMBER: _ClassVar[int]
    ENGRAMS_FIELD_NUMBER: _ClassVar[int]
    ERASURE_EPOCHS_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    messages: _containers.RepeatedCompositeFieldContainer[ChatMessage]
    text: str
    max_tokens: int
    sampling: Sampling
    samples: int
    engrams: PromptEngrams
    erasure_epochs: _containers.ScalarMap[str, int]
    def __init__(self, namespace: _Optional[str] = ..., messages: _Optional[_Iterable[_Union[ChatMessage, _Mapping]]] = ..., text: _Optional[str] = ..., max_tokens: _Optional[int] = ..., sampling: _Optional[_Union[Sampling, _Mapping]] = ..., samples: _Optional[int] = ..., engrams: _Optional[_Union[PromptEngrams, _Mapping]] = ..., erasure_epochs: _Optional[_Mapping[str, int]] = ...) -> None: ...

class GenerateResponse(_message.Message):
    __slots__ = ("piece", "end", "done")
    PIECE_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    DONE_FIELD_NUMBER: _ClassVar[int]
    piece: GeneratedPiece
    end: GeneratedEnd
    done: GenerateDone
    def __init__(self, piece: _Optional[_Union[GeneratedPiece, _Mapping]] = ..., end: _Optional[_Union[GeneratedEnd, _Mapping]] = ..., done: _Optional[_Union[GenerateDone, _Mapping]] = ...) -> None: ...

class GeneratedPiece(_message.Message):
    __slots__ = ("sample", "text", "token_id")
    SAMPLE_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    TOKEN_ID_FIELD_NUMBER: _ClassVar[int]
    sample: int
    text: str
    token_id: int
    def __init__(self, sample: _Optional[int] = ..., text: _Optional[str] = ..., token_id: _Optional[int] = ...) -> None: ...

class GeneratedEnd(_message.Message):
    __slots__ = ("sample", "detail", "usage")
    SAMPLE_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    sample: int
    detail: str
    usage: Usage
    def __init__(self, sample: _Optional[int] = ..., detail: _Optional[str] = ..., usage: _Optional[_Union[Usage, _Mapping]] = ...) -> None: ...

class GenerateDone(_message.Message):
    __slots__ = ("answer_id", "model")
    ANSWER_ID_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    answer_id: str
    model: str
    def __init__(self, answer_id: _Optional[str] = ..., model: _Optional[str] = ...) -> None: ...

class GetKvStatsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetKvStatsResponse(_message.Message):
    __slots__ = ("store", "engines")
    STORE_FIELD_NUMBER: _ClassVar[int]
    ENGINES_FIELD_NUMBER: _ClassVar[int]
    store: KvStoreStats
    engines: _containers.RepeatedCompositeFieldContainer[EngineStats]
    def __init__(self, store: _Optional[_Union[KvStoreStats, _Mapping]] = ..., engines: _Optional[_Iterable[_Union[EngineStats, _Mapping]]] = ...) -> None: ...

class KvStoreStats(_message.Message):
    __slots__ = ("blocks", "used_bytes", "capacity_bytes", "counts", "eviction")
    class CountsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    BLOCKS_FIELD_NUMBER: _ClassVar[int]
    USED_BYTES_FIELD_NUMBER: _ClassVar[int]
    CAPACITY_BYTES_FIELD_NUMBER: _ClassVar[int]
    COUNTS_FIELD_NUMBER: _ClassVar[int]
    EVICTION_FIELD_NUMBER: _ClassVar[int]
    blocks: int
    used_bytes: int
    capacity_bytes: int
    counts: _containers.ScalarMap[str, int]
    eviction: str
    def __init__(self, blocks: _Optional[int] = ..., used_bytes: _Optional[int] = ..., capacity_bytes: _Optional[int] = ..., counts: _Optional[_Mapping[str, int]] = ..., eviction: _Optional[str] = ...) -> None: ...

class EngineStats(_message.Message):
    __slots__ = ("engine", "model", "attention", "pages", "pages_free", "pages_cached", "pages_used", "running", "waiting", "counts", "cpu_kernels")
    class CountsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    ENGINE_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    ATTENTION_FIELD_NUMBER: _ClassVar[int]
    PAGES_FIELD_NUMBER: _ClassVar[int]
    PAGES_FREE_FIELD_NUMBER: _ClassVar[int]
    PAGES_CACHED_FIELD_NUMBER: _ClassVar[int]
    PAGES_USED_FIELD_NUMBER: _ClassVar[int]
    RUNNING_FIELD_NUMBER: _ClassVar[int]
    WAITING_FIELD_NUMBER: _ClassVar[int]
    COUNTS_FIELD_NUMBER: _ClassVar[int]
    CPU_KERNELS_FIELD_NUMBER: _ClassVar[int]
    engine: str
    model: str
    attention: str
    pages: int
    pages_free: int
    pages_cached: int
    pages_used: int
    running: int
    waiting: int
    counts: _containers.ScalarMap[str, int]
    cpu_kernels: str
    def __init__(self, engine: _Optional[str] = ..., model: _Optional[str] = ..., attention: _Optional[str] = ..., pages: _Optional[int] = ..., pages_free: _Optional[int] = ..., pages_cached: _Optional[int] = ..., pages_used: _Optional[int] = ..., running: _Optional[int] = ..., waiting: _Optional[int] = ..., counts: _Optional[_Mapping[str, int]] = ..., cpu_kernels: _Optional[str] = ...) -> None: ...
