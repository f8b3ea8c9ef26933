import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from mneme.v1 import admin_pb2 as _admin_pb2
from mneme.v1 import common_pb2 as _common_pb2
from mneme.v1 import episodic_pb2 as _episodic_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class OwnerPhase(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    OWNER_PHASE_UNSPECIFIED: _ClassVar[OwnerPhase]
    OWNER_PHASE_HELD: _ClassVar[OwnerPhase]
    OWNER_PHASE_LEAVING: _ClassVar[OwnerPhase]
    OWNER_PHASE_TAKING: _ClassVar[OwnerPhase]
OWNER_PHASE_UNSPECIFIED: OwnerPhase
OWNER_PHASE_HELD: OwnerPhase
OWNER_PHASE_LEAVING: OwnerPhase
OWNER_PHASE_TAKING: OwnerPhase

class Sealed(_message.Message):
    __slots__ = ("key_id", "nonce", "ciphertext")
    KEY_ID_FIELD_NUMBER: _ClassVar[int]
    NONCE_FIELD_NUMBER: _ClassVar[int]
    CIPHERTEXT_FIELD_NUMBER: _ClassVar[int]
    key_id: str
    nonce: bytes
    ciphertext: bytes
    def __init__(self, key_id: _Optional[str] = ..., nonce: _Optional[bytes] = ..., ciphertext: _Optional[bytes] = ...) -> None: ...

class DataKey(_message.Message):
    __slots__ = ("key_id", "namespace", "wrapped", "pseudonym", "until", "name_key_id", "nodes")
    KEY_ID_FIELD_NUMBER: _ClassVar[int]
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    WRAPPED_FIELD_NUMBER: _ClassVar[int]
    PSEUDONYM_FIELD_NUMBER: _ClassVar[int]
    UNTIL_FIELD_NUMBER: _ClassVar[int]
    NAME_KEY_ID_FIELD_NUMBER: _ClassVar[int]
    NODES_FIELD_NUMBER: _ClassVar[int]
    key_id: str
    namespace: str
    wrapped: bytes
    pseudonym: bytes
    until: float
    name_key_id: str
    nodes: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, key_id: _Optional[str] = ..., namespace: _Optional[str] = ..., wrapped: _Optional[bytes] = ..., pseudonym: _Optional[bytes] = ..., until: _Optional[float] = ..., name_key_id: _Optional[str] = ..., nodes: _Optional[_Iterable[int]] = ...) -> None: ...

class LedgerEntry(_message.Message):
    __slots__ = ("namespace", "pseudonym", "ingested_at", "principal", "namespace_created", "observation_accepted", "session_ended", "episode_closed", "remembered", "corrected", "erased", "namespace_deleted", "namespace_changed")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    PSEUDONYM_FIELD_NUMBER: _ClassVar[int]
    INGESTED_AT_FIELD_NUMBER: _ClassVar[int]
    PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
    NAMESPACE_CREATED_FIELD_NUMBER: _ClassVar[int]
    OBSERVATION_ACCEPTED_FIELD_NUMBER: _ClassVar[int]
    SESSION_ENDED_FIELD_NUMBER: _ClassVar[int]
    EPISODE_CLOSED_FIELD_NUMBER: _ClassVar[int]
    REMEMBERED_FIELD_NUMBER: _ClassVar[int]
    CORRECTED_FIELD_NUMBER: _ClassVar[int]
    ERASED_FIELD_NUMBER: _ClassVar[int]
    NAMESPACE_DELETED_FIELD_NUMBER: _ClassVar[int]
    NAMESPACE_CHANGED_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    pseudonym: bytes
    ingested_at: _timestamp_pb2.Timestamp
    principal: str
    namespace_created: NamespaceCreated
    observation_accepted: ObservationAccepted
    session_ended: SessionEnded
    episode_closed: EpisodeClosed
    remembered: Remembered
    corrected: Corrected
    erased: Erased
    namespace_deleted: NamespaceDeleted
    namespace_changed: NamespaceChanged
    def __init__(self, namespace: _Optional[str] = ..., pseudonym: _Optional[bytes] = ..., ingested_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., principal: _Optional[str] = ..., namespace_created: _Optional[_Union[NamespaceCreated, _Mapping]] = ..., observation_accepted: _Optional[_Union[ObservationAccepted, _Mapping]] = ..., session_ended: _Optional[_Union[SessionEnded, _Mapping]] = ..., episode_closed: _Optional[_Union[EpisodeClosed, _Mapping]] = ..., remembered: _Optional[_Union[Remembered, _Mapping]] = ..., corrected: _Optional[_Union[Corrected, _Mapping]] = ..., erased: _Optional[_Union[Erased, _Mapping]] = ..., namespace_deleted: _Optional[_Union[NamespaceDeleted, _Mapping]] = ..., namespace_changed: _Optional[_Union[NamespaceChanged, _Mapping]] = ...) -> None: ...

class NamespaceDeleted(_message.Message):
    __slots__ = ("receipt_id", "erasure_epoch", "name_key_id")
    RECEIPT_ID_FIELD_NUMBER: _ClassVar[int]
    ERASURE_EPOCH_FIELD_NUMBER: _ClassVar[int]
    NAME_KEY_ID_FIELD_NUMBER: _ClassVar[int]
    receipt_id: str
    erasure_epoch: int
    name_key_id: str
    def __init__(self, receipt_id: _Optional[str] = ..., erasure_epoch: _Optional[int] = ..., name_key_id: _Optional[str] = ...) -> None: ...

class NamespaceCreated(_message.Message):
    __slots__ = ("metadata_fields", "aliases", "quota")
    METADATA_FIELDS_FIELD_NUMBER: _ClassVar[int]
    ALIASES_FIELD_NUMBER: _ClassVar[int]
    QUOTA_FIELD_NUMBER: _ClassVar[int]
    metadata_fields: _containers.RepeatedCompositeFieldContainer[_admin_pb2.MetadataField]
    aliases: Sealed
    quota: _admin_pb2.Quota
    def __init__(self, metadata_fields: _Optional[_Iterable[_Union[_admin_pb2.MetadataField, _Mapping]]] = ..., aliases: _Optional[_Union[Sealed, _Mapping]] = ..., quota: _Optional[_Union[_admin_pb2.Quota, _Mapping]] = ...) -> None: ...

class NamespaceChanged(_message.Message):
    __slots__ = ("id_mac", "content_mac", "metadata_fields", "aliases", "quota")
    ID_MAC_FIELD_NUMBER: _ClassVar[int]
    CONTENT_MAC_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELDS_FIELD_NUMBER: _ClassVar[int]
    ALIASES_FIELD_NUMBER: _ClassVar[int]
    QUOTA_FIELD_NUMBER: _ClassVar[int]
    id_mac: bytes
    content_mac: bytes
    metadata_fields: _containers.RepeatedCompositeFieldContainer[_admin_pb2.MetadataField]
    aliases: Sealed
    quota: _admin_pb2.Quota
    def __init__(self, id_mac: _Optional[bytes] = ..., content_mac: _Optional[bytes] = ..., metadata_fields: _Optional[_Iterable[_Union[_admin_pb2.MetadataField, _Mapping]]] = ..., aliases: _Optional[_Union[Sealed, _Mapping]] = ..., quota: _Optional[_Union[_admin_pb2.Quota, _Mapping]] = ...) -> None: ...

class ObservationAccepted(_message.Message):
    __slots__ = ("id_mac", "content_mac", "session_mac", "sealed")
    ID_MAC_FIELD_NUMBER: _ClassVar[int]
    CONTENT_MAC_FIELD_NUMBER: _ClassVar[int]
    SESSION_MAC_FIELD_NUMBER: _ClassVar[int]
    SEALED_FIELD_NUMBER: _ClassVar[int]
    id_mac: bytes
    content_mac: bytes
    session_mac: bytes
    sealed: Sealed
    def __init__(self, id_mac: _Optional[bytes] = ..., content_mac: _Optional[bytes] = ..., session_mac: _Optional[bytes] = ..., sealed: _Optional[_Union[Sealed, _Mapping]] = ...) -> None: ...

class PerceivedObservation(_message.Message):
    __slots__ = ("observation", "people", "places", "times")
    OBSERVATION_FIELD_NUMBER: _ClassVar[int]
    PEOPLE_FIELD_NUMBER: _ClassVar[int]
    PLACES_FIELD_NUMBER: _ClassVar[int]
    TIMES_FIELD_NUMBER: _ClassVar[int]
    observation: _common_pb2.Observation
    people: _containers.RepeatedScalarFieldContainer[str]
    places: _containers.RepeatedScalarFieldContainer[str]
    times: _containers.RepeatedCompositeFieldContainer[TimeMention]
    def __init__(self, observation: _Optional[_Union[_common_pb2.Observation, _Mapping]] = ..., people: _Optional[_Iterable[str]] = ..., places: _Optional[_Iterable[str]] = ..., times: _Optional[_Iterable[_Union[TimeMention, _Mapping]]] = ...) -> None: ...

class TimeMention(_message.Message):
    __slots__ = ("text", "range")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    RANGE_FIELD_NUMBER: _ClassVar[int]
    text: str
    range: _common_pb2.TimeRange
    def __init__(self, text: _Optional[str] = ..., range: _Optional[_Union[_common_pb2.TimeRange, _Mapping]] = ...) -> None: ...

class SessionEnded(_message.Message):
    __slots__ = ("session_mac",)
    SESSION_MAC_FIELD_NUMBER: _ClassVar[int]
    session_mac: bytes
    def __init__(self, session_mac: _Optional[bytes] = ...) -> None: ...

class EpisodeClosed(_message.Message):
    __slots__ = ("session_mac", "id_macs", "reason")
    SESSION_MAC_FIELD_NUMBER: _ClassVar[int]
    ID_MACS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    session_mac: bytes
    id_macs: _containers.RepeatedScalarFieldContainer[bytes]
    reason: str
    def __init__(self, session_mac: _Optional[bytes] = ..., id_macs: _Optional[_Iterable[bytes]] = ..., reason: _Optional[str] = ...) -> None: ...

class Remembered(_message.Message):
    __slots__ = ("id_mac", "content_mac", "sealed", "reading")
    ID_MAC_FIELD_NUMBER: _ClassVar[int]
    CONTENT_MAC_FIELD_NUMBER: _ClassVar[int]
    SEALED_FIELD_NUMBER: _ClassVar[int]
    READING_FIELD_NUMBER: _ClassVar[int]
    id_mac: bytes
    content_mac: bytes
    sealed: Sealed
    reading: Sealed
    def __init__(self, id_mac: _Optional[bytes] = ..., content_mac: _Optional[bytes] = ..., sealed: _Optional[_Union[Sealed, _Mapping]] = ..., reading: _Optional[_Union[Sealed, _Mapping]] = ...) -> None: ...

class Reading(_message.Message):
    __slots__ = ("labels",)
    LABELS_FIELD_NUMBER: _ClassVar[int]
    labels: _containers.RepeatedCompositeFieldContainer[Label]
    def __init__(self, labels: _Optional[_Iterable[_Union[Label, _Mapping]]] = ...) -> None: ...

class Label(_message.Message):
    __slots__ = ("start", "end", "label")
    START_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    start: int
    end: int
    label: str
    def __init__(self, start: _Optional[int] = ..., end: _Optional[int] = ..., label: _Optional[str] = ...) -> None: ...

class Corrected(_message.Message):
    __slots__ = ("id_mac", "content_mac", "engram_id", "sealed", "reading")
    ID_MAC_FIELD_NUMBER: _ClassVar[int]
    CONTENT_MAC_FIELD_NUMBER: _ClassVar[int]
    ENGRAM_ID_FIELD_NUMBER: _ClassVar[int]
    SEALED_FIELD_NUMBER: _ClassVar[int]
    READING_FIELD_NUMBER: _ClassVar[int]
    id_mac: bytes
    content_mac: bytes
    engram_id: str
    sealed: Sealed
    reading: Sealed
    def __init__(self, id_mac: _Optional[bytes] = ..., content_mac: _Optional[bytes] = ..., engram_id: _Optional[str] = ..., sealed: _Optional[_Union[Sealed, _Mapping]] = ..., reading: _Optional[_Union[Sealed, _Mapping]] = ...) -> None: ...

class Erased(_message.Message):
    __slots__ = ("receipt_id", "id_macs", "engram_ids", "key_ids", "erasure_epoch", "selector_mac", "aliases", "aliases_before", "alias_groups", "names", "doubtful", "selected_by", "declared", "engram_bytes")
    class AliasesBeforeEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: Sealed
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[Sealed, _Mapping]] = ...) -> None: ...
    RECEIPT_ID_FIELD_NUMBER: _ClassVar[int]
    ID_MACS_FIELD_NUMBER: _ClassVar[int]
    ENGRAM_IDS_FIELD_NUMBER: _ClassVar[int]
    KEY_IDS_FIELD_NUMBER: _ClassVar[int]
    ERASURE_EPOCH_FIELD_NUMBER: _ClassVar[int]
    SELECTOR_MAC_FIELD_NUMBER: _ClassVar[int]
    ALIASES_FIELD_NUMBER: _ClassVar[int]
    ALIASES_BEFORE_FIELD_NUMBER: _ClassVar[int]
    ALIAS_GROUPS_FIELD_NUMBER: _ClassVar[int]
    NAMES_FIELD_NUMBER: _ClassVar[int]
    DOUBTFUL_FIELD_NUMBER: _ClassVar[int]
    SELECTED_BY_FIELD_NUMBER: _ClassVar[int]
    DECLARED_FIELD_NUMBER: _ClassVar[int]
    ENGRAM_BYTES_FIELD_NUMBER: _ClassVar[int]
    receipt_id: str
    id_macs: _containers.RepeatedScalarFieldContainer[bytes]
    engram_ids: _containers.RepeatedScalarFieldContainer[str]
    key_ids: _containers.RepeatedScalarFieldContainer[str]
    erasure_epoch: int
    selector_mac: bytes
    aliases: Sealed
    aliases_before: _containers.MessageMap[str, Sealed]
    alias_groups: int
    names: _containers.RepeatedCompositeFieldContainer[NameHash]
    doubtful: bytes
    selected_by: str
    declared: int
    engram_bytes: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, receipt_id: _Optional[str] = ..., id_macs: _Optional[_Iterable[bytes]] = ..., engram_ids: _Optional[_Iterable[str]] = ..., key_ids: _Optional[_Iterable[str]] = ..., erasure_epoch: _Optional[int] = ..., selector_mac: _Optional[bytes] = ..., aliases: _Optional[_Union[Sealed, _Mapping]] = ..., aliases_before: _Optional[_Mapping[str, Sealed]] = ..., alias_groups: _Optional[int] = ..., names: _Optional[_Iterable[_Union[NameHash, _Mapping]]] = ..., doubtful: _Optional[bytes] = ..., selected_by: _Optional[str] = ..., declared: _Optional[int] = ..., engram_bytes: _Optional[_Iterable[int]] = ...) -> None: ...

class NameHash(_message.Message):
    __slots__ = ("mac", "letters", "words")
    MAC_FIELD_NUMBER: _ClassVar[int]
    LETTERS_FIELD_NUMBER: _ClassVar[int]
    WORDS_FIELD_NUMBER: _ClassVar[int]
    mac: bytes
    letters: int
    words: _containers.RepeatedCompositeFieldContainer[NameWord]
    def __init__(self, mac: _Optional[bytes] = ..., letters: _Optional[int] = ..., words: _Optional[_Iterable[_Union[NameWord, _Mapping]]] = ...) -> None: ...

class NameWord(_message.Message):
    __slots__ = ("stems", "initial")
    STEMS_FIELD_NUMBER: _ClassVar[int]
    INITIAL_FIELD_NUMBER: _ClassVar[int]
    stems: _containers.RepeatedCompositeFieldContainer[NameStem]
    initial: bytes
    def __init__(self, stems: _Optional[_Iterable[_Union[NameStem, _Mapping]]] = ..., initial: _Optional[bytes] = ...) -> None: ...

class NameStem(_message.Message):
    __slots__ = ("mac", "letters", "least")
    MAC_FIELD_NUMBER: _ClassVar[int]
    LETTERS_FIELD_NUMBER: _ClassVar[int]
    LEAST_FIELD_NUMBER: _ClassVar[int]
    mac: bytes
    letters: int
    least: int
    def __init__(self, mac: _Optional[bytes] = ..., letters: _Optional[int] = ..., least: _Optional[int] = ...) -> None: ...

class FeedRecord(_message.Message):
    __slots__ = ("generation", "namespace", "engram_id", "version", "position", "sealed", "erased", "detail")
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    ENGRAM_ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    SEALED_FIELD_NUMBER: _ClassVar[int]
    ERASED_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    generation: int
    namespace: str
    engram_id: str
    version: int
    position: _common_pb2.Position
    sealed: Sealed
    erased: bool
    detail: Sealed
    def __init__(self, generation: _Optional[int] = ..., namespace: _Optional[str] = ..., engram_id: _Optional[str] = ..., version: _Optional[int] = ..., position: _Optional[_Union[_common_pb2.Position, _Mapping]] = ..., sealed: _Optional[_Union[Sealed, _Mapping]] = ..., erased: _Optional[bool] = ..., detail: _Optional[_Union[Sealed, _Mapping]] = ...) -> None: ...

class EngramRecord(_message.Message):
    __slots__ = ("engram", "id_mac", "times", "content_mac", "place", "session_mac")
    ENGRAM_FIELD_NUMBER: _ClassVar[int]
    ID_MAC_FIELD_NUMBER: _ClassVar[int]
    TIMES_FIELD_NUMBER: _ClassVar[int]
    CONTENT_MAC_FIELD_NUMBER: _ClassVar[int]
    PLACE_FIELD_NUMBER: _ClassVar[int]
    SESSION_MAC_FIELD_NUMBER: _ClassVar[int]
    engram: _episodic_pb2.Engram
    id_mac: bytes
    times: _containers.RepeatedCompositeFieldContainer[TimeMention]
    content_mac: bytes
    place: int
    session_mac: bytes
    def __init__(self, engram: _Optional[_Union[_episodic_pb2.Engram, _Mapping]] = ..., id_mac: _Optional[bytes] = ..., times: _Optional[_Iterable[_Union[TimeMention, _Mapping]]] = ..., content_mac: _Optional[bytes] = ..., place: _Optional[int] = ..., session_mac: _Optional[bytes] = ...) -> None: ...

class EngramDetail(_message.Message):
    __slots__ = ("keys", "history", "applied", "touches", "patched")
    class TouchesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    class PatchedEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    KEYS_FIELD_NUMBER: _ClassVar[int]
    HISTORY_FIELD_NUMBER: _ClassVar[int]
    APPLIED_FIELD_NUMBER: _ClassVar[int]
    TOUCHES_FIELD_NUMBER: _ClassVar[int]
    PATCHED_FIELD_NUMBER: _ClassVar[int]
    keys: _containers.RepeatedCompositeFieldContainer[EngramKey]
    history: _containers.RepeatedCompositeFieldContainer[_episodic_pb2.HistoryEvent]
    applied: _containers.RepeatedScalarFieldContainer[bytes]
    touches: _containers.ScalarMap[str, float]
    patched: _containers.ScalarMap[str, int]
    def __init__(self, keys: _Optional[_Iterable[_Union[EngramKey, _Mapping]]] = ..., history: _Optional[_Iterable[_Union[_episodic_pb2.HistoryEvent, _Mapping]]] = ..., applied: _Optional[_Iterable[bytes]] = ..., touches: _Optional[_Mapping[str, float]] = ..., patched: _Optional[_Mapping[str, int]] = ...) -> None: ...

class EngramKey(_message.Message):
    __slots__ = ("granularity", "text", "weight", "use")
    GRANULARITY_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    USE_FIELD_NUMBER: _ClassVar[int]
    granularity: str
    text: str
    weight: float
    use: str
    def __init__(self, granularity: _Optional[str] = ..., text: _Optional[str] = ..., weight: _Optional[float] = ..., use: _Optional[str] = ...) -> None: ...

class StoredReceipt(_message.Message):
    __slots__ = ("receipt", "base_ids", "derived_ids", "key_ids")
    RECEIPT_FIELD_NUMBER: _ClassVar[int]
    BASE_IDS_FIELD_NUMBER: _ClassVar[int]
    DERIVED_IDS_FIELD_NUMBER: _ClassVar[int]
    KEY_IDS_FIELD_NUMBER: _ClassVar[int]
    receipt: _episodic_pb2.ErasureReceipt
    base_ids: _containers.RepeatedScalarFieldContainer[str]
    derived_ids: _containers.RepeatedScalarFieldContainer[str]
    key_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, receipt: _Optional[_Union[_episodic_pb2.ErasureReceipt, _Mapping]] = ..., base_ids: _Optional[_Iterable[str]] = ..., derived_ids: _Optional[_Iterable[str]] = ..., key_ids: _Optional[_Iterable[str]] = ...) -> None: ...

class ParkedEntry(_message.Message):
    __slots__ = ("namespace", "position", "reason", "message", "key_id", "id_mac", "engram_id")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    KEY_ID_FIELD_NUMBER: _ClassVar[int]
    ID_MAC_FIELD_NUMBER: _ClassVar[int]
    ENGRAM_ID_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    position: _common_pb2.Position
    reason: str
    message: str
    key_id: str
    id_mac: bytes
    engram_id: str
    def __init__(self, namespace: _Optional[str] = ..., position: _Optional[_Union[_common_pb2.Position, _Mapping]] = ..., reason: _Optional[str] = ..., message: _Optional[str] = ..., key_id: _Optional[str] = ..., id_mac: _Optional[bytes] = ..., engram_id: _Optional[str] = ...) -> None: ...

class Generation(_message.Message):
    __slots__ = ("number", "fingerprint", "next")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    NEXT_FIELD_NUMBER: _ClassVar[int]
    number: int
    fingerprint: str
    next: _containers.RepeatedCompositeFieldContainer[_common_pb2.Position]
    def __init__(self, number: _Optional[int] = ..., fingerprint: _Optional[str] = ..., next: _Optional[_Iterable[_Union[_common_pb2.Position, _Mapping]]] = ...) -> None: ...

class ShardsWanted(_message.Message):
    __slots__ = ("count", "configured")
    COUNT_FIELD_NUMBER: _ClassVar[int]
    CONFIGURED_FIELD_NUMBER: _ClassVar[int]
    count: int
    configured: int
    def __init__(self, count: _Optional[int] = ..., configured: _Optional[int] = ...) -> None: ...

class PartitionOwner(_message.Message):
    __slots__ = ("shard", "phase", "before")
    SHARD_FIELD_NUMBER: _ClassVar[int]
    PHASE_FIELD_NUMBER: _ClassVar[int]
    BEFORE_FIELD_NUMBER: _ClassVar[int]
    shard: int
    phase: OwnerPhase
    before: int
    def __init__(self, shard: _Optional[int] = ..., phase: _Optional[_Union[OwnerPhase, str]] = ..., before: _Optional[int] = ...) -> None: ...

class StoredAssignment(_message.Message):
    __slots__ = ("owners", "problem")
    OWNERS_FIELD_NUMBER: _ClassVar[int]
    PROBLEM_FIELD_NUMBER: _ClassVar[int]
    owners: _containers.RepeatedCompositeFieldContainer[PartitionOwner]
    problem: str
    def __init__(self, owners: _Optional[_Iterable[_Union[PartitionOwner, _Mapping]]] = ..., problem: _Optional[str] = ...) -> None: ...

class IndexProgress(_message.Message):
    __slots__ = ("next",)
    NEXT_FIELD_NUMBER: _ClassVar[int]
    next: _containers.RepeatedCompositeFieldContainer[_common_pb2.Position]
    def __init__(self, next: _Optional[_Iterable[_Union[_common_pb2.Position, _Mapping]]] = ...) -> None: ...

class FactsSnapshot(_message.Message):
    __slots__ = ("partitions",)
    PARTITIONS_FIELD_NUMBER: _ClassVar[int]
    partitions: _containers.RepeatedCompositeFieldContainer[PartitionFacts]
    def __init__(self, partitions: _Optional[_Iterable[_Union[PartitionFacts, _Mapping]]] = ...) -> None: ...

class PartitionFacts(_message.Message):
    __slots__ = ("next", "last_mac", "namespaces", "partition")
    NEXT_FIELD_NUMBER: _ClassVar[int]
    LAST_MAC_FIELD_NUMBER: _ClassVar[int]
    NAMESPACES_FIELD_NUMBER: _ClassVar[int]
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    next: int
    last_mac: bytes
    namespaces: _containers.RepeatedCompositeFieldContainer[StoredFacts]
    partition: int
    def __init__(self, next: _Optional[int] = ..., last_mac: _Optional[bytes] = ..., namespaces: _Optional[_Iterable[_Union[StoredFacts, _Mapping]]] = ..., partition: _Optional[int] = ...) -> None: ...

class StoredFacts(_message.Message):
    __slots__ = ("pseudonym", "in_clear", "settings", "deleted", "erasures", "observations", "sessions", "epochs", "places", "usage")
    class EpochsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: int
        value: int
        def __init__(self, key: _Optional[int] = ..., value: _Optional[int] = ...) -> None: ...
    PSEUDONYM_FIELD_NUMBER: _ClassVar[int]
    IN_CLEAR_FIELD_NUMBER: _ClassVar[int]
    SETTINGS_FIELD_NUMBER: _ClassVar[int]
    DELETED_FIELD_NUMBER: _ClassVar[int]
    ERASURES_FIELD_NUMBER: _ClassVar[int]
    OBSERVATIONS_FIELD_NUMBER: _ClassVar[int]
    SESSIONS_FIELD_NUMBER: _ClassVar[int]
    EPOCHS_FIELD_NUMBER: _ClassVar[int]
    PLACES_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    pseudonym: bytes
    in_clear: bool
    settings: StoredSettings
    deleted: StoredDeletion
    erasures: StoredErasures
    observations: StoredIds
    sessions: StoredSessions
    epochs: _containers.ScalarMap[int, int]
    places: StoredPlaces
    usage: StoredUsage
    def __init__(self, pseudonym: _Optional[bytes] = ..., in_clear: _Optional[bool] = ..., settings: _Optional[_Union[StoredSettings, _Mapping]] = ..., deleted: _Optional[_Union[StoredDeletion, _Mapping]] = ..., erasures: _Optional[_Union[StoredErasures, _Mapping]] = ..., observations: _Optional[_Union[StoredIds, _Mapping]] = ..., sessions: _Optional[_Union[StoredSessions, _Mapping]] = ..., epochs: _Optional[_Mapping[int, int]] = ..., places: _Optional[_Union[StoredPlaces, _Mapping]] = ..., usage: _Optional[_Union[StoredUsage, _Mapping]] = ...) -> None: ...

class StoredUsage(_message.Message):
    __slots__ = ("texts", "bytes", "erased_bytes", "newest", "next")
    TEXTS_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    ERASED_BYTES_FIELD_NUMBER: _ClassVar[int]
    NEWEST_FIELD_NUMBER: _ClassVar[int]
    NEXT_FIELD_NUMBER: _ClassVar[int]
    texts: int
    bytes: int
    erased_bytes: int
    newest: _timestamp_pb2.Timestamp
    next: int
    def __init__(self, texts: _Optional[int] = ..., bytes: _Optional[int] = ..., erased_bytes: _Optional[int] = ..., newest: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., next: _Optional[int] = ...) -> None: ...

class StoredPlaces(_message.Message):
    __slots__ = ("told", "boundaries", "sizes")
    TOLD_FIELD_NUMBER: _ClassVar[int]
    BOUNDARIES_FIELD_NUMBER: _ClassVar[int]
    SIZES_FIELD_NUMBER: _ClassVar[int]
    told: _containers.RepeatedScalarFieldContainer[int]
    boundaries: _containers.RepeatedCompositeFieldContainer[StoredBoundary]
    sizes: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, told: _Optional[_Iterable[int]] = ..., boundaries: _Optional[_Iterable[_Union[StoredBoundary, _Mapping]]] = ..., sizes: _Optional[_Iterable[int]] = ...) -> None: ...

class StoredBoundary(_message.Message):
    __slots__ = ("session_mac", "offset", "held")
    SESSION_MAC_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    HELD_FIELD_NUMBER: _ClassVar[int]
    session_mac: bytes
    offset: int
    held: bytes
    def __init__(self, session_mac: _Optional[bytes] = ..., offset: _Optional[int] = ..., held: _Optional[bytes] = ...) -> None: ...

class StoredSettings(_message.Message):
    __slots__ = ("offset", "metadata_fields", "late", "changes", "needless_key_ids", "aliases", "quota")
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELDS_FIELD_NUMBER: _ClassVar[int]
    LATE_FIELD_NUMBER: _ClassVar[int]
    CHANGES_FIELD_NUMBER: _ClassVar[int]
    NEEDLESS_KEY_IDS_FIELD_NUMBER: _ClassVar[int]
    ALIASES_FIELD_NUMBER: _ClassVar[int]
    QUOTA_FIELD_NUMBER: _ClassVar[int]
    offset: int
    metadata_fields: _containers.RepeatedCompositeFieldContainer[_admin_pb2.MetadataField]
    late: _containers.RepeatedScalarFieldContainer[str]
    changes: StoredIds
    needless_key_ids: _containers.RepeatedScalarFieldContainer[str]
    aliases: _containers.RepeatedCompositeFieldContainer[StoredAliases]
    quota: _admin_pb2.Quota
    def __init__(self, offset: _Optional[int] = ..., metadata_fields: _Optional[_Iterable[_Union[_admin_pb2.MetadataField, _Mapping]]] = ..., late: _Optional[_Iterable[str]] = ..., changes: _Optional[_Union[StoredIds, _Mapping]] = ..., needless_key_ids: _Optional[_Iterable[str]] = ..., aliases: _Optional[_Iterable[_Union[StoredAliases, _Mapping]]] = ..., quota: _Optional[_Union[_admin_pb2.Quota, _Mapping]] = ...) -> None: ...

class StoredAliases(_message.Message):
    __slots__ = ("offset", "sealed", "needed", "erased_from", "replaced_bytes")
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    SEALED_FIELD_NUMBER: _ClassVar[int]
    NEEDED_FIELD_NUMBER: _ClassVar[int]
    ERASED_FROM_FIELD_NUMBER: _ClassVar[int]
    REPLACED_BYTES_FIELD_NUMBER: _ClassVar[int]
    offset: int
    sealed: Sealed
    needed: bool
    erased_from: bool
    replaced_bytes: int
    def __init__(self, offset: _Optional[int] = ..., sealed: _Optional[_Union[Sealed, _Mapping]] = ..., needed: _Optional[bool] = ..., erased_from: _Optional[bool] = ..., replaced_bytes: _Optional[int] = ...) -> None: ...

class StoredDeletion(_message.Message):
    __slots__ = ("offset", "receipt_id", "name_key_id")
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    RECEIPT_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_KEY_ID_FIELD_NUMBER: _ClassVar[int]
    offset: int
    receipt_id: str
    name_key_id: str
    def __init__(self, offset: _Optional[int] = ..., receipt_id: _Optional[str] = ..., name_key_id: _Optional[str] = ...) -> None: ...

class StoredErasures(_message.Message):
    __slots__ = ("macs", "offsets", "engram_ids", "selectors")
    class SelectorsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: bytes
        def __init__(self, key: _Optional[str] = ..., value: _Optional[bytes] = ...) -> None: ...
    MACS_FIELD_NUMBER: _ClassVar[int]
    OFFSETS_FIELD_NUMBER: _ClassVar[int]
    ENGRAM_IDS_FIELD_NUMBER: _ClassVar[int]
    SELECTORS_FIELD_NUMBER: _ClassVar[int]
    macs: _containers.RepeatedScalarFieldContainer[bytes]
    offsets: _containers.RepeatedScalarFieldContainer[int]
    engram_ids: _containers.RepeatedScalarFieldContainer[str]
    selectors: _containers.ScalarMap[str, bytes]
    def __init__(self, macs: _Optional[_Iterable[bytes]] = ..., offsets: _Optional[_Iterable[int]] = ..., engram_ids: _Optional[_Iterable[str]] = ..., selectors: _Optional[_Mapping[str, bytes]] = ...) -> None: ...

class StoredIds(_message.Message):
    __slots__ = ("macs", "content_macs", "offsets")
    MACS_FIELD_NUMBER: _ClassVar[int]
    CONTENT_MACS_FIELD_NUMBER: _ClassVar[int]
    OFFSETS_FIELD_NUMBER: _ClassVar[int]
    macs: _containers.RepeatedScalarFieldContainer[bytes]
    content_macs: _containers.RepeatedScalarFieldContainer[bytes]
    offsets: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, macs: _Optional[_Iterable[bytes]] = ..., content_macs: _Optional[_Iterable[bytes]] = ..., offsets: _Optional[_Iterable[int]] = ...) -> None: ...

class StoredSessions(_message.Message):
    __slots__ = ("macs", "offsets", "ended")
    MACS_FIELD_NUMBER: _ClassVar[int]
    OFFSETS_FIELD_NUMBER: _ClassVar[int]
    ENDED_FIELD_NUMBER: _ClassVar[int]
    macs: _containers.RepeatedScalarFieldContainer[bytes]
    offsets: _containers.RepeatedScalarFieldContainer[int]
    ended: _containers.RepeatedScalarFieldContainer[bool]
    def __init__(self, macs: _Optional[_Iterable[bytes]] = ..., offsets: _Optional[_Iterable[int]] = ..., ended: _Optional[_Iterable[bool]] = ...) -> None: ...

class PerceptionCheckpoint(_message.Message):
    __slots__ = ("namespace", "session_mac", "open_id_macs", "opened_at", "last_ingested_at", "segmenter")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    SESSION_MAC_FIELD_NUMBER: _ClassVar[int]
    OPEN_ID_MACS_FIELD_NUMBER: _ClassVar[int]
    OPENED_AT_FIELD_NUMBER: _ClassVar[int]
    LAST_INGESTED_AT_FIELD_NUMBER: _ClassVar[int]
    SEGMENTER_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    session_mac: bytes
    open_id_macs: _containers.RepeatedScalarFieldContainer[bytes]
    opened_at: _timestamp_pb2.Timestamp
    last_ingested_at: _timestamp_pb2.Timestamp
    segmenter: Sealed
    def __init__(self, namespace: _Optional[str] = ..., session_mac: _Optional[bytes] = ..., open_id_macs: _Optional[_Iterable[bytes]] = ..., opened_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., last_ingested_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., segmenter: _Optional[_Union[Sealed, _Mapping]] = ...) -> None: ...

class DeadLetter(_message.Message):
    __slots__ = ("topic", "position", "reason", "message", "payload", "at", "field", "remedy", "namespace_pseudonym", "id_mac", "content_type")
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    FIELD_FIELD_NUMBER: _ClassVar[int]
    REMEDY_FIELD_NUMBER: _ClassVar[int]
    NAMESPACE_PSEUDONYM_FIELD_NUMBER: _ClassVar[int]
    ID_MAC_FIELD_NUMBER: _ClassVar[int]
    CONTENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    topic: str
    position: _common_pb2.Position
    reason: str
    message: str
    payload: Sealed
    at: _timestamp_pb2.Timestamp
    field: str
    remedy: str
    namespace_pseudonym: bytes
    id_mac: bytes
    content_type: str
    def __init__(self, topic: _Optional[str] = ..., position: _Optional[_Union[_common_pb2.Position, _Mapping]] = ..., reason: _Optional[str] = ..., message: _Optional[str] = ..., payload: _Optional[_Union[Sealed, _Mapping]] = ..., at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., field: _Optional[str] = ..., remedy: _Optional[str] = ..., namespace_pseudonym: _Optional[bytes] = ..., id_mac: _Optional[bytes] = ..., content_type: _Optional[str] = ...) -> None: ...

class TokenRecord(_message.Message):
    __slots__ = ("principal", "namespace_prefixes", "rights", "expires_at", "lineage", "issued_under")
    PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
    NAMESPACE_PREFIXES_FIELD_NUMBER: _ClassVar[int]
    RIGHTS_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    LINEAGE_FIELD_NUMBER: _ClassVar[int]
    ISSUED_UNDER_FIELD_NUMBER: _ClassVar[int]
    principal: str
    namespace_prefixes: _containers.RepeatedScalarFieldContainer[str]
    rights: _containers.RepeatedScalarFieldContainer[str]
    expires_at: float
    lineage: _containers.RepeatedScalarFieldContainer[str]
    issued_under: str
    def __init__(self, principal: _Optional[str] = ..., namespace_prefixes: _Optional[_Iterable[str]] = ..., rights: _Optional[_Iterable[str]] = ..., expires_at: _Optional[float] = ..., lineage: _Optional[_Iterable[str]] = ..., issued_under: _Optional[str] = ...) -> None: ...
