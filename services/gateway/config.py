"""Settings of the gateway; see defaults.yaml for what each field means."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, model_validator

from services.common.crypto.auth import GRANT_TTL_S


class GatewayConfig(BaseModel):
    """Section ``gateway``. Times in seconds, sizes in bytes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = Field(min_length=1)
    port: int = Field(ge=0, le=65535)  # 0: any free port, for tests
    metrics_port: int = Field(ge=0, le=65535)
    tls_cert_file: str
    tls_key_file: str
    replicas: int = Field(ge=1)
    reuse_port: bool
    max_message_bytes: int = Field(ge=65536, le=256 * 1024 * 1024)
    max_running_calls: int = Field(ge=1)
    max_running_calls_per_principal: int = Field(ge=1)
    max_coming_messages: int = Field(ge=1)
    max_coming_messages_per_principal: int = Field(ge=1)
    max_bytes_held: int = Field(ge=65536)
    max_bytes_held_per_principal: int = Field(ge=65536)
    principals_per_tenant: int = Field(ge=1)
    contended_reads: int = Field(ge=0)
    busy_share: float = Field(gt=0)
    burst_busy_s: float = Field(gt=0)
    max_waiting_calls: int = Field(ge=0)
    max_waiting_calls_per_principal: int = Field(ge=0)
    max_patient_calls: int = Field(ge=0)
    max_patient_calls_per_principal: int = Field(ge=0)
    calls_per_s: float = Field(gt=0)
    burst_calls: float = Field(ge=1)
    bytes_per_s: float = Field(gt=0)
    burst_bytes: float = Field(ge=1)
    max_calls_per_connection: int = Field(ge=1)
    max_connections: int = Field(ge=1)
    handshake_timeout_s: float = Field(gt=0)
    idle_connection_s: float = Field(gt=0)
    max_streams: int = Field(ge=1)
    max_streams_per_token: int = Field(ge=1)
    max_tool_streams: int = Field(ge=1)
    default_timeout_s: float = Field(gt=0, le=GRANT_TTL_S)
    max_timeout_s: float = Field(gt=0, le=GRANT_TTL_S)
    stream_timeout_s: float = Field(gt=0)
    page_timeout_s: float = Field(gt=0, le=GRANT_TTL_S)
    fold_messages: int = Field(ge=1)
    fold_bytes: int = Field(ge=1)
    fold_window_s: float = Field(ge=0)
    health_period_s: float = Field(gt=0)
    health_timeout_s: float = Field(gt=0)
    revocation_period_s: float = Field(gt=0)
    stop_grace_s: float = Field(ge=0)

    @model_validator(mode="after")
    def _tls_files_come_together(self) -> GatewayConfig:
        if bool(self.tls_cert_file) != bool(self.tls_key_file):
            raise ValueError("tls_cert_file and tls_key_file: name both, or neither")
        return self

    @model_validator(mode="after")
    def _a_message_can_be_held(self) -> GatewayConfig:
        if self.max_message_bytes > min(self.max_bytes_held, self.max_bytes_held_per_principal):
            raise ValueError("max_message_bytes: more than max_bytes_held, or than max_bytes_held_per_principal")
        return self
