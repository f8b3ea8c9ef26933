"""What a model is: its architecture as one frozen record, read from a Hugging Face config or GGUF metadata."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from services.common.models.packages import ModelError

Family = Literal["llama", "qwen2", "mistral"]
FAMILIES: tuple[Family, ...] = ("llama", "qwen2", "mistral")


@dataclass(frozen=True, slots=True)
class Llama3Scaling:
    """Llama 3.1's stretching of low rotary frequencies. Lengths in tokens."""

    factor: float
    low_freq_factor: float
    high_freq_factor: float
    original_context: int


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """A decoder of the Llama family. All that the forward pass depends on besides the weights."""

    family: Family
    layers: int
    hidden: int
    intermediate: int
    heads: int
    kv_heads: int
    head_dim: int
    vocab: int
    # Longest sequence the model was made for, in tokens.
    context: int
    rope_theta: float
    rope_scaling: Llama3Scaling | None
    norm_eps: float
    # The output projection is the embedding.
    tied: bool
    # For each layer, how many of the last tokens it sees (its own included); 0: all.
    windows: tuple[int, ...]
    # Tokens that end an answer.
    eos_ids: tuple[int, ...]

    def __post_init__(self) -> None:
        if self.heads % self.kv_heads:
            raise ModelError(f"The model has {self.heads} heads, no multiple of its {self.kv_heads} kv heads.")
        if self.head_dim % 2 or len(self.windows) != self.layers:
            raise ModelError("The model's head width is odd, or its windows do not match its layers.")


def from_hf_directory(folder: Path) -> ModelConfig:
    """The architecture in ``folder``/config.json. ModelError for what is missing or not supported."""
    raw = read_json(folder, "config.json")
    where = str(folder / "config.json")
    family = raw.get("model_type")
    if family not in FAMILIES:
        raise ModelError(f"{where}: model_type {family!r} is not supported. Supported: {', '.join(FAMILIES)}.")
    if raw.get("hidden_act", "silu") != "silu":
        raise ModelError(f"{where}: hidden_act {raw['hidden_act']!r} is not supported, only silu.")
    try:
        heads = int(raw["num_attention_heads"])
        layers = int(raw["num_hidden_layers"])
        return ModelConfig(
            family=family,
            layers=layers,
            hidden=int(raw["hidden_size"]),
            intermediate=int(raw["intermediate_size"]),
            heads=heads,
            kv_heads=int(raw.get("num_key_value_heads") or heads),
            head_dim=int(raw.get("head_dim") or int(raw["hidden_size"]) // heads),
            vocab=int(raw["vocab_size"]),
            context=int(raw["max_position_embeddings"]),
            rope_theta=_rope_theta(raw),
            rope_scaling=_rope_scaling(raw, where),
            norm_eps=float(raw["rms_norm_eps"]),
            tied=bool(raw.get("tie_word_embeddings", False)),
            windows=_windows(family, raw, layers),
            eos_ids=_eos_ids(folder, raw),
        )
    except KeyError as error:
        raise ModelError(f"{where}: the field {error.args[0]} is missing. Download the model again.") from error


def read_json(folder: Path, name: str) -> dict[str, Any]:
    path = folder / name
    if not path.is_file():
        raise ModelError(f"The model directory {folder} has no {name}. Download the model again, whole.")
    try:
        content = json.loads(path.read_text())
    except (ValueError, UnicodeDecodeError) as error:
        raise ModelError(f"{path} is not JSON ({error}). Download the model again.") from error
    if not isinstance(content, dict):
        raise ModelError(f"{path} holds no object. Download the model again.")
    return content


def _rope_parameters(raw: Mapping[str, Any]) -> Mapping[str, Any]:
    """transformers 5 writes rope_parameters; earlier ones rope_theta and rope_scaling."""
    parameters: Mapping[str, Any] = raw.get("rope_parameters") or raw.get("rope_scaling") or {}
    return parameters


def _rope_theta(raw: Mapping[str, Any]) -> float:
    return float(_rope_parameters(raw).get("rope_theta") or raw.get("rope_theta") or 10_000.0)


def _rope_scaling(raw: Mapping[str, Any], where: str) -> Llama3Scaling | None:
    parameters = _rope_parameters(raw)
    kind = parameters.get("rope_type") or parameters.get("type") or "default"
    if kind == "default":
        return None
    if kind != "llama3":
        raise ModelError(f"{where}: rope type {kind!r} is not supported. Supported: default, llama3.")
    return Llama3Scaling(
        factor=float(parameters["factor"]),
        low_freq_factor=float(parameters["low_freq_factor"]),
        high_freq_factor=float(parameters["high_freq_factor"]),
        original_context=int(parameters["original_max_position_embeddings"]),
    )


def _windows(family: Family, raw: Mapping[str, Any], layers: int) -> tuple[int, ...]:
    window = int(raw.get("sliding_window") or 0)
    if family == "mistral":
        return (window,) * layers
    if family == "qwen2" and raw.get("use_sliding_window"):
        kinds = raw.get("layer_types")
        if kinds is not None:
            return tuple(window if kind == "sliding_attention" else 0 for kind in kinds)
        full = int(raw["max_window_layers"])
        return tuple(window if layer >= full else 0 for layer in range(layers))
    return (0,) * layers


def _eos_ids(folder: Path, raw: Mapping[str, Any]) -> tuple[int, ...]:
    """generation_config.json knows best (chat models stop at their turn's end); config.json otherwise."""
    generation = read_json(folder, "generation_config.json") if (folder / "generation_config.json").is_file() else {}
    ids = generation.get("eos_token_id", raw.get("eos_token_id"))
    if ids is None:
        return ()
    return tuple(int(i) for i in ids) if isinstance(ids, list) else (int(ids),)
