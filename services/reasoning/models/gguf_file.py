"""GGUF files of the Llama family: metadata, vocabulary, and weights brought back to their canonical form.

llama.cpp's converter permutes the rows of Q and K, because it rotates neighbouring pairs where Hugging Face rotates
halves; ``tensor`` undoes that. Dequantisation is the ``gguf`` library's.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gguf import GGUFReader
from gguf.quants import dequantize
from torch import Tensor

from services.common.models.packages import ModelError
from services.reasoning.models.config import ModelConfig

_TOP = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
_LAYER = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
_SCALING_TYPE = "llama.rope.scaling.type"
_SCALING_FACTORS = ("llama.rope.scaling.factor", "llama.rope.scale_linear")  # the second: of files before the type


class GgufFile:
    """One GGUF file, a WeightSource. ModelError when it is no GGUF file or not of the Llama architecture."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._reader = _Reader(path)
        except (OSError, ValueError) as error:
            raise ModelError(f"{path} is no GGUF file that can be read ({error}). Download it again.") from error
        architecture = self.field("general.architecture")
        if architecture != "llama":
            raise ModelError(f"{path}: architecture {architecture!r} is not supported from GGUF, only llama.")
        self._tensors = {_canonical(t.name, path): t for t in self._reader.tensors}

    def field(self, name: str, default: Any = None) -> Any:
        """A metadata value. Without a default, ModelError when it is missing."""
        found = self._reader.get_field(name)
        if found is not None:
            return found.contents()
        if default is None:
            raise ModelError(f"{self._path}: the field {name} is missing. Download the file again.")
        return default

    def config(self) -> ModelConfig:
        """The architecture. ModelError for what is missing or not supported."""
        self._refuse_scaled_rope()
        heads = int(self.field("llama.attention.head_count"))
        hidden = int(self.field("llama.embedding_length"))
        layers = int(self.field("llama.block_count"))
        return ModelConfig(
            family="llama",
            layers=layers,
            hidden=hidden,
            intermediate=int(self.field("llama.feed_forward_length")),
            heads=heads,
            kv_heads=int(self.field("llama.attention.head_count_kv", heads)),
            head_dim=int(self.field("llama.rope.dimension_count", hidden // heads)),
            vocab=len(self._reader.fields["tokenizer.ggml.tokens"].data),
            context=int(self.field("llama.context_length")),
            rope_theta=float(self.field("llama.rope.freq_base", 10_000.0)),
            rope_scaling=None,
            norm_eps=float(self.field("llama.attention.layer_norm_rms_epsilon")),
            tied="lm_head.weight" not in self._tensors,
            windows=(0,) * layers,
            eos_ids=(int(self.field("tokenizer.ggml.eos_token_id")),),
        )

    def _refuse_scaled_rope(self) -> None:
        """What loads without its scaling is another model. Without a type, llama.cpp takes a factor as a linear one."""
        kind = self.field(_SCALING_TYPE, "")
        said = {_SCALING_TYPE: kind} if kind else {name: self.field(name, 0.0) for name in _SCALING_FACTORS}
        for name, value in said.items():
            if value not in ("none", 0.0, 1.0):
                raise ModelError(
                    f"{self._path}: {name} is {value!r}, and scaled rotary positions are not supported from GGUF. "
                    "Use a model without it, or with llama3's from a Hugging Face directory."
                )

    def names(self) -> Iterable[str]:
        return self._tensors.keys()

    def tensor(self, name: str) -> Tensor:
        stored = self._tensors[name]
        array = np.array(dequantize(stored.data, stored.tensor_type), dtype=np.float32)
        if name.endswith("q_proj.weight"):
            array = _unpermute(array, int(self.field("llama.attention.head_count")))
        elif name.endswith("k_proj.weight"):
            array = _unpermute(array, int(self.field("llama.attention.head_count_kv")))
        return torch.from_numpy(np.ascontiguousarray(array))


class _Reader(GGUFReader):
    """The library's, which slices a memmap for every token of the vocabulary: this takes a fifth of its time."""

    def _get(self, offset: int, dtype: Any, count: int = 1, override_order: Any = None) -> np.ndarray[Any, Any]:
        order = self.byte_order if override_order is None else override_order
        return np.frombuffer(self.data, np.dtype(dtype).newbyteorder(order), int(count), int(offset))


def _unpermute(array: np.ndarray[Any, Any], heads: int) -> np.ndarray[Any, Any]:
    """Rows of each head from interleaved pairs back to halves."""
    rows, columns = array.shape
    return array.reshape(heads, rows // heads // 2, 2, columns).swapaxes(1, 2).reshape(rows, columns)


def _canonical(name: str, path: Path) -> str:
    stem, _, suffix = name.rpartition(".")
    if stem in _TOP:
        return f"{_TOP[stem]}.{suffix}"
    parts = stem.split(".")
    if len(parts) == 3 and parts[0] == "blk" and parts[2] in _LAYER:
        return f"model.layers.{parts[1]}.{_LAYER[parts[2]]}.{suffix}"
    # rope_freqs (Llama 3.1's scaling) lands here: dropping it silently would be another model.
    raise ModelError(f"{path}: the tensor {name} is not one this loader knows. Use a Hugging Face directory instead.")
