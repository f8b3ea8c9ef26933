"""Rotary tables: computed in fp64, rounded once."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from services.reasoning.models.config import Llama3Scaling, ModelConfig


def rotary_table(config: ModelConfig, positions: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """cos and sin, each [positions, head_dim / 2] in ``dtype``."""
    exponent = torch.arange(0, config.head_dim, 2, dtype=torch.float64) / config.head_dim
    frequencies = config.rope_theta**-exponent
    if config.rope_scaling is not None:
        frequencies = _stretch(frequencies, config.rope_scaling)
    angles = torch.arange(positions, dtype=torch.float64)[:, None] * frequencies
    return angles.cos().to(dtype), angles.sin().to(dtype)


def _stretch(frequencies: Tensor, scaling: Llama3Scaling) -> Tensor:
    """Long waves are slowed by ``factor``, short ones kept, those between interpolated."""
    waves = 2 * math.pi / frequencies
    turns = scaling.original_context / waves
    share = (turns - scaling.low_freq_factor) / (scaling.high_freq_factor - scaling.low_freq_factor)
    between = (1 - share) * frequencies / scaling.factor + share * frequencies
    low = turns < scaling.low_freq_factor
    high = turns > scaling.high_freq_factor
    return torch.where(low, frequencies / scaling.factor, torch.where(high, frequencies, between))
