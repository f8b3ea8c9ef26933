"""transformers as the reference: random small models that attend sharply, and its fp32 islands lifted to fp64."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from torch import Tensor, nn
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
)

VOCAB = 101
SHAPE = {
    "vocab_size": VOCAB,
    "hidden_size": 48,
    "intermediate_size": 80,
    "num_hidden_layers": 3,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 5000.0,
    "factor": 4.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}


def make(kind: str, folder: Path) -> Path:
    """A Hugging Face directory with a random model of ``kind``."""
    torch.manual_seed(7)
    rope = {"rope_type": "default", "rope_theta": 5000.0}
    model: Any
    if kind == "llama":
        model = LlamaForCausalLM(LlamaConfig(**SHAPE, rope_parameters=rope, tie_word_embeddings=True))
    elif kind == "llama3":
        model = LlamaForCausalLM(LlamaConfig(**SHAPE, rope_parameters=LLAMA3, attention_bias=True, mlp_bias=True))
    elif kind == "qwen2":
        model = Qwen2ForCausalLM(Qwen2Config(**SHAPE, rope_parameters=rope))
    elif kind == "qwen2-window":
        windows = {"use_sliding_window": True, "sliding_window": 24, "max_window_layers": 1}
        model = Qwen2ForCausalLM(Qwen2Config(**SHAPE, **windows, rope_parameters=rope))
    else:
        made = MistralConfig(**SHAPE, rope_parameters=rope, sliding_window=24, head_dim=12)
        model = MistralForCausalLM(made)
    _sharpen(model)
    model.save_pretrained(folder)
    Tokenizer(WordLevel({f"w{i}": i for i in range(VOCAB)}, unk_token="w0")).save(str(folder / "tokenizer.json"))
    return folder


KINDS = ["llama", "llama3", "qwen2", "qwen2-window", "mistral"]


def _sharpen(model: nn.Module) -> None:
    """Weights scaled so that attention matters: freshly initialised, it is an average and hides every mistake."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "q_proj" in name or "k_proj" in name:
                parameter.normal_(0, 2.2 / parameter.shape[-1] ** 0.5)
            elif "norm" in name:
                parameter.uniform_(0.5, 1.5)
            else:
                parameter.normal_(0, 1.2 / parameter.shape[-1] ** 0.5)


@contextmanager
def lifted(model: Any) -> Iterator[None]:
    """In here, what transformers computes in fp32 whatever the dtype (RMSNorm, rotary table, softmax) is fp64."""
    patch = pytest.MonkeyPatch()
    module = __import__(type(model).__module__, fromlist=["x"])
    norm = next(getattr(module, n) for n in dir(module) if n.endswith("RMSNorm"))
    rotary = next(getattr(module, n) for n in dir(module) if n.endswith("RotaryEmbedding"))

    def norm64(self: Any, x: Tensor) -> Tensor:
        wide = x.double()
        normed = wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + self.variance_epsilon)
        scaled: Tensor = self.weight.double() * normed
        return scaled.to(x.dtype)

    def rotary64(self: Any, x: Tensor, position_ids: Tensor) -> tuple[Tensor, Tensor]:
        angles = position_ids[..., None].double() * _frequencies64(self.config)
        both = torch.cat((angles, angles), dim=-1)
        return both.cos().to(x.dtype), both.sin().to(x.dtype)

    softmax = torch.nn.functional.softmax

    def softmax64(x: Tensor, dim: int = -1, dtype: Any = None) -> Tensor:
        wide: Tensor = softmax(x, dim=dim, dtype=torch.float64)
        return wide

    patch.setattr(norm, "forward", norm64)
    patch.setattr(rotary, "forward", rotary64)
    patch.setattr(module.nn.functional, "softmax", softmax64)
    try:
        yield
    finally:
        patch.undo()


def _frequencies64(config: Any) -> Tensor:
    """Inverse frequencies in fp64, written out anew from the papers, independent of the code under test."""
    rope = config.rope_parameters
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    plain = [1.0 / rope["rope_theta"] ** (2 * i / width) for i in range(width // 2)]
    if rope["rope_type"] == "default":
        return torch.tensor(plain, dtype=torch.float64)
    stretched = []
    for frequency in plain:
        wave = 2 * torch.pi / frequency
        original = rope["original_max_position_embeddings"]
        if wave < original / rope["high_freq_factor"]:
            stretched.append(frequency)
        elif wave > original / rope["low_freq_factor"]:
            stretched.append(frequency / rope["factor"])
        else:
            smooth = (original / wave - rope["low_freq_factor"]) / (rope["high_freq_factor"] - rope["low_freq_factor"])
            stretched.append((1 - smooth) * frequency / rope["factor"] + smooth * frequency)
    return torch.tensor(stretched, dtype=torch.float64)


def reference_logits(folder: Path, tokens: list[int], dtype: torch.dtype, *, lift: bool) -> Tensor:
    """transformers' logits after every token."""
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, attn_implementation="eager").eval()
    ids = torch.tensor([tokens])
    with torch.inference_mode():
        if lift:
            with lifted(model):
                logits: Tensor = model(ids).logits[0]
        else:
            logits = model(ids).logits[0]
    return logits
