"""The forward pass of the Llama family. It knows no pages, batches or requests: attention is handed in."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from kernels.add_rms_norm.host import add_rms_norm
from kernels.native.library import CpuBackend
from kernels.silu_mul.host import silu_mul
from services.common.models.packages import ModelError
from services.reasoning.models.config import ModelConfig
from services.reasoning.models.rope import rotary_table
from services.reasoning.models.sources import WeightSource

Attend = Callable[[int, Tensor, Tensor, Tensor], Tensor]
"""(layer, qkv [tokens, heads + 2 kv_heads, d], cos, sin [tokens, d / 2]) to [tokens, heads, d].

Queries and keys come unrotated, so that rotating them and keeping keys and values can be one pass.
"""


@dataclass(frozen=True, slots=True)
class _Linear:
    weight: Tensor
    bias: Tensor | None

    def __call__(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight, self.bias)


@dataclass(frozen=True, slots=True)
class _Layer:
    attention_norm: Tensor
    qkv: _Linear  # Q, K and V one above the other
    output: _Linear
    mlp_norm: Tensor
    gate_up: _Linear
    down: _Linear


class Transformer:
    """Weights and the pass over them. Immutable, so that several engines may share one."""

    def __init__(
        self, config: ModelConfig, embedding: Tensor, layers: list[_Layer], norm: Tensor, head: Tensor, digest: bytes
    ) -> None:
        self.config = config
        self.digest = digest
        self.dtype = embedding.dtype
        self.device = embedding.device
        self._embedding = embedding
        self._layers = layers
        self._norm = norm
        self._head = head
        table_dtype = torch.float64 if self.dtype == torch.float64 else torch.float32
        cos, sin = rotary_table(config, config.context, table_dtype)
        self._cos, self._sin = cos.to(self.device), sin.to(self.device)

    @torch.inference_mode()
    def forward(
        self, tokens: Tensor, positions: Tensor, rows: Tensor, attend: Attend, *, kernels: CpuBackend = "torch"
    ) -> Tensor:
        """Logits [len(rows), vocab], fp32 (fp64 for fp64), after the tokens at ``rows`` only.

        ``tokens`` and ``positions`` [n] int64: the tokens of any number of sequences, one after another; which
        belong together only ``attend`` knows, called once a layer in order. ``kernels``: what computes norms and
        activations; torch anywhere, native on a CPU in float32 and bfloat16.
        """
        cos, sin = self._cos[positions], self._sin[positions]
        shape = (tokens.shape[0], -1, self.config.head_dim)
        x = F.embedding(tokens, self._embedding)
        # The norm that follows each block; the last is the model's own.
        following = [*(layer.attention_norm for layer in self._layers[1:]), self._norm]
        normed = F.rms_norm(x, self._norm.shape, self._layers[0].attention_norm, self.config.norm_eps)
        active: Tensor | None = None
        for index, (layer, next_norm) in enumerate(zip(self._layers, following, strict=True)):
            seen = attend(index, layer.qkv(normed).view(shape), cos, sin)
            x, normed = self._add_normed(x, layer.output(seen.reshape(tokens.shape[0], -1)), layer.mlp_norm, kernels)
            active = silu_mul(layer.gate_up(normed), backend=kernels, out=active)
            x, normed = self._add_normed(x, layer.down(active), next_norm, kernels)
        logits = F.linear(normed[rows], self._head)
        return logits if logits.dtype == torch.float64 else logits.float()

    def _add_normed(self, x: Tensor, added: Tensor, weight: Tensor, kernels: CpuBackend) -> tuple[Tensor, Tensor]:
        """Both are lost: nothing else of the pass reads them again."""
        return add_rms_norm(x, added, weight, eps=self.config.norm_eps, backend=kernels, reuse=True)


def build(config: ModelConfig, source: WeightSource, dtype: torch.dtype, device: torch.device) -> Transformer:
    """The model from ``source``, cast to ``dtype``. ModelError for a tensor missing, unknown or of a wrong shape.

    Its digest covers name, shape and bytes of every tensor after the cast: what the model computes with, wherever it
    came from.
    """
    shapes = _shapes(config, set(source.names()))
    _check_names(shapes, set(source.names()))
    h = hashlib.blake2b(digest_size=32)
    tensors: dict[str, Tensor] = {}
    for name in sorted(shapes):
        tensor = source.tensor(name).to(dtype).contiguous()
        if tuple(tensor.shape) != shapes[name]:
            raise ModelError(f"The tensor {name} has shape {tuple(tensor.shape)}, the configuration {shapes[name]}.")
        h.update(f"{name}\0{list(tensor.shape)}\0{dtype}\0".encode())
        h.update(tensor.view(torch.uint8).numpy().data)
        tensors[name] = tensor.to(device)
    embedding = tensors.pop("model.embed_tokens.weight")
    layers = [_fuse(tensors, f"model.layers.{i}.") for i in range(config.layers)]
    norm = tensors.pop("model.norm.weight")
    return Transformer(config, embedding, layers, norm, tensors.pop("lm_head.weight", embedding), h.digest())


def check_dtype(dtype: torch.dtype, device: torch.device) -> None:
    """ModelError when the processor has no arithmetic of its own for ``dtype``, so that it would crawl."""
    if dtype != torch.bfloat16:
        return
    if not (_cpu_has_bfloat16() if device.type == "cpu" else torch.cuda.is_bf16_supported()):
        raise ModelError(f"The processor behind {device} has no bfloat16. Set dtype to float32.")


def _cpu_has_bfloat16() -> bool:
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def _shapes(config: ModelConfig, present: set[str]) -> dict[str, tuple[int, ...]]:
    """Every tensor the model has. Biases are as the source has them: all layers or none."""
    q, kv = config.heads * config.head_dim, config.kv_heads * config.head_dim
    h, i = config.hidden, config.intermediate
    per_layer: dict[str, tuple[int, ...]] = {
        "input_layernorm": (h,),
        "self_attn.q_proj": (q, h),
        "self_attn.k_proj": (kv, h),
        "self_attn.v_proj": (kv, h),
        "self_attn.o_proj": (h, q),
        "post_attention_layernorm": (h,),
        "mlp.gate_proj": (i, h),
        "mlp.up_proj": (i, h),
        "mlp.down_proj": (h, i),
    }
    shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (config.vocab, h), "model.norm.weight": (h,)}
    if not config.tied:
        shapes["lm_head.weight"] = (config.vocab, h)
    for name, shape in per_layer.items():
        biased = f"model.layers.0.{name}.bias" in present
        for layer in range(config.layers):
            shapes[f"model.layers.{layer}.{name}.weight"] = shape
            if biased:
                shapes[f"model.layers.{layer}.{name}.bias"] = shape[:1]
    return shapes


# Written by some exporters; derived from others or not used.
_REDUNDANT = ("rotary_emb.inv_freq",)


def _check_names(shapes: dict[str, tuple[int, ...]], present: set[str]) -> None:
    missing = sorted(shapes.keys() - present)
    if missing:
        raise ModelError(f"The weights lack {_some(missing)}. Download the model again.")
    unknown = sorted(n for n in present - shapes.keys() if not n.endswith(_REDUNDANT) and n != "lm_head.weight")
    if unknown:
        raise ModelError(f"The weights hold {_some(unknown)}, which this model family does not have.")


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _fuse(tensors: dict[str, Tensor], prefix: str) -> _Layer:
    def stacked(*names: str) -> _Linear:
        weight = torch.cat([tensors.pop(f"{prefix}{name}.weight") for name in names])
        biases = list(_biases(names))
        if len(biases) not in (0, len(names)):
            raise ModelError(f"Of {prefix}{names}, only some have a bias. Download the model again.")
        return _Linear(weight, torch.cat(biases) if biases else None)

    def _biases(names: tuple[str, ...]) -> Iterator[Tensor]:
        for name in names:
            bias = tensors.pop(f"{prefix}{name}.bias", None)
            if bias is not None:
                yield bias

    return _Layer(
        attention_norm=tensors.pop(f"{prefix}input_layernorm.weight"),
        qkv=stacked("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
        output=stacked("self_attn.o_proj"),
        mlp_norm=tensors.pop(f"{prefix}post_attention_layernorm.weight"),
        gate_up=stacked("mlp.gate_proj", "mlp.up_proj"),
        down=stacked("mlp.down_proj"),
    )
