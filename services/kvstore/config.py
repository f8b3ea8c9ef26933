"""Settings of the KV store; see defaults.yaml for what each field means."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from services.kvstore.eviction import POLICIES
from services.kvstore.layout import PAGE


class KvstoreConfig(BaseModel):
    """Section ``kvstore``. Times in seconds, sizes in bytes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = Field(min_length=1)
    port: int = Field(ge=0, le=65535)  # 0: any free port; clients find it
    replicas: int = Field(ge=0)
    arena_dir: Path
    arena_bytes: int = Field(ge=1 << 16)
    extent_bytes: int = Field(ge=PAGE, multiple_of=PAGE)
    min_block_bytes: int = Field(ge=64)
    staging_bytes: int = Field(ge=PAGE, multiple_of=PAGE)
    eviction: str
    namespace_share: float = Field(gt=0, le=1)
    heartbeat_s: float = Field(gt=0)
    owner_timeout_s: float = Field(gt=0)
    hold_ttl_s: float = Field(gt=0)
    max_wait_s: float = Field(gt=0)
    max_claims: int = Field(ge=1)
    max_leases: int = Field(ge=1)
    max_keys: int = Field(ge=1)
    max_running_calls: int = Field(ge=1)
    erased_ids: int = Field(ge=0)
    ledger_period_s: float = Field(gt=0)

    @field_validator("eviction")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in POLICIES:
            raise ValueError(f"no such policy; known: {', '.join(sorted(POLICIES))}")
        return name

    @model_validator(mode="after")
    def _fits_together(self) -> KvstoreConfig:
        if self.arena_bytes < self.extent_bytes:
            raise ValueError("arena_bytes must hold at least one extent (extent_bytes)")
        if self.owner_timeout_s < 3 * self.heartbeat_s:
            raise ValueError("owner_timeout_s must be at least 3 heartbeat_s, or a busy owner looks dead")
        return self
