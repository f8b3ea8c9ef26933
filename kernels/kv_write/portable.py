"""Writing and sealing pages in torch operations."""

from __future__ import annotations

import torch
from torch import Tensor

from kernels.quantised import FP8_MAX, LEVELS, PAGE_TOKENS, VALUE_GROUP, KVPool, QuantisedPool


def kv_write_portable(key: Tensor, value: Tensor, pool: KVPool, slots: Tensor) -> None:
    written = slots >= 0
    pages, places = slots[written] // PAGE_TOKENS, slots[written] % PAGE_TOKENS
    for part, given in enumerate((key[written], value[written])):
        if isinstance(pool, QuantisedPool):
            scale = (pool.key_params, pool.value_params)[part]
            scaled = (given.float() / scale[:, None]).clamp(-FP8_MAX, FP8_MAX)
            pool.codes[pages, part, :, places] = scaled.to(torch.float8_e4m3fn).view(torch.uint8)
        else:
            pool[pages, part, :, places] = given


def seal_pages_portable(pool: Tensor, sources: Tensor, sealed: QuantisedPool, targets: Tensor) -> None:
    pages = pool[sources].float()
    kv_heads, width = pool.shape[2], pool.shape[4]
    keys, params = _quantise(pages[:, 0], 2, LEVELS[sealed.kind])
    sealed.key_params[targets] = params.squeeze(3).movedim(0, 2)
    grouped = pages[:, 1].view(-1, kv_heads, PAGE_TOKENS, width // VALUE_GROUP, VALUE_GROUP)
    values, params = _quantise(grouped, 4, LEVELS[sealed.kind])
    sealed.value_params[targets] = params.squeeze(5).movedim(0, 2)
    codes = torch.stack((keys, values.flatten(3)), dim=1)
    if sealed.kind == "int4":
        codes = codes[..., ::2] | codes[..., 1::2] << 4
    sealed.codes[targets] = codes


def _quantise(numbers: Tensor, dim: int, levels: int) -> tuple[Tensor, Tensor]:
    """uint8 codes, and fp16 (scale, minimum) stacked in front; codes are made with the parameters as stored."""
    low, high = torch.aminmax(numbers, dim=dim, keepdim=True)
    stored_low = low.to(torch.float16)
    scale = ((high - stored_low.float()) / levels).clamp(min=0.0).to(torch.float16)
    divisor = torch.where(scale > 0, scale, torch.inf).float()
    codes = torch.round((numbers - stored_low.float()) / divisor).clamp(0, levels)
    return codes.to(torch.uint8), torch.stack((scale, stored_low))
