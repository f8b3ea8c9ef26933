import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ObservationKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    OBSERVATION_KIND_UNSPECIFIED: _ClassVar[ObservationKind]
    OBSERVATION_KIND_TURN: _ClassVar[ObservationKind]
    OBSERVATION_KIND_DOCUMENT: _ClassVar[ObservationKind]
    OBSERVATION_KIND_TOOL_RESULT: _ClassVar[ObservationKind]
    OBSERVATION_KIND_FRAME: _ClassVar[ObservationKind]
OBSERVATION_KIND_UNSPECIFIED: ObservationKind
OBSERVATION_KIND_TURN: ObservationKind
OBSERVATION_KIND_DOCUMENT: ObservationKind
OBSERVATION_KIND_TOOL_RESULT: ObservationKind
OBSERVATION_KIND_FRAME: ObservationKind

class Position(_message.Message):
    __slots__ = ("partition", "offset")
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    partition: int
    offset: int
    def __init__(self, partition: _Optional[int] = ..., offset: _Optional[int] = ...) -> None: ...

class Freshness(_message.Message):
    __slots__ = ("any", "at_least", "strong")
    ANY_FIELD_NUMBER: _ClassVar[int]
    AT_LEAST_FIELD_NUMBER: _ClassVar[int]
    STRONG_FIELD_NUMBER: _ClassVar[int]
    any: bool
    at_least: Positions
    strong: bool
    def __init__(self, any: _Optional[bool] = ..., at_least: _Optional[_Union[Positions, _Mapping]] = ..., strong: _Optional[bool] = ...) -> None: ...

class Positions(_message.Message):
    __slots__ = ("positions",)
    POSITIONS_FIELD_NUMBER: _ClassVar[int]
    positions: _containers.RepeatedCompositeFieldContainer[Position]
    def __init__(self, positions: _Optional[_Iterable[_Union[Position, _Mapping]]] = ...) -> None: ...

class TimeRange(_message.Message):
    __slots__ = ("start", "end")
    START_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    start: _timestamp_pb2.Timestamp
    end: _timestamp_pb2.Timestamp
    def __init__(self, start: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class MetadataValue(_message.Message):
    __slots__ = ("text", "number")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    text: str
    number: float
    def __init__(self, text: _Optional[str] = ..., number: _Optional[float] = ...) -> None: ...

class Observation(_message.Message):
    __slots__ = ("id", "namespace", "session", "text", "actor", "observed_at", "kind", "metadata", "external_id", "source", "derived_from", "utc_offset_minutes")
    class MetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: MetadataValue
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[MetadataValue, _Mapping]] = ...) -> None: ...
    ID_FIELD_NUMBER: _ClassVar[int]
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    OBSERVED_AT_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    EXTERNAL_ID_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    DERIVED_FROM_FIELD_NUMBER: _ClassVar[int]
    UTC_OFFSET_MINUTES_FIELD_NUMBER: _ClassVar[int]
    id: str
    namespace: str
    session: str
    text: str
    actor: str
    observed_at: _timestamp_pb2.Timestamp
    kind: ObservationKind
    metadata: _containers.MessageMap[str, MetadataValue]
    external_id: str
    source: str
    derived_from: _containers.RepeatedScalarFieldContainer[str]
    utc_offset_minutes: int
    def __init__(self, id: _Optional[str] = ..., namespace: _Optional[str] = ..., session: _Optional[str] = ..., text: _Optional[str] = ..., actor: _Optional[str] = ..., observed_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., kind: _Optional[_Union[ObservationKind, str]] = ..., metadata: _Optional[_Mapping[str, MetadataValue]] = ..., external_id: _Optional[str] = ..., source: _Optional[str] = ..., derived_from: _Optional[_Iterable[str]] = ..., utc_offset_minutes: _Optional[int] = ...) -> None: ...
