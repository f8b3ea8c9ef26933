import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from mneme.v1 import common_pb2 as _common_pb2
from mneme.v1 import episodic_pb2 as _episodic_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class AskRequest(_message.Message):
    __slots__ = ("namespace", "scopes", "question", "evidence_limit", "filter", "freshness", "asked_at")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    SCOPES_FIELD_NUMBER: _ClassVar[int]
    QUESTION_FIELD_NUMBER: _ClassVar[int]
    EVIDENCE_LIMIT_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    FRESHNESS_FIELD_NUMBER: _ClassVar[int]
    ASKED_AT_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    scopes: _containers.RepeatedScalarFieldContainer[str]
    question: str
    evidence_limit: int
    filter: _episodic_pb2.RecallFilter
    freshness: _common_pb2.Freshness
    asked_at: _timestamp_pb2.Timestamp
    def __init__(self, namespace: _Optional[str] = ..., scopes: _Optional[_Iterable[str]] = ..., question: _Optional[str] = ..., evidence_limit: _Optional[int] = ..., filter: _Optional[_Union[_episodic_pb2.RecallFilter, _Mapping]] = ..., freshness: _Optional[_Union[_common_pb2.Freshness, _Mapping]] = ..., asked_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class AskResponse(_message.Message):
    __slots__ = ("evidence", "extractive", "done")
    EVIDENCE_FIELD_NUMBER: _ClassVar[int]
    EXTRACTIVE_FIELD_NUMBER: _ClassVar[int]
    DONE_FIELD_NUMBER: _ClassVar[int]
    evidence: Evidence
    extractive: ExtractiveAnswer
    done: AskDone
    def __init__(self, evidence: _Optional[_Union[Evidence, _Mapping]] = ..., extractive: _Optional[_Union[ExtractiveAnswer, _Mapping]] = ..., done: _Optional[_Union[AskDone, _Mapping]] = ...) -> None: ...

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
    __slots__ = ("answer_id", "stages", "model", "erasure_epochs")
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
    answer_id: str
    stages: _containers.RepeatedCompositeFieldContainer[_episodic_pb2.StageTime]
    model: str
    erasure_epochs: _containers.ScalarMap[str, int]
    def __init__(self, answer_id: _Optional[str] = ..., stages: _Optional[_Iterable[_Union[_episodic_pb2.StageTime, _Mapping]]] = ..., model: _Optional[str] = ..., erasure_epochs: _Optional[_Mapping[str, int]] = ...) -> None: ...
