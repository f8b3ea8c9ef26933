"""Settings of perception. The manual, with the defaults, is ``defaults.yaml`` beside this file."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class PerceptionConfig(BaseModel):
    """Section ``perception``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    replicas: int = Field(ge=1, le=64)
    # Seconds that a stop waits for the loops to finish what they hold.
    stop_grace_s: float = Field(gt=0)
    # Seconds between two snapshots of what is known of the ledger.
    snapshot_period_s: float = Field(gt=0)
    # Calls in one replica at once, and waiting for it.
    max_ongoing: int = Field(ge=1)
    max_queued: int = Field(ge=1)
    # Seconds ahead of the clock that an observation may claim to have happened.
    max_ahead_s: int = Field(ge=0)

    # Names of people and places.
    ner_package: str = Field(min_length=1)
    ner_weights: str = Field(min_length=1)
    ner_sha256: str = Field(pattern=r"^[0-9a-fA-F]{64}$")

    # Limits of an episode, whatever the plug-in says.
    episode_max_units: int = Field(ge=1, le=1024)
    episode_max_span_s: int = Field(ge=1)
    episode_idle_s: float = Field(gt=0)

    segmentation: Literal["fixed", "surprise"]
    fixed_units: int = Field(ge=1)
    surprise_gamma: float
    surprise_window: int = Field(ge=8)
    surprise_context: int = Field(ge=1)
    surprise_min_units: int = Field(ge=1)
    surprise_gap_s: float = Field(gt=0)
    surprise_gap_sigma: float = Field(gt=0)
    embed_package: str = Field(min_length=1)
    embed_sha256: str = Field(pattern=r"^[0-9a-fA-F]{64}$")

    # Records that one transaction takes, and seconds between two looks at the inbox's finished part.
    batch: int = Field(ge=1, le=512)
    trim_period_s: float = Field(gt=0)
    # Seconds that an inbox record waits for its namespace to be created.
    unknown_namespace_wait_s: float = Field(ge=0, le=600)
