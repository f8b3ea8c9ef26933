"""The encoder of all-MiniLM-L6-v2 (BERT: Devlin et al., NAACL 2019) on a CPU, from its weight file, in fp32.

The same numbers as ``transformers``' BertModel within 1e-5 (tests/common/test_embed.py), in half the time for a
question and in four fifths for a batch: Q, K and V are one product, weights lie in the order that oneDNN multiplies
in, and a pass is some forty calls instead of several hundred. transformers is not imported, which takes seconds.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor

_ARCHITECTURE = {"model_type": "bert", "hidden_act": "gelu", "position_embedding_type": "absolute"}


class _Linear:
    """x W^T + b, and GELU after it on demand, over weights reordered once where oneDNN is there."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        self._packed = bool(torch.backends.mkldnn.is_available())  # type: ignore[no-untyped-call]
        self._weight = torch.ops.mkldnn._reorder_linear_weight(weight) if self._packed else weight
        self._bias = bias

    def __call__(self, x: Tensor, gelu: bool = False) -> Tensor:
        if self._packed:
            act: tuple[str, list[float], str] = ("gelu", [], "none") if gelu else ("none", [], "")
            out: Tensor = torch.ops.mkldnn._linear_pointwise(x, self._weight, self._bias, *act)
            return out
        out = F.linear(x, self._weight, self._bias)
        return F.gelu(out) if gelu else out


@dataclass(frozen=True, slots=True)
class _Norm:
    weight: Tensor
    bias: Tensor
    epsilon: float

    def __call__(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, self.weight.shape, self.weight, self.bias, self.epsilon)


@dataclass(frozen=True, slots=True)
class _Layer:
    qkv: _Linear
    output: _Linear
    attention_norm: _Norm
    up: _Linear
    down: _Linear
    norm: _Norm


class Encoder:
    """Token ids to hidden states. Immutable and thread-safe."""

    def __init__(self, directory: Path) -> None:
        """Reads ``config.json`` and ``model.safetensors``. ValueError for another architecture or other weights."""
        config = json.loads((directory / "config.json").read_text())
        wrong = [f"{k} {config.get(k)}" for k, v in _ARCHITECTURE.items() if config.get(k, v) != v]
        if wrong:
            raise ValueError(f"{directory}: not the architecture of MiniLM ({', '.join(wrong)})")
        self.width: int = config["hidden_size"]
        self._heads: int = config["num_attention_heads"]
        weights = {k: v.float() for k, v in load_file(str(directory / "model.safetensors")).items()}
        try:
            self._read(weights, config)
        except (KeyError, RuntimeError) as error:
            raise ValueError(f"{directory}: not the weights of this architecture ({error})") from error

    def _read(self, weights: dict[str, Tensor], config: dict[str, Any]) -> None:
        def norm(name: str) -> _Norm:
            return _Norm(weights[f"{name}.weight"], weights[f"{name}.bias"], config["layer_norm_eps"])

        def linear(*names: str) -> _Linear:
            return _Linear(
                torch.cat([weights[f"{n}.weight"] for n in names]), torch.cat([weights[f"{n}.bias"] for n in names])
            )

        def layer(at: str) -> _Layer:
            return _Layer(
                qkv=linear(*(f"{at}.attention.self.{n}" for n in ("query", "key", "value"))),
                output=linear(f"{at}.attention.output.dense"),
                attention_norm=norm(f"{at}.attention.output.LayerNorm"),
                up=linear(f"{at}.intermediate.dense"),
                down=linear(f"{at}.output.dense"),
                norm=norm(f"{at}.output.LayerNorm"),
            )

        self._words = weights["embeddings.word_embeddings.weight"]
        # Every token is of the first of BERT's two segments.
        segment = weights["embeddings.token_type_embeddings.weight"][0]
        self._places = weights["embeddings.position_embeddings.weight"] + segment
        self._norm = norm("embeddings.LayerNorm")
        self._layers = [layer(f"encoder.layer.{i}") for i in range(config["num_hidden_layers"])]

    @torch.inference_mode()
    def __call__(self, tokens: Tensor, mask: Tensor | None) -> Tensor:
        """Hidden states [n, t, width], fp32, of ``tokens`` [n, t] int64. ``mask`` [n, t] bool: which are there."""
        n, t = tokens.shape
        x = self._norm(self._words[tokens] + self._places[:t])
        seen = None if mask is None else mask[:, None, None, :]
        for layer in self._layers:
            q, k, v = layer.qkv(x).view(n, t, 3, self._heads, -1).permute(2, 0, 3, 1, 4)
            attended = F.scaled_dot_product_attention(q, k, v, attn_mask=seen).transpose(1, 2).reshape(n, t, -1)
            x = layer.attention_norm(x + layer.output(attended))
            x = layer.norm(x + layer.down(layer.up(x, gelu=True)))
        return x
