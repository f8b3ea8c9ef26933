from mneme.v1 import kvstore_pb2 as _kvstore_pb2
from mneme.v1 import reasoning_pb2 as _reasoning_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class DropPagesRequest(_message.Message):
    __slots__ = ("erasures",)
    ERASURES_FIELD_NUMBER: _ClassVar[int]
    erasures: _containers.RepeatedCompositeFieldContainer[_kvstore_pb2.Erasure]
    def __init__(self, erasures: _Optional[_Iterable[_Union[_kvstore_pb2.Erasure, _Mapping]]] = ...) -> None: ...

class DropPagesResponse(_message.Message):
    __slots__ = ("keys", "pages_wiped", "pages_in_use")
    KEYS_FIELD_NUMBER: _ClassVar[int]
    PAGES_WIPED_FIELD_NUMBER: _ClassVar[int]
    PAGES_IN_USE_FIELD_NUMBER: _ClassVar[int]
    keys: int
    pages_wiped: int
    pages_in_use: int
    def __init__(self, keys: _Optional[int] = ..., pages_wiped: _Optional[int] = ..., pages_in_use: _Optional[int] = ...) -> None: ...

class GetEngineStatsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetEngineStatsResponse(_message.Message):
    __slots__ = ("stats",)
    STATS_FIELD_NUMBER: _ClassVar[int]
    stats: _reasoning_pb2.EngineStats
    def __init__(self, stats: _Optional[_Union[_reasoning_pb2.EngineStats, _Mapping]] = ...) -> None: ...
