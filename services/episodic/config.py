"""Settings of episodic. The manual, with the defaults, is ``defaults.yaml`` beside this file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from services.episodic.search.opening import fault


class EpisodicConfig(BaseModel):
    """Section ``episodic``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    # Processes among which the partitions of the ledger are shared.
    shards: int = Field(ge=1)

    # Milvus Lite: a folder, "" for data_dir/index. SQLite files: "sqlite:FOLDER", "sqlite" for data_dir/index. A Milvus
    # server: http(s)://host:port, with its token.
    index_uri: str
    index_token: str
    index_timeout_s: float = Field(gt=0)
    # Rows, and seconds, after which written rows are flushed.
    flush_rows: int = Field(ge=1)
    flush_after_s: float = Field(gt=0)

    # Plug-ins in order: names, or {name: {parameter: value}}.
    plugins: tuple[str | Mapping[str, Mapping[str, Any] | None], ...] = Field(min_length=1)
    embed_package: str = Field(min_length=1)
    embed_sha256: str = Field(pattern=r"^[0-9a-fA-F]{64}$")
    ner_package: str = Field(min_length=1)
    ner_weights: str = Field(min_length=1)
    ner_sha256: str = Field(pattern=r"^[0-9a-fA-F]{64}$")

    # Ledger entries in one transaction, and ledger records per look.
    batch_entries: int = Field(ge=1, le=1024)
    poll_records: int = Field(ge=1, le=4096)
    # Seconds that a look at the ledger waits for something new.
    poll_s: float = Field(gt=0, le=5)

    recall_limit: int = Field(ge=1, le=100)
    confidence_threshold: float = Field(ge=0, le=1)
    # Bytes of opened engrams kept in memory.
    cache_bytes: int = Field(ge=1_000_000)
    # Bytes of namespaces kept in memory.
    warm_bytes: int = Field(ge=1_000_000)

    # Threads for blocking work of calls.
    call_threads: int = Field(ge=1, le=256)
    max_ongoing: int = Field(ge=1)
    max_queued: int = Field(ge=1)
    stop_grace_s: float = Field(gt=0)
    # Seconds between two snapshots of what is known of the ledger.
    snapshot_period_s: float = Field(gt=0)

    @field_validator("index_uri")
    @classmethod
    def _addressed(cls, uri: str) -> str:
        if said := fault(uri):
            raise ValueError(said)
        return uri
