"""A model by its setting: from an installed package, a GGUF file, or a Hugging Face directory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from services.common.models.packages import ModelError, locate, require_directory, verify
from services.reasoning.models import config as hf_config
from services.reasoning.models import tokenizer as tokenizers
from services.reasoning.models.gguf_file import GgufFile
from services.reasoning.models.settings import ModelSettings
from services.reasoning.models.sources import SafetensorsDirectory
from services.reasoning.models.tokenizer import ChatTokenizer
from services.reasoning.models.transformer import Transformer, build, check_dtype

# float64 is for tests: no setting offers it.
_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float64": torch.float64}


@dataclass(frozen=True, slots=True)
class LoadedModel:
    name: str
    transformer: Transformer
    tokenizer: ChatTokenizer


def load_model(settings: ModelSettings) -> LoadedModel:
    """The model that ``settings`` name; they must name one. ModelError for whatever keeps it from running."""
    how = {"dtype": settings.dtype, "device": settings.device}
    if settings.package:
        return load_packaged(settings.package, settings.file, settings.sha256, **how)
    if settings.gguf:
        return load_gguf(Path(settings.gguf), settings.sha256, **how)
    return load_directory(Path(settings.directory), **how)


def load_packaged(package: str, file: str, sha256: str, *, dtype: str, device: str = "cpu") -> LoadedModel:
    """The GGUF ``file`` of an installed package, trusted by its digest. 2 s for SmolLM2-135M. ModelError."""
    return load_gguf(locate(package) / file, sha256, dtype=dtype, device=device)


def load_gguf(path: Path, sha256: str, *, dtype: str, device: str = "cpu") -> LoadedModel:
    """A GGUF file whose SHA-256 must be ``sha256``. ModelError for a wrong digest, file or dtype."""
    chosen, where = _where(dtype, device)
    opened = GgufFile(verify(path, sha256, "reasoning.model.sha256"))
    transformer = build(opened.config(), opened, chosen, where)
    return LoadedModel(path.stem, transformer, tokenizers.from_gguf(opened))


def load_directory(folder: Path, *, dtype: str, device: str = "cpu") -> LoadedModel:
    """A Hugging Face directory of Llama, Qwen2 or Mistral, in safetensors. ModelError for what it lacks."""
    chosen, where = _where(dtype, device)
    require_directory(folder, "reasoning.model.directory")
    config = hf_config.from_hf_directory(folder)
    tokenizer = tokenizers.from_hf_directory(folder)
    return LoadedModel(folder.name, build(config, SafetensorsDirectory(folder), chosen, where), tokenizer)


def _where(dtype: str, device: str) -> tuple[torch.dtype, torch.device]:
    if dtype not in _DTYPES:
        raise ModelError(f"dtype {dtype!r} is not one of float32, bfloat16.")
    where = torch.device(device)
    if where.type == "cuda" and not torch.cuda.is_available():
        raise ModelError(f"There is no GPU behind {device}. Set device to cpu.")
    check_dtype(_DTYPES[dtype], where)
    return _DTYPES[dtype], where
