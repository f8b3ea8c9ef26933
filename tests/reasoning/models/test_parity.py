"""The same numbers as transformers, and proof that the comparison would notice if they were not."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from torch import Tensor

from kernels.native.library import CpuBackend
from services.reasoning.engine import attention
from services.reasoning.models import config as hf_config
from services.reasoning.models.config import ModelConfig
from services.reasoning.models.load import load_directory
from services.reasoning.models.sources import SafetensorsDirectory
from services.reasoning.models.transformer import build
from tests.kernels.native_library import CPU_BACKENDS
from tests.reasoning.models.reference import KINDS, VOCAB, make, reference_logits
from tests.reasoning.paged import paged_logits

TOKENS = torch.randint(3, VOCAB, (150,), generator=torch.Generator().manual_seed(1)).tolist()
# A first chunk, a later one, single steps, chunks across and on borders of pages.
CHUNKS = [37, 1, 1, 10, 47, 16, 38]


@pytest.fixture(scope="module", params=KINDS)
def model_folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(request.param, tmp_path_factory.mktemp(request.param))


def error(a: Tensor, b: Tensor) -> float:
    return float((a.double() - b.double()).abs().max())


def test_fp64_parity(model_folder: Path) -> None:
    expected = reference_logits(model_folder, TOKENS, torch.float64, lift=True)
    model = load_directory(model_folder, dtype="float64").transformer
    assert error(paged_logits(model, TOKENS, CHUNKS), expected) <= 1e-9
    assert error(paged_logits(model, TOKENS, [len(TOKENS)]), expected) <= 1e-9


@pytest.mark.parametrize("kernels", CPU_BACKENDS)
def test_fp32_error_is_at_most_twice_that_of_transformers(model_folder: Path, kernels: CpuBackend) -> None:
    exact = reference_logits(model_folder, TOKENS, torch.float64, lift=True)
    theirs = error(reference_logits(model_folder, TOKENS, torch.float32, lift=False), exact)
    ours = paged_logits(load_directory(model_folder, dtype="float32").transformer, TOKENS, CHUNKS, kernels)
    assert error(ours, exact) <= 2 * theirs


def mutated(folder: Path, **changes: object) -> ModelConfig:
    return dataclasses.replace(hf_config.from_hf_directory(folder), **changes)  # type: ignore[arg-type]


def fp64_error(folder: Path, config: ModelConfig) -> float:
    expected = reference_logits(folder, TOKENS, torch.float64, lift=True)
    model = build(config, SafetensorsDirectory(folder), torch.float64, torch.device("cpu"))
    return error(paged_logits(model, TOKENS, CHUNKS), expected)


def test_a_wrong_theta_is_noticed(tmp_path: Path) -> None:
    folder = make("llama", tmp_path)
    assert fp64_error(folder, mutated(folder, rope_theta=5001.0)) > 1e-4


@pytest.mark.parametrize("off", [-1, 1])
def test_a_window_off_by_one_is_noticed(tmp_path: Path, off: int) -> None:
    folder = make("mistral", tmp_path)
    assert fp64_error(folder, mutated(folder, windows=(24 + off,) * 3)) > 1e-3


def test_a_window_in_the_wrong_layers_is_noticed(tmp_path: Path) -> None:
    folder = make("qwen2-window", tmp_path)
    assert hf_config.from_hf_directory(folder).windows == (0, 24, 24)
    assert fp64_error(folder, mutated(folder, windows=(24, 24, 0))) > 1e-3


def test_a_wrong_gqa_map_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make("llama", tmp_path)
    right = attention.PagedAttention.__call__

    def interleaved(self: attention.PagedAttention, layer: int, qkv: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """Head h reads kv head h % kv_heads instead of h // group."""
        kv_heads = self._pool.layers[layer].shape[2]
        heads = qkv.shape[1] - 2 * kv_heads
        order = [h for kv in range(kv_heads) for h in range(heads) if h % kv_heads == kv]
        out = torch.empty_like(qkv[:, :heads])
        mixed = qkv[:, [*order, *range(heads, qkv.shape[1])]]
        out[:, order] = right(self, layer, mixed, cos, sin)
        return out

    monkeypatch.setattr(attention.PagedAttention, "__call__", interleaved)
    assert fp64_error(folder, hf_config.from_hf_directory(folder)) > 1e-2


def test_a_norm_of_another_epsilon_and_untouched_biases_are_noticed(tmp_path: Path) -> None:
    folder = make("llama3", tmp_path)
    assert fp64_error(folder, mutated(folder, norm_eps=2e-6)) > 1e-7
    assert fp64_error(folder, mutated(folder, rope_scaling=None)) > 1e-3
