from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class PutOutcome(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PUT_OUTCOME_UNSPECIFIED: _ClassVar[PutOutcome]
    PUT_OUTCOME_STORED: _ClassVar[PutOutcome]
    PUT_OUTCOME_EXISTS: _ClassVar[PutOutcome]
    PUT_OUTCOME_STALE_EPOCH: _ClassVar[PutOutcome]
    PUT_OUTCOME_ERASED: _ClassVar[PutOutcome]
    PUT_OUTCOME_CORRUPT: _ClassVar[PutOutcome]
    PUT_OUTCOME_NO_SPACE: _ClassVar[PutOutcome]
PUT_OUTCOME_UNSPECIFIED: PutOutcome
PUT_OUTCOME_STORED: PutOutcome
PUT_OUTCOME_EXISTS: PutOutcome
PUT_OUTCOME_STALE_EPOCH: PutOutcome
PUT_OUTCOME_ERASED: PutOutcome
PUT_OUTCOME_CORRUPT: PutOutcome
PUT_OUTCOME_NO_SPACE: PutOutcome

class NamespaceEpoch(_message.Message):
    __slots__ = ("namespace", "erasure_epoch")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    ERASURE_EPOCH_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    erasure_epoch: int
    def __init__(self, namespace: _Optional[str] = ..., erasure_epoch: _Optional[int] = ...) -> None: ...

class EngramRef(_message.Message):
    __slots__ = ("namespace", "engram_id")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    ENGRAM_ID_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    engram_id: str
    def __init__(self, namespace: _Optional[str] = ..., engram_id: _Optional[str] = ...) -> None: ...

class ReserveStagingRequest(_message.Message):
    __slots__ = ("holder", "blocks", "block_bytes")
    HOLDER_FIELD_NUMBER: _ClassVar[int]
    BLOCKS_FIELD_NUMBER: _ClassVar[int]
    BLOCK_BYTES_FIELD_NUMBER: _ClassVar[int]
    holder: str
    blocks: int
    block_bytes: int
    def __init__(self, holder: _Optional[str] = ..., blocks: _Optional[int] = ..., block_bytes: _Optional[int] = ...) -> None: ...

class ReserveStagingResponse(_message.Message):
    __slots__ = ("reservation", "offsets", "ttl_s")
    RESERVATION_FIELD_NUMBER: _ClassVar[int]
    OFFSETS_FIELD_NUMBER: _ClassVar[int]
    TTL_S_FIELD_NUMBER: _ClassVar[int]
    reservation: int
    offsets: _containers.RepeatedScalarFieldContainer[int]
    ttl_s: float
    def __init__(self, reservation: _Optional[int] = ..., offsets: _Optional[_Iterable[int]] = ..., ttl_s: _Optional[float] = ...) -> None: ...

class PutBlock(_message.Message):
    __slots__ = ("key", "offset", "length", "digest", "lineage_count")
    KEY_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    LENGTH_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    LINEAGE_COUNT_FIELD_NUMBER: _ClassVar[int]
    key: bytes
    offset: int
    length: int
    digest: bytes
    lineage_count: int
    def __init__(self, key: _Optional[bytes] = ..., offset: _Optional[int] = ..., length: _Optional[int] = ..., digest: _Optional[bytes] = ..., lineage_count: _Optional[int] = ...) -> None: ...

class PutBlocksRequest(_message.Message):
    __slots__ = ("holder", "reservation", "namespace", "identity", "epochs", "lineage", "lineage_unknown", "blocks")
    HOLDER_FIELD_NUMBER: _ClassVar[int]
    RESERVATION_FIELD_NUMBER: _ClassVar[int]
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    IDENTITY_FIELD_NUMBER: _ClassVar[int]
    EPOCHS_FIELD_NUMBER: _ClassVar[int]
    LINEAGE_FIELD_NUMBER: _ClassVar[int]
    LINEAGE_UNKNOWN_FIELD_NUMBER: _ClassVar[int]
    BLOCKS_FIELD_NUMBER: _ClassVar[int]
    holder: str
    reservation: int
    namespace: str
    identity: bytes
    epochs: _containers.RepeatedCompositeFieldContainer[NamespaceEpoch]
    lineage: _containers.RepeatedCompositeFieldContainer[EngramRef]
    lineage_unknown: bool
    blocks: _containers.RepeatedCompositeFieldContainer[PutBlock]
    def __init__(self, holder: _Optional[str] = ..., reservation: _Optional[int] = ..., namespace: _Optional[str] = ..., identity: _Optional[bytes] = ..., epochs: _Optional[_Iterable[_Union[NamespaceEpoch, _Mapping]]] = ..., lineage: _Optional[_Iterable[_Union[EngramRef, _Mapping]]] = ..., lineage_unknown: _Optional[bool] = ..., blocks: _Optional[_Iterable[_Union[PutBlock, _Mapping]]] = ...) -> None: ...

class PutBlocksResponse(_message.Message):
    __slots__ = ("outcomes",)
    OUTCOMES_FIELD_NUMBER: _ClassVar[int]
    outcomes: _containers.RepeatedScalarFieldContainer[PutOutcome]
    def __init__(self, outcomes: _Optional[_Iterable[_Union[PutOutcome, str]]] = ...) -> None: ...

class LookupBlocksRequest(_message.Message):
    __slots__ = ("keys",)
    KEYS_FIELD_NUMBER: _ClassVar[int]
    keys: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, keys: _Optional[_Iterable[bytes]] = ...) -> None: ...

class LookupBlocksResponse(_message.Message):
    __slots__ = ("present",)
    PRESENT_FIELD_NUMBER: _ClassVar[int]
    present: int
    def __init__(self, present: _Optional[int] = ...) -> None: ...

class LeaseBlocksRequest(_message.Message):
    __slots__ = ("holder", "keys")
    HOLDER_FIELD_NUMBER: _ClassVar[int]
    KEYS_FIELD_NUMBER: _ClassVar[int]
    holder: str
    keys: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, holder: _Optional[str] = ..., keys: _Optional[_Iterable[bytes]] = ...) -> None: ...

class LeaseBlocksResponse(_message.Message):
    __slots__ = ("lease", "pinned", "ttl_s")
    LEASE_FIELD_NUMBER: _ClassVar[int]
    PINNED_FIELD_NUMBER: _ClassVar[int]
    TTL_S_FIELD_NUMBER: _ClassVar[int]
    lease: int
    pinned: int
    ttl_s: float
    def __init__(self, lease: _Optional[int] = ..., pinned: _Optional[int] = ..., ttl_s: _Optional[float] = ...) -> None: ...

class ClaimBlocksRequest(_message.Message):
    __slots__ = ("holder", "keys")
    HOLDER_FIELD_NUMBER: _ClassVar[int]
    KEYS_FIELD_NUMBER: _ClassVar[int]
    holder: str
    keys: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, holder: _Optional[str] = ..., keys: _Optional[_Iterable[bytes]] = ...) -> None: ...

class ClaimBlocksResponse(_message.Message):
    __slots__ = ("present", "claimed", "held", "ttl_s")
    PRESENT_FIELD_NUMBER: _ClassVar[int]
    CLAIMED_FIELD_NUMBER: _ClassVar[int]
    HELD_FIELD_NUMBER: _ClassVar[int]
    TTL_S_FIELD_NUMBER: _ClassVar[int]
    present: int
    claimed: int
    held: int
    ttl_s: float
    def __init__(self, present: _Optional[int] = ..., claimed: _Optional[int] = ..., held: _Optional[int] = ..., ttl_s: _Optional[float] = ...) -> None: ...

class WaitBlocksRequest(_message.Message):
    __slots__ = ("keys",)
    KEYS_FIELD_NUMBER: _ClassVar[int]
    keys: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, keys: _Optional[_Iterable[bytes]] = ...) -> None: ...

class WaitBlocksResponse(_message.Message):
    __slots__ = ("present",)
    PRESENT_FIELD_NUMBER: _ClassVar[int]
    present: int
    def __init__(self, present: _Optional[int] = ...) -> None: ...

class ReleaseBlocksRequest(_message.Message):
    __slots__ = ("holder", "leases", "claims", "reservations")
    HOLDER_FIELD_NUMBER: _ClassVar[int]
    LEASES_FIELD_NUMBER: _ClassVar[int]
    CLAIMS_FIELD_NUMBER: _ClassVar[int]
    RESERVATIONS_FIELD_NUMBER: _ClassVar[int]
    holder: str
    leases: _containers.RepeatedScalarFieldContainer[int]
    claims: _containers.RepeatedScalarFieldContainer[bytes]
    reservations: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, holder: _Optional[str] = ..., leases: _Optional[_Iterable[int]] = ..., claims: _Optional[_Iterable[bytes]] = ..., reservations: _Optional[_Iterable[int]] = ...) -> None: ...

class ReleaseBlocksResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Erasure(_message.Message):
    __slots__ = ("namespace", "erasure_epoch", "engram_ids")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    ERASURE_EPOCH_FIELD_NUMBER: _ClassVar[int]
    ENGRAM_IDS_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    erasure_epoch: int
    engram_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, namespace: _Optional[str] = ..., erasure_epoch: _Optional[int] = ..., engram_ids: _Optional[_Iterable[str]] = ...) -> None: ...

class DropBlocksRequest(_message.Message):
    __slots__ = ("erasures",)
    ERASURES_FIELD_NUMBER: _ClassVar[int]
    erasures: _containers.RepeatedCompositeFieldContainer[Erasure]
    def __init__(self, erasures: _Optional[_Iterable[_Union[Erasure, _Mapping]]] = ...) -> None: ...

class DropBlocksResponse(_message.Message):
    __slots__ = ("named_blocks", "unreachable_blocks", "overwritten_bytes")
    NAMED_BLOCKS_FIELD_NUMBER: _ClassVar[int]
    UNREACHABLE_BLOCKS_FIELD_NUMBER: _ClassVar[int]
    OVERWRITTEN_BYTES_FIELD_NUMBER: _ClassVar[int]
    named_blocks: int
    unreachable_blocks: int
    overwritten_bytes: int
    def __init__(self, named_blocks: _Optional[int] = ..., unreachable_blocks: _Optional[int] = ..., overwritten_bytes: _Optional[int] = ...) -> None: ...

class HeartbeatRequest(_message.Message):
    __slots__ = ("holder", "used_keys", "suspect_keys", "claimed_keys")
    HOLDER_FIELD_NUMBER: _ClassVar[int]
    USED_KEYS_FIELD_NUMBER: _ClassVar[int]
    SUSPECT_KEYS_FIELD_NUMBER: _ClassVar[int]
    CLAIMED_KEYS_FIELD_NUMBER: _ClassVar[int]
    holder: str
    used_keys: _containers.RepeatedScalarFieldContainer[bytes]
    suspect_keys: _containers.RepeatedScalarFieldContainer[bytes]
    claimed_keys: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, holder: _Optional[str] = ..., used_keys: _Optional[_Iterable[bytes]] = ..., suspect_keys: _Optional[_Iterable[bytes]] = ..., claimed_keys: _Optional[_Iterable[bytes]] = ...) -> None: ...

class HeartbeatResponse(_message.Message):
    __slots__ = ("owner_epoch",)
    OWNER_EPOCH_FIELD_NUMBER: _ClassVar[int]
    owner_epoch: int
    def __init__(self, owner_epoch: _Optional[int] = ...) -> None: ...

class StoreStatsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class StoreStatsResponse(_message.Message):
    __slots__ = ("owner_epoch", "blocks", "used_bytes", "capacity_bytes", "staging_used_bytes", "staging_capacity_bytes", "claims", "leases", "counts", "eviction")
    class CountsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    OWNER_EPOCH_FIELD_NUMBER: _ClassVar[int]
    BLOCKS_FIELD_NUMBER: _ClassVar[int]
    USED_BYTES_FIELD_NUMBER: _ClassVar[int]
    CAPACITY_BYTES_FIELD_NUMBER: _ClassVar[int]
    STAGING_USED_BYTES_FIELD_NUMBER: _ClassVar[int]
    STAGING_CAPACITY_BYTES_FIELD_NUMBER: _ClassVar[int]
    CLAIMS_FIELD_NUMBER: _ClassVar[int]
    LEASES_FIELD_NUMBER: _ClassVar[int]
    COUNTS_FIELD_NUMBER: _ClassVar[int]
    EVICTION_FIELD_NUMBER: _ClassVar[int]
    owner_epoch: int
    blocks: int
    used_bytes: int
    capacity_bytes: int
    staging_used_bytes: int
    staging_capacity_bytes: int
    claims: int
    leases: int
    counts: _containers.ScalarMap[str, int]
    eviction: str
    def __init__(self, owner_epoch: _Optional[int] = ..., blocks: _Optional[int] = ..., used_bytes: _Optional[int] = ..., capacity_bytes: _Optional[int] = ..., staging_used_bytes: _Optional[int] = ..., staging_capacity_bytes: _Optional[int] = ..., claims: _Optional[int] = ..., leases: _Optional[int] = ..., counts: _Optional[_Mapping[str, int]] = ..., eviction: _Optional[str] = ...) -> None: ...
