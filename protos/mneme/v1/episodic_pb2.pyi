import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from mneme.v1 import common_pb2 as _common_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class EngramKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ENGRAM_KIND_UNSPECIFIED: _ClassVar[EngramKind]
    ENGRAM_KIND_TURN: _ClassVar[EngramKind]
    ENGRAM_KIND_EPISODE: _ClassVar[EngramKind]
    ENGRAM_KIND_SESSION: _ClassVar[EngramKind]
    ENGRAM_KIND_FACT: _ClassVar[EngramKind]
    ENGRAM_KIND_NOTE: _ClassVar[EngramKind]
    ENGRAM_KIND_ENTITY: _ClassVar[EngramKind]
    ENGRAM_KIND_SUMMARY: _ClassVar[EngramKind]
    ENGRAM_KIND_CASE: _ClassVar[EngramKind]
    ENGRAM_KIND_CONCEPT: _ClassVar[EngramKind]
    ENGRAM_KIND_TASK: _ClassVar[EngramKind]

class EngramState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ENGRAM_STATE_UNSPECIFIED: _ClassVar[EngramState]
    ENGRAM_STATE_ACTIVE: _ClassVar[EngramState]
    ENGRAM_STATE_ARCHIVED: _ClassVar[EngramState]
    ENGRAM_STATE_SUPERSEDED: _ClassVar[EngramState]
    ENGRAM_STATE_FORGOTTEN: _ClassVar[EngramState]
ENGRAM_KIND_UNSPECIFIED: EngramKind
ENGRAM_KIND_TURN: EngramKind
ENGRAM_KIND_EPISODE: EngramKind
ENGRAM_KIND_SESSION: EngramKind
ENGRAM_KIND_FACT: EngramKind
ENGRAM_KIND_NOTE: EngramKind
ENGRAM_KIND_ENTITY: EngramKind
ENGRAM_KIND_SUMMARY: EngramKind
ENGRAM_KIND_CASE: EngramKind
ENGRAM_KIND_CONCEPT: EngramKind
ENGRAM_KIND_TASK: EngramKind
ENGRAM_STATE_UNSPECIFIED: EngramState
ENGRAM_STATE_ACTIVE: EngramState
ENGRAM_STATE_ARCHIVED: EngramState
ENGRAM_STATE_SUPERSEDED: EngramState
ENGRAM_STATE_FORGOTTEN: EngramState

class Link(_message.Message):
    __slots__ = ("dst", "relation", "weight")
    DST_FIELD_NUMBER: _ClassVar[int]
    RELATION_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    dst: str
    relation: str
    weight: float
    def __init__(self, dst: _Optional[str] = ..., relation: _Optional[str] = ..., weight: _Optional[float] = ...) -> None: ...

class Engram(_message.Message):
    __slots__ = ("id", "namespace", "kind", "text", "event_start", "event_end", "actor", "session", "source", "observation_id", "external_id", "people", "places", "metadata", "sources", "links", "state", "superseded_by", "version", "made_by", "position", "utc_offset_minutes", "derived_from", "lineage_unknown")
    class MetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: _common_pb2.MetadataValue
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[_common_pb2.MetadataValue, _Mapping]] = ...) -> None: ...
    ID_FIELD_NUMBER: _ClassVar[int]
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    EVENT_START_FIELD_NUMBER: _ClassVar[int]
    EVENT_END_FIELD_NUMBER: _ClassVar[int]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    OBSERVATION_ID_FIELD_NUMBER: _ClassVar[int]
    EXTERNAL_ID_FIELD_NUMBER: _ClassVar[int]
    PEOPLE_FIELD_NUMBER: _ClassVar[int]
    PLACES_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    SOURCES_FIELD_NUMBER: _ClassVar[int]
    LINKS_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    SUPERSEDED_BY_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    MADE_BY_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    UTC_OFFSET_MINUTES_FIELD_NUMBER: _ClassVar[int]
    DERIVED_FROM_FIELD_NUMBER: _ClassVar[int]
    LINEAGE_UNKNOWN_FIELD_NUMBER: _ClassVar[int]
    id: str
    namespace: str
    kind: EngramKind
    text: str
    event_start: _timestamp_pb2.Timestamp
    event_end: _timestamp_pb2.Timestamp
    actor: str
    session: str
    source: str
    observation_id: str
    external_id: str
    people: _containers.RepeatedScalarFieldContainer[str]
    places: _containers.RepeatedScalarFieldContainer[str]
    metadata: _containers.MessageMap[str, _common_pb2.MetadataValue]
    sources: _containers.RepeatedScalarFieldContainer[str]
    links: _containers.RepeatedCompositeFieldContainer[Link]
    state: EngramState
    superseded_by: str
    version: int
    made_by: str
    position: _common_pb2.Position
    utc_offset_minutes: int
    derived_from: _containers.RepeatedScalarFieldContainer[str]
    lineage_unknown: bool
    def __init__(self, id: _Optional[str] = ..., namespace: _Optional[str] = ..., kind: _Optional[_Union[EngramKind, str]] = ..., text: _Optional[str] = ..., event_start: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., event_end: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., actor: _Optional[str] = ..., session: _Optional[str] = ..., source: _Optional[str] = ..., observation_id: _Optional[str] = ..., external_id: _Optional[str] = ..., people: _Optional[_Iterable[str]] = ..., places: _Optional[_Iterable[str]] = ..., metadata: _Optional[_Mapping[str, _common_pb2.MetadataValue]] = ..., sources: _Optional[_Iterable[str]] = ..., links: _Optional[_Iterable[_Union[Link, _Mapping]]] = ..., state: _Optional[_Union[EngramState, str]] = ..., superseded_by: _Optional[str] = ..., version: _Optional[int] = ..., made_by: _Optional[str] = ..., position: _Optional[_Union[_common_pb2.Position, _Mapping]] = ..., utc_offset_minutes: _Optional[int] = ..., derived_from: _Optional[_Iterable[str]] = ..., lineage_unknown: _Optional[bool] = ...) -> None: ...

class RememberRequest(_message.Message):
    __slots__ = ("namespace", "kind", "text", "id", "event_at", "actor", "external_id", "source", "metadata", "utc_offset_minutes", "derived_from")
    class MetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: _common_pb2.MetadataValue
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[_common_pb2.MetadataValue, _Mapping]] = ...) -> None: ...
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    EVENT_AT_FIELD_NUMBER: _ClassVar[int]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    EXTERNAL_ID_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    UTC_OFFSET_MINUTES_FIELD_NUMBER: _ClassVar[int]
    DERIVED_FROM_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    kind: EngramKind
    text: str
    id: str
    event_at: _timestamp_pb2.Timestamp
    actor: str
    external_id: str
    source: str
    metadata: _containers.MessageMap[str, _common_pb2.MetadataValue]
    utc_offset_minutes: int
    derived_from: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, namespace: _Optional[str] = ..., kind: _Optional[_Union[EngramKind, str]] = ..., text: _Optional[str] = ..., id: _Optional[str] = ..., event_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., actor: _Optional[str] = ..., external_id: _Optional[str] = ..., source: _Optional[str] = ..., metadata: _Optional[_Mapping[str, _common_pb2.MetadataValue]] = ..., utc_offset_minutes: _Optional[int] = ..., derived_from: _Optional[_Iterable[str]] = ...) -> None: ...

class RememberResponse(_message.Message):
    __slots__ = ("engram_id", "position", "duplicate")
    ENGRAM_ID_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    DUPLICATE_FIELD_NUMBER: _ClassVar[int]
    engram_id: str
    position: _common_pb2.Position
    duplicate: bool
    def __init__(self, engram_id: _Optional[str] = ..., position: _Optional[_Union[_common_pb2.Position, _Mapping]] = ..., duplicate: _Optional[bool] = ...) -> None: ...

class CorrectRequest(_message.Message):
    __slots__ = ("namespace", "engram_id", "text", "id")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    ENGRAM_ID_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    engram_id: str
    text: str
    id: str
    def __init__(self, namespace: _Optional[str] = ..., engram_id: _Optional[str] = ..., text: _Optional[str] = ..., id: _Optional[str] = ...) -> None: ...

class CorrectResponse(_message.Message):
    __slots__ = ("engram_id", "position", "duplicate")
    ENGRAM_ID_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    DUPLICATE_FIELD_NUMBER: _ClassVar[int]
    engram_id: str
    position: _common_pb2.Position
    duplicate: bool
    def __init__(self, engram_id: _Optional[str] = ..., position: _Optional[_Union[_common_pb2.Position, _Mapping]] = ..., duplicate: _Optional[bool] = ...) -> None: ...

class MetadataFilter(_message.Message):
    __slots__ = ("field", "equals", "in_range")
    FIELD_FIELD_NUMBER: _ClassVar[int]
    EQUALS_FIELD_NUMBER: _ClassVar[int]
    IN_RANGE_FIELD_NUMBER: _ClassVar[int]
    field: str
    equals: _common_pb2.MetadataValue
    in_range: NumberRange
    def __init__(self, field: _Optional[str] = ..., equals: _Optional[_Union[_common_pb2.MetadataValue, _Mapping]] = ..., in_range: _Optional[_Union[NumberRange, _Mapping]] = ...) -> None: ...

class NumberRange(_message.Message):
    __slots__ = ("min", "max")
    MIN_FIELD_NUMBER: _ClassVar[int]
    MAX_FIELD_NUMBER: _ClassVar[int]
    min: float
    max: float
    def __init__(self, min: _Optional[float] = ..., max: _Optional[float] = ...) -> None: ...

class RecallFilter(_message.Message):
    __slots__ = ("kinds", "actor", "session", "source", "event_time", "metadata")
    KINDS_FIELD_NUMBER: _ClassVar[int]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    EVENT_TIME_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    kinds: _containers.RepeatedScalarFieldContainer[EngramKind]
    actor: str
    session: str
    source: str
    event_time: _common_pb2.TimeRange
    metadata: _containers.RepeatedCompositeFieldContainer[MetadataFilter]
    def __init__(self, kinds: _Optional[_Iterable[_Union[EngramKind, str]]] = ..., actor: _Optional[str] = ..., session: _Optional[str] = ..., source: _Optional[str] = ..., event_time: _Optional[_Union[_common_pb2.TimeRange, _Mapping]] = ..., metadata: _Optional[_Iterable[_Union[MetadataFilter, _Mapping]]] = ...) -> None: ...

class RecallRequest(_message.Message):
    __slots__ = ("namespace", "scopes", "query", "limit", "token_budget", "filter", "freshness", "asked_at", "asked_utc_offset_minutes", "as_of_known")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    SCOPES_FIELD_NUMBER: _ClassVar[int]
    QUERY_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    TOKEN_BUDGET_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    FRESHNESS_FIELD_NUMBER: _ClassVar[int]
    ASKED_AT_FIELD_NUMBER: _ClassVar[int]
    ASKED_UTC_OFFSET_MINUTES_FIELD_NUMBER: _ClassVar[int]
    AS_OF_KNOWN_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    scopes: _containers.RepeatedScalarFieldContainer[str]
    query: str
    limit: int
    token_budget: int
    filter: RecallFilter
    freshness: _common_pb2.Freshness
    asked_at: _timestamp_pb2.Timestamp
    asked_utc_offset_minutes: int
    as_of_known: _timestamp_pb2.Timestamp
    def __init__(self, namespace: _Optional[str] = ..., scopes: _Optional[_Iterable[str]] = ..., query: _Optional[str] = ..., limit: _Optional[int] = ..., token_budget: _Optional[int] = ..., filter: _Optional[_Union[RecallFilter, _Mapping]] = ..., freshness: _Optional[_Union[_common_pb2.Freshness, _Mapping]] = ..., asked_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., asked_utc_offset_minutes: _Optional[int] = ..., as_of_known: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class StageScore(_message.Message):
    __slots__ = ("stage", "rank", "score")
    STAGE_FIELD_NUMBER: _ClassVar[int]
    RANK_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    stage: str
    rank: int
    score: float
    def __init__(self, stage: _Optional[str] = ..., rank: _Optional[int] = ..., score: _Optional[float] = ...) -> None: ...

class RecallItem(_message.Message):
    __slots__ = ("engram", "score", "trace", "why", "repeats", "repeated_ids", "tokens")
    ENGRAM_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    TRACE_FIELD_NUMBER: _ClassVar[int]
    WHY_FIELD_NUMBER: _ClassVar[int]
    REPEATS_FIELD_NUMBER: _ClassVar[int]
    REPEATED_IDS_FIELD_NUMBER: _ClassVar[int]
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    engram: Engram
    score: float
    trace: _containers.RepeatedCompositeFieldContainer[StageScore]
    why: str
    repeats: int
    repeated_ids: _containers.RepeatedScalarFieldContainer[str]
    tokens: int
    def __init__(self, engram: _Optional[_Union[Engram, _Mapping]] = ..., score: _Optional[float] = ..., trace: _Optional[_Iterable[_Union[StageScore, _Mapping]]] = ..., why: _Optional[str] = ..., repeats: _Optional[int] = ..., repeated_ids: _Optional[_Iterable[str]] = ..., tokens: _Optional[int] = ...) -> None: ...

class StageTime(_message.Message):
    __slots__ = ("stage", "duration")
    STAGE_FIELD_NUMBER: _ClassVar[int]
    DURATION_FIELD_NUMBER: _ClassVar[int]
    stage: str
    duration: _duration_pb2.Duration
    def __init__(self, stage: _Optional[str] = ..., duration: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class RecallResponse(_message.Message):
    __slots__ = ("items", "found", "confidence", "threshold", "understood_time", "stages", "positions", "erasure_epochs", "dropped", "channel_weights")
    class ErasureEpochsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    class ChannelWeightsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    FOUND_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    UNDERSTOOD_TIME_FIELD_NUMBER: _ClassVar[int]
    STAGES_FIELD_NUMBER: _ClassVar[int]
    POSITIONS_FIELD_NUMBER: _ClassVar[int]
    ERASURE_EPOCHS_FIELD_NUMBER: _ClassVar[int]
    DROPPED_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_WEIGHTS_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[RecallItem]
    found: bool
    confidence: float
    threshold: float
    understood_time: _common_pb2.TimeRange
    stages: _containers.RepeatedCompositeFieldContainer[StageTime]
    positions: _containers.RepeatedCompositeFieldContainer[_common_pb2.Position]
    erasure_epochs: _containers.ScalarMap[str, int]
    dropped: _containers.RepeatedScalarFieldContainer[str]
    channel_weights: _containers.ScalarMap[str, float]
    def __init__(self, items: _Optional[_Iterable[_Union[RecallItem, _Mapping]]] = ..., found: _Optional[bool] = ..., confidence: _Optional[float] = ..., threshold: _Optional[float] = ..., understood_time: _Optional[_Union[_common_pb2.TimeRange, _Mapping]] = ..., stages: _Optional[_Iterable[_Union[StageTime, _Mapping]]] = ..., positions: _Optional[_Iterable[_Union[_common_pb2.Position, _Mapping]]] = ..., erasure_epochs: _Optional[_Mapping[str, int]] = ..., dropped: _Optional[_Iterable[str]] = ..., channel_weights: _Optional[_Mapping[str, float]] = ...) -> None: ...

class GetErasureEpochRequest(_message.Message):
    __slots__ = ("namespace",)
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    def __init__(self, namespace: _Optional[str] = ...) -> None: ...

class GetErasureEpochResponse(_message.Message):
    __slots__ = ("erasure_epoch",)
    ERASURE_EPOCH_FIELD_NUMBER: _ClassVar[int]
    erasure_epoch: int
    def __init__(self, erasure_epoch: _Optional[int] = ...) -> None: ...

class GetRequest(_message.Message):
    __slots__ = ("namespace", "engram_id", "freshness")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    ENGRAM_ID_FIELD_NUMBER: _ClassVar[int]
    FRESHNESS_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    engram_id: str
    freshness: _common_pb2.Freshness
    def __init__(self, namespace: _Optional[str] = ..., engram_id: _Optional[str] = ..., freshness: _Optional[_Union[_common_pb2.Freshness, _Mapping]] = ...) -> None: ...

class GetResponse(_message.Message):
    __slots__ = ("engram",)
    ENGRAM_FIELD_NUMBER: _ClassVar[int]
    engram: Engram
    def __init__(self, engram: _Optional[_Union[Engram, _Mapping]] = ...) -> None: ...

class ListRequest(_message.Message):
    __slots__ = ("namespace", "filter", "page_size", "page_token", "freshness")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    FRESHNESS_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    filter: RecallFilter
    page_size: int
    page_token: str
    freshness: _common_pb2.Freshness
    def __init__(self, namespace: _Optional[str] = ..., filter: _Optional[_Union[RecallFilter, _Mapping]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., freshness: _Optional[_Union[_common_pb2.Freshness, _Mapping]] = ...) -> None: ...

class ListResponse(_message.Message):
    __slots__ = ("engrams", "next_page_token")
    ENGRAMS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    engrams: _containers.RepeatedCompositeFieldContainer[Engram]
    next_page_token: str
    def __init__(self, engrams: _Optional[_Iterable[_Union[Engram, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class TimelineRequest(_message.Message):
    __slots__ = ("namespace", "event_time", "filter", "page_size", "page_token", "freshness")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    EVENT_TIME_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    FRESHNESS_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    event_time: _common_pb2.TimeRange
    filter: RecallFilter
    page_size: int
    page_token: str
    freshness: _common_pb2.Freshness
    def __init__(self, namespace: _Optional[str] = ..., event_time: _Optional[_Union[_common_pb2.TimeRange, _Mapping]] = ..., filter: _Optional[_Union[RecallFilter, _Mapping]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., freshness: _Optional[_Union[_common_pb2.Freshness, _Mapping]] = ...) -> None: ...

class TimelineResponse(_message.Message):
    __slots__ = ("engrams", "next_page_token")
    ENGRAMS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    engrams: _containers.RepeatedCompositeFieldContainer[Engram]
    next_page_token: str
    def __init__(self, engrams: _Optional[_Iterable[_Union[Engram, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class ExportRequest(_message.Message):
    __slots__ = ("namespace", "page_token")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    page_token: str
    def __init__(self, namespace: _Optional[str] = ..., page_token: _Optional[str] = ...) -> None: ...

class Told(_message.Message):
    __slots__ = ("observation", "remember", "correct", "told_at")
    OBSERVATION_FIELD_NUMBER: _ClassVar[int]
    REMEMBER_FIELD_NUMBER: _ClassVar[int]
    CORRECT_FIELD_NUMBER: _ClassVar[int]
    TOLD_AT_FIELD_NUMBER: _ClassVar[int]
    observation: _common_pb2.Observation
    remember: RememberRequest
    correct: CorrectRequest
    told_at: _timestamp_pb2.Timestamp
    def __init__(self, observation: _Optional[_Union[_common_pb2.Observation, _Mapping]] = ..., remember: _Optional[_Union[RememberRequest, _Mapping]] = ..., correct: _Optional[_Union[CorrectRequest, _Mapping]] = ..., told_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ExportResponse(_message.Message):
    __slots__ = ("told", "next_page_token", "unreadable")
    TOLD_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    UNREADABLE_FIELD_NUMBER: _ClassVar[int]
    told: _containers.RepeatedCompositeFieldContainer[Told]
    next_page_token: str
    unreadable: int
    def __init__(self, told: _Optional[_Iterable[_Union[Told, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., unreadable: _Optional[int] = ...) -> None: ...

class HistoryRequest(_message.Message):
    __slots__ = ("namespace", "engram_id", "freshness")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    ENGRAM_ID_FIELD_NUMBER: _ClassVar[int]
    FRESHNESS_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    engram_id: str
    freshness: _common_pb2.Freshness
    def __init__(self, namespace: _Optional[str] = ..., engram_id: _Optional[str] = ..., freshness: _Optional[_Union[_common_pb2.Freshness, _Mapping]] = ...) -> None: ...

class HistoryEvent(_message.Message):
    __slots__ = ("position", "what", "at", "engram")
    POSITION_FIELD_NUMBER: _ClassVar[int]
    WHAT_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    ENGRAM_FIELD_NUMBER: _ClassVar[int]
    position: _common_pb2.Position
    what: str
    at: _timestamp_pb2.Timestamp
    engram: Engram
    def __init__(self, position: _Optional[_Union[_common_pb2.Position, _Mapping]] = ..., what: _Optional[str] = ..., at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., engram: _Optional[_Union[Engram, _Mapping]] = ...) -> None: ...

class HistoryResponse(_message.Message):
    __slots__ = ("events",)
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    events: _containers.RepeatedCompositeFieldContainer[HistoryEvent]
    def __init__(self, events: _Optional[_Iterable[_Union[HistoryEvent, _Mapping]]] = ...) -> None: ...

class ForgetSelector(_message.Message):
    __slots__ = ("session", "person", "source", "event_time", "ids")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    PERSON_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    EVENT_TIME_FIELD_NUMBER: _ClassVar[int]
    IDS_FIELD_NUMBER: _ClassVar[int]
    session: str
    person: Person
    source: str
    event_time: _common_pb2.TimeRange
    ids: Ids
    def __init__(self, session: _Optional[str] = ..., person: _Optional[_Union[Person, _Mapping]] = ..., source: _Optional[str] = ..., event_time: _Optional[_Union[_common_pb2.TimeRange, _Mapping]] = ..., ids: _Optional[_Union[Ids, _Mapping]] = ...) -> None: ...

class Person(_message.Message):
    __slots__ = ("name", "aliases", "include_doubtful")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ALIASES_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_DOUBTFUL_FIELD_NUMBER: _ClassVar[int]
    name: str
    aliases: _containers.RepeatedScalarFieldContainer[str]
    include_doubtful: bool
    def __init__(self, name: _Optional[str] = ..., aliases: _Optional[_Iterable[str]] = ..., include_doubtful: _Optional[bool] = ...) -> None: ...

class Ids(_message.Message):
    __slots__ = ("ids",)
    IDS_FIELD_NUMBER: _ClassVar[int]
    ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, ids: _Optional[_Iterable[str]] = ...) -> None: ...

class ForgetRequest(_message.Message):
    __slots__ = ("namespace", "selector", "dry_run", "id")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    SELECTOR_FIELD_NUMBER: _ClassVar[int]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    selector: ForgetSelector
    dry_run: bool
    id: str
    def __init__(self, namespace: _Optional[str] = ..., selector: _Optional[_Union[ForgetSelector, _Mapping]] = ..., dry_run: _Optional[bool] = ..., id: _Optional[str] = ...) -> None: ...

class ForgetResponse(_message.Message):
    __slots__ = ("targets", "names", "receipt", "alias_groups", "doubtful", "targets_told", "targets_derived", "doubtful_total", "named")
    TARGETS_FIELD_NUMBER: _ClassVar[int]
    NAMES_FIELD_NUMBER: _ClassVar[int]
    RECEIPT_FIELD_NUMBER: _ClassVar[int]
    ALIAS_GROUPS_FIELD_NUMBER: _ClassVar[int]
    DOUBTFUL_FIELD_NUMBER: _ClassVar[int]
    TARGETS_TOLD_FIELD_NUMBER: _ClassVar[int]
    TARGETS_DERIVED_FIELD_NUMBER: _ClassVar[int]
    DOUBTFUL_TOTAL_FIELD_NUMBER: _ClassVar[int]
    NAMED_FIELD_NUMBER: _ClassVar[int]
    targets: _containers.RepeatedCompositeFieldContainer[ForgetTarget]
    names: _containers.RepeatedScalarFieldContainer[str]
    receipt: ErasureReceipt
    alias_groups: int
    doubtful: _containers.RepeatedCompositeFieldContainer[DoubtfulMatch]
    targets_told: int
    targets_derived: int
    doubtful_total: int
    named: _containers.RepeatedCompositeFieldContainer[NamedById]
    def __init__(self, targets: _Optional[_Iterable[_Union[ForgetTarget, _Mapping]]] = ..., names: _Optional[_Iterable[str]] = ..., receipt: _Optional[_Union[ErasureReceipt, _Mapping]] = ..., alias_groups: _Optional[int] = ..., doubtful: _Optional[_Iterable[_Union[DoubtfulMatch, _Mapping]]] = ..., targets_told: _Optional[int] = ..., targets_derived: _Optional[int] = ..., doubtful_total: _Optional[int] = ..., named: _Optional[_Iterable[_Union[NamedById, _Mapping]]] = ...) -> None: ...

class NamedById(_message.Message):
    __slots__ = ("id", "engram_ids")
    ID_FIELD_NUMBER: _ClassVar[int]
    ENGRAM_IDS_FIELD_NUMBER: _ClassVar[int]
    id: str
    engram_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, id: _Optional[str] = ..., engram_ids: _Optional[_Iterable[str]] = ...) -> None: ...

class DoubtfulMatch(_message.Message):
    __slots__ = ("engram_id", "text", "written", "reason")
    ENGRAM_ID_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    WRITTEN_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    engram_id: str
    text: str
    written: str
    reason: str
    def __init__(self, engram_id: _Optional[str] = ..., text: _Optional[str] = ..., written: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class ForgetTarget(_message.Message):
    __slots__ = ("engram_id", "kind", "derived", "text", "event_start", "utc_offset_minutes", "reason")
    ENGRAM_ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    DERIVED_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    EVENT_START_FIELD_NUMBER: _ClassVar[int]
    UTC_OFFSET_MINUTES_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    engram_id: str
    kind: EngramKind
    derived: bool
    text: str
    event_start: _timestamp_pb2.Timestamp
    utc_offset_minutes: int
    reason: str
    def __init__(self, engram_id: _Optional[str] = ..., kind: _Optional[_Union[EngramKind, str]] = ..., derived: _Optional[bool] = ..., text: _Optional[str] = ..., event_start: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., utc_offset_minutes: _Optional[int] = ..., reason: _Optional[str] = ...) -> None: ...

class ErasureReceipt(_message.Message):
    __slots__ = ("id", "namespace", "position", "at", "erasure_epoch", "base_erased", "derived_retired", "derived_rebuilt", "keys_destroyed", "stores", "alias_groups", "doubtful_left", "selected_by", "declared_erased")
    ID_FIELD_NUMBER: _ClassVar[int]
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    ERASURE_EPOCH_FIELD_NUMBER: _ClassVar[int]
    BASE_ERASED_FIELD_NUMBER: _ClassVar[int]
    DERIVED_RETIRED_FIELD_NUMBER: _ClassVar[int]
    DERIVED_REBUILT_FIELD_NUMBER: _ClassVar[int]
    KEYS_DESTROYED_FIELD_NUMBER: _ClassVar[int]
    STORES_FIELD_NUMBER: _ClassVar[int]
    ALIAS_GROUPS_FIELD_NUMBER: _ClassVar[int]
    DOUBTFUL_LEFT_FIELD_NUMBER: _ClassVar[int]
    SELECTED_BY_FIELD_NUMBER: _ClassVar[int]
    DECLARED_ERASED_FIELD_NUMBER: _ClassVar[int]
    id: str
    namespace: str
    position: _common_pb2.Position
    at: _timestamp_pb2.Timestamp
    erasure_epoch: int
    base_erased: int
    derived_retired: int
    derived_rebuilt: int
    keys_destroyed: int
    stores: _containers.RepeatedCompositeFieldContainer[StoreErasure]
    alias_groups: int
    doubtful_left: int
    selected_by: str
    declared_erased: int
    def __init__(self, id: _Optional[str] = ..., namespace: _Optional[str] = ..., position: _Optional[_Union[_common_pb2.Position, _Mapping]] = ..., at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., erasure_epoch: _Optional[int] = ..., base_erased: _Optional[int] = ..., derived_retired: _Optional[int] = ..., derived_rebuilt: _Optional[int] = ..., keys_destroyed: _Optional[int] = ..., stores: _Optional[_Iterable[_Union[StoreErasure, _Mapping]]] = ..., alias_groups: _Optional[int] = ..., doubtful_left: _Optional[int] = ..., selected_by: _Optional[str] = ..., declared_erased: _Optional[int] = ...) -> None: ...

class StoreErasure(_message.Message):
    __slots__ = ("store", "done", "detail", "by")
    STORE_FIELD_NUMBER: _ClassVar[int]
    DONE_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    BY_FIELD_NUMBER: _ClassVar[int]
    store: str
    done: bool
    detail: str
    by: _timestamp_pb2.Timestamp
    def __init__(self, store: _Optional[str] = ..., done: _Optional[bool] = ..., detail: _Optional[str] = ..., by: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class VerifyForgottenRequest(_message.Message):
    __slots__ = ("namespace", "receipt_id")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    RECEIPT_ID_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    receipt_id: str
    def __init__(self, namespace: _Optional[str] = ..., receipt_id: _Optional[str] = ...) -> None: ...

class VerifyForgottenResponse(_message.Message):
    __slots__ = ("clean", "probes", "possible_mentions")
    CLEAN_FIELD_NUMBER: _ClassVar[int]
    PROBES_FIELD_NUMBER: _ClassVar[int]
    POSSIBLE_MENTIONS_FIELD_NUMBER: _ClassVar[int]
    clean: bool
    probes: _containers.RepeatedCompositeFieldContainer[ErasureProbe]
    possible_mentions: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, clean: _Optional[bool] = ..., probes: _Optional[_Iterable[_Union[ErasureProbe, _Mapping]]] = ..., possible_mentions: _Optional[_Iterable[str]] = ...) -> None: ...

class ErasureProbe(_message.Message):
    __slots__ = ("store", "looked_at", "readable", "detail")
    STORE_FIELD_NUMBER: _ClassVar[int]
    LOOKED_AT_FIELD_NUMBER: _ClassVar[int]
    READABLE_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    store: str
    looked_at: int
    readable: int
    detail: str
    def __init__(self, store: _Optional[str] = ..., looked_at: _Optional[int] = ..., readable: _Optional[int] = ..., detail: _Optional[str] = ...) -> None: ...

class WatchRequest(_message.Message):
    __slots__ = ("namespace", "cursor", "from_start")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    FROM_START_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    cursor: str
    from_start: bool
    def __init__(self, namespace: _Optional[str] = ..., cursor: _Optional[str] = ..., from_start: _Optional[bool] = ...) -> None: ...

class WatchResponse(_message.Message):
    __slots__ = ("engram", "cursor")
    ENGRAM_FIELD_NUMBER: _ClassVar[int]
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    engram: Engram
    cursor: str
    def __init__(self, engram: _Optional[_Union[Engram, _Mapping]] = ..., cursor: _Optional[str] = ...) -> None: ...
