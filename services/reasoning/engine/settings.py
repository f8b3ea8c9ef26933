"""What an operator may choose about the engine."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

CpuKernelsSetting = Literal["auto", "native", "torch"]


class EngineSettings(BaseModel):
    """One engine. Tokens are tokens of its model; a page holds 16."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    # Pages of the pool. Each costs layers x kv_heads x head_dim x 32 numbers: 720 KiB for SmolLM2-135M in float32.
    pool_pages: int = Field(ge=1)
    # Longest prompt plus answer, in tokens; at most the model's own context.
    max_context: int = Field(ge=1)
    # Sequences computed together. More wait.
    max_running: int = Field(ge=1, le=1024)
    # Requests that may wait; one more is refused.
    max_waiting: int = Field(ge=1)
    # Sequences that one request may ask for.
    max_samples: int = Field(ge=1)
    # Tokens computed in one step, and of one prompt in one step: what a stream waits at most.
    step_tokens: int = Field(ge=1)
    chunk_tokens: int = Field(ge=1)
    # Events a reader may lag behind before its sequences pause.
    stream_buffer: int = Field(ge=1)
    # Longest life of a request, waiting included, in seconds; the longest a slow reader can hold pages.
    max_request_s: float = Field(gt=0)
    # Which attention runs: torch on a CPU, triton on a GPU. Nothing else is tried when it cannot.
    attention: Literal["torch", "triton"]
    # On a CPU, what decodes, rotates, norms and activates: C++ compiled at installation, or torch operations. auto:
    # native where it was compiled, else torch; the statistics say which. The other two run or stop the start.
    cpu_kernels: CpuKernelsSetting
    # Blocks handed to the store after a step, and how long to wait for another engine's prefill of the same prompt.
    publish_per_step: int = Field(ge=1)
    prefill_wait_s: float = Field(ge=0)

    @model_validator(mode="after")
    def _a_step_moves_every_sequence(self) -> EngineSettings:
        if self.step_tokens < self.max_running:
            raise ValueError("step_tokens must be at least max_running: every running sequence gets a token a step")
        return self
