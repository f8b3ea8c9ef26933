import datetime

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

class Right(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RIGHT_UNSPECIFIED: _ClassVar[Right]
    RIGHT_READ: _ClassVar[Right]
    RIGHT_WRITE: _ClassVar[Right]
    RIGHT_FORGET: _ClassVar[Right]
    RIGHT_ADMIN: _ClassVar[Right]

class MetadataType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    METADATA_TYPE_UNSPECIFIED: _ClassVar[MetadataType]
    METADATA_TYPE_TEXT: _ClassVar[MetadataType]
    METADATA_TYPE_NUMBER: _ClassVar[MetadataType]

class OperationState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    OPERATION_STATE_UNSPECIFIED: _ClassVar[OperationState]
    OPERATION_STATE_RUNNING: _ClassVar[OperationState]
    OPERATION_STATE_DONE: _ClassVar[OperationState]
    OPERATION_STATE_FAILED: _ClassVar[OperationState]

class AuditAction(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    AUDIT_ACTION_UNSPECIFIED: _ClassVar[AuditAction]
    AUDIT_ACTION_OBSERVED: _ClassVar[AuditAction]
    AUDIT_ACTION_REMEMBERED: _ClassVar[AuditAction]
    AUDIT_ACTION_CORRECTED: _ClassVar[AuditAction]
    AUDIT_ACTION_ERASED: _ClassVar[AuditAction]
    AUDIT_ACTION_NAMESPACE_CREATED: _ClassVar[AuditAction]
    AUDIT_ACTION_NAMESPACE_CHANGED: _ClassVar[AuditAction]
    AUDIT_ACTION_NAMESPACE_DELETED: _ClassVar[AuditAction]
    AUDIT_ACTION_TOKEN_ISSUED: _ClassVar[AuditAction]
    AUDIT_ACTION_TOKEN_REVOKED: _ClassVar[AuditAction]
    AUDIT_ACTION_TOKEN_REVOCATION_WITHDRAWN: _ClassVar[AuditAction]
    AUDIT_ACTION_SHARDS_SET: _ClassVar[AuditAction]
    AUDIT_ACTION_REBUILD_ASKED: _ClassVar[AuditAction]
    AUDIT_ACTION_DEAD_LETTERS_REPLAYED: _ClassVar[AuditAction]
    AUDIT_ACTION_DEAD_LETTERS_PURGED: _ClassVar[AuditAction]
RIGHT_UNSPECIFIED: Right
RIGHT_READ: Right
RIGHT_WRITE: Right
RIGHT_FORGET: Right
RIGHT_ADMIN: Right
METADATA_TYPE_UNSPECIFIED: MetadataType
METADATA_TYPE_TEXT: MetadataType
METADATA_TYPE_NUMBER: MetadataType
OPERATION_STATE_UNSPECIFIED: OperationState
OPERATION_STATE_RUNNING: OperationState
OPERATION_STATE_DONE: OperationState
OPERATION_STATE_FAILED: OperationState
AUDIT_ACTION_UNSPECIFIED: AuditAction
AUDIT_ACTION_OBSERVED: AuditAction
AUDIT_ACTION_REMEMBERED: AuditAction
AUDIT_ACTION_CORRECTED: AuditAction
AUDIT_ACTION_ERASED: AuditAction
AUDIT_ACTION_NAMESPACE_CREATED: AuditAction
AUDIT_ACTION_NAMESPACE_CHANGED: AuditAction
AUDIT_ACTION_NAMESPACE_DELETED: AuditAction
AUDIT_ACTION_TOKEN_ISSUED: AuditAction
AUDIT_ACTION_TOKEN_REVOKED: AuditAction
AUDIT_ACTION_TOKEN_REVOCATION_WITHDRAWN: AuditAction
AUDIT_ACTION_SHARDS_SET: AuditAction
AUDIT_ACTION_REBUILD_ASKED: AuditAction
AUDIT_ACTION_DEAD_LETTERS_REPLAYED: AuditAction
AUDIT_ACTION_DEAD_LETTERS_PURGED: AuditAction

class IssueTokenRequest(_message.Message):
    __slots__ = ("principal", "namespace_prefixes", "rights", "ttl_s")
    PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
    NAMESPACE_PREFIXES_FIELD_NUMBER: _ClassVar[int]
    RIGHTS_FIELD_NUMBER: _ClassVar[int]
    TTL_S_FIELD_NUMBER: _ClassVar[int]
    principal: str
    namespace_prefixes: _containers.RepeatedScalarFieldContainer[str]
    rights: _containers.RepeatedScalarFieldContainer[Right]
    ttl_s: int
    def __init__(self, principal: _Optional[str] = ..., namespace_prefixes: _Optional[_Iterable[str]] = ..., rights: _Optional[_Iterable[_Union[Right, str]]] = ..., ttl_s: _Optional[int] = ...) -> None: ...

class IssueTokenResponse(_message.Message):
    __slots__ = ("token", "token_id", "expires_at", "principal")
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    TOKEN_ID_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
    token: str
    token_id: str
    expires_at: _timestamp_pb2.Timestamp
    principal: str
    def __init__(self, token: _Optional[str] = ..., token_id: _Optional[str] = ..., expires_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., principal: _Optional[str] = ...) -> None: ...

class RevokeTokenRequest(_message.Message):
    __slots__ = ("token_id",)
    TOKEN_ID_FIELD_NUMBER: _ClassVar[int]
    token_id: str
    def __init__(self, token_id: _Optional[str] = ...) -> None: ...

class RevokeTokenResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class IssuedToken(_message.Message):
    __slots__ = ("token_id", "principal", "namespace_prefixes", "rights", "expires_at", "revoked")
    TOKEN_ID_FIELD_NUMBER: _ClassVar[int]
    PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
    NAMESPACE_PREFIXES_FIELD_NUMBER: _ClassVar[int]
    RIGHTS_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    REVOKED_FIELD_NUMBER: _ClassVar[int]
    token_id: str
    principal: str
    namespace_prefixes: _containers.RepeatedScalarFieldContainer[str]
    rights: _containers.RepeatedScalarFieldContainer[Right]
    expires_at: _timestamp_pb2.Timestamp
    revoked: bool
    def __init__(self, token_id: _Optional[str] = ..., principal: _Optional[str] = ..., namespace_prefixes: _Optional[_Iterable[str]] = ..., rights: _Optional[_Iterable[_Union[Right, str]]] = ..., expires_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., revoked: _Optional[bool] = ...) -> None: ...

class ListTokensRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListTokensResponse(_message.Message):
    __slots__ = ("tokens", "next_page_token")
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    tokens: _containers.RepeatedCompositeFieldContainer[IssuedToken]
    next_page_token: str
    def __init__(self, tokens: _Optional[_Iterable[_Union[IssuedToken, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class MetadataField(_message.Message):
    __slots__ = ("name", "type")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    name: str
    type: MetadataType
    def __init__(self, name: _Optional[str] = ..., type: _Optional[_Union[MetadataType, str]] = ...) -> None: ...

class AliasGroup(_message.Message):
    __slots__ = ("name", "aliases")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ALIASES_FIELD_NUMBER: _ClassVar[int]
    name: str
    aliases: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, name: _Optional[str] = ..., aliases: _Optional[_Iterable[str]] = ...) -> None: ...

class Quota(_message.Message):
    __slots__ = ("max_texts", "max_bytes")
    MAX_TEXTS_FIELD_NUMBER: _ClassVar[int]
    MAX_BYTES_FIELD_NUMBER: _ClassVar[int]
    max_texts: int
    max_bytes: int
    def __init__(self, max_texts: _Optional[int] = ..., max_bytes: _Optional[int] = ...) -> None: ...

class Namespace(_message.Message):
    __slots__ = ("name", "metadata_fields", "aliases", "erasure_epoch", "quota")
    NAME_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELDS_FIELD_NUMBER: _ClassVar[int]
    ALIASES_FIELD_NUMBER: _ClassVar[int]
    ERASURE_EPOCH_FIELD_NUMBER: _ClassVar[int]
    QUOTA_FIELD_NUMBER: _ClassVar[int]
    name: str
    metadata_fields: _containers.RepeatedCompositeFieldContainer[MetadataField]
    aliases: _containers.RepeatedCompositeFieldContainer[AliasGroup]
    erasure_epoch: int
    quota: Quota
    def __init__(self, name: _Optional[str] = ..., metadata_fields: _Optional[_Iterable[_Union[MetadataField, _Mapping]]] = ..., aliases: _Optional[_Iterable[_Union[AliasGroup, _Mapping]]] = ..., erasure_epoch: _Optional[int] = ..., quota: _Optional[_Union[Quota, _Mapping]] = ...) -> None: ...

class CreateNamespaceRequest(_message.Message):
    __slots__ = ("namespace", "metadata_fields", "aliases", "quota")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELDS_FIELD_NUMBER: _ClassVar[int]
    ALIASES_FIELD_NUMBER: _ClassVar[int]
    QUOTA_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    metadata_fields: _containers.RepeatedCompositeFieldContainer[MetadataField]
    aliases: _containers.RepeatedCompositeFieldContainer[AliasGroup]
    quota: Quota
    def __init__(self, namespace: _Optional[str] = ..., metadata_fields: _Optional[_Iterable[_Union[MetadataField, _Mapping]]] = ..., aliases: _Optional[_Iterable[_Union[AliasGroup, _Mapping]]] = ..., quota: _Optional[_Union[Quota, _Mapping]] = ...) -> None: ...

class CreateNamespaceResponse(_message.Message):
    __slots__ = ("position",)
    POSITION_FIELD_NUMBER: _ClassVar[int]
    position: _common_pb2.Position
    def __init__(self, position: _Optional[_Union[_common_pb2.Position, _Mapping]] = ...) -> None: ...

class AliasGroups(_message.Message):
    __slots__ = ("groups",)
    GROUPS_FIELD_NUMBER: _ClassVar[int]
    groups: _containers.RepeatedCompositeFieldContainer[AliasGroup]
    def __init__(self, groups: _Optional[_Iterable[_Union[AliasGroup, _Mapping]]] = ...) -> None: ...

class UpdateNamespaceRequest(_message.Message):
    __slots__ = ("namespace", "id", "metadata_fields", "aliases", "quota")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELDS_FIELD_NUMBER: _ClassVar[int]
    ALIASES_FIELD_NUMBER: _ClassVar[int]
    QUOTA_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    id: str
    metadata_fields: _containers.RepeatedCompositeFieldContainer[MetadataField]
    aliases: AliasGroups
    quota: Quota
    def __init__(self, namespace: _Optional[str] = ..., id: _Optional[str] = ..., metadata_fields: _Optional[_Iterable[_Union[MetadataField, _Mapping]]] = ..., aliases: _Optional[_Union[AliasGroups, _Mapping]] = ..., quota: _Optional[_Union[Quota, _Mapping]] = ...) -> None: ...

class UpdateNamespaceResponse(_message.Message):
    __slots__ = ("position",)
    POSITION_FIELD_NUMBER: _ClassVar[int]
    position: _common_pb2.Position
    def __init__(self, position: _Optional[_Union[_common_pb2.Position, _Mapping]] = ...) -> None: ...

class DeleteNamespaceRequest(_message.Message):
    __slots__ = ("namespace", "id", "dry_run")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    id: str
    dry_run: bool
    def __init__(self, namespace: _Optional[str] = ..., id: _Optional[str] = ..., dry_run: _Optional[bool] = ...) -> None: ...

class DeleteNamespaceResponse(_message.Message):
    __slots__ = ("engrams", "receipt")
    ENGRAMS_FIELD_NUMBER: _ClassVar[int]
    RECEIPT_FIELD_NUMBER: _ClassVar[int]
    engrams: int
    receipt: _episodic_pb2.ErasureReceipt
    def __init__(self, engrams: _Optional[int] = ..., receipt: _Optional[_Union[_episodic_pb2.ErasureReceipt, _Mapping]] = ...) -> None: ...

class ListNamespacesRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListNamespacesResponse(_message.Message):
    __slots__ = ("namespaces", "next_page_token")
    NAMESPACES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    namespaces: _containers.RepeatedCompositeFieldContainer[Namespace]
    next_page_token: str
    def __init__(self, namespaces: _Optional[_Iterable[_Union[Namespace, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class Operation(_message.Message):
    __slots__ = ("id", "kind", "state", "done", "total", "result", "started_at", "ended_at")
    class ResultEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    DONE_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    STARTED_AT_FIELD_NUMBER: _ClassVar[int]
    ENDED_AT_FIELD_NUMBER: _ClassVar[int]
    id: str
    kind: str
    state: OperationState
    done: int
    total: int
    result: _containers.ScalarMap[str, str]
    started_at: _timestamp_pb2.Timestamp
    ended_at: _timestamp_pb2.Timestamp
    def __init__(self, id: _Optional[str] = ..., kind: _Optional[str] = ..., state: _Optional[_Union[OperationState, str]] = ..., done: _Optional[int] = ..., total: _Optional[int] = ..., result: _Optional[_Mapping[str, str]] = ..., started_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., ended_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class GetOperationRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class GetOperationResponse(_message.Message):
    __slots__ = ("operation",)
    OPERATION_FIELD_NUMBER: _ClassVar[int]
    operation: Operation
    def __init__(self, operation: _Optional[_Union[Operation, _Mapping]] = ...) -> None: ...

class RebuildRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class RebuildResponse(_message.Message):
    __slots__ = ("operation",)
    OPERATION_FIELD_NUMBER: _ClassVar[int]
    operation: Operation
    def __init__(self, operation: _Optional[_Union[Operation, _Mapping]] = ...) -> None: ...

class RefusedRecord(_message.Message):
    __slots__ = ("id", "topic", "position", "reason", "message", "field", "remedy", "at", "namespace", "payload")
    ID_FIELD_NUMBER: _ClassVar[int]
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    FIELD_FIELD_NUMBER: _ClassVar[int]
    REMEDY_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    id: str
    topic: str
    position: _common_pb2.Position
    reason: str
    message: str
    field: str
    remedy: str
    at: _timestamp_pb2.Timestamp
    namespace: str
    payload: bytes
    def __init__(self, id: _Optional[str] = ..., topic: _Optional[str] = ..., position: _Optional[_Union[_common_pb2.Position, _Mapping]] = ..., reason: _Optional[str] = ..., message: _Optional[str] = ..., field: _Optional[str] = ..., remedy: _Optional[str] = ..., at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., namespace: _Optional[str] = ..., payload: _Optional[bytes] = ...) -> None: ...

class ListDeadLettersRequest(_message.Message):
    __slots__ = ("namespace", "with_payload", "page_size", "page_token")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    WITH_PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    with_payload: bool
    page_size: int
    page_token: str
    def __init__(self, namespace: _Optional[str] = ..., with_payload: _Optional[bool] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListDeadLettersResponse(_message.Message):
    __slots__ = ("records", "next_page_token")
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    records: _containers.RepeatedCompositeFieldContainer[RefusedRecord]
    next_page_token: str
    def __init__(self, records: _Optional[_Iterable[_Union[RefusedRecord, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class ReplayDeadLettersRequest(_message.Message):
    __slots__ = ("namespace", "ids")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    IDS_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, namespace: _Optional[str] = ..., ids: _Optional[_Iterable[str]] = ...) -> None: ...

class ReplayedRecord(_message.Message):
    __slots__ = ("id", "taken", "reason", "message", "field", "remedy")
    ID_FIELD_NUMBER: _ClassVar[int]
    TAKEN_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    FIELD_FIELD_NUMBER: _ClassVar[int]
    REMEDY_FIELD_NUMBER: _ClassVar[int]
    id: str
    taken: bool
    reason: str
    message: str
    field: str
    remedy: str
    def __init__(self, id: _Optional[str] = ..., taken: _Optional[bool] = ..., reason: _Optional[str] = ..., message: _Optional[str] = ..., field: _Optional[str] = ..., remedy: _Optional[str] = ...) -> None: ...

class ReplayDeadLettersResponse(_message.Message):
    __slots__ = ("records",)
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    records: _containers.RepeatedCompositeFieldContainer[ReplayedRecord]
    def __init__(self, records: _Optional[_Iterable[_Union[ReplayedRecord, _Mapping]]] = ...) -> None: ...

class PurgeDeadLettersRequest(_message.Message):
    __slots__ = ("namespace", "ids")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    IDS_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, namespace: _Optional[str] = ..., ids: _Optional[_Iterable[str]] = ...) -> None: ...

class PurgeDeadLettersResponse(_message.Message):
    __slots__ = ("purged",)
    PURGED_FIELD_NUMBER: _ClassVar[int]
    purged: int
    def __init__(self, purged: _Optional[int] = ...) -> None: ...

class GetStatsRequest(_message.Message):
    __slots__ = ("namespace", "counts_only")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    COUNTS_ONLY_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    counts_only: bool
    def __init__(self, namespace: _Optional[str] = ..., counts_only: _Optional[bool] = ...) -> None: ...

class GetStatsResponse(_message.Message):
    __slots__ = ("namespace", "engrams_by_kind", "state_hash", "applied", "lag", "generation", "erasure_epoch", "unfolded")
    class EngramsByKindEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    ENGRAMS_BY_KIND_FIELD_NUMBER: _ClassVar[int]
    STATE_HASH_FIELD_NUMBER: _ClassVar[int]
    APPLIED_FIELD_NUMBER: _ClassVar[int]
    LAG_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    ERASURE_EPOCH_FIELD_NUMBER: _ClassVar[int]
    UNFOLDED_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    engrams_by_kind: _containers.ScalarMap[str, int]
    state_hash: str
    applied: _containers.RepeatedCompositeFieldContainer[_common_pb2.Position]
    lag: int
    generation: int
    erasure_epoch: int
    unfolded: _containers.RepeatedCompositeFieldContainer[Unfolded]
    def __init__(self, namespace: _Optional[str] = ..., engrams_by_kind: _Optional[_Mapping[str, int]] = ..., state_hash: _Optional[str] = ..., applied: _Optional[_Iterable[_Union[_common_pb2.Position, _Mapping]]] = ..., lag: _Optional[int] = ..., generation: _Optional[int] = ..., erasure_epoch: _Optional[int] = ..., unfolded: _Optional[_Iterable[_Union[Unfolded, _Mapping]]] = ...) -> None: ...

class Unfolded(_message.Message):
    __slots__ = ("position", "reason", "message")
    POSITION_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    position: _common_pb2.Position
    reason: str
    message: str
    def __init__(self, position: _Optional[_Union[_common_pb2.Position, _Mapping]] = ..., reason: _Optional[str] = ..., message: _Optional[str] = ...) -> None: ...

class SetShardsRequest(_message.Message):
    __slots__ = ("shards",)
    SHARDS_FIELD_NUMBER: _ClassVar[int]
    shards: int
    def __init__(self, shards: _Optional[int] = ...) -> None: ...

class SetShardsResponse(_message.Message):
    __slots__ = ("shards",)
    SHARDS_FIELD_NUMBER: _ClassVar[int]
    shards: Shards
    def __init__(self, shards: _Optional[_Union[Shards, _Mapping]] = ...) -> None: ...

class GetShardsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetShardsResponse(_message.Message):
    __slots__ = ("shards",)
    SHARDS_FIELD_NUMBER: _ClassVar[int]
    shards: Shards
    def __init__(self, shards: _Optional[_Union[Shards, _Mapping]] = ...) -> None: ...

class Shards(_message.Message):
    __slots__ = ("wanted", "shards", "moving", "done", "problem")
    WANTED_FIELD_NUMBER: _ClassVar[int]
    SHARDS_FIELD_NUMBER: _ClassVar[int]
    MOVING_FIELD_NUMBER: _ClassVar[int]
    DONE_FIELD_NUMBER: _ClassVar[int]
    PROBLEM_FIELD_NUMBER: _ClassVar[int]
    wanted: int
    shards: _containers.RepeatedCompositeFieldContainer[Shard]
    moving: _containers.RepeatedScalarFieldContainer[int]
    done: bool
    problem: str
    def __init__(self, wanted: _Optional[int] = ..., shards: _Optional[_Iterable[_Union[Shard, _Mapping]]] = ..., moving: _Optional[_Iterable[int]] = ..., done: _Optional[bool] = ..., problem: _Optional[str] = ...) -> None: ...

class Shard(_message.Message):
    __slots__ = ("application", "partitions")
    APPLICATION_FIELD_NUMBER: _ClassVar[int]
    PARTITIONS_FIELD_NUMBER: _ClassVar[int]
    application: str
    partitions: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, application: _Optional[str] = ..., partitions: _Optional[_Iterable[int]] = ...) -> None: ...

class AuditEntry(_message.Message):
    __slots__ = ("action", "principal", "at", "position", "subject", "count", "selected_by", "issued_to")
    ACTION_FIELD_NUMBER: _ClassVar[int]
    PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    SELECTED_BY_FIELD_NUMBER: _ClassVar[int]
    ISSUED_TO_FIELD_NUMBER: _ClassVar[int]
    action: AuditAction
    principal: str
    at: _timestamp_pb2.Timestamp
    position: _common_pb2.Position
    subject: str
    count: int
    selected_by: str
    issued_to: str
    def __init__(self, action: _Optional[_Union[AuditAction, str]] = ..., principal: _Optional[str] = ..., at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., position: _Optional[_Union[_common_pb2.Position, _Mapping]] = ..., subject: _Optional[str] = ..., count: _Optional[int] = ..., selected_by: _Optional[str] = ..., issued_to: _Optional[str] = ...) -> None: ...

class ListAuditRequest(_message.Message):
    __slots__ = ("namespace", "principal", "actions", "time", "page_size", "page_token")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
    ACTIONS_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    principal: str
    actions: _containers.RepeatedScalarFieldContainer[AuditAction]
    time: _common_pb2.TimeRange
    page_size: int
    page_token: str
    def __init__(self, namespace: _Optional[str] = ..., principal: _Optional[str] = ..., actions: _Optional[_Iterable[_Union[AuditAction, str]]] = ..., time: _Optional[_Union[_common_pb2.TimeRange, _Mapping]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListAuditResponse(_message.Message):
    __slots__ = ("entries", "next_page_token")
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    entries: _containers.RepeatedCompositeFieldContainer[AuditEntry]
    next_page_token: str
    def __init__(self, entries: _Optional[_Iterable[_Union[AuditEntry, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class NamespaceUsage(_message.Message):
    __slots__ = ("namespace", "told", "erased", "ledger_bytes", "last_told_at", "erased_bytes", "quota")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    TOLD_FIELD_NUMBER: _ClassVar[int]
    ERASED_FIELD_NUMBER: _ClassVar[int]
    LEDGER_BYTES_FIELD_NUMBER: _ClassVar[int]
    LAST_TOLD_AT_FIELD_NUMBER: _ClassVar[int]
    ERASED_BYTES_FIELD_NUMBER: _ClassVar[int]
    QUOTA_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    told: int
    erased: int
    ledger_bytes: int
    last_told_at: _timestamp_pb2.Timestamp
    erased_bytes: int
    quota: Quota
    def __init__(self, namespace: _Optional[str] = ..., told: _Optional[int] = ..., erased: _Optional[int] = ..., ledger_bytes: _Optional[int] = ..., last_told_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., erased_bytes: _Optional[int] = ..., quota: _Optional[_Union[Quota, _Mapping]] = ...) -> None: ...

class ListUsageRequest(_message.Message):
    __slots__ = ("prefix", "page_size", "page_token")
    PREFIX_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    prefix: str
    page_size: int
    page_token: str
    def __init__(self, prefix: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListUsageResponse(_message.Message):
    __slots__ = ("namespaces", "next_page_token")
    NAMESPACES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    namespaces: _containers.RepeatedCompositeFieldContainer[NamespaceUsage]
    next_page_token: str
    def __init__(self, namespaces: _Optional[_Iterable[_Union[NamespaceUsage, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...
