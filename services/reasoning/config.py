"""Settings of reasoning; see defaults.yaml for what each field means."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from services.common.config import ConfigError, Settings
from services.reasoning.engine.settings import EngineSettings
from services.reasoning.models.settings import ModelSettings


class ReasoningConfig(BaseModel):
    """Section ``reasoning``. Times in seconds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    replicas: int = Field(ge=1)
    stop_grace_s: float = Field(ge=0)
    max_ongoing: int = Field(ge=1)
    max_queued: int = Field(ge=1)
    gateway: str = Field(pattern=r"^$|^[^\s/]+:\d{1,5}$")
    gateway_ca_file: str
    gateway_name: str
    evidence: int = Field(ge=1, le=100)
    sentences: int = Field(ge=1, le=20)
    model: ModelSettings
    engine: EngineSettings
    torch_threads: int = Field(ge=0)
    wording: Literal["auto", "on", "off"]
    wording_tokens: int = Field(ge=1)
    generate_tokens: int = Field(ge=1)

    @field_validator("wording", mode="before")
    @classmethod
    def _spelled(cls, value: object) -> object:
        """YAML reads ``on`` and ``off`` as booleans."""
        return {True: "on", False: "off"}[value] if isinstance(value, bool) else value

    @property
    def words_unasked(self) -> bool:
        """Whether an answer is worded that was not asked to be."""
        return self.wording == "on" or (self.wording == "auto" and self.model.configured and not self.model.packaged)


@dataclass(frozen=True, slots=True)
class Door:
    """How to reach the gateway: an address, and PEM roots to trust where it speaks TLS."""

    address: str
    roots: bytes | None
    name: str


def door(settings: Settings) -> Door:
    """The gateway of ``reasoning.gateway``, or else the one that this configuration starts. ConfigError."""
    config, beside = settings.section("reasoning", ReasoningConfig), settings.layers["gateway"]
    ca_file = config.gateway_ca_file or ("" if config.gateway else str(beside["tls_cert_file"]))
    return Door(config.gateway or _local(beside["host"], beside["port"]), _roots(ca_file), config.gateway_name)


def _local(host: object, port: object) -> str:
    """The address that reaches a server listening at ``host``."""
    reachable = {"0.0.0.0": "127.0.0.1", "::": "[::1]", "[::]": "[::1]"}.get(str(host), str(host))
    return f"{reachable}:{port}"


def _roots(file: str) -> bytes | None:
    if not file:
        return None
    try:
        return Path(file).read_bytes()
    except OSError as error:
        raise ConfigError(
            f"reasoning.gateway_ca_file: {file} cannot be read ({error.strerror}). Name a readable PEM file."
        ) from error
